"""N environments on N CARLA servers behind the surface that `DrivingVectorEnv` has for training and evaluation.

An interrupted episode. When a server or a process fails in the middle of a step, nobody knows what that step did. The
row is then `truncated` with `info["interrupted"]`: reward 0, no frames driven, the picture of the step before. Nothing
may be learnt from such a row, and marking its transition as not admitted would not be enough: with returns over n
steps, the n - 1 transitions before it would still sum its made-up reward and bootstrap from its stale picture. So the
collector never adds the row to the replay buffer. It begins the next episode there, which closes the open one at its
last true frame: windows that are whole stay and bootstrap from true frames, those that would reach beyond are never
sampled. `EpisodeMetrics` forgets the episode, evaluation drives its seed again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import Executor, wait
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from semore_fast import _C
from semore_fast.envs.carla.limits import Counters
from semore_fast.envs.carla.rows import Row
from semore_fast.envs.carla.supervisor import SupervisedDrive
from semore_fast.envs.scenario import Scenario
from semore_fast.envs.seeding import EpisodeSeeds
from semore_fast.envs.vector_checks import check_scenario, reset_mask

__all__ = ["CarlaVectorEnv"]

Info = dict[str, Any]

_HEADER = b"semore carla seeds 1\n"
_PER_STEP: dict[str, type[np.generic]] = {
    **dict.fromkeys(("distance_m", "crash_intensity_ns", "steer_abs", "brake"), np.float32),
    **dict.fromkeys(("reward_progress", "reward_collision", "reward_brake", "reward_steer"), np.float32),
    **dict.fromkeys(("new_hits", "frames"), np.int32),
    "end_reason": np.uint8,
}
"""What covers a step's frames: zero in a row that drove none."""


class CarlaVectorEnv(VectorEnv[NDArray[np.uint8], ArrayLike, NDArray[Any]]):
    """See `DrivingVectorEnv` for observations, actions, seeds and info; autoreset is "disabled".

    Info has one key more, "interrupted", bool [N]. Rows that `step` returns so are truncated. Closing it ends no
    process: its drives belong to the fleet, and another environment may take them over, which interrupts ours.

    Args:
        drives: one for each row.
        pool: resets several rows at a time.
        counters: of the run, saved with the state.
        scenario: what is driven through.
        image_size: H = W in pixels.
        action_repeat: frames an action is held.
        ids: whether the drives give class and instance ids.
    """

    def __init__(
        self,
        drives: Sequence[SupervisedDrive],
        pool: Executor,
        counters: Counters,
        scenario: Scenario,
        *,
        image_size: int,
        action_repeat: int = 1,
        ids: bool = False,
    ) -> None:
        super().__init__()
        self.scenario = scenario
        self.num_envs = len(drives)
        self.autoreset_mode = AutoresetMode.DISABLED
        self.metadata = {
            "render_modes": [],
            "render_fps": round(1 / (scenario.dt_s * action_repeat)),
            "autoreset_mode": self.autoreset_mode,
        }
        self.single_observation_space = Box(0, 255, (3, image_size, image_size), np.uint8)
        self.single_action_space = Box(-1.0, 1.0, (2,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._drives, self._pool, self._counters = list(drives), pool, counters
        self._frames = np.zeros((self.num_envs, 3, image_size, image_size), np.uint8)
        self._state = _empty(self.num_envs, image_size, ids)
        self._ended = np.zeros(self.num_envs, np.bool_)
        self._seeds = EpisodeSeeds(self.num_envs)
        self._started = False

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], Info]:
        """Start new episodes, as `DrivingVectorEnv.reset` does; waits for servers that are being replaced.

        Raises:
            UserError: too many failures in a row.
        """
        which = reset_mask(options, self.num_envs, self._started)
        if seed is not None:
            self._seeds.reseed(seed, which)
        seeds = self._seeds.draw(which)
        chosen = np.flatnonzero(which).tolist()
        resets = [self._pool.submit(self._drives[row].reset, int(seeds[row]), self) for row in chosen]
        wait(resets)
        results = self._blank()
        for row, reset in zip(chosen, resets, strict=True):
            self._keep(row, reset.result(), results)
        self._started = True
        self._ended &= ~which
        return self._frames.copy(), self._info(results, np.zeros(self.num_envs, np.bool_))

    def step(self, actions: ArrayLike) -> tuple[NDArray[np.uint8], NDArray[Any], NDArray[Any], NDArray[Any], Info]:
        """Hold each action for `action_repeat` frames, or until the episode ends; all rows move at the same time."""
        rows = np.ascontiguousarray(actions, np.float32)
        if rows.shape != (self.num_envs, 2) or not np.isfinite(rows).all():
            raise ValueError(f"actions must be {self.num_envs} rows of 2 finite numbers, are {rows!r}")
        if self._ended.any() or not self._started:
            raise _C.ResetNeededError(f"environments {np.flatnonzero(self._ended).tolist()}: call reset first")
        for drive, (steer, pedal) in zip(self._drives, np.clip(rows, -1, 1).tolist(), strict=True):
            drive.begin_step(steer, pedal, self)
        results, rewards = self._blank(), np.zeros(self.num_envs, np.float64)
        terminated, truncated, interrupted = (np.zeros(self.num_envs, np.bool_) for _ in range(3))
        for index, drive in enumerate(self._drives):
            row = drive.finish_step()
            if row is None:
                interrupted[index] = truncated[index] = True
                continue
            rewards[index], terminated[index], truncated[index] = row.reward, row.terminated, row.truncated
            self._keep(index, row, results)
        self._ended = terminated | truncated
        return self._frames.copy(), rewards, terminated, truncated, self._info(results, interrupted)

    def observe(self) -> tuple[NDArray[np.uint8], Info]:
        """The newest frames and info again, without moving anything; black before the first reset."""
        return self._frames.copy(), self._info(self._blank(), np.zeros(self.num_envs, np.bool_))

    def close_extras(self, **kwargs: Any) -> None:
        """Let go of the drives."""
        for drive in self._drives:
            drive.release(self)

    def save_state(self) -> bytes:
        """The seed streams and the counters. A CARLA world cannot be saved: see `load_state`."""
        state = {
            "scenario": self.scenario.to_dict(),
            "started": self._started,
            "seeds": self._seeds.to_dict(),
            "counters": self._counters.read(),
        }
        return _HEADER + json.dumps(state).encode()

    def load_state(self, state: bytes) -> None:
        """Go on with the seed streams. Episodes that were under way are gone: the next step interrupts them.

        Raises:
            ValueError: not such a state, or of another scenario or number of environments.
        """
        if not state.startswith(_HEADER):
            raise ValueError("state: not saved on CARLA, or by another version")
        saved = json.loads(state[len(_HEADER) :])
        check_scenario(saved["scenario"], self.scenario)
        if len(saved["seeds"]["seeds"]) != self.num_envs:
            raise ValueError(f"state: saved with {len(saved['seeds']['seeds'])} environments, here {self.num_envs}")
        self._seeds.load_dict(saved["seeds"])
        self._counters.restore(saved["counters"])
        self._started = saved["started"]
        self._ended[:] = False

    def _blank(self) -> Info:
        return {name: np.zeros(self.num_envs, dtype) for name, dtype in _PER_STEP.items()}

    def _keep(self, index: int, row: Row, results: Info) -> None:
        self._frames[index] = row.frame
        for name, column in results.items():
            column[index] = row.info[name]
        for name, state in self._state.items():
            state[index] = row.info[name]

    def _info(self, results: Info, interrupted: NDArray[np.bool_]) -> Info:
        info = {**results, **{name: state.copy() for name, state in self._state.items()}, "interrupted": interrupted}
        filled = np.ones(self.num_envs, np.bool_)
        return info | {f"_{name}": filled for name in info}


def _empty(num_envs: int, image_size: int, ids: bool) -> dict[str, NDArray[Any]]:
    """What an observation's info holds beside the step's results."""
    state: dict[str, NDArray[Any]] = {
        "ego": np.zeros((num_envs, 4), np.float32),
        "actors": np.zeros((num_envs, _C.ACTOR_ROWS, 8), np.float32),
    }
    if ids:
        shape = (num_envs, image_size, image_size)
        state |= {"class_ids": np.zeros(shape, np.uint8), "instance_ids": np.zeros(shape, np.uint8)}
    return state
