"""The mean of the pictures a learner has seen, pixel by pixel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SLOWEST = 1e-3
"""Least weight of a new minibatch: the mean of all at first, from the thousandth on a moving one."""
GREY = 128


class MeanPicture(nn.Module):
    """What inputs are centred on, so that what is always there does not drown what matters (docs/learning.md).

    A network that sees x/255 - 0.5 is given mostly the same picture over and over: six tenths of the variance over
    pixels and samples are that of the mean picture, which says nothing about any one of them.
    """

    mean: Tensor
    count: Tensor
    picture: Tensor
    """uint8 [3, H, W], the mean rounded."""

    def __init__(self, image_size: int) -> None:
        super().__init__()
        shape = 3, image_size, image_size
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("picture", torch.full(shape, GREY, dtype=torch.uint8))

    @torch.no_grad()
    def observe(self, frames: Tensor) -> None:
        """Takes in a minibatch of frames, uint8 [B, 3, H, W]. Reads no value on the host."""
        self.count += 1
        self.mean.lerp_(frames.float().mean(0), self.count.reciprocal().clamp_min(SLOWEST))
        self.picture.copy_(self.mean.round())
