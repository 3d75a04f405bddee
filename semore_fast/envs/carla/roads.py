"""The scenario's road on a CARLA map: x along lane -1 from s = 0, y to the left of the line between the directions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import carla
import numpy as np
from numpy.typing import NDArray

from semore_fast.envs.carla.errors import CarlaSetupError
from semore_fast.envs.scenario import Kind, Road

__all__ = ["ROADS", "Motion", "RoadFrame", "RoadOn", "road_frame"]

_SAMPLE_M = 1.0
_LONGEST_M = 3000.0
_STRAIGHT_WITHIN_M = 0.02
_SHORTEST_M = 50.0
_AXIS = 1e-5
"""A direction this close to an axis of the map is that axis: then no rounding enters."""


@dataclass(frozen=True)
class RoadOn:
    """Where a scenario's road is."""

    map_name: str
    road_id: int


ROADS: dict[Kind, RoadOn] = {
    "jaywalk": RoadOn("Town01", 12),
    "highbeam": RoadOn("Town01", 12),
    "highway": RoadOn("Town04", 45),
}
"""As in DMR and its sister projects."""


@dataclass(frozen=True)
class Motion:
    """Place and velocity in the road's axes: metres, radians counter-clockwise, m/s."""

    x_m: float
    y_m: float
    yaw_rad: float
    vx_mps: float
    vy_mps: float


class RoadFrame:
    """Converts between the road's axes (y to the left) and the map's (y to the right, yaw clockwise in degrees).

    The reference line is a polyline [N, 3] over x = 0, 1, 2, ... metres; before and beyond it goes on straight. On a
    straight road along one of the map's axes, conversions only shift, swap and negate.
    """

    def __init__(self, line: NDArray[np.float64]):
        if len(line) < 2:
            raise ValueError("a road needs two points")
        self._line = line
        steps = np.diff(line[:, :2], axis=0)
        self._tangents = steps / np.linalg.norm(steps, axis=1, keepdims=True)
        self._x = np.concatenate([[0.0], np.cumsum(np.linalg.norm(steps, axis=1))])
        self.length_m = float(self._x[-1])
        straight = self._straight()
        if straight is not None:
            self._line = np.stack([np.round(line[0], 3), line[-1]])
            self._tangents = straight[None]
            self._x = np.array([0.0, self.length_m])
            self._heights = (np.linspace(0.0, self.length_m, len(line)), line[:, 2])
        else:
            self._heights = (self._x, line[:, 2])
        self.straight = straight is not None

    def _straight(self) -> NDArray[np.float64] | None:
        along = self._line[-1, :2] - self._line[0, :2]
        tangent = along / np.linalg.norm(along)
        away = self._line[:, :2] - self._line[0, :2]
        across = np.abs(away @ np.array([tangent[1], -tangent[0]]))
        if across.max() > _STRAIGHT_WITHIN_M:
            return None
        if np.abs(tangent).min() < _AXIS:
            tangent = np.round(tangent)
        return np.asarray(tangent)

    def _nearest(self, x: float, y: float) -> int:
        if len(self._tangents) == 1:
            return 0
        middles = 0.5 * (self._line[:-1, :2] + self._line[1:, :2])
        return int(np.argmin((middles[:, 0] - x) ** 2 + (middles[:, 1] - y) ** 2))

    def motion(self, transform: carla.Transform, velocity: carla.Vector3D) -> Motion:
        """A place and velocity on the map, in the road's axes."""
        place = transform.location
        piece = self._nearest(place.x, place.y)
        tx, ty = map(float, self._tangents[piece])
        dx, dy = place.x - float(self._line[piece, 0]), place.y - float(self._line[piece, 1])
        return Motion(
            x_m=float(self._x[piece]) + dx * tx + dy * ty,
            y_m=dx * ty - dy * tx,
            yaw_rad=-math.radians(transform.rotation.yaw - _heading_deg(tx, ty)),
            vx_mps=velocity.x * tx + velocity.y * ty,
            vy_mps=velocity.x * ty - velocity.y * tx,
        )

    def transform(self, x_m: float, y_m: float, yaw_rad: float, above_m: float = 0.0) -> carla.Transform:
        """The map's transform of a place `above_m` over the road."""
        piece = int(np.clip(np.searchsorted(self._x, x_m, side="right") - 1, 0, len(self._tangents) - 1))
        tx, ty = map(float, self._tangents[piece])
        along = x_m - float(self._x[piece])
        return carla.Transform(
            carla.Location(
                x=float(self._line[piece, 0]) + along * tx + y_m * ty,
                y=float(self._line[piece, 1]) + along * ty - y_m * tx,
                z=float(np.interp(x_m, *self._heights)) + above_m,
            ),
            carla.Rotation(yaw=_heading_deg(tx, ty) - math.degrees(yaw_rad)),
        )

    def vector(self, x_m: float, along: float, left: float) -> carla.Vector3D:
        """A horizontal vector given along the road at `x_m` and to its left, in the map's axes."""
        piece = int(np.clip(np.searchsorted(self._x, x_m, side="right") - 1, 0, len(self._tangents) - 1))
        tx, ty = map(float, self._tangents[piece])
        return carla.Vector3D(x=along * tx + left * ty, y=along * ty - left * tx, z=0.0)


def _heading_deg(tx: float, ty: float) -> float:
    return math.degrees(math.atan2(ty, tx))


def road_frame(town: carla.Map, on: RoadOn, road: Road) -> RoadFrame:
    """The frame of a road of the map, from the waypoints of its lane -1.

    Raises:
        CarlaSetupError: the map has no such road, or a short one.
    """
    to_the_left = 0.5 * road.median_width_m + 0.5 * road.lane_width_m
    points = []
    for step in range(int(_LONGEST_M / _SAMPLE_M)):
        waypoint = town.get_waypoint_xodr(on.road_id, -1, step * _SAMPLE_M)
        if waypoint is None:
            break
        at = waypoint.transform.location
        yaw = math.radians(waypoint.transform.rotation.yaw)
        points.append((at.x + to_the_left * math.sin(yaw), at.y - to_the_left * math.cos(yaw), at.z))
    if len(points) * _SAMPLE_M < _SHORTEST_M:
        raise CarlaSetupError(
            f"map {town.name}: lane -1 of road {on.road_id} is {len(points)} m long and must be {_SHORTEST_M:g} m: "
            "use the map of CARLA's own release"
        )
    return RoadFrame(np.array(points, np.float64))
