"""The single gymnasium environment, and what `gymnasium.make_vec` calls."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import gymnasium
import numpy as np
from numpy.typing import ArrayLike, NDArray

from semore_fast.envs.embedded import DrivingVectorEnv, Info, Layout, first_row
from semore_fast.envs.presets import SCENARIOS
from semore_fast.envs.scenario import Scenario

__all__ = ["DrivingEnv", "make_vector"]


def _scenario(scenario: str | Scenario, changes: dict[str, Any]) -> Scenario:
    if isinstance(scenario, Scenario):
        return dataclasses.replace(scenario, **changes)
    if scenario not in SCENARIOS:
        raise ValueError(f"scenario must be a Scenario or one of {', '.join(SCENARIOS)}, is {scenario!r}")
    return dataclasses.replace(SCENARIOS[scenario], **changes)


class DrivingEnv(gymnasium.Env[NDArray[np.uint8], ArrayLike]):
    """One car on one road; see `DrivingVectorEnv` for observation, action and info (here without the leading N).

    `reset(seed=s)` starts the episode that `DrivingVectorEnv.reset(seed=[s])` starts.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012 - gymnasium's contract

    def __init__(
        self,
        scenario: str | Scenario = "jw",
        *,
        image_size: int = 128,
        supersample: int = 1,
        action_repeat: int = 1,
        layout: Layout = "hwc",
        ids: bool = False,
        render_mode: Literal["rgb_array"] | None = None,
        render_size: int = 384,
        **changes: Any,
    ) -> None:
        """Build one environment.

        Args:
            scenario: "jw", "hb", "hw" or a `Scenario`.
            image_size, supersample, action_repeat, layout, ids, render_mode, render_size: see `DrivingVectorEnv`.
            changes: replace the scenario's fields of these names, weather="rain" for one.

        Raises:
            TypeError: `changes` names something that is not a field of `Scenario`.
            ValueError: naming the argument or scenario field that has a bad value.
        """
        self._envs = DrivingVectorEnv(
            _scenario(scenario, changes),
            image_size=image_size,
            supersample=supersample,
            action_repeat=action_repeat,
            layout=layout,
            ids=ids,
            autoreset="disabled",
            render_mode=render_mode,
            render_size=render_size,
        )
        self.scenario = self._envs.scenario
        self.render_mode = render_mode
        self.metadata = {name: self._envs.metadata[name] for name in ("render_modes", "render_fps")}
        self.observation_space = self._envs.single_observation_space
        self.action_space = self._envs.single_action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], Info]:
        """Start an episode; without a seed, the next one of the current seed stream. No options are known."""
        super().reset(seed=seed)
        frames, info = self._envs.reset(seed=None if seed is None else [seed], options=options)
        return frames[0], first_row(info)

    def step(self, action: ArrayLike) -> tuple[NDArray[np.uint8], float, bool, bool, Info]:
        """Hold steering and drive, float32 [2], for `action_repeat` frames."""
        frames, reward, terminated, truncated, info = self._envs.step(np.asarray(action, np.float32)[None])
        return frames[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), first_row(info)

    def render(self) -> NDArray[np.uint8] | None:
        """With render_mode="rgb_array", uint8 [render_size, render_size, 3] through the driver's camera."""
        frames = self._envs.render()
        return None if frames is None else frames[0]

    def privileged_action(self) -> NDArray[np.float32]:
        """What a planner that knows where everybody is would do now, float32 [2]."""
        action: NDArray[np.float32] = self._envs.privileged_actions()[0]
        return action

    def save_state(self) -> bytes:
        """World and seed stream, for `load_state`."""
        return self._envs.save_state()

    def load_state(self, state: bytes) -> None:
        """Go on exactly where `save_state` was called; raises `ValueError` for a state that does not fit."""
        self._envs.load_state(state)


def make_vector(
    num_envs: int = 1, *, scenario: str | Scenario = "jw", layout: Layout = "hwc", **kwargs: Any
) -> DrivingVectorEnv:
    """`gymnasium.make_vec`'s way to `DrivingVectorEnv`, with the names and defaults of `DrivingEnv`.

    `kwargs` that are fields of `Scenario` change the scenario; the others go to `DrivingVectorEnv`.
    """
    fields = {field.name for field in dataclasses.fields(Scenario)}
    changes = {name: kwargs.pop(name) for name in list(kwargs) if name in fields}
    return DrivingVectorEnv(_scenario(scenario, changes), num_envs, layout=layout, **kwargs)
