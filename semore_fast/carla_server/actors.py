"""What has been spawned, and the axes: the simulator's y is to the left, CARLA's to the right."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from semore_fast.carla_server import wire
from semore_fast.carla_server.blueprints import Blueprint
from semore_fast.carla_server.values import NO_POSE, Pose
from semore_fast.carla_server.versions import Version

NO_TYPED = bytes(54)
Control = tuple[float, float, float, bool, bool, bool, int]
NO_CONTROL: Control = (0.0, 0.0, 0.0, False, False, False, 0)

_LOW, _HIGH, _BRAKE, _TAIL, _BEACON = 1, 2, 4, 8, 16  # scene.hpp
_LIGHTS = ((0x1, _TAIL), (0x2, _LOW | _TAIL), (0x4, _HIGH | _TAIL), (0x8, _BRAKE), (0x200, _BEACON), (0x400, _BEACON))
"""CARLA's bits (position, low beam, high beam, brake, two special ones), and the simulator's."""
ALL_LIGHTS = 0xFFFFFFFF


@dataclass(slots=True, eq=False)
class Actor:
    """One actor of an episode."""

    id: int
    blueprint: Blueprint
    attributes: dict[str, str]
    description: list[Any]
    """As the client sent it: number, name, [[name, type, value]]."""
    world_id: int = 0
    """In the simulator; 0 for what has no body there (sensors, the spectator)."""
    parent: Actor | None = None
    stream: int = 0
    mount: Pose = NO_POSE
    """Of a sensor: relative to its parent, or in the world if it has none."""
    pose: Pose = NO_POSE
    """Where it is, at the last tick."""
    control: Control = NO_CONTROL
    walk: tuple[tuple[float, float, float], float, bool] = ((1.0, 0.0, 0.0), 0.0, False)
    light_bits: int = 0
    typed: bytes = field(default=NO_TYPED)
    """The end of its record in the world's state."""
    physics: list[Any] | None = None
    """What a client has set; it has no effect."""

    @property
    def is_vehicle(self) -> bool:
        """Cyclists included."""
        return self.blueprint.name.startswith("vehicle.")

    @property
    def is_walker(self) -> bool:
        """Pedestrians."""
        return self.blueprint.name.startswith("walker.")

    def packed(self, version: Version, port: int) -> list[Any]:
        """As the protocol has it; sensors carry the token of their stream."""
        tags = bytes(version.tags[tag] for tag in self.blueprint.semantic_tags)
        token = wire.token(self.stream, port) if self.stream else b""
        parent = self.parent.id if self.parent else 0
        return [self.id, parent, self.description, self.bounding_box(version), tags, token]

    def bounding_box(self, version: Version) -> list[Any]:
        """Centre and half sizes in the actor's own frame."""
        body = self.blueprint.body
        half = [body.length_m / 2, body.width_m / 2, body.height_m / 2] if body else [0.0, 0.0, 0.0]
        centre = [0.0, 0.0, 0.0 if self.is_walker else half[2]]
        box: list[Any] = [centre, half, [0.0, 0.0, 0.0]]
        return [*box, self.id] if version.box_has_actor else box


def scene_lights(actor: Actor) -> int:
    """The simulator's lights for an actor's CARLA ones. "All" is a parade, not braking; few vehicles have a beacon."""
    lights = 0
    for theirs, ours in _LIGHTS:
        lights |= ours if actor.light_bits & theirs else 0
    if actor.light_bits == ALL_LIGHTS:
        lights &= ~_BRAKE
    if actor.attributes.get("special_type") != "emergency":
        lights &= ~_BEACON
    return lights


def yaw_rad(pose: Pose) -> float:
    """The simulator's yaw: counter-clockwise."""
    return -math.radians(pose[4])


def mounted(parent: Pose, mount: Pose) -> Pose:
    """Where something fixed to a parent is. The parents are level, so only yaw turns the mount."""
    turn = math.radians(parent[4])
    cos, sin = math.cos(turn), math.sin(turn)
    x, y, z, pitch, yaw, roll = mount
    return (
        parent[0] + cos * x - sin * y,
        parent[1] + sin * x + cos * y,
        parent[2] + z,
        parent[3] + pitch,
        (parent[4] + yaw + 180.0) % 360.0 - 180.0,
        parent[5] + roll,
    )
