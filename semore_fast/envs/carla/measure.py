"""What a frame did: the snapshot in the road's axes, who touched the ego, and the rows of `info`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import carla
import numpy as np
from numpy.typing import NDArray

from semore_fast import _C
from semore_fast.envs.carla.roads import Motion, RoadFrame
from semore_fast.envs.carla.sensors import Collision
from semore_fast.envs.scenario import Scenario

__all__ = ["BARRIER", "Member", "actor_rows", "contact_expected", "impulse_ns"]

_MARGIN_M = 0.3
_AT_THE_FRONT_M = 0.6
_KEPT_BEHIND_M = 40.0
"""Who was struck and lies this far behind counts as gone, where the server does not say so itself."""
BARRIER = 0
"""The id in a collision with something that is no actor of ours."""

UP, STRUCK, GONE = 0, 1, 2


@dataclass(slots=True, eq=False)
class Member:
    """One of the people or vehicles: a slot of the director, and the body on the server that fills it."""

    instance_id: int
    class_id: int
    length_m: float
    width_m: float
    motion: Motion
    actor: carla.Actor | None = None
    """None: there was no place for a body."""
    struck: bool = False
    last_hit: int = field(default=-1_000_000)
    """Frame of its last collision."""

    def look(self, snapshot: carla.WorldSnapshot, frame: RoadFrame) -> None:
        """Take its motion from a snapshot; it stays where it was if it is not in there."""
        found = snapshot.find(self.actor.id) if self.actor is not None else None
        if found is not None:
            self.motion = frame.motion(found.get_transform(), found.get_velocity())

    def status(self, ego_x_m: float) -> int:
        """As the director wants it."""
        if self.actor is None or self.actor.is_dormant:
            return GONE
        if self.struck:
            return GONE if self.motion.x_m < ego_x_m - _KEPT_BEHIND_M else STRUCK
        return UP

    @property
    def present(self) -> bool:
        """Whether there is a body to be seen."""
        return self.actor is not None and not self.actor.is_dormant


def impulse_ns(events: list[Collision]) -> float:
    """Sum of the norms of the normal impulses, in float32 as the embedded simulator sums."""
    total = np.float32(0)
    for _, _, x, y, z in events:
        total += np.float32(math.sqrt(x * x + y * y + z * z))
    return float(total)


def contact_expected(ego: Motion, size_m: tuple[float, float], others: list[Member], scenario: Scenario) -> bool:
    """Whether places alone say that the ego touches somebody, or a barrier, in this frame."""
    length_m, width_m = size_m
    cos, sin = math.cos(ego.yaw_rad), math.sin(ego.yaw_rad)
    reach = 0.5 * (length_m * abs(sin) + width_m * abs(cos)) + _MARGIN_M
    road = scenario.road
    inner = 0.5 * road.median_width_m if road.median_width_m > 0 else -math.inf
    if abs(ego.y_m) + reach > road.fence_y_m or abs(ego.y_m) - reach < inner:
        return True
    for member in others:
        if not member.present:
            continue
        dx, dy = member.motion.x_m - ego.x_m, member.motion.y_m - ego.y_m
        ahead, left = cos * dx + sin * dy, cos * dy - sin * dx
        if member.struck:
            if 0.5 * length_m < ahead < 0.5 * length_m + _AT_THE_FRONT_M and abs(left) < width_m:
                return True
        elif (
            abs(ahead) < 0.5 * (length_m + max(member.length_m, member.width_m)) + _MARGIN_M
            and abs(left) < 0.5 * (width_m + max(member.width_m, 0.0)) + _MARGIN_M
        ):
            return True
    return False


def actor_rows(ego: Motion, others: list[Member]) -> NDArray[np.float32]:
    """info["actors"], float32 [ACTOR_ROWS, 8], nearest first."""
    rows = np.zeros((_C.ACTOR_ROWS, 8), np.float32)
    present = [m for m in others if m.present]
    if not present:
        return rows
    at = np.array([(m.motion.x_m, m.motion.y_m) for m in present], np.float32)
    apart = at - np.array([ego.x_m, ego.y_m], np.float32)
    nearest = np.argsort((apart * apart).sum(axis=1), kind="stable")[: _C.ACTOR_ROWS]
    for row, index in zip(rows, nearest, strict=False):
        m = present[index]
        row[:] = (
            m.class_id,
            m.instance_id,
            *apart[index],
            m.motion.vx_mps,
            m.motion.vy_mps,
            m.length_m,
            m.width_m,
        )
    return rows
