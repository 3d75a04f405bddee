"""What an environment's process answers, checked before anybody uses it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semore_fast.envs.carla.process import Failure
from semore_fast.envs.carla.wire import Arrays

__all__ = ["Row", "read_row"]


@dataclass(frozen=True, slots=True)
class Row:
    """What one environment answered to a reset or a step."""

    frame: NDArray[np.uint8]
    info: dict[str, Any]
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    counters: dict[str, int] = field(default_factory=dict)
    """What the drive counted itself since its start; empty in the middle of an episode."""


def read_row(name: str, answer: Mapping[str, Any], arrays: Arrays, shapes: Mapping[str, tuple[int, ...]]) -> Row:
    """An answer's content.

    Args:
        name: of the environment, for messages.
        answer: the message.
        arrays: what came with it.
        shapes: of everything that must be there by name, () for plain numbers.

    Raises:
        Failure: something is missing, of another shape, or not finite.
    """
    try:
        values = {**answer["info"], **arrays}
        row = Row(
            frame=arrays["frame"],
            info=values,
            reward=float(answer.get("reward", 0.0)),
            terminated=bool(answer.get("terminated", False)),
            truncated=bool(answer.get("truncated", False)),
            counters={str(key): int(count) for key, count in answer.get("counters", {}).items()},
        )
        odd = [key for key, shape in shapes.items() if np.shape(values[key]) != shape]
        finite = math.isfinite(row.reward) and all(np.isfinite(values[key]).all() for key in shapes)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Failure("garbage", f"{name}: an answer without {error}") from error
    if odd:
        told = ", ".join(f"{key} {np.shape(values[key])}" for key in odd)
        raise Failure("garbage", f"{name}: an answer of another shape: {told}")
    if not finite:
        raise Failure("garbage", f"{name}: an answer with a number that is not finite")
    return row
