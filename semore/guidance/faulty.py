"""Faults on purpose: makes a guide err as a real model does, at known rates, to study their effect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semore.guidance.protocols import Guide, Snapshot

# Our constants: sides of a region that is not there, as fractions of the image's.
REGION_MIN, REGION_MAX = 0.05, 0.25


@dataclass(frozen=True)
class FaultRates:
    """How often a guide errs. All independent; 0 is never, 1 always.

    Attributes:
        missed: probability that a phrase is not named, each by itself.
        false: probability that a mask shows a region that is not there, and that a verdict is flipped.
        late: probability that a mask comes late.
        late_steps: by how many steps a late mask is late.
    """

    missed: float = 0.0
    false: float = 0.0
    late: float = 0.0
    late_steps: int = 10

    def __post_init__(self) -> None:
        for name in ("missed", "false", "late"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"fault rate {name} must be between 0 and 1, got {getattr(self, name)}")
        if self.late_steps < 1:
            raise ValueError(f"late_steps must be at least 1, got {self.late_steps}")


class Faulty:
    """A guide that errs at given rates. Deterministic: same seed and same calls, same faults."""

    def __init__(self, inner: Guide, rates: FaultRates, seed: int) -> None:
        self._inner = inner
        self._rates = rates
        self._generator = np.random.default_rng(seed)

    def annotate(self, snapshot: Snapshot) -> tuple[str, ...]:
        """The inner guide's phrases, less those missed."""
        phrases = self._inner.annotate(snapshot)
        kept = self._generator.random(len(phrases)) >= self._rates.missed
        return tuple(phrase for phrase, keep in zip(phrases, kept, strict=True) if keep)

    def segment(self, snapshot: Snapshot, phrases: Sequence[str]) -> NDArray[np.float32]:
        """The inner guide's mask `[H, W]`, sometimes with a rectangle that is not there."""
        mask = self._inner.segment(snapshot, phrases)
        if self._generator.random() < self._rates.false:
            size = np.array(mask.shape)
            sides = np.maximum(1, (size * self._generator.uniform(REGION_MIN, REGION_MAX, 2)).astype(int))
            top, left = self._generator.integers(0, size - sides + 1)
            mask[top : top + sides[0], left : left + sides[1]] = 1.0
        return mask

    def judge(self, snapshot: Snapshot, action: NDArray[np.float32]) -> bool:
        """The inner guide's verdict, sometimes flipped."""
        verdict = self._inner.judge(snapshot, action)
        return not verdict if self._generator.random() < self._rates.false else verdict

    def delay_steps(self) -> int:
        """The inner guide's delay, sometimes `late_steps` more."""
        late = self._generator.random() < self._rates.late
        return self._inner.delay_steps() + (self._rates.late_steps if late else 0)

    def state_dict(self) -> dict[str, Any]:
        """State of the generator and of the inner guide, as values that JSON can hold."""
        return {"generator": self._generator.bit_generator.state, "inner": self._inner.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        self._generator.bit_generator.state = state["generator"]
        self._inner.load_state_dict(state["inner"])
