"""A copy of the replay ring on the learner's device: minibatches name frames there, and no picture crosses over."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semore.ops import FrameStore
from semore.replay_types import F32, I64, U8, Batch, Bool, Replay, ReplaySpec, StateArrays, Windows
from semore_fast.disk import readable_bytes
from semore_fast.errors import UserError

_AUTO_SHARE = 0.5  # of the free memory; the learner and a guidance model want theirs
_CHUNK_FRAMES = 1024  # 50 MB of 128-pixel frames: what a whole ring is copied in


class MirroredReplay:
    """A `Replay` that repeats every frame and mask it stores in tensors on `device`; all else is the inner buffer's.

    Whatever is stored is copied out of the inner ring, slot by slot, so that the two hold the same bytes whichever
    frame is there by then. Copies are queued on the calling thread's stream, before whatever that thread asks of the
    device next. `set_masks` must be called by the same thread as the other calls.

    Args:
        inner: the buffer that decides.
        device: where the copy lies.
    """

    def __init__(self, inner: Replay, device: torch.device) -> None:
        self.spec = inner.spec
        self._inner, self.device = inner, device
        self._frames = torch.zeros(inner.frames.shape, dtype=torch.uint8, device=device)
        self._masks = torch.zeros(inner.masks.shape, dtype=torch.uint8, device=device)

    def store(self) -> FrameStore:
        """The copy; its slots are those of `locate`."""
        return FrameStore(self._frames, self._masks if self.spec.masks else None)

    def begin(self, env_ids: I64, frames: U8) -> I64:
        """See `semore.replay.ReplayBuffer`."""
        ids = self._inner.begin(env_ids, frames)
        self._copy(self._frames, self._inner.frames, self.spec.slots_of(ids))
        return ids

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
        """See `semore.replay.ReplayBuffer`."""
        ids = self._inner.add(env_ids, actions, rewards, terminated, truncated, next_frames, admit)
        self._copy(self._frames, self._inner.frames, self.spec.slots_of(ids))
        return ids

    def set_masks(self, frame_ids: I64, masks: U8) -> int:
        """See `semore.replay.ReplayBuffer`."""
        stored = self._inner.set_masks(frame_ids, masks)
        if stored:
            self._copy(self._masks, self._inner.masks, self.spec.slots_of(frame_ids))
        return stored

    def load_state_arrays(self, arrays: StateArrays) -> None:
        """See `semore.replay.ReplayBuffer`."""
        self._inner.load_state_arrays(arrays)
        for begin in range(0, self.spec.capacity, _CHUNK_FRAMES):
            slots = np.arange(begin, min(begin + _CHUNK_FRAMES, self.spec.capacity))
            self._copy(self._frames, self._inner.frames, slots)
            if self.spec.masks:
                self._copy(self._masks, self._inner.masks, slots)

    def _copy(self, target: Tensor, source: NDArray[np.uint8], slots: I64) -> None:
        rows = torch.from_numpy(source[slots])  # a copy, so the ring may move on
        where, what = (x.to(self.device, non_blocking=True) for x in (torch.from_numpy(slots), rows))
        target[where] = what

    @property
    def frames(self) -> U8:
        """The inner ring."""
        return self._inner.frames

    @property
    def masks(self) -> U8:
        """The inner ring's masks."""
        return self._inner.masks

    def __len__(self) -> int:
        return len(self._inner)

    def withdraw(self, frame_ids: I64) -> int:
        """See `semore.replay.ReplayBuffer`."""
        return self._inner.withdraw(frame_ids)

    def gather(self, indices: I64, out: Batch) -> None:
        """See `semore.replay.ReplayBuffer`."""
        self._inner.gather(indices, out)

    def locate(self, indices: I64, out: Windows) -> None:
        """See `semore.replay.ReplayBuffer`."""
        self._inner.locate(indices, out)

    def stats(self) -> dict[str, int]:
        """See `semore.replay.ReplayBuffer`."""
        return self._inner.stats()

    def state_arrays(self) -> StateArrays:
        """See `semore.replay.ReplayBuffer`."""
        return self._inner.state_arrays()


def ring_bytes(spec: ReplaySpec) -> int:
    """What the copy of a full ring takes."""
    channels, height, width = spec.frame_shape
    return spec.capacity * height * width * (channels + int(spec.masks))


def wants_mirror(frames_on: str, needed_bytes: int, free_bytes: int) -> bool:
    """Whether `--sampling.frames-on` means a copy on the device.

    Raises:
        UserError: it was asked for and does not fit.
    """
    if frames_on == "auto":
        return needed_bytes <= _AUTO_SHARE * free_bytes
    if frames_on == "device" and needed_bytes > free_bytes:
        raise UserError(
            f"--sampling.frames-on device: {readable_bytes(needed_bytes)} of frames, {readable_bytes(free_bytes)} of "
            "GPU memory are free; lower --sampling.capacity, or use --sampling.frames-on host"
        )
    return frames_on == "device"
