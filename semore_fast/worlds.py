"""Where a run drives: on the embedded simulator or on CARLA servers, behind one surface."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

import torch

from semore_fast.config import EnvConfig, RunConfig
from semore_fast.envs import SCENARIOS, DrivingVectorEnv, Scenario, on_carla

if TYPE_CHECKING:
    from semore_fast.envs.carla.fleet import Fleet
    from semore_fast.envs.carla.vector import CarlaVectorEnv

    AnyVectorEnv: TypeAlias = DrivingVectorEnv | CarlaVectorEnv
    """What is trained and measured on: N environments with autoreset "disabled"."""

__all__ = ["CarlaWorlds", "EmbeddedWorlds", "Worlds", "open_worlds", "resolve_scenario"]


def resolve_scenario(name: str, env: EnvConfig) -> Scenario:
    """The scenario of that name with the run's changes."""
    scenario = SCENARIOS[name]
    weather = scenario.weather if env.weather == "scenario" else env.weather
    return dataclasses.replace(scenario, weather=weather, reward=env.reward, max_episode_frames=env.max_episode_frames)


class Worlds(Protocol):
    """The simulators of a run."""

    scenario: Scenario
    without_controls: str
    """Why the not-drawn control and the reference drivers do not exist here; empty where they do."""
    on_resuming: str
    """What a run that is taken up again should be told; empty if it goes on exactly where it stood."""

    def training_env(self, *, ids: bool) -> AnyVectorEnv:
        """As many environments as --envs."""
        ...

    def evaluation_envs(self, most: int) -> int:
        """How many environments `evaluation_env` has when asked for so many."""
        ...

    def evaluation_env(
        self, envs: int, *, drawn: bool = True, image_size: int | None = None, ids: bool = False
    ) -> AnyVectorEnv:
        """Environments to measure on; close them afterwards. `ids` may be ignored, see the info."""
        ...

    def film_env(self) -> AnyVectorEnv | None:
        """The evaluation environment's double with a sharper camera; reset and driven alike it shows the same episode.

        None where there is no sharper picture, or can be no second environment. Close it afterwards.
        """
        ...

    def counts(self) -> dict[str, int]:
        """What happened to the simulators so far, for the metrics."""
        ...


class EmbeddedWorlds:
    """semore-fast's own simulator: as many environments as wanted, in this process."""

    without_controls = ""
    on_resuming = ""

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self.scenario = resolve_scenario(config.scenario, config.env)

    def training_env(self, *, ids: bool) -> DrivingVectorEnv:
        """See `Worlds`."""
        return self.evaluation_env(self._config.envs, ids=ids)

    def evaluation_envs(self, most: int) -> int:
        """See `Worlds`."""
        return most

    def evaluation_env(
        self, envs: int, *, drawn: bool = True, image_size: int | None = None, ids: bool = False
    ) -> DrivingVectorEnv:
        """See `Worlds`."""
        settings = self._config.env
        return DrivingVectorEnv(
            dataclasses.replace(self.scenario, actors_drawn=drawn),
            num_envs=envs,
            threads=min(envs, self._config.threads or torch.get_num_threads()),
            image_size=settings.image_size if image_size is None else image_size,
            supersample=settings.supersample if image_size is None else 1,
            action_repeat=settings.action_repeat,
            ids=ids,
            autoreset="disabled",
        )

    def film_env(self) -> DrivingVectorEnv | None:
        """See `Worlds`. Pictures are as large as those that policies see averaged; None where none are."""
        settings = self._config.env
        if settings.supersample == 1:
            return None
        return self.evaluation_env(1, image_size=settings.image_size * settings.supersample)

    def counts(self) -> dict[str, int]:
        """See `Worlds`."""
        return {}


class CarlaWorlds:
    """CARLA servers: one for each environment, shared by training and evaluation unless there are spare ones."""

    without_controls = (
        "CARLA cannot hide people and vehicles from the camera alone, and the reference drivers read the embedded "
        "simulator's state: no not-drawn control and no reference drivers"
    )
    on_resuming = "CARLA's worlds cannot be saved: the episodes that were under way are dropped, new ones begin"

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.scenario = fleet.view.scenario

    def training_env(self, *, ids: bool) -> CarlaVectorEnv:
        """See `Worlds`."""
        if ids and not self.fleet.view.ids:
            raise ValueError("ids: the fleet was opened without them")
        return self.fleet.training_env()

    def evaluation_envs(self, most: int) -> int:
        """See `Worlds`."""
        return self.fleet.evaluation_size(most)

    def evaluation_env(
        self, envs: int, *, drawn: bool = True, image_size: int | None = None, ids: bool = False
    ) -> CarlaVectorEnv:
        """See `Worlds`. The cameras are those of training, so that `ids` is what that has."""
        if not drawn or image_size is not None:
            raise ValueError(self.without_controls)
        return self.fleet.evaluation_env(envs)

    def film_env(self) -> None:
        """See `Worlds`. What a server simulates happens once."""

    def counts(self) -> dict[str, int]:
        """See `Worlds`."""
        return self.fleet.counts()


def open_worlds(config: RunConfig, *, ids: bool, logs: Path, say: Callable[[str], None], stack: ExitStack) -> Worlds:
    """The simulators that --sim asks for, started.

    Args:
        config: of the run.
        ids: whether training needs class and instance ids.
        logs: directory for what servers print.
        say: where to tell what happens to servers.
        stack: ends what is started here.

    Raises:
        UserError: a server does not answer, or is of no use.
    """
    if config.sim == "embedded":
        return EmbeddedWorlds(config)
    from semore_fast.envs.carla.fleet import View, open_fleet

    settings = config.env
    view = View(
        scenario=on_carla(resolve_scenario(config.scenario, settings)),
        image_size=settings.image_size,
        supersample=settings.supersample,
        action_repeat=settings.action_repeat,
        ids=ids,
    )
    fleet = open_fleet(config.carla, config.envs, view, logs, say)
    stack.callback(fleet.close)
    return CarlaWorlds(fleet)
