"""Inputs on which every twin of an operation must agree with its definition; shared by the tests and the benchmarks.

Shape legend: B batch, N and M positions, D channels of a position, C channels, h and w map sides, S stored frames,
K frames in a stack, H and W image sides.
"""

from __future__ import annotations

import torch
from torch import Tensor

from semore.ops import FrameStore

INTERACTION = ((3, 25, 25, 32), (2, 36, 49, 32), (1, 70, 130, 24))
"""B, N, M, D: the laptop's maps, the dmr trunk's beside another, and an odd rectangle. Large enough to judge by: the
largest error of a handful of numbers is luck."""
SIMILARITY = ((4, 3, 11, 11, 3), (8, 32, 13, 17, 7), (4, 5, 6, 6, 1))
"""B, C, h, w, window."""
TRUNK = ((16, 9, 32, (3, 3, 3, 3), (2, 2, 1, 1), 32), (3, 5, 21, (5, 2), (2, 1), 11), (2, 6, 40, (3, 3), (2, 1), 48))
"""B, C, H = W, kernels, strides, channels of every layer: the laptop's, and odd ones."""
FRAMES = ((3, 3, 20, 33), (1, 2, 7, 5))
"""B, K, H, W."""


def interaction_inputs(
    batch: int, n: int, m: int, d: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, ...]:
    """q [B, N, D], k [B, M, D], v_motion [B, M, D], v_semantic [B, N, D], as views of channels_last maps are."""
    made = [torch.randn(batch, d, rows) for rows in (n, m, m, n)]
    return tuple(x.to(device, dtype).transpose(1, 2).contiguous() for x in made)


def trunk_inputs(
    batch: int, channels: int, side: int, kernels: tuple[int, ...], out: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, ...]:
    """A picture [B, C, H, W], then weights [out, C, k, k] and biases [out] of all layers; channels_last."""
    made = [torch.randn(batch, channels, side, side)]
    for kernel in kernels:
        made.append(torch.randn(out, channels, kernel, kernel) * (2 / (channels * kernel * kernel)) ** 0.5)
        channels = out
    last = [x.to(device, dtype, memory_format=torch.channels_last) for x in made]
    return (*last, *(0.1 * torch.randn(out).to(device, dtype) for _ in kernels))


def similarity_inputs(
    batch: int, channels: int, height: int, width: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, ...]:
    """Two related maps after a ReLU, channels_last [B, C, h, w]."""
    semantic = torch.randn(batch, channels, height, width)
    maps = (semantic.relu(), (semantic + torch.randn_like(semantic)).relu())
    return tuple(x.to(device, dtype, memory_format=torch.channels_last) for x in maps)


def frames_inputs(
    batch: int, stack: int, height: int, width: int, device: torch.device
) -> tuple[FrameStore, Tensor, Tensor]:
    """A store [S, 3, H, W] with masks, slots [B, K] into it in no order, shifts [B, 2] beyond the border."""
    stored = 2 * stack + 1
    frames = torch.randint(0, 256, (stored, 3, height, width), dtype=torch.uint8)
    masks = torch.randint(0, 256, (stored, height, width), dtype=torch.uint8)
    slots, shift = torch.randint(stored, (batch, stack)), torch.randint(-6, 7, (batch, 2))
    return FrameStore(frames.to(device), masks.to(device)), slots.to(device), shift.to(device)
