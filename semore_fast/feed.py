"""From the replay buffer to the learner: minibatches as tensors on its device.

Frames stay in the replay ring, or in its copy on the device, and a minibatch names their slots: whoever wants pixels
reads them there. For a device without a copy they are gathered and moved, and the slots count up.
"""

from __future__ import annotations

import dataclasses
import warnings
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semore.batch import TensorBatch
from semore.ops import FrameStore, as_store
from semore.replay_types import Batch, Replay, Windows
from semore_fast.mirror import MirroredReplay


class Feed:
    """Draws indices with its own generator and hands out what is there.

    A minibatch is valid until the next call, and until the buffer stores another frame: its tensors share memory with
    arrays that are filled anew, and on the CPU its frames lie in the ring, where new ones overwrite old ones.
    """

    def __init__(self, replay: Replay, batch_size: int, seed: int, device: torch.device) -> None:
        self.generator = np.random.default_rng(seed)
        self._replay, self._batch_size = replay, batch_size
        self._source: Source
        if isinstance(replay, MirroredReplay):
            self._source, self.reason = InPlace(replay, batch_size), f"frames are read in the ring's copy on {device}"
        elif device.type == "cpu":
            self._source, self.reason = InPlace(replay, batch_size), "frames are read in the replay ring"
        else:
            self._source, self.reason = Moved(replay, batch_size, device), f"frames are gathered and moved to {device}"

    @property
    def store_stays(self) -> bool:
        """Whether all minibatches name frames of the same store."""
        return isinstance(self._source, InPlace)

    @property
    def ready(self) -> bool:
        """Whether the buffer holds a minibatch's worth of transitions."""
        return len(self._replay) >= self._batch_size

    def sample(self) -> TensorBatch:
        """One minibatch, uniform with replacement."""
        return self._source.take(self.generator.integers(len(self._replay), size=self._batch_size))


class Source(Protocol):
    """How transitions become tensors."""

    def take(self, indices: NDArray[np.int64]) -> TensorBatch:
        """The transitions at `indices`, int64 [B]."""
        ...


class InPlace:
    """Leaves the frames where they are: in the ring, or in its mirror on the learner's device."""

    def __init__(self, replay: Replay, batch_size: int) -> None:
        self._replay = replay
        self._windows = Windows.empty(replay.spec, batch_size)
        self._rows = _tensors(self._windows)
        self._device = torch.device("cpu")
        if isinstance(replay, MirroredReplay):
            self._store, self._device = replay.store(), replay.device
        else:
            masks = _shared(replay.masks) if replay.spec.masks else None
            self._store = FrameStore(_shared(replay.frames), masks)

    def take(self, indices: NDArray[np.int64]) -> TensorBatch:
        """Copies nothing but slots and scalars."""
        self._replay.locate(indices, self._windows)
        rows = self._rows
        if self._device.type != "cpu":  # pageable memory has been read when the call returns; the learner goes on
            rows = {name: tensor.to(self._device, non_blocking=True) for name, tensor in rows.items()}
        return _batch(self._store, rows["slots"], rows)


class Moved:
    """Gathers frames into host memory, pinned for a GPU, and copies them to the device behind the learner's back."""

    def __init__(self, replay: Replay, batch_size: int, device: torch.device) -> None:
        self._replay, self._device = replay, device
        self._tensors = _tensors(Batch.empty(replay.spec, batch_size))
        if device.type == "cuda":
            self._tensors = {name: tensor.pin_memory() for name, tensor in self._tensors.items()}
        self._arrays = Batch(**{name: tensor.numpy() for name, tensor in self._tensors.items()})
        self._copied = torch.cuda.Event() if device.type == "cuda" else None

    def take(self, indices: NDArray[np.int64]) -> TensorBatch:
        """Waits only for the copies of the last call, whose arrays are filled anew."""
        if self._copied is not None:
            self._copied.synchronize()
        self._replay.gather(indices, self._arrays)
        moved = {name: tensor.to(self._device, non_blocking=True) for name, tensor in self._tensors.items()}
        store, slots = as_store(moved["frames"])
        if self._replay.spec.masks:
            store = FrameStore(store.frames, self._mask_of_every_frame(moved["masks"]))
        if self._copied is not None:
            self._copied.record()
        return _batch(store, slots, moved)

    def _mask_of_every_frame(self, masks: Tensor) -> Tensor:
        """[B (k+n), H, W]; the first k-1 of each window are never asked for and stay as they are."""
        spec = self._replay.spec
        all_masks = masks.new_empty(len(masks), spec.window, *spec.frame_shape[1:])
        all_masks[:, spec.stack - 1 :] = masks
        return all_masks.flatten(0, 1)


def _batch(store: FrameStore, slots: Tensor, rows: dict[str, Tensor]) -> TensorBatch:
    """`rows` as `Windows` and `Batch` name them; a buffer without masks has none."""
    has_mask = rows["has_mask"][:, 0] if store.masks is not None else torch.zeros_like(slots[:, 0], dtype=torch.bool)
    return TensorBatch(
        store=store,
        slots=slots,
        has_mask=has_mask,
        action=rows["action"],
        reward=rows["reward"],
        nstep_return=rows["nstep_return"],
        bootstrap_discount=rows["bootstrap_discount"],
    )


def _tensors(arrays: Batch | Windows) -> dict[str, Tensor]:
    return {field.name: torch.from_numpy(getattr(arrays, field.name)) for field in dataclasses.fields(arrays)}


def _shared(array: NDArray[np.uint8]) -> Tensor:
    """The same memory as a tensor, which keeps it alive."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # and nobody writes to a store
        return torch.from_numpy(array)
