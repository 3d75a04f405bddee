"""Cameras: one picture of the world for every sensor that looks from the same place through the same lens."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semore_fast.carla_server import wire
from semore_fast.carla_server.actors import Actor
from semore_fast.carla_server.stage import Stage
from semore_fast.carla_server.streams import Streams
from semore_fast.carla_server.values import RefusedError
from semore_fast.carla_server.versions import Version

PREFIX = "sensor.camera."
_LEAST_PIXELS, _MOST_PIXELS = 16, 2048
_FAR_M = 1000.0
_DEPTH_STEPS = 256**3 - 1
_GREEN, _RED, _OPAQUE = 8, 16, 255 << 24  # of a pixel as a word

Pixels = NDArray[np.uint8]
Words = NDArray[np.uint32]
Lens = tuple[Any, ...]
"""Parent, mount, width, height, field of view."""


class Camera:
    """One camera sensor: its frame, and when it is due."""

    def __init__(self, actor: Actor, version: Version):
        attributes = actor.attributes
        self.actor = actor
        self.kind = actor.blueprint.name.removeprefix(PREFIX)
        self.width, self.height = int(attributes["image_size_x"]), int(attributes["image_size_y"])
        self.fov_deg = float(attributes["fov"])
        if not all(_LEAST_PIXELS <= side <= _MOST_PIXELS for side in (self.width, self.height)):
            raise RefusedError(f"image_size_x and image_size_y must be in [{_LEAST_PIXELS}, {_MOST_PIXELS}]")
        if not 1.0 <= self.fov_deg <= 170.0:
            raise RefusedError(f"fov must be in [1, 170] degrees, got {self.fov_deg}")
        self.frame = wire.ImageFrame(version.sensor_type(self.kind), self.width, self.height, self.fov_deg)
        self.frame.words[:] = _OPAQUE
        self._every_s = float(attributes.get("sensor_tick", 0.0))
        self._waited_s = math.inf

    @property
    def lens(self) -> Lens:
        """Cameras with the same one share a picture."""
        return (self.actor.parent, self.actor.mount, self.width, self.height, self.fov_deg)

    def due(self, dt_s: float) -> bool:
        """Whether `sensor_tick` has passed since the last frame; counts the time."""
        self._waited_s += dt_s
        if self._waited_s < self._every_s - 1e-6:
            return False
        self._waited_s = 0.0
        return True


class Eye:
    """Draws for the cameras of one lens."""

    def __init__(self, camera: Camera):
        self.cameras = [camera]
        self._handle: int | None = None
        shape = (camera.height, camera.width)
        self._class_ids = np.zeros(shape, np.uint8)
        self._instance_ids = np.zeros(shape, np.uint8)
        self._depth_m = np.zeros(shape, np.float32)

    def close(self, stage: Stage) -> None:
        """Gives the simulator's camera back."""
        if self._handle is not None:
            stage.world.close_camera(self._handle)
            self._handle = None

    def _open(self, stage: Stage) -> int:
        if self._handle is None:
            first = self.cameras[0]
            self._handle = stage.world.open_camera(
                width=first.width, height=first.height, fov_deg=first.fov_deg, supersample=1
            )
        return self._handle

    def draw(self, stage: Stage, cameras: list[Camera], tags: Words, actor_ids: Words) -> None:
        """One picture into the frames of those cameras that are due."""
        kinds = {camera.kind for camera in cameras}
        actor = cameras[0].actor
        owner = actor.parent.world_id if actor.parent else 0
        x, y, z, pitch, yaw, _ = actor.mount if owner else actor.pose
        rgb = next((camera.frame.bgra for camera in cameras if camera.kind == "rgb"), None)
        labelled = not kinds.isdisjoint({"semantic_segmentation", "instance_segmentation"})
        stage.world.render(
            self._open(stage),
            owner=owner,
            x_m=x,
            y_m=-y,
            z_m=z,
            yaw_rad=-math.radians(yaw),
            pitch_rad=math.radians(pitch),
            bgra=rgb,
            class_ids=self._class_ids if labelled else None,
            instance_ids=self._instance_ids if "instance_segmentation" in kinds else None,
            depth_m=self._depth_m if "depth" in kinds else None,
        )
        for camera in cameras:
            self._fill(camera, rgb, tags, actor_ids)

    def _fill(self, camera: Camera, rgb: Pixels | None, tags: Words, actor_ids: Words) -> None:
        words = camera.frame.words
        if camera.kind == "rgb":
            if rgb is not None and camera.frame.bgra is not rgb:
                camera.frame.bgra[:] = rgb
        elif camera.kind == "depth":
            steps = np.clip(self._depth_m.astype(np.float64) * (_DEPTH_STEPS / _FAR_M), 0, _DEPTH_STEPS)
            whole = np.rint(steps).astype(np.uint32)
            words[:] = (whole & 255) << _RED | whole & 0xFF00 | whole >> 16 | _OPAQUE
        else:
            np.take(tags, self._class_ids, out=words, mode="clip")
            if camera.kind == "instance_segmentation":
                words |= actor_ids[self._instance_ids]


class Cameras:
    """Every camera of an episode."""

    def __init__(self, version: Version, streams: Streams):
        self._version = version
        self._streams = streams
        self._tags: Words = np.array([tag << _RED | _OPAQUE for tag in version.tags], np.uint32)
        self._eyes: dict[Lens, Eye] = {}
        self._lens_of: dict[Actor, Lens] = {}

    def add(self, actor: Actor) -> None:
        """A new camera; RefusedError if its attributes make no picture."""
        camera = Camera(actor, self._version)
        lens = self._lens_of[actor] = camera.lens
        if lens in self._eyes:
            self._eyes[lens].cameras.append(camera)
        else:
            self._eyes[lens] = Eye(camera)

    def remove(self, actor: Actor, stage: Stage) -> None:
        """Forgets a camera."""
        lens = self._lens_of.pop(actor)
        eye = self._eyes[lens]
        eye.cameras = [camera for camera in eye.cameras if camera.actor is not actor]
        if not eye.cameras:
            eye.close(stage)
            del self._eyes[lens]

    def refresh(self, actor: Actor, stage: Stage) -> None:
        """After the camera lost its parent or was moved."""
        self.remove(actor, stage)
        self.add(actor)

    def send(self, stage: Stage, table: NDArray[Any], ids: Words, frame: int, time_s: float) -> None:
        """Draws and sends what somebody listens to; `ids` are the numbers of the actors in the table's rows."""
        actor_ids: Words | None = None
        for eye in self._eyes.values():
            cameras = [c for c in eye.cameras if c.due(stage.dt_s) and self._streams.wanted(c.actor.stream)]
            if not cameras:
                continue
            if actor_ids is None:
                actor_ids = np.zeros(256, np.uint32)
                actor_ids[table["instance_id"]] = (ids & 255) << _GREEN | ids >> 8 & 255
            eye.draw(stage, cameras, self._tags, actor_ids)
            for camera in cameras:
                camera.frame.stamp(frame, time_s, camera.actor.pose)
                self._streams.send(camera.actor.stream, camera.frame.buffer)
