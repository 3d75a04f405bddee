"""The encoders' inputs as others make them: frames gathered into one array first, then shifted by library calls.

Each takes uint8 frames [B, K + 1, 3, H, W] and a random shift int64 [B, 2] for either observation.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from semore import ops
from semore.ops import InputSpec, as_store

Inputs = list[Tensor]
Pipeline = Callable[[Tensor, Tensor, Tensor], Inputs]
SPEC = InputSpec(offset=0.5, residual="signed", masked=False, dtype=torch.bfloat16)
STACK = 3
REACH = 4  # of the shift, pixels


def both(one: Callable[[Tensor, Tensor], Inputs]) -> Pipeline:
    """Observation and next observation by the same function of a stack and its shift."""
    return lambda frames, shift, shift_next: [*one(frames[:, :STACK], shift), *one(frames[:, 1:], shift_next)]


def by_index(frames: Tensor, shift: Tensor) -> Inputs:
    """The definition: an integer shift is a choice of pixels."""
    stack, residual, _ = ops.encoder_inputs(*as_store(frames), shift, SPEC)
    assert residual is not None
    return [stack, residual]


def by_grid_sample(frames: Tensor, shift: Tensor) -> Inputs:
    """As augmentations for pixel control usually shift: float pictures, padded, resampled on a moved grid."""
    pictures = F.pad(frames.flatten(1, 2).float(), (REACH,) * 4, mode="replicate")
    height, width = frames.shape[3:]
    rows = _grid_positions(shift[:, 0], height)[:, :, None].expand(-1, -1, width)
    columns = _grid_positions(shift[:, 1], width)[:, None, :].expand(-1, height, -1)
    moved = F.grid_sample(pictures, torch.stack((columns, rows), 3), align_corners=False)
    by_frame = moved.unflatten(1, (frames.shape[1], 3))
    residual = (by_frame[:, 1:] - by_frame[:, :-1]).flip(1).flatten(1, 2)
    return [_channels_last(moved / 255 - SPEC.offset), _channels_last(residual / 255)]


def _grid_positions(shift: Tensor, size: int) -> Tensor:
    """Centres of the wanted pixels [B, size] of a padded side, which runs from -1 to 1."""
    pixel = torch.arange(size) + REACH + shift[:, None]
    return (2 * pixel + 1) / (size + 2 * REACH) - 1


def _channels_last(x: Tensor) -> Tensor:
    return x.to(SPEC.dtype, memory_format=torch.channels_last)


PIPELINES: dict[str, Pipeline] = {
    "torch": both(by_index),
    "grid_sample": both(by_grid_sample),
    "compiled": torch.compile(both(by_index), fullgraph=True, dynamic=False),
}
