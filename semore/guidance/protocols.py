"""What guidance reads and answers: the seam between training and any annotator, segmenter or judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

ACTOR_SLOTS = 8
ACTOR_FIELDS = 8


@dataclass(frozen=True, eq=False)
class Privileged:
    """What only a simulator knows about a frame. Class ids are CARLA's semantic tags (0.9.14 and later).

    Axes: x along the road in the ego's direction of travel, y to the left, origin at the ego's centre.

    Attributes:
        class_ids: uint8 `[H, W]`, semantic tag of every pixel.
        instance_ids: uint8 `[H, W]`, actor of every pixel, 0 where there is none.
        ego: float32 `[4]`: speed_mps, lane_offset_m (from the nearest lane's centre, left is positive),
            heading_error_rad (against that lane's direction, turned to the left is positive, in (-pi, pi]:
            near pi in the oncoming lane), lane_width_m.
        actors: float32 `[8, 8]`, nearest first, rows of zeros after the last: class id, instance id, dx_m,
            dy_m, vx_mps, vy_mps (over ground, not relative to the ego), length_m, width_m.
    """

    class_ids: NDArray[np.uint8]
    instance_ids: NDArray[np.uint8]
    ego: NDArray[np.float32]
    actors: NDArray[np.float32]

    def __post_init__(self) -> None:
        _check(
            "class_ids",
            self.class_ids,
            np.uint8,
            self.class_ids.shape if self.class_ids.ndim == 2 else (0, 0),
        )
        _check("instance_ids", self.instance_ids, np.uint8, self.class_ids.shape)
        _check("ego", self.ego, np.float32, (4,))
        _check("actors", self.actors, np.float32, (ACTOR_SLOTS, ACTOR_FIELDS))


@dataclass(frozen=True, eq=False)
class Snapshot:
    """One camera frame as guidance sees it.

    Attributes:
        frame: uint8 `[3, H, W]`, RGB. The only thing a real model may read.
        privileged: the simulator's own knowledge, for scripted guidance alone; None where there is none.
    """

    frame: NDArray[np.uint8]
    privileged: Privileged | None = None

    def __post_init__(self) -> None:
        if self.frame.ndim != 3 or self.frame.shape[0] != 3 or self.frame.dtype != np.uint8:
            raise ValueError(f"frame must be uint8 [3, H, W], got {self.frame.dtype} {list(self.frame.shape)}")
        if self.privileged is not None and self.privileged.class_ids.shape != self.frame.shape[1:]:
            raise ValueError(
                f"class_ids {list(self.privileged.class_ids.shape)} do not fit frame {list(self.frame.shape)}"
            )


class Annotator(Protocol):
    """Names what matters to the driver (paper eqs 2-3)."""

    def annotate(self, snapshot: Snapshot) -> tuple[str, ...]:
        """Short noun phrases, one for each kind of thing seen; empty if there is nothing to name."""
        ...


class Segmenter(Protocol):
    """Finds phrases in the picture (paper eq 4)."""

    def segment(self, snapshot: Snapshot, phrases: Sequence[str]) -> NDArray[np.float32]:
        """Mask `[H, W]` in [0, 1]: the sum over phrases of sigmoid(logits), clamped to 1."""
        ...


class Judge(Protocol):
    """Says whether an action is reasonable in what the frame shows (paper, selective replay buffer)."""

    def judge(self, snapshot: Snapshot, action: NDArray[np.float32]) -> bool:
        """True if `action`, float32 `[2]` = (steer, throttle or brake) in [-1, 1], is reasonable."""
        ...


class Guide(Annotator, Segmenter, Judge, Protocol):
    """All three answers from one source, with the state that makes its answers repeatable."""

    def delay_steps(self) -> int:
        """By how many steps the next mask comes late: 0 for a guide that answers at once."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything later answers depend on, as values that JSON can hold."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        ...


def _check(name: str, array: NDArray[Any], dtype: type, shape: tuple[int, ...]) -> None:
    if array.dtype != dtype or array.shape != shape:
        wanted = f"{np.dtype(dtype)} {list(shape) if 0 not in shape else '[H, W]'}"
        raise ValueError(f"{name} must be {wanted}, got {array.dtype} {list(array.shape)}")
