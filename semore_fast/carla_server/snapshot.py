"""The world's state after a tick: one buffer, written again each tick, with a record for every actor."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semore_fast.carla_server import wire
from semore_fast.carla_server.actors import Actor, mounted
from semore_fast.carla_server.stage import stands
from semore_fast.carla_server.values import NO_POSE

_START = wire.SIZE.size + wire.HEADER.size
_RECORDS = _START + wire.STATE.size
_ORIGIN = (0, 0, 0)
_DEGREES = np.float32(180.0 / math.pi)


class Snapshot:
    """Records of the actors with a body first, in the simulator's order, so that each column is one assignment."""

    def __init__(self, sensor_type: int):
        self._type = sensor_type
        self.stale = True
        """Whether actors have come or gone since the records were laid out."""
        self.changed: set[Actor] = set()
        """Actors whose control was set since the last tick."""
        self._lay_out([], [])

    def _lay_out(self, bodies: list[Actor], others: list[Actor]) -> None:
        actors = bodies + others
        size = _RECORDS + len(actors) * wire.ACTOR_RECORD.itemsize
        self.buffer = bytearray(size)
        wire.SIZE.pack_into(self.buffer, 0, size - wire.SIZE.size)
        records = np.frombuffer(self.buffer, wire.ACTOR_RECORD, offset=_RECORDS)
        self._row_of = {actor: row for row, actor in enumerate(actors)}
        self._others = others
        self.body_ids: NDArray[np.uint32] = np.array([actor.id for actor in bodies], np.uint32)
        """Numbers of the actors in the rows of the simulator's table."""
        self._records = records
        records["id"] = [actor.id for actor in actors]
        records["state"] = wire.ALIVE
        self.changed.update(actors)
        columns = records[: len(bodies)]
        self._state = columns["state"]
        place, turn, speed = columns["location"], columns["rotation"], columns["velocity"]
        self._x, self._y, self._z = place[:, 0], place[:, 1], place[:, 2]
        self._pitch, self._yaw = turn[:, 0], turn[:, 1]
        self._vx, self._vy = speed[:, 0], speed[:, 1]
        self._turning = columns["angular_velocity"][:, 2]
        self._ax, self._ay = columns["acceleration"][:, 0], columns["acceleration"][:, 1]
        self._stands = np.array([stands(actor) for actor in bodies], np.float32)
        self._parents = [(row, actor) for row, actor in enumerate(bodies)]

    def update(self, actors: Iterable[Actor], table: NDArray[Any]) -> None:
        """Writes what the simulator's table says, then places what has no body: sensors follow their parents."""
        if self.stale:
            by_id = {actor.world_id: actor for actor in actors}
            bodies = [by_id[row] for row in table["id"].tolist()]
            self._lay_out(bodies, [actor for actor in actors if not actor.world_id])
            parents = {actor.parent for actor in actors}
            self._parents = [(row, actor) for row, actor in enumerate(bodies) if actor in parents]
            self.stale = False
        self._write_bodies(table)
        for row, actor in self._parents:
            x, y, z, pitch, yaw = (float(c[row]) for c in (self._x, self._y, self._z, self._pitch, self._yaw))
            actor.pose = (x, y, z, pitch, yaw, 0.0)
        self._write_others()
        for actor in self.changed:
            if actor in self._row_of:
                self._records["typed"][self._row_of[actor]] = np.void(actor.typed)
        self.changed.clear()

    def _write_bodies(self, table: NDArray[Any]) -> None:
        self._x[:] = table["x_m"]
        np.negative(table["y_m"], out=self._y)
        np.add(table["z_m"], self._stands, out=self._z)
        np.multiply(table["yaw_rad"], -_DEGREES, out=self._yaw)
        np.multiply(table["pitch_rad"], -_DEGREES, out=self._pitch)
        self._vx[:] = table["vx_mps"]
        np.negative(table["vy_mps"], out=self._vy)
        np.multiply(table["yaw_rate_rps"], -_DEGREES, out=self._turning)
        self._ax[:] = table["ax_mps2"]
        np.negative(table["ay_mps2"], out=self._ay)
        np.subtract(wire.DORMANT, table["present"], out=self._state)

    def _write_others(self) -> None:
        for actor in self._others:
            if actor.parent is not None:
                actor.pose = mounted(actor.parent.pose, actor.mount)
            row = self._records[self._row_of[actor]]
            row["location"], row["rotation"] = actor.pose[:3], actor.pose[3:]

    def stamp(self, frame: int, time_s: float, episode: int, clock_s: float, dt_s: float, flags: int) -> None:
        """Sets which tick this is."""
        wire.HEADER.pack_into(self.buffer, wire.SIZE.size, self._type, frame, time_s, *NO_POSE)
        wire.STATE.pack_into(self.buffer, _START, episode, clock_s, dt_s, *_ORIGIN, flags)
