"""Camera bytes as the arrays that the embedded simulator draws."""

from __future__ import annotations

from collections.abc import Mapping

import carla
import numpy as np
from numpy.typing import NDArray

from semore_fast import _C

__all__ = ["InstanceIds", "class_table", "rgb_chw", "tags_and_ids"]

Plane = NDArray[np.uint8]

_OLD_NAMES = {
    "Roads": "road",
    "Sidewalks": "sidewalk",
    "Buildings": "building",
    "Fences": "fence",
    "Poles": "pole",
    "Vegetation": "vegetation",
    "Terrain": "terrain",
    "Sky": "sky",
    "Pedestrians": "pedestrian",
    "Vehicles": "car",
    "RoadLines": "road_line",
}
"""Tags of clients before 0.9.14, whose vehicles are all one class; later numbers are ours."""

_INSTANCE_CLASSES = tuple(_C.CLASS_IDS[name] for name in ("pedestrian", "rider", "car", "truck", "bicycle"))
_OTHER_MOVERS = (16, 17, 18)  # CARLA's bus, train, motorcycle, which the embedded simulator does not draw


def _pixels(raw: bytes, size: int) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = np.frombuffer(raw, np.uint8).reshape(size, size, 4)
    return pixels


def rgb_chw(raw: bytes, image_size: int, supersample: int) -> Plane:
    """BGRA bytes of a picture `supersample` times larger, averaged with ties up: uint8 [3, H, W], our own copy."""
    large = _pixels(raw, image_size * supersample)[:, :, 2::-1].transpose(2, 0, 1)
    if supersample == 1:
        return np.ascontiguousarray(large)
    blocks = large.reshape(3, image_size, supersample, image_size, supersample)
    total = blocks.sum(axis=(2, 4), dtype=np.uint32) + supersample * supersample // 2
    small: Plane = (total // (supersample * supersample)).astype(np.uint8)
    return small


def class_table() -> Plane:
    """uint8 [256]: the class id of each of the client's semantic tags."""
    labels = carla.CityObjectLabel
    if hasattr(labels, "Car"):
        return np.arange(256, dtype=np.uint8)
    table = np.zeros(256, np.uint8)
    for name, ours in _OLD_NAMES.items():
        if hasattr(labels, name):
            table[int(getattr(labels, name))] = _C.CLASS_IDS[ours]
    return table


def tags_and_ids(raw: bytes, image_size: int, supersample: int) -> tuple[Plane, NDArray[np.uint16]]:
    """Semantic tag and 16-bit instance of each pixel [H, W], from an instance segmentation camera.

    Of a larger picture the middle pixel of each block counts: ids cannot be averaged.
    """
    size = image_size * supersample
    middle = _pixels(raw, size)[supersample // 2 :: supersample, supersample // 2 :: supersample]
    instances: NDArray[np.uint16] = middle[:, :, 1].astype(np.uint16) | middle[:, :, 0].astype(np.uint16) << np.uint16(
        8
    )
    return middle[:, :, 2].copy(), instances


class InstanceIds:
    """Numbers 1 to 255 for the instances of one episode, 0 for everything that cannot move.

    An instance numbered like one of our actors gets that actor's id; CARLA's own numbers have no such meaning and get
    the highest free ones, in the order in which they are first seen. When none is free, 255 is shared.
    """

    def __init__(self) -> None:
        self._given: dict[int, int] = {}
        self._next = 255

    def plane(self, classes: Plane, instances: NDArray[np.uint16], actors: Mapping[int, int]) -> Plane:
        """Instance ids uint8 [H, W].

        Args:
            classes: class ids [H, W].
            instances: the camera's 16-bit instances [H, W].
            actors: ids of our actors by the low 16 bits of their number on the server.
        """
        movers = np.isin(classes, _INSTANCE_CLASSES + _OTHER_MOVERS)
        plane = np.zeros(classes.shape, np.uint8)
        if not movers.any():
            return plane
        found, where = np.unique(instances[movers], return_inverse=True)
        plane[movers] = np.array([self._number(int(i), actors) for i in found], np.uint8)[where]
        return plane

    def _number(self, instance: int, actors: Mapping[int, int]) -> int:
        if instance in actors:
            return actors[instance]
        if instance not in self._given:
            taken = set(actors.values()) | set(self._given.values())
            while self._next in taken and self._next > 1:
                self._next -= 1
            self._given[instance] = 255 if self._next in taken else self._next
        return self._given[instance]
