"""The embedded simulator in CARLA's units: one road, its weather, and the bodies that move on it."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from numpy.typing import NDArray

from semore_fast import _C
from semore_fast.carla_server.actors import Actor, scene_lights, yaw_rad
from semore_fast.carla_server.maps import Map
from semore_fast.carla_server.values import Pose, RefusedError, Vector
from semore_fast.envs.carla.weather import WEATHERS, nearest_weather

DEFAULT_DT_S = 0.05
OCCUPIED = "Spawn failed because of collision at spawn position"
_A_START_MPS = 1e-3
_WEATHER_FIELDS = (
    "cloudiness",
    "precipitation",
    "precipitation_deposits",
    "wind_intensity",
    "sun_azimuth_angle",
    "sun_altitude_angle",
    "fog_density",
    "fog_distance",
    "fog_falloff",
    "wetness",
    "scattering_intensity",
    "mie_scattering_scale",
    "rayleigh_scattering_scale",
    "dust_storm",
)


def _weather_list(name: str) -> list[float]:
    return [WEATHERS[name].get(field, 0.0) for field in _WEATHER_FIELDS]


class Stage:
    """Bodies on a road. Actors are told apart by `Actor.world_id`; one without a body is left alone."""

    def __init__(self, chosen: Map, dt_s: float, scenery_seed: int):
        self.map = chosen
        self.dt_s = dt_s
        self.scenery_seed = scenery_seed
        self.weather: list[float] = _weather_list("day")
        self.poles = True
        """Whether the lamp posts, lit at night, have been left standing."""
        self.street_lights: bool | None = None
        """Whether they are lit; None: at night."""
        self.world = _C.OpenWorld(road=asdict(chosen.road), dt_s=dt_s)
        self.set_scene()

    @property
    def weather_name(self) -> str:
        """Which of the simulator's five weathers is nearest to CARLA's parameters."""
        return nearest_weather(dict(zip(_WEATHER_FIELDS, self.weather, strict=False)))

    def set_dt(self, dt_s: float) -> None:
        """Another length of tick; ValueError outside the simulator's range."""
        self.world.set_dt(dt_s)
        self.dt_s = dt_s

    def set_scene(self) -> None:
        """After a change of weather, poles or scenery."""
        name = self.weather_name
        lit = name == "midnight" if self.street_lights is None else self.street_lights
        lit = lit and self.poles and self.map.road.town
        self.world.set_scene(weather=name, street_lights=lit, scenery_seed=self.scenery_seed)

    def spawn(self, actor: Actor, pose: Pose) -> None:
        """Gives an actor a body; RefusedError if the place is taken or there is no room for more."""
        colour = _colour(actor.attributes.get("semore_colour" if actor.is_walker else "color", ""))
        style = int(actor.attributes.get("semore_style", 0)) & 255
        x_m, y_m, turn_rad = pose[0], -pose[1], yaw_rad(pose)
        body = actor.blueprint.body
        assert body is not None
        try:
            if body.kind == "pedestrian":
                actor.world_id = self.world.spawn_walker(colour=colour, style=style, x_m=x_m, y_m=y_m, yaw_rad=turn_rad)
            else:
                actor.world_id = self.world.spawn_vehicle(
                    kind=body.kind,
                    length_m=body.length_m,
                    width_m=body.width_m,
                    height_m=body.height_m,
                    colour=colour,
                    style=style,
                    x_m=x_m,
                    y_m=y_m,
                    yaw_rad=turn_rad,
                )
        except _C.OpenWorldFull as error:
            raise RefusedError(f"Spawn failed: {error}") from error
        if actor.world_id < 0:
            actor.world_id = 0
            raise RefusedError(OCCUPIED)
        limit_mps = float(actor.attributes.get("semore_speed_limit", 0.0))
        if limit_mps > 0:
            self.world.set_speed_limit(actor.world_id, limit_mps)

    def remove(self, actor: Actor) -> None:
        """Takes an actor's body away."""
        if actor.world_id:
            self.world.remove(actor.world_id)
            actor.world_id = 0

    def drive(self, actor: Actor) -> None:
        """Passes on a vehicle's control; like CARLA, out of range is clamped and not a number is nothing."""
        throttle, steer, brake, hand_brake, reverse, _, _ = actor.control
        self.world.control_vehicle(
            actor.world_id,
            steer=_within(steer, -1.0),
            throttle=_within(throttle, 0.0),
            brake=_within(brake, 0.0),
            hand_brake=hand_brake,
            reverse=reverse,
        )

    def walk(self, actor: Actor) -> None:
        """Passes on a walker's control."""
        (x, y, _), speed, _ = actor.walk
        norm = math.hypot(x, y)
        if norm == 0:
            self.world.control_walker(actor.world_id, x=0.0, y=0.0, speed_mps=0.0)
            return
        x, y = x / norm, -y / norm
        if speed == 0:  # the simulator's people turn only when they walk
            self.world.control_walker(actor.world_id, x=x, y=y, speed_mps=_A_START_MPS)
        self.world.control_walker(actor.world_id, x=x, y=y, speed_mps=speed)

    def place(self, actor: Actor, pose: Pose) -> None:
        """Puts a body elsewhere. A walker's origin is the middle of the body."""
        z = pose[2] - stands(actor)
        z = z if z > 0.5 else 0.0  # CARLA's spawn points float, and what is put there falls onto the road
        self.world.place(actor.world_id, x_m=pose[0], y_m=-pose[1], z_m=z, yaw_rad=yaw_rad(pose))

    def push(self, actor: Actor, velocity: Vector) -> None:
        """Sets a body's velocity."""
        self.world.set_velocity(actor.world_id, x_mps=velocity[0], y_mps=-velocity[1])

    def light(self, actor: Actor) -> None:
        """Passes on a vehicle's lights."""
        self.world.set_lights(actor.world_id, scene_lights(actor))

    def pose(self, actor: Actor, row: Any) -> Pose:
        """CARLA's place of a body, from its row of the simulator's table."""
        x, y, z, yaw = (float(row[name]) for name in ("x_m", "y_m", "z_m", "yaw_rad"))
        return (x, -y, z + stands(actor), 0.0, -math.degrees(yaw), 0.0)

    def bodies(self) -> NDArray[Any]:
        """The simulator's table of bodies."""
        table: NDArray[Any] = self.world.actors()
        return table

    def collisions(self) -> NDArray[Any]:
        """The simulator's table of the last tick's collisions."""
        table: NDArray[Any] = self.world.collisions()
        return table


def stands(actor: Actor) -> float:
    """Height of an actor's origin above its footprint."""
    return actor.blueprint.body.height_m / 2 if actor.is_walker and actor.blueprint.body else 0.0


def _within(value: float, lowest: float) -> float:
    return min(1.0, max(lowest, value)) if math.isfinite(value) else 0.0


def _colour(text: str) -> tuple[int, int, int]:
    parts = [int(part) & 255 for part in text.split(",")] if text else [128, 128, 128]
    if len(parts) != 3:
        raise RefusedError(f"a colour is 'red,green,blue', got {text!r}")
    return parts[0], parts[1], parts[2]
