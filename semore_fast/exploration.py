"""What training does beside its policy's own noise: random first steps, and bursts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Bursts:
    """Now and then one action, drawn uniformly, is held for some steps in place of the policy's own.

    A policy that has settled at full throttle draws a brake from its noise about never, and what it has not tried it
    cannot learn (docs/learning.md).

    Args:
        num_envs: environments, each with bursts of its own.
        probability: of a burst's begin, for every step without one.
        steps: how long a burst lasts.
        generator: of the random numbers; none are drawn with probability 0.
    """

    def __init__(self, num_envs: int, probability: float, steps: int, generator: np.random.Generator) -> None:
        self.probability, self.steps = probability, steps
        self._generator = generator
        self._left = np.zeros(num_envs, np.int64)
        self._which = np.zeros(num_envs, np.int64)
        self._value = np.zeros(num_envs, np.float32)

    def disturb(self, actions: NDArray[np.float32]) -> None:
        """Overwrites what a burst holds, in place. actions: [N, A] in [-1, 1]."""
        if not self.probability:
            return
        count, kinds = actions.shape
        begin = (self._left == 0) & (self._generator.random(count) < self.probability)
        self._left[begin] = self.steps
        self._which = np.where(begin, self._generator.integers(0, kinds, count), self._which)
        self._value = np.where(begin, self._generator.uniform(-1, 1, count), self._value).astype(np.float32)
        held = np.flatnonzero(self._left)
        actions[held, self._which[held]] = self._value[held]
        self._left[held] -= 1

    def state_dict(self) -> dict[str, Any]:
        """Everything the next steps depend on but the generator."""
        return {"left": self._left, "which": self._which, "value": self._value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from `state_dict`."""
        self._left[...], self._which[...], self._value[...] = state["left"], state["which"], state["value"]
