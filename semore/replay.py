"""Replay buffer, the numpy definition: each frame is kept once; windows are gathered by index.

One ring of frames per environment, frames in the order of time. A *start* is a frame whose transition may be
sampled. Its window is the `stack` frames up to it and the `n_step` frames after it, inside its episode:
before the episode's first frame that frame repeats, after a terminal's final frame that one repeats. A start
becomes sampleable when its `n_step` transitions are there or a terminal lies within them. Where a time
limit, or a new `begin`, cuts the episode earlier, the last `n_step - 1` starts are never sampled: their
bootstrap is unknown. `semore_fast.replay.CppReplayBuffer` is the twin with the same bytes; tests hold the
two together.
"""

from __future__ import annotations

import numpy as np

from .replay_checks import check_array, check_env_ids, check_issued, check_out, check_range, check_state
from .replay_types import F32, I64, U8, Batch, Bool, Replay, ReplaySpec, StateArrays, Windows, read_only, state_layout

__all__ = ["Batch", "Replay", "ReplayBuffer", "ReplaySpec", "Windows"]
_SMALL = ("has_mask", "action", "reward", "terminated", "admitted", "offset", "next_sequence", "open", "counters")


class ReplayBuffer:
    """Uniform replay over interleaved environments; one caller at a time.

    Every method checks all its arguments before it changes anything: TypeError for a wrong type or dtype,
    ValueError for a wrong shape, stride or value, each naming the argument.
    """

    def __init__(self, spec: ReplaySpec) -> None:
        self.spec = spec
        layout = state_layout(spec, spec.capacity)
        arrays: StateArrays = {name: np.zeros(shape, dtype) for name, dtype, shape in layout}
        self._frames, self._masks, self._has_mask = arrays["frames"], arrays["masks"], arrays["has_mask"]
        # The transition that leaves a frame stands beside it.
        self._action, self._reward = arrays["action"], arrays["reward"]
        self._terminated, self._admitted = arrays["terminated"], arrays["admitted"]
        self._offset = arrays["offset"]  # frames since the episode's first
        self._next_sequence, self._open = arrays["next_sequence"], arrays["open"]  # per environment
        # Sampleable slots without gaps, and where each slot stands in that list (-1: not in it).
        self._starts, self._count = arrays["starts"], 0
        self._position = np.full(spec.capacity, -1, np.int32)
        self._counters = arrays["counters"]  # admitted, dropped, masks, late_dropped

    def __len__(self) -> int:
        """Transitions that can be sampled now."""
        return self._count

    @property
    def frames(self) -> U8:
        """The ring itself, a read-only view [capacity, C, H, W]; read it at slots from `locate`."""
        return read_only(self._frames)

    @property
    def masks(self) -> U8:
        """The masks beside `frames`, a read-only view [capacity, H, W]; [0, H, W] where none are kept.

        A frame without a mask has the bytes of an older one. While `set_masks` replaces a mask on another thread,
        a reader of this view may see half of each.
        """
        return read_only(self._masks)

    def begin(self, env_ids: I64, frames: U8) -> I64:
        """Start an episode in each environment; an episode still open there counts as truncated.

        Args:
            env_ids: int64 [M], distinct.
            frames: uint8 [M, C, H, W], the first frame of each episode.

        Returns:
            int64 [M], the id of each frame, for `set_masks`.
        """
        check_array("env_ids", env_ids, np.int64, None)
        check_array("frames", frames, np.uint8, (len(env_ids), *self.spec.frame_shape))
        check_env_ids(env_ids, self.spec.num_envs)
        for env, frame in zip(env_ids.tolist(), frames, strict=True):
            self._push(env, frame, offset=0)
            self._open[env] = True
        return self._newest_ids(env_ids)

    def add(
        self,
        env_ids: I64,
        actions: F32,
        rewards: F32,
        terminated: Bool,
        truncated: Bool,
        next_frames: U8,
        admit: Bool,
    ) -> I64:
        """Store one transition in each environment, from its newest frame to `next_frames`.

        Args:
            env_ids: int64 [M], distinct, each with an open episode.
            actions: float32 [M, A], finite.
            rewards: float32 [M], finite.
            terminated: bool [M]; wins where `truncated` is true as well.
            truncated: bool [M].
            next_frames: uint8 [M, C, H, W]; of a finished episode its final frame, not the next one's first.
            admit: bool [M]; a transition that is not admitted is never a start, but its frame, action and
                reward stay for its neighbours' windows.

        Returns:
            int64 [M], the id of each next frame.
        """
        count = len(env_ids) if isinstance(env_ids, np.ndarray) and env_ids.ndim == 1 else 0
        check_array("env_ids", env_ids, np.int64, None)
        check_array("actions", actions, np.float32, (count, self.spec.action_dim))
        check_array("rewards", rewards, np.float32, (count,))
        check_array("terminated", terminated, np.bool_, (count,))
        check_array("truncated", truncated, np.bool_, (count,))
        check_array("next_frames", next_frames, np.uint8, (count, *self.spec.frame_shape))
        check_array("admit", admit, np.bool_, (count,))
        check_env_ids(env_ids, self.spec.num_envs)
        for env in env_ids.tolist():
            if not self._open[env]:
                raise ValueError(f"env_ids names environment {env}, which has no open episode; call begin first")
        for name, values in (("actions", actions), ("rewards", rewards)):
            if not np.isfinite(values).all():
                raise ValueError(f"{name} must be finite")
        for row, env in enumerate(env_ids.tolist()):
            slot = self._slot(env, int(self._next_sequence[env]) - 1)
            self._action[slot], self._reward[slot] = actions[row], rewards[row]
            self._terminated[slot], self._admitted[slot] = terminated[row], admit[row]
            self._push(env, next_frames[row], int(self._offset[slot]) + 1)
            self._open[env] = not (terminated[row] or truncated[row])
            self._complete_windows(env, bool(terminated[row]))
            self._counters[0 if admit[row] else 1] += 1
        return self._newest_ids(env_ids)

    def set_masks(self, frame_ids: I64, masks: U8) -> int:
        """Store the mask of each frame; of a frame overwritten meanwhile it is dropped and counted.

        Args:
            frame_ids: int64 [M], as `begin` and `add` returned them.
            masks: uint8 [M, H, W].

        Returns:
            How many were stored.
        """
        check_array("frame_ids", frame_ids, np.int64, None)
        check_array("masks", masks, np.uint8, (len(frame_ids), *self.spec.frame_shape[1:]))
        if not self.spec.masks:
            raise ValueError("masks cannot be stored: the buffer was made with masks=False")
        check_issued(frame_ids, self._next_sequence)
        rows, slots = self._held(frame_ids)
        self._masks[slots], self._has_mask[slots] = masks[rows], True
        self._counters[2:] += (len(rows), len(frame_ids) - len(rows))
        return len(rows)

    def withdraw(self, frame_ids: I64) -> int:
        """Sample the transitions that leave these frames no more, as if they had not been admitted.

        Args:
            frame_ids: int64 [M], as `begin` and `add` returned them; overwritten ones are left alone.

        Returns:
            How many had been admitted.
        """
        check_array("frame_ids", frame_ids, np.int64, None)
        check_issued(frame_ids, self._next_sequence)
        withdrawn = 0
        for slot in self._held(frame_ids)[1].tolist():
            if self._admitted[slot]:
                self._admitted[slot] = False
                withdrawn += 1
                if self._position[slot] >= 0:
                    self._remove_start(slot)
        self._counters[:2] += (-withdrawn, withdrawn)
        return withdrawn

    def gather(self, indices: I64, out: Batch) -> None:
        """Fill `out` with the transitions at `indices`, int64 [B], each in [0, len(self))."""
        slots = self._windows(indices, out)
        # mode="clip" only spares numpy a buffered copy; every slot is in range.
        np.take(self._frames, slots, axis=0, out=out.frames, mode="clip")
        if self.spec.masks:
            np.take(self._masks, slots[:, self.spec.stack - 1 :], axis=0, out=out.masks, mode="clip")
            out.masks[~out.has_mask] = 0

    def locate(self, indices: I64, out: Windows) -> None:
        """Like `gather`, but say where the frames are instead of copying them.

        The slots hold until the next `begin`, `add` or `load_state_arrays`, which may overwrite their frames.
        """
        out.slots[:] = self._windows(indices, out)

    def stats(self) -> dict[str, int]:
        """Frames held now; since the start: transitions admitted and dropped, masks stored and too late."""
        frames = int(np.minimum(self._next_sequence, self.spec.frames_per_env).sum())
        names = ("admitted", "dropped", "masks", "late_dropped")
        return {"frames": frames, **dict(zip(names, self._counters.tolist(), strict=True))}

    def state_arrays(self) -> StateArrays:
        """Everything that `load_state_arrays` needs; exact, the same for both twins.

        `frames` and `masks` are read-only views (write them out before the next call that stores), the rest
        copies.
        """
        arrays: StateArrays = {"frames": self.frames, "masks": self.masks}
        for name in _SMALL:
            arrays[name] = getattr(self, f"_{name}").copy()
        arrays["starts"] = self._starts[: self._count].copy()
        arrays["window"] = np.array([self.spec.stack, self.spec.n_step], np.int64)
        return arrays

    def load_state_arrays(self, arrays: StateArrays) -> None:
        """Become the buffer that saved `arrays`: same bytes, same order of the sampleable transitions."""
        check_state(arrays, self.spec)
        for name in ("frames", "masks", *_SMALL):
            np.copyto(getattr(self, f"_{name}"), arrays[name])
        self._count = len(arrays["starts"])
        self._starts[: self._count] = arrays["starts"]
        self._position[:] = -1
        self._position[arrays["starts"]] = np.arange(self._count)

    def _held(self, frame_ids: I64) -> tuple[I64, I64]:
        """Which rows name a frame that is not overwritten, and those frames' slots."""
        sequence, env = np.divmod(frame_ids, self.spec.num_envs)
        rows = np.flatnonzero(sequence >= self._next_sequence[env] - self.spec.frames_per_env)
        return rows, self.spec.slots_of(frame_ids[rows])

    def _newest_ids(self, env_ids: I64) -> I64:
        ids: I64 = (self._next_sequence[env_ids] - 1) * self.spec.num_envs + env_ids
        return ids

    def _slot(self, env: int, sequence: int) -> int:
        return env * self.spec.frames_per_env + sequence % self.spec.frames_per_env

    def _push(self, env: int, frame: U8, offset: int) -> None:
        sequence = int(self._next_sequence[env])
        slot = self._slot(env, sequence)
        if sequence >= self.spec.frames_per_env:
            self._forget(env, sequence - self.spec.frames_per_env)
        self._frames[slot], self._offset[slot] = frame, offset
        self._has_mask[slot] = self._terminated[slot] = self._admitted[slot] = False
        self._action[slot] = self._reward[slot] = 0
        self._next_sequence[env] = sequence + 1

    def _forget(self, env: int, sequence: int) -> None:
        """Take out every start whose window holds this frame, the oldest: itself and those that stack it."""
        for distance in range(self.spec.stack):
            slot = self._slot(env, sequence + distance)
            if self._offset[slot] < distance:
                break  # a later episode: its stacks repeat its own first frame
            if self._position[slot] >= 0:
                self._remove_start(slot)

    def _complete_windows(self, env: int, terminated: bool) -> None:
        """Take in the starts whose n steps end with the newest frame, or with the terminal it closes."""
        newest = int(self._next_sequence[env]) - 1
        offset = int(self._offset[self._slot(env, newest)])
        first = min(offset, self.spec.n_step)
        last = 1 if terminated else self.spec.n_step
        for distance in range(first, last - 1, -1):
            slot = self._slot(env, newest - distance)
            if self._admitted[slot]:
                self._starts[self._count], self._position[slot] = slot, self._count
                self._count += 1

    def _remove_start(self, slot: int) -> None:
        self._count -= 1
        moved, hole = self._starts[self._count], self._position[slot]
        self._starts[hole], self._position[moved] = moved, hole
        self._position[slot] = -1

    def _windows(self, indices: I64, out: Batch | Windows) -> I64:
        """Fill all but the pixels of `out`; the slot of every frame, int64 [B, k+n]."""
        check_array("indices", indices, np.int64, None)
        check_out(out, self.spec, len(indices))
        check_range(indices, self._count)
        spec, start = self.spec, self._starts[indices].astype(np.int64)

        def slots(relative: I64) -> I64:
            ring = start[:, None] // spec.frames_per_env * spec.frames_per_env
            return ring + (start[:, None] - ring + relative) % spec.frames_per_env

        steps = self._fill_scalars(start, slots(np.arange(spec.n_step)[None]), out)
        first = -self._offset[start].astype(np.int64)
        window = slots(np.clip(np.arange(1 - spec.stack, spec.n_step + 1), first[:, None], steps[:, None]))
        if spec.masks:
            out.has_mask[:] = self._has_mask[window[:, spec.stack - 1 :]]
        return window

    def _fill_scalars(self, start: I64, path: I64, out: Batch | Windows) -> I64:
        """Fill action, reward and returns; the length of each window in steps: n, or up to its terminal."""
        out.action[:], out.reward[:] = self._action[start], self._reward[start]
        powers = self.spec.discount_powers()
        total = np.zeros(len(start))
        alive = np.ones(len(start), np.bool_)
        steps = np.zeros(len(start), np.int64)
        for i in range(self.spec.n_step):
            total += np.where(alive, powers[i] * self._reward[path[:, i]].astype(np.float64), 0.0)
            steps += alive
            alive &= ~self._terminated[path[:, i]]
        out.nstep_return[:] = total
        out.bootstrap_discount[:] = np.where(alive, powers[-1], 0.0)
        return steps
