"""One environment on one CARLA server. It blocks and may hang: run it in a process that can be killed."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from semore_fast.envs.carla.errors import CarlaSetupError
from semore_fast.envs.carla.settings import DriveSettings

__all__ = ["Drive", "Info", "make_drive"]

Info = dict[str, Any]
Frame = NDArray[np.uint8]


class Drive(Protocol):
    """One car on one server. Every method may raise a `CarlaError`, after which only `close` makes sense."""

    counters: dict[str, int]
    """Totals since the start: frames, episodes, and what went wrong without ending an episode."""

    def reset(self, seed: int) -> tuple[Frame, Info]:
        """Start the episode of a world seed in [0, 2**64): the one that `Simulator.reset` starts from it.

        Returns:
            The camera's frame, uint8 [3, H, W], and info: the keys of `DrivingVectorEnv` for one environment, as plain
            Python numbers and arrays without a leading N.
        """

    def step(self, action: ArrayLike) -> tuple[Frame, float, bool, bool, Info]:
        """Hold steering and drive, 2 floats, for `action_repeat` frames or until the episode ends.

        Returns:
            Frame, reward (summed over the frames), terminated, truncated, info.

        Raises:
            ValueError: the action is not two finite numbers. Nothing has moved.
        """

    def close(self) -> None:
        """Destroy our actors and restore the settings found, as far as the server still answers. Idempotent."""


def make_drive(settings: DriveSettings) -> Drive:
    """Connect, compare versions, load the map and set the scene; places nothing yet.

    Raises:
        CarlaSetupError: the client is missing, or the server has not what the scenario needs.
        CarlaVersionError: client and server do not fit together.
        CarlaTimeout, CarlaLost: no answer.
    """
    try:
        from semore_fast.envs.carla.live import LiveDrive
    except ModuleNotFoundError as error:
        if error.name != "carla":
            raise
        raise CarlaSetupError(
            "the carla client is not installed: pip install 'semore-fast[carla]' (Python 3.10 to 3.12, Linux)"
        ) from error
    return LiveDrive(settings)
