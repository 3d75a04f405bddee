"""Four drivers to measure a policy against. None looks at the picture.

A learned policy has learned to see only if it beats the blind ones and does worse with the actors not drawn
(`metrics.paired_gap`). `privileged` knows where everybody is and bounds what sight can earn.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from semore_fast.envs.embedded import DrivingVectorEnv
from semore_fast.envs.metrics import Policy

__all__ = ["DRIVERS", "do_nothing", "full_throttle", "privileged", "weave"]

_WEAVE_AMPLITUDE = 0.25
_WEAVE_PERIOD_S = 2.0

Frames = NDArray[np.uint8]
Steps = NDArray[np.int64]
Actions = NDArray[np.float32]


def do_nothing(frames: Frames, steps: Steps, env: DrivingVectorEnv) -> Actions:
    """Roll without throttle, brake or steering."""
    return np.zeros((env.num_envs, 2), np.float32)


def full_throttle(frames: Frames, steps: Steps, env: DrivingVectorEnv) -> Actions:
    """Straight on, blind, at full throttle."""
    return np.tile(np.array([0.0, 1.0], np.float32), (env.num_envs, 1))


def weave(frames: Frames, steps: Steps, env: DrivingVectorEnv) -> Actions:
    """Blind full throttle on a sine: swerving alone dodges and shakes off people, without seeing any."""
    time_s = steps * (env.action_repeat * env.scenario.dt_s)
    steer = _WEAVE_AMPLITUDE * np.sin(2 * np.pi / _WEAVE_PERIOD_S * time_s)
    return np.stack([steer, np.ones_like(steer)], axis=1).astype(np.float32)


def privileged(frames: Frames, steps: Steps, env: DrivingVectorEnv) -> Actions:
    """Plan from every actor's true position and speed, but not from the random draws to come."""
    return env.privileged_actions()


DRIVERS: dict[str, Policy[DrivingVectorEnv]] = {
    "do_nothing": do_nothing,
    "full_throttle": full_throttle,
    "weave": weave,
    "privileged": privileged,
}
