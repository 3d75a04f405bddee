"""How good a policy is: the five metrics, the gap between seen and not drawn, the reference drivers, a film."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from semore.agents import Agent
from semore_fast.collector import FrameStacks
from semore_fast.config import EnvConfig, RunConfig
from semore_fast.envs import SCENARIOS, DrivingVectorEnv, Scenario
from semore_fast.envs.drivers import DRIVERS
from semore_fast.envs.metrics import EpisodeResult, Gap, Summary, paired_gap, run_episodes, summarise

EVALUATION_SEED = 1_000_000
"""First seed of every evaluation: the same episodes for every method, none of them trained on."""
FINAL_SEED = 2_000_000
"""First seed of the final evaluation, whose episodes choose nothing."""
_DRIVER_IMAGE_SIZE = 16  # the reference drivers do not look


def resolve_scenario(name: str, env: EnvConfig) -> Scenario:
    """The scenario of that name with the run's changes."""
    scenario = SCENARIOS[name]
    weather = scenario.weather if env.weather == "scenario" else env.weather
    return dataclasses.replace(scenario, weather=weather, reward=env.reward, max_episode_frames=env.max_episode_frames)


class AgentPolicy:
    """A learner's deterministic policy (tanh of the mean) over frame stacks of its own."""

    def __init__(self, agent: Agent, num_envs: int, frame_shape: tuple[int, ...]) -> None:
        self._agent = agent
        self.stacks = FrameStacks(num_envs, agent.spec.stack, frame_shape)

    def __call__(
        self, frames: NDArray[np.uint8], steps: NDArray[np.int64], env: DrivingVectorEnv
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
    not_drawn: Summary
    gap: Gap
    """Return seen minus not drawn: what the policy owes to sight."""
    returns: dict[str, list[float]]
    """Of every episode, seen and not drawn, in the order of their seeds."""


class Evaluator:
    """Drives evaluation episodes of a run's scenario."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.scenario = resolve_scenario(config.scenario, config.env)

    def make_env(
        self, *, drawn: bool = True, image_size: int | None = None, envs: int | None = None, ids: bool = False
    ) -> DrivingVectorEnv:
        """Fresh simulators."""
        settings = self.config.env
        count = self.config.evaluation.envs if envs is None else envs
        return DrivingVectorEnv(
            dataclasses.replace(self.scenario, actors_drawn=drawn),
            num_envs=count,
            threads=min(count, self.config.threads or torch.get_num_threads()),
            image_size=settings.image_size if image_size is None else image_size,
            supersample=settings.supersample if image_size is None else 1,
            action_repeat=settings.action_repeat,
            ids=ids,
            autoreset="disabled",
        )

    def drive(self, agent: Agent, episodes: int, seed: int, *, drawn: bool = True) -> list[EpisodeResult]:
        """Episodes `seed`, `seed` + 1, ... with the deterministic policy."""
        size = self.config.env.image_size
        envs = min(self.config.evaluation.envs, episodes)
        policy = AgentPolicy(agent, envs, (3, size, size))
        return run_episodes(partial(self.make_env, drawn=drawn, envs=envs), policy, episodes, seed)

    def evaluate(self, agent: Agent, episodes: int, seed: int = EVALUATION_SEED) -> Summary:
        """The five metrics."""
        return summarise(self.drive(agent, episodes, seed))

    def sight(self, agent: Agent, episodes: int, seed: int = FINAL_SEED) -> Sight:
        """The five metrics, the not-drawn control and the gap between them."""
        seen = self.drive(agent, episodes, seed)
        not_drawn = self.drive(agent, episodes, seed, drawn=False)
        return Sight(
            seen=summarise(seen),
            not_drawn=summarise(not_drawn),
            gap=paired_gap(seen, not_drawn),
            returns={"seen": [r.episode_return for r in seen], "not_drawn": [r.episode_return for r in not_drawn]},
        )

    def reference_drivers(self, episodes: int, seed: int, note: Callable[[str], None]) -> dict[str, Summary]:
        """The four reference drivers on the same episodes."""
        summaries = {}
        for name, driver in DRIVERS.items():
            note(f"driving {episodes} episodes with the reference driver {name}")
            envs = min(self.config.evaluation.envs, episodes)
            make_env = partial(self.make_env, image_size=_DRIVER_IMAGE_SIZE, envs=envs)
            summaries[name] = summarise(run_episodes(make_env, driver, episodes, seed))
        return summaries


def sight_dict(sight: Sight) -> dict[str, Any]:
    """A `Sight` as JSON-able values."""
    return {
        "seen": sight.seen.to_dict(),
        "not_drawn": sight.not_drawn.to_dict(),
        "gap": sight.gap.to_dict(),
        "episode_returns": sight.returns,
    }
