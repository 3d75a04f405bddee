"""How good a policy is: the five metrics, the gap between seen and not drawn, the reference drivers, a film."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from semore.agents import Agent
from semore_fast.collector import FrameStacks
from semore_fast.config import RunConfig
from semore_fast.envs.drivers import DRIVERS
from semore_fast.envs.metrics import EpisodeResult, Gap, Summary, paired_gap, run_episodes, summarise
from semore_fast.worlds import EmbeddedWorlds, Worlds

EVALUATION_SEED = 1_000_000
"""First seed of every evaluation: the same episodes for every method, none of them trained on."""
FINAL_SEED = 2_000_000
"""First seed of the final evaluation, whose episodes choose nothing."""
_DRIVER_IMAGE_SIZE = 16  # the reference drivers do not look


class AgentPolicy:
    """A learner's deterministic policy (tanh of the mean) over frame stacks of its own."""

    def __init__(self, agent: Agent, num_envs: int, frame_shape: tuple[int, ...]) -> None:
        self._agent = agent
        self.stacks = FrameStacks(num_envs, agent.spec.stack, frame_shape)

    def __call__(
        self, frames: NDArray[np.uint8], steps: NDArray[np.int64], env: VectorEnv[Any, Any, Any]
    ) -> NDArray[np.float32]:
        """Chooses actions; environments at step 0 start a new stack."""
        self.stacks.push(frames)
        self.stacks.begin(steps == 0, frames)
        stacked = torch.from_numpy(self.stacks.frames).to(self._agent.device)
        actions: NDArray[np.float32] = self._agent.act(stacked, None).cpu().numpy()  # waits for the device
        return actions


@dataclass(frozen=True, kw_only=True, slots=True)
class Sight:
    """The same episodes with people and vehicles drawn and not drawn."""

    seen: Summary
    not_drawn: Summary | None
    """None where the simulator cannot hide them; `left_out` then says why."""
    gap: Gap | None
    """Return seen minus not drawn: what the policy owes to sight."""
    returns: dict[str, list[float]]
    """Of every episode, seen and not drawn, in the order of their seeds."""
    left_out: str = ""


class Evaluator:
    """Drives evaluation episodes of a run's scenario."""

    def __init__(self, config: RunConfig, worlds: Worlds) -> None:
        self.config = config
        self.worlds = worlds

    def drive(self, agent: Agent, episodes: int, seed: int, *, drawn: bool = True) -> list[EpisodeResult]:
        """Episodes `seed`, `seed` + 1, ... with the deterministic policy."""
        size = self.config.env.image_size
        envs = self.worlds.evaluation_envs(min(self.config.evaluation.envs, episodes))
        policy = AgentPolicy(agent, envs, (3, size, size))
        return run_episodes(partial(self.worlds.evaluation_env, envs, drawn=drawn), policy, episodes, seed)

    def evaluate(self, agent: Agent, episodes: int, seed: int = EVALUATION_SEED) -> Summary:
        """The five metrics."""
        return summarise(self.drive(agent, episodes, seed))

    def sight(self, agent: Agent, episodes: int, seed: int = FINAL_SEED) -> Sight:
        """The five metrics, the not-drawn control and the gap between them, as far as the simulator allows."""
        seen = self.drive(agent, episodes, seed)
        returns = {"seen": [result.episode_return for result in seen]}
        if self.worlds.without_controls:
            left_out = self.worlds.without_controls
            return Sight(seen=summarise(seen), not_drawn=None, gap=None, returns=returns, left_out=left_out)
        not_drawn = self.drive(agent, episodes, seed, drawn=False)
        return Sight(
            seen=summarise(seen),
            not_drawn=summarise(not_drawn),
            gap=paired_gap(seen, not_drawn),
            returns={**returns, "not_drawn": [result.episode_return for result in not_drawn]},
        )

    def reference_drivers(self, episodes: int, seed: int, note: Callable[[str], None]) -> dict[str, Summary]:
        """The four reference drivers on the same episodes; only the embedded simulator has them."""
        if not isinstance(self.worlds, EmbeddedWorlds):
            return {}
        summaries = {}
        for name, driver in DRIVERS.items():
            note(f"driving {episodes} episodes with the reference driver {name}")
            envs = min(self.config.evaluation.envs, episodes)
            make_env = partial(self.worlds.evaluation_env, envs, image_size=_DRIVER_IMAGE_SIZE)
            summaries[name] = summarise(run_episodes(make_env, driver, episodes, seed))
        return summaries


def sight_dict(sight: Sight) -> dict[str, Any]:
    """A `Sight` as JSON-able values; "left_out" says why the control is null, where it is."""
    return {
        "seen": sight.seen.to_dict(),
        "not_drawn": None if sight.not_drawn is None else sight.not_drawn.to_dict(),
        "gap": None if sight.gap is None else sight.gap.to_dict(),
        "episode_returns": sight.returns,
        **({"left_out": sight.left_out} if sight.left_out else {}),
    }
