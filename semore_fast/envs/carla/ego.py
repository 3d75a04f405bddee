"""The ego on the server: its body, its sensors, and what it is told."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import carla
import numpy as np
from numpy.typing import NDArray

from semore_fast import _C
from semore_fast.envs.carla.actors import Crew
from semore_fast.envs.carla.blueprints import CAMERA_LOOKS, Wardrobe
from semore_fast.envs.carla.errors import CarlaLost, CarlaSetupError, CarlaTimeout
from semore_fast.envs.carla.roads import Motion, RoadFrame
from semore_fast.envs.carla.sensors import Ear, Eye
from semore_fast.envs.carla.settings import DriveSettings
from semore_fast.envs.carla.traffic import light_state

__all__ = ["Ego"]

_ABOVE_M = 0.1
_CAMERA_AHEAD_M, _CAMERA_UP_M, _FOV_DEG = 1.0, 1.5, 60.0
_GEAR_SWITCH_S = 0.01
_SETTLE_FRAMES = 60
_RESTING_MPS = 0.05
_LOOK_AGAIN_S = 0.02
"""Between two ticks while a sensor is silent: connecting to it takes a moment."""


class Ego:
    """A car with a camera, a collision sensor and, if asked for, a camera of ids."""

    def __init__(
        self, director: _C.Director, crew: Crew, wardrobe: Wardrobe, frame: RoadFrame, settings: DriveSettings
    ):
        self._settings = settings
        self._frame = frame
        place = director.ego_place()
        blueprint, self._limited_there = wardrobe.ego(settings.scenario.speed_limit_mps)
        actor = crew.spawn(blueprint, place["x_m"], place["y_m"], 0.0, _ABOVE_M)
        if actor is None:
            raise CarlaSetupError("no free place for the ego at the start of the road: something else stands there")
        self.actor = actor
        self.motion = Motion(place["x_m"], place["y_m"], 0.0, 0.0, 0.0)
        self._falling_mps = math.inf
        if place["lights"]:
            actor.set_light_state(light_state(int(place["lights"])))
        self._quicken()
        half = actor.bounding_box.extent
        self.size_m = (2 * half.x, 2 * half.y)
        self._fit_sensors(crew, wardrobe)

    def _quicken(self) -> None:
        """Gears that shift at once and a drive train that rolls freely, as DMR has them."""
        physics = self.actor.get_physics_control()
        physics.gear_switch_time = _GEAR_SWITCH_S
        physics.damping_rate_zero_throttle_clutch_engaged = physics.damping_rate_zero_throttle_clutch_disengaged
        self.actor.apply_physics_control(physics)

    def _fit_sensors(self, crew: Crew, wardrobe: Wardrobe) -> None:
        settings = self._settings
        collision = wardrobe.sensor("sensor.other.collision", {})
        self.ear = Ear(crew.attach(collision, carla.Transform(), self.actor))
        mount = carla.Transform(carla.Location(x=_CAMERA_AHEAD_M, y=0.0, z=_CAMERA_UP_M))
        pixels = str(settings.image_size * settings.supersample)
        lens = {"image_size_x": pixels, "image_size_y": pixels, "fov": str(_FOV_DEG), "sensor_tick": "0.0"}
        rgb = wardrobe.sensor("sensor.camera.rgb", {**lens, **CAMERA_LOOKS})
        self.eye = Eye("camera rgb", crew.attach(rgb, mount, self.actor))
        self.label_eye: Eye | None = None
        if settings.ids:
            labels = wardrobe.sensor("sensor.camera.instance_segmentation", lens)
            self.label_eye = Eye("camera of ids", crew.attach(labels, mount, self.actor))

    @property
    def _eyes(self) -> list[Eye]:
        return [self.eye] if self.label_eye is None else [self.eye, self.label_eye]

    def stop(self) -> None:
        """Stop the sensors; whoever destroys them comes next."""
        for eye in self._eyes:
            eye.stop()
        self.ear.stop()

    def hold(self) -> None:
        """Stand on the brake."""
        self.actor.apply_control(carla.VehicleControl(brake=1.0))

    def command(self, control: NDArray[np.float32]) -> carla.command.ApplyVehicleControl:
        """Steering and drive for the next frame; the speed limiter is ours where the server has none."""
        steer, drive = float(control[0]), float(control[1])
        throttle = max(drive, 0.0)
        if not self._limited_there:
            forward = math.cos(self.motion.yaw_rad) * self.motion.vx_mps + math.sin(self.motion.yaw_rad) * (
                self.motion.vy_mps
            )
            throttle *= _C.limiter_share(forward, self._settings.scenario.speed_limit_mps)
        return carla.command.ApplyVehicleControl(
            self.actor.id, carla.VehicleControl(throttle=throttle, steer=steer, brake=max(-drive, 0.0))
        )

    def look(self, snapshot: carla.WorldSnapshot) -> None:
        """Where it is now; `CarlaLost` if the server does not have it any more."""
        found = snapshot.find(self.actor.id)
        if found is None:
            raise CarlaLost(f"the ego (actor {self.actor.id}) is gone: somebody else destroyed it, or the world")
        velocity = found.get_velocity()
        self.motion = self._frame.motion(found.get_transform(), velocity)
        self._falling_mps = velocity.z
        if not (math.isfinite(self.motion.x_m) and math.isfinite(self.motion.vx_mps)):
            raise CarlaLost("the server reports a place that is not a number")

    def settling(self) -> Iterator[None]:
        """One round a frame, until every camera has been heard and the car rests, or for as long as makes sense."""
        deadline = time.monotonic() + self._settings.timeouts.sensor_s
        frames = 0
        while frames < _SETTLE_FRAMES or (self._silent and time.monotonic() < deadline):
            if frames and not self._silent and abs(self._falling_mps) < _RESTING_MPS:
                return
            yield
            frames += 1

    @property
    def _silent(self) -> list[Eye]:
        return [eye for eye in self._eyes if not eye.box.any()]

    def wait_a_little(self) -> None:
        """For cameras that have not been heard yet."""
        deadline = time.monotonic() + _LOOK_AGAIN_S
        for eye in self._silent:
            eye.box.wait_any(max(0.0, deadline - time.monotonic()))

    def check_settled(self, frame: int) -> None:
        """`CarlaTimeout` naming the camera that never sent its own frame."""
        if self._silent:
            names = ", ".join(eye.box.name for eye in self._silent)
            waited_s = self._settings.timeouts.sensor_s
            raise CarlaTimeout(f"{names}: no first frame up to frame {frame}, within {waited_s:g} s")
