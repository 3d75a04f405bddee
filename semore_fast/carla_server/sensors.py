"""Sensors without pixels: collisions, position, inertia. (Lane invasion is worked out by the client.)"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semore_fast.carla_server import values, wire
from semore_fast.carla_server.actors import Actor
from semore_fast.carla_server.stage import Stage
from semore_fast.carla_server.streams import Streams
from semore_fast.carla_server.versions import Version

PREFIX = "sensor.other."
_METRES_A_DEGREE = 111_319.490_793
_GRAVITY = 9.81
_FURNITURE_TAG = 5


class Sensors:
    """Every such sensor of an episode."""

    def __init__(self, version: Version, streams: Streams):
        self._version = version
        self._streams = streams
        self._actors: dict[Actor, str] = {}

    def add(self, actor: Actor, stage: Stage) -> None:
        """A new sensor; one of collisions makes its vehicle feel them."""
        self._actors[actor] = actor.blueprint.name.removeprefix(PREFIX)
        self.report(actor, stage, True)

    def remove(self, actor: Actor, stage: Stage) -> None:
        """Forgets a sensor."""
        self.report(actor, stage, False)
        del self._actors[actor]

    def report(self, actor: Actor, stage: Stage, on: bool) -> None:
        """Turns reports of collisions on or off for the vehicle that a sensor of them sits on."""
        parent = actor.parent
        if self._actors[actor] != "collision" or parent is None or not (parent.is_vehicle and parent.world_id):
            return
        others = [
            a for a, kind in self._actors.items() if kind == "collision" and a.parent is parent and a is not actor
        ]
        if not others:
            stage.world.set_reporting(parent.world_id, on)

    def send(self, stage: Stage, table: NDArray[Any], by_world_id: dict[int, Actor], frame: int, time_s: float) -> None:
        """Sends what somebody listens to."""
        for actor, kind in self._actors.items():
            if not self._streams.wanted(actor.stream):
                continue
            if kind == "collision":
                payloads = self._collisions(actor, stage, by_world_id)
            elif kind == "gnss":
                payloads = [_gnss(actor)]
            elif kind == "imu":
                payloads = [_imu(actor, table)]
            else:
                continue
            number = self._version.sensor_type(kind)
            for payload in payloads:
                self._streams.send(actor.stream, wire.sensor_frame(number, frame, time_s, actor.pose, payload))

    def _collisions(self, sensor: Actor, stage: Stage, by_world_id: dict[int, Actor]) -> list[bytes]:
        parent = sensor.parent
        if parent is None or not parent.world_id:
            return []
        events = stage.collisions()
        payloads = []
        for row in events[events["actor"] == parent.world_id]:
            met = by_world_id.get(int(row["other"]))
            other = met.packed(self._version, self._streams.port) if met else self._furniture(stage)
            impulse = [float(row["impulse_x_ns"]), -float(row["impulse_y_ns"]), 0.0]
            payloads.append(values.pack_single([parent.packed(self._version, self._streams.port), other, impulse]))
        return payloads

    def _furniture(self, stage: Stage) -> list[Any]:
        name = "static.fence" if stage.map.road.town else "static.guardrail"
        box: list[Any] = [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
        tag = bytes([self._version.tags[_FURNITURE_TAG]])
        return [0, 0, [0, name, []], [*box, 0] if self._version.box_has_actor else box, tag, b""]


def _gnss(actor: Actor) -> bytes:
    x, y, z = actor.pose[:3]
    return bytes(values.pack_double([-y / _METRES_A_DEGREE, x / _METRES_A_DEGREE, z]))


def _imu(actor: Actor, table: NDArray[Any]) -> bytes:
    turn = math.radians(actor.pose[4])
    ax = ay = rate = 0.0
    if actor.parent is not None:
        (row,) = np.flatnonzero(table["id"] == actor.parent.world_id)
        ax, ay, rate = (float(table[row][name]) for name in ("ax_mps2", "ay_mps2", "yaw_rate_rps"))
    forward = ax * math.cos(turn) - ay * math.sin(turn)
    right = -ax * math.sin(turn) - ay * math.cos(turn)
    compass = (turn + math.pi / 2) % (2 * math.pi)
    return bytes(values.pack_single([[forward, right, _GRAVITY], [0.0, 0.0, -rate], compass]))
