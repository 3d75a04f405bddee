"""A minibatch as tensors, and the random numbers one update consumes."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from semore.ops import FrameStore


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorBatch:
    """What is drawn from the replay buffer, on the learner's device.

    With K frames in a stack and n-step returns a sample holds K + n consecutive frames: the observation is the first K,
    the next observation starts one later, the bootstrap observation n later.
    """

    store: FrameStore
    """Where the frames and masks are: the replay ring itself, or copies of this batch's."""
    slots: Tensor
    """int64 [B, K + n], each sample's frames in the store, oldest first."""
    has_mask: Tensor
    """bool [B], whether the observation's newest frame has a guidance mask; the bytes of an absent one are anything."""
    action: Tensor
    """float32 [B, A]."""
    reward: Tensor
    """float32 [B], one step's."""
    nstep_return: Tensor
    """float32 [B], discounted sum over the n steps."""
    bootstrap_discount: Tensor
    """float32 [B], discount^n, or 0 where the episode terminated within the n steps."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Draws:
    """Random numbers of one update, drawn outside so that every backend sees the same.

    V is the number of augmented views of the observation, K of the bootstrap observation (1 but for DrQ).
    """

    observation_shift: Tensor
    """int64 [V, B, 2]."""
    bootstrap_shift: Tensor
    """int64 [K, B, 2]."""
    bootstrap_noise: Tensor
    """float32 [K, B, A], standard normal."""
    actor_noise: Tensor
    """float32 [V B, A], standard normal, views stacked along the batch."""
    extra_shift: Tensor
    """int64 [E, B, 2], of the views that auxiliary losses alone see."""


def repeated(batch: TensorBatch, views: int) -> TensorBatch:
    """The batch once per view, along the batch dimension; the frames stay as they are."""
    if views == 1:
        return batch
    return TensorBatch(
        store=batch.store,
        slots=batch.slots,
        has_mask=batch.has_mask.repeat(views),
        action=batch.action.repeat(views, 1),
        reward=batch.reward.repeat(views),
        nstep_return=batch.nstep_return.repeat(views),
        bootstrap_discount=batch.bootstrap_discount.repeat(views),
    )
