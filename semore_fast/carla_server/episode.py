"""One episode: a map, its actors, and what a tick does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from semore_fast.carla_server import cameras, sensors, wire
from semore_fast.carla_server.actors import Actor, mounted
from semore_fast.carla_server.blueprints import Blueprint, blueprints
from semore_fast.carla_server.cameras import Cameras
from semore_fast.carla_server.sensors import Sensors
from semore_fast.carla_server.snapshot import Snapshot
from semore_fast.carla_server.stage import Stage
from semore_fast.carla_server.streams import WORLD_STREAM, Streams
from semore_fast.carla_server.values import Pose, RefusedError
from semore_fast.carla_server.versions import Version

_SPECTATOR = Blueprint("spectator", "spectator", ())
_SPECTATOR_POSE: Pose = (-8.0, 2.0, 5.0, -15.0, 0.0, 0.0)


class Episode:
    """Everything that `load_world` makes anew. Numbers of actors are never used twice."""

    def __init__(self, number: int, frame: int, stage: Stage, version: Version, streams: Streams):
        self.number = number
        self.version = version
        self.stage = stage
        self.frame = frame
        self.time_s = 0.0
        self.actors: dict[int, Actor] = {}
        self.cameras = Cameras(version, streams)
        self.sensors = Sensors(version, streams)
        self.snapshot = Snapshot(version.sensor_type("world"))
        self.rendering = True
        self._streams = streams
        self._flags = wire.MAP_CHANGED
        self._started_s = time.monotonic()
        self._next_id = 24 + 1000 * (number % 1000)
        self._by_world_id: dict[int, Actor] = {}
        self._table = self.stage.bodies()
        self.spectator = self._enter(Actor(self._next_id, _SPECTATOR, {}, [0, "spectator", []]))
        self.spectator.pose = self.spectator.mount = _SPECTATOR_POSE

    def _enter(self, actor: Actor) -> Actor:
        self._next_id = actor.id + 1
        self.actors[actor.id] = actor
        if actor.world_id:
            self._by_world_id[actor.world_id] = actor
        self.snapshot.stale = True
        return actor

    def actor(self, number: int) -> Actor:
        """By its number; RefusedError if there is none."""
        actor = self.actors.get(number)
        if actor is None:
            raise RefusedError(f"actor not found: {number} is not in this world")
        return actor

    def spawn(self, description: list[Any], pose: Pose, parent: Actor | None = None) -> Actor:
        """A new actor as its description says; RefusedError if that cannot be."""
        _, name, given = description
        blueprint = blueprints().get(name)
        if blueprint is None:
            raise RefusedError(f"this server has no blueprint {name!r}")
        attributes = {a.name: a.value for a in blueprint.attributes} | {key: value for key, _, value in given}
        actor = Actor(self._next_id, blueprint, attributes, description, parent=parent, mount=pose)
        actor.pose = mounted(parent.pose, pose) if parent else pose
        if blueprint.body is not None:
            if parent is not None:
                raise RefusedError(f"{name} cannot be attached to another actor on this server")
            self.stage.spawn(actor, pose)
            actor.typed = _first_typed(actor, self.stage.map.limit_kmh)
        elif name.startswith(cameras.PREFIX):
            self.cameras.add(actor)
            actor.stream = self._streams.open(name.removeprefix(cameras.PREFIX))
        elif name.startswith(sensors.PREFIX):
            actor.stream = self._streams.open(name.removeprefix(sensors.PREFIX))
            self.sensors.add(actor, self.stage)
        return self._enter(actor)

    def destroy(self, actor: Actor) -> None:
        """Takes an actor away; sensors that sat on it stay where they are."""
        if actor is self.spectator:
            raise RefusedError("the spectator cannot be destroyed")
        for child in [a for a in self.actors.values() if a.parent is actor]:
            self._detach(child)
        if actor.blueprint.name.startswith(cameras.PREFIX):
            self.cameras.remove(actor, self.stage)
        elif actor.blueprint.name.startswith(sensors.PREFIX):
            self.sensors.remove(actor, self.stage)
        if actor.stream:
            self._streams.close(actor.stream)
        self._by_world_id.pop(actor.world_id, None)
        self.stage.remove(actor)
        del self.actors[actor.id]
        self.snapshot.stale = True

    def _detach(self, child: Actor) -> None:
        is_camera = child.blueprint.name.startswith(cameras.PREFIX)
        if not is_camera and child.blueprint.name.startswith(sensors.PREFIX):
            self.sensors.report(child, self.stage, False)
        child.parent, child.mount = None, child.pose
        if is_camera:
            self.cameras.refresh(child, self.stage)

    def move(self, actor: Actor, pose: Pose) -> None:
        """Puts an actor elsewhere; for what is attached, relative to its parent."""
        if actor.world_id:
            self.stage.place(actor, pose)
            return
        actor.mount = pose
        if actor.parent is None:
            actor.pose = pose
        if actor.blueprint.name.startswith(cameras.PREFIX):
            self.cameras.refresh(actor, self.stage)

    def pose_of(self, actor: Actor) -> Pose:
        """Where an actor is now, whatever the last state said."""
        if not actor.world_id:
            return actor.mount if actor.parent else actor.pose
        table = self.stage.bodies()
        return self.stage.pose(actor, table[table["id"] == actor.world_id][0])

    def close(self) -> None:
        """Ends the streams of every sensor."""
        for actor in self.actors.values():
            if actor.stream:
                self._streams.close(actor.stream)

    def tick(self) -> None:
        """Moves everything by one tick and sends the world's state."""
        self.stage.world.tick()
        self.frame += 1
        self.time_s += self.stage.dt_s
        self._table = self.stage.bodies()
        self.snapshot.update(self.actors.values(), self._table)
        clock_s = time.monotonic() - self._started_s
        self.snapshot.stamp(self.frame, self.time_s, self.number, clock_s, self.stage.dt_s, self._flags)
        self._flags = 0
        self._streams.send(WORLD_STREAM, self.snapshot.buffer)

    def sense(self) -> None:
        """Sends what the sensors saw at the last tick."""
        self.sensors.send(self.stage, self._table, self._by_world_id, self.frame, self.time_s)
        if self.rendering:
            self.cameras.send(self.stage, self._table, self.snapshot.body_ids, self.frame, self.time_s)

    def vehicles(self) -> Iterator[Actor]:
        """Cyclists included."""
        return (actor for actor in self.actors.values() if actor.is_vehicle)


def _first_typed(actor: Actor, limit_kmh: float) -> bytes:
    return wire.walker_part(*actor.walk) if actor.is_walker else wire.vehicle_part(actor.control, limit_kmh)
