"""Values of the protocol as what msgpack packs: lists, numbers, strings and bytes."""

from __future__ import annotations

import math
from typing import Any

import msgpack

Vector = tuple[float, float, float]
Pose = tuple[float, float, float, float, float, float]
"""Location in metres (x, y to the right, z), then pitch, yaw (clockwise), roll in degrees."""

NO_POSE: Pose = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)

pack_double = msgpack.Packer(use_single_float=False, autoreset=True).pack
pack_single = msgpack.Packer(use_single_float=True, autoreset=True).pack
"""A real server packs `float` as 5 bytes and `double` as 9; both clients take either."""


class RefusedError(Exception):
    """The call was understood and cannot be done; the message is what the client's exception will say."""


def answer(value: Any) -> list[Any]:
    """A result that may be an error, and is not."""
    return [[1, value]]


def failed(message: str) -> list[Any]:
    """A result that may be an error, and is."""
    return [[0, [message]]]


DONE: list[Any] = [[False]]
"""A result without a value."""


def not_done(message: str) -> list[Any]:
    """A result without a value that is an error."""
    return [[True, [message]]]


def optional(value: Any) -> list[Any]:
    """A value that may be absent (None)."""
    return [False] if value is None else [True, value]


def transform(pose: Pose) -> list[Any]:
    """Location and rotation."""
    return [list(pose[:3]), list(pose[3:])]


def pose_of(value: Any) -> Pose:
    """Back from `transform`; ValueError unless all six are finite."""
    (x, y, z), (pitch, yaw, roll) = value
    pose = (float(x), float(y), float(z), float(pitch), float(yaw), float(roll))
    if not all(map(math.isfinite, pose)):
        raise ValueError(f"a transform must be finite, got {pose}")
    return pose


def vector_of(value: Any) -> Vector:
    """Three finite numbers, or ValueError."""
    x, y, z = map(float, value)
    if not (math.isfinite(x) and math.isfinite(y) and math.isfinite(z)):
        raise ValueError(f"a vector must be finite, got {(x, y, z)}")
    return x, y, z
