"""An action in a driver's words (braking, turning left, ...): what any judge is asked about."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Our constant: a pedal or wheel moved by less than a tenth is not worth a word.
DEAD_BAND = 0.1


@dataclass(frozen=True)
class MacroAction:
    """What the driver does with pedals and wheel.

    Attributes:
        steer: in [-1, 1], positive to the right, as in CARLA.
        throttle: in [0, 1].
        brake: in [0, 1]; never with throttle.
    """

    steer: float
    throttle: float
    brake: float

    @property
    def pedals(self) -> str:
        """`accelerating`, `braking` or `keeping speed`."""
        if self.throttle > DEAD_BAND:
            return "accelerating"
        return "braking" if self.brake > DEAD_BAND else "keeping speed"

    @property
    def wheel(self) -> str:
        """`turning left`, `turning right` or `going straight`."""
        if self.steer > DEAD_BAND:
            return "turning right"
        return "turning left" if self.steer < -DEAD_BAND else "going straight"

    def __str__(self) -> str:
        return f"{self.pedals} and {self.wheel}"


def macro_action(action: NDArray[np.float32]) -> MacroAction:
    """Read the action `[2]` = (steer, throttle if positive else brake), each in [-1, 1].

    Raises:
        ValueError: if the action has another shape, is not finite or lies outside [-1, 1].
    """
    if action.shape != (2,):
        raise ValueError(f"action must have shape [2] (steer, throttle or brake), got {list(action.shape)}")
    steer, pedal = float(action[0]), float(action[1])
    if not (math.isfinite(steer) and math.isfinite(pedal) and abs(steer) <= 1 and abs(pedal) <= 1):
        raise ValueError(f"action must be finite and in [-1, 1], got steer {steer}, throttle or brake {pedal}")
    return MacroAction(steer, max(pedal, 0.0), max(-pedal, 0.0))
