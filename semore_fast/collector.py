"""The world's side of training: drives the environments, fills the replay buffer, asks for guidance.

A step is begun, runs on its own thread while the learner updates, and is finished. The order of everything that
touches the replay buffer is fixed, so that overlap changes no result.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from semore.admission import Admission
from semore.guidance import Snapshot
from semore.replay_types import Replay
from semore_fast.envs.metrics import EpisodeMetrics, EpisodeResult, interrupted_rows
from semore_fast.guidance import GuidanceService
from semore_fast.snapshots import snapshot_of

if TYPE_CHECKING:
    from semore_fast.worlds import AnyVectorEnv

StepResult = tuple[NDArray[np.uint8], NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]


class FrameStacks:
    """The newest frames of every environment, uint8 [N, K, 3, H, W], oldest first."""

    def __init__(self, num_envs: int, stack: int, frame_shape: tuple[int, ...]) -> None:
        self.frames = np.zeros((num_envs, stack, *frame_shape), np.uint8)

    def begin(self, which: NDArray[np.bool_], frames: NDArray[np.uint8]) -> None:
        """Starts episodes: the first frame is repeated, so that its residual is zero."""
        self.frames[which] = frames[which][:, None]

    def push(self, frames: NDArray[np.uint8]) -> None:
        """Adds one frame to every environment."""
        self.frames[:, :-1] = self.frames[:, 1:]
        self.frames[:, -1] = frames


class Collector:
    """Steps the environments and stores what they give.

    Args:
        env: with autoreset "disabled", and ids where guidance needs them.
        replay: buffer for as many environments.
        guidance: where masks and verdicts come from.
        admission: which transitions may be sampled.
        stack: frames in an observation.
        snapshots: whether guidance needs to see frames at all.
    """

    def __init__(
        self,
        env: AnyVectorEnv,
        replay: Replay,
        guidance: GuidanceService,
        admission: Admission,
        *,
        stack: int,
        snapshots: bool,
    ) -> None:
        self.env, self.replay, self.guidance, self.admission = env, replay, guidance, admission
        self.stacks = FrameStacks(env.num_envs, stack, env.single_observation_space.shape or ())
        self.frame = 0
        self._env_ids = np.arange(env.num_envs)
        self._wants_snapshots = snapshots
        self._snapshots: list[Snapshot] = []
        self._ids = np.zeros(env.num_envs, np.int64)
        self._episodes = EpisodeMetrics(env.num_envs)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="env")
        self._pending: tuple[Future[StepResult], NDArray[np.float32], NDArray[np.bool_]] | None = None

    def start(self, seed: int) -> None:
        """Resets every environment."""
        frames, info = self.env.reset(seed=seed)
        everyone = np.ones(self.env.num_envs, np.bool_)
        self.stacks.begin(everyone, frames)
        self._look(self.replay.begin(self._env_ids, frames), frames, info)

    def begin_step(self, actions: NDArray[np.float32]) -> None:
        """Judges the actions and sets the environments going."""
        admit = self.admission.admit(self.frame, len(actions), lambda which: self._judge(which, actions))
        self._pending = (self._thread.submit(self.env.step, actions), actions, admit)

    def finish_step(self) -> list[EpisodeResult]:
        """Waits for the environments, stores the transitions, starts new episodes where needed."""
        assert self._pending is not None, "begin_step comes first"
        future, actions, admit = self._pending
        self._pending = None
        frames, rewards, terminated, truncated, info = future.result()
        ended = terminated | truncated
        ids = self._store(actions, rewards, terminated, truncated, frames, admit, ~interrupted_rows(info, len(ended)))
        self.stacks.push(frames)
        self.frame += int(info["frames"].sum())
        finished = self._episodes.update(rewards, ended, info)
        if ended.any():
            frames, info, ids = self._restart(ended, ids)
        self._look(ids, frames, info)
        return [result for _, result in finished]

    def close(self) -> None:
        """Ends the thread."""
        self._thread.shutdown()
        self.guidance.close()
        self.env.close()

    def state_dict(self) -> dict[str, Any]:
        """Everything the next steps depend on, between steps."""
        assert self._pending is None, "a step is under way"
        return {
            "frame": self.frame,
            "env": np.frombuffer(self.env.save_state(), np.uint8),
            "stacks": self.stacks.frames,
            "ids": self._ids,
            "episodes": self._episodes.state_dict(),
            "guidance": self.guidance.state_dict(),
            "admission": self.admission.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from `state_dict`; the replay buffer is restored by itself."""
        self.frame = state["frame"]
        self.env.load_state(np.asarray(state["env"]).tobytes())
        self.stacks.frames[...] = state["stacks"]
        self._ids = np.array(state.get("ids", self._ids))  # only late verdicts need them, and older runs had none
        self._episodes.load_state_dict(state["episodes"])
        self.guidance.load_state_dict(state["guidance"])
        self.admission.load_state_dict(state["admission"])
        self._snapshots = self._see(*self.env.observe())

    def _judge(self, which: NDArray[np.int64], actions: NDArray[np.float32]) -> NDArray[np.bool_]:
        return self.guidance.judge(self._ids[which], [self._snapshots[index] for index in which], actions[which])

    def _store(
        self,
        actions: NDArray[np.float32],
        rewards: NDArray[Any],
        terminated: NDArray[np.bool_],
        truncated: NDArray[np.bool_],
        frames: NDArray[np.uint8],
        admit: NDArray[np.bool_],
        known: NDArray[np.bool_],
    ) -> NDArray[np.int64]:
        """Adds the transitions whose result is known; the ids of all newest frames, 0 for the others.

        A row that was interrupted is never stored: its episode's end has no result to learn from. The next episode,
        which begins before anything is sampled, closes it (envs/carla/vector.py says why admit=False would not do).
        """
        which: Any = slice(None) if known.all() else np.flatnonzero(known)  # a slice copies no frames
        ids = np.zeros(len(known), np.int64)
        ids[which] = self.replay.add(
            self._env_ids[which],
            actions[which],
            rewards[which].astype(np.float32),
            terminated[which],
            truncated[which],
            frames[which],
            admit[which],
        )
        return ids

    def _restart(
        self, ended: NDArray[np.bool_], ids: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint8], dict[str, Any], NDArray[np.int64]]:
        frames, info = self.env.reset(options={"reset_mask": ended})
        self.stacks.begin(ended, frames)
        ids[ended] = self.replay.begin(self._env_ids[ended], frames[ended])
        return frames, info, ids

    def _look(self, ids: NDArray[np.int64], frames: NDArray[np.uint8], info: dict[str, Any]) -> None:
        """Shows guidance the frames that will be acted on, and stores the masks that are ready."""
        if not self._wants_snapshots:
            return
        self._snapshots, self._ids = self._see(frames, info), ids
        self.guidance.submit(ids, self._snapshots)
        mask_ids, masks = self.guidance.poll()
        if len(mask_ids):
            self.replay.set_masks(mask_ids, masks)
        withdrawn = self.guidance.unreasonable()
        if len(withdrawn):
            self.replay.withdraw(withdrawn)

    def _see(self, frames: NDArray[np.uint8], info: dict[str, Any]) -> list[Snapshot]:
        if not self._wants_snapshots:
            return []
        return [snapshot_of(frames, info, env) for env in range(self.env.num_envs)]
