"""From the replay buffer to the learner: minibatches as tensors on its device."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray

from semore.batch import TensorBatch
from semore.replay_types import Batch, Replay, ReplaySpec


class Feed:
    """Draws indices with its own generator and gathers into arrays it owns.

    A batch is valid until the next call: on the CPU its tensors share memory with those arrays.
    """

    def __init__(self, replay: Replay, spec: ReplaySpec, batch_size: int, seed: int, device: torch.device) -> None:
        self.generator = np.random.default_rng(seed)
        self._replay, self._batch_size, self._device = replay, batch_size, device
        self._arrays = Batch.empty(spec, batch_size)
        self._tensors = {field.name: _tensor(getattr(self._arrays, field.name)) for field in dataclasses.fields(Batch)}
        if not spec.masks:
            height, width = spec.frame_shape[1:]
            self._tensors["masks"] = torch.zeros(batch_size, 1, height, width, dtype=torch.uint8)
            self._tensors["has_mask"] = torch.zeros(batch_size, 1, dtype=torch.bool)

    @property
    def ready(self) -> bool:
        """Whether the buffer holds a minibatch's worth of transitions."""
        return len(self._replay) >= self._batch_size

    def sample(self) -> TensorBatch:
        """One minibatch, uniform with replacement."""
        indices: NDArray[np.int64] = self.generator.integers(len(self._replay), size=self._batch_size)
        self._replay.gather(indices, self._arrays)
        moved = {name: tensor.to(self._device) for name, tensor in self._tensors.items()}
        return TensorBatch(
            frames=moved["frames"],
            mask=moved["masks"][:, 0],
            has_mask=moved["has_mask"][:, 0],
            action=moved["action"],
            reward=moved["reward"],
            nstep_return=moved["nstep_return"],
            bootstrap_discount=moved["bootstrap_discount"],
        )


def _tensor(array: NDArray[np.generic]) -> torch.Tensor:
    return torch.from_numpy(array)
