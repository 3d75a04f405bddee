"""Selective admission: which transitions of the early run may be sampled (paper, "Selective Replay Buffer").

The paper gives prose only. We read it so: while selection is on, a pair (frame, action) is screened with a
probability that falls from 1 to 0.5, and a screened pair that the judge calls unreasonable is dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Judgement = Callable[[NDArray[np.int64]], NDArray[np.bool_]]


def screening_probability(frame: int, end_frame: int, start: float = 1.0, stop: float = 0.5) -> float:
    """Linear from `start` at frame 0 towards `stop` at `end_frame`, then 0: selection is over."""
    if frame >= end_frame:
        return 0.0
    return start + (stop - start) * frame / end_frame


class Admission(Protocol):
    """Decides which transitions of one step may enter the replay buffer."""

    def admit(self, frame: int, count: int, judge: Judgement) -> NDArray[np.bool_]:
        """Admit or drop the `count` transitions collected at `frame` (counted over the whole run, in frames).

        Args:
            frame: simulator frames collected so far.
            count: transitions of this step, one for each environment.
            judge: called with the indices to judge, int64 `[K]`, and not at all if there are none; answers
                bool `[K]`, True for reasonable.

        Returns:
            bool `[count]`, True for what may be sampled.
        """
        ...

    def stats(self) -> dict[str, int]:
        """Counts so far: `screened` (shown to the judge) and `dropped`."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything later decisions depend on, as values that JSON can hold."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        ...


class AdmitAll:
    """Every transition enters; the judge is never asked."""

    def admit(self, frame: int, count: int, judge: Judgement) -> NDArray[np.bool_]:
        """All True, bool `[count]`."""
        return np.ones(count, np.bool_)

    def stats(self) -> dict[str, int]:
        """Zeros."""
        return {"screened": 0, "dropped": 0}

    def state_dict(self) -> dict[str, Any]:
        """Empty: nothing to remember."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Accept an empty state."""
        if state:
            raise ValueError(f"this run admits everything but the saved state has keys {sorted(state)}")


class SelectiveAdmission:
    """Drops unreasonable transitions with a probability that decays to a half, then admits all for good.

    Args:
        total_frames: frames of the whole run.
        fraction: part of the run, from its start, in which selection is on.
        seed: of the private generator that draws who is screened.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(self, total_frames: int, fraction: float = 0.1, seed: int = 0) -> None:
        if total_frames < 1:
            raise ValueError(f"total_frames must be at least 1, got {total_frames}")
        if not 0.0 <= fraction <= 1.0:
            raise ValueError(f"admission fraction must be between 0 and 1, got {fraction}")
        self._end_frame = round(fraction * total_frames)
        self._generator = np.random.default_rng(seed)
        self._screened = 0
        self._dropped = 0
        # Latched, so that selection cannot start again when a finished run is resumed with more frames.
        self._over = False

    def admit(self, frame: int, count: int, judge: Judgement) -> NDArray[np.bool_]:
        """Admit all but the screened and unreasonable, bool `[count]`. See `Admission.admit`."""
        admitted = np.ones(count, np.bool_)
        self._over = self._over or frame >= self._end_frame
        if self._over:
            return admitted
        probability = screening_probability(frame, self._end_frame)
        indices = np.flatnonzero(self._generator.random(count) < probability)
        if indices.size:
            admitted[indices] = judge(indices)
        self._screened += int(indices.size)
        self._dropped += int(count - np.count_nonzero(admitted))
        return admitted

    def stats(self) -> dict[str, int]:
        """Counts so far: `screened` and `dropped`."""
        return {"screened": self._screened, "dropped": self._dropped}

    def state_dict(self) -> dict[str, Any]:
        """Generator, counters and whether selection is over, as values that JSON can hold."""
        return {
            "generator": self._generator.bit_generator.state,
            "screened": self._screened,
            "dropped": self._dropped,
            "over": self._over,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        self._generator.bit_generator.state = state["generator"]
        self._screened, self._dropped = int(state["screened"]), int(state["dropped"])
        self._over = bool(state["over"])
