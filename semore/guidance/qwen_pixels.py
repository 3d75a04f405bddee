"""Camera frames to Qwen's patches, in torch on the frames' own device.

Equal to the published preprocessing (transformers' `Qwen2VLImageProcessorPil`) bit for bit, resizing included.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

MIN_PIXELS = 56 * 56
MAX_PIXELS = 28 * 28 * 1280
"""Defaults of Qwen2-VL's image processor: areas, not sides."""

MAX_ASPECT = 200
"""Qwen2-VL's image processor takes no picture that is longer than this many times its width."""

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
"""CLIP's statistics, which Qwen2-VL and Qwen2.5-VL were trained with."""

HALF = (0.5, 0.5, 0.5)
"""Mean and deviation that Qwen3-VL was trained with."""

_FIXED_POINT = 2.0**22
"""Pillow's resolution of weights for 8-bit pictures."""
_SUPPORT = 2.0
"""Reach of the cubic kernel, in pixels."""


@dataclass(frozen=True)
class PatchSettings:
    """How pictures become patches.

    Attributes:
        patch: side of a patch, in pixels.
        merge: the model merges `merge` x `merge` patches into one token.
        temporal: frames in a patch; a still picture is repeated.
        min_pixels: smaller pictures (by area) are enlarged.
        max_pixels: larger pictures (by area) are reduced; the number of tokens falls with the area.
        mean: of each channel, for pixels in [0, 1].
        std: standard deviation of each channel.
    """

    patch: int = 14
    merge: int = 2
    temporal: int = 2
    min_pixels: int = MIN_PIXELS
    max_pixels: int = MAX_PIXELS
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD

    def __post_init__(self) -> None:
        if not self.unit**2 <= self.min_pixels <= self.max_pixels:
            raise ValueError(
                f"min_pixels and max_pixels must be areas with {self.unit**2} <= min_pixels <= max_pixels, "
                f"got {self.min_pixels} and {self.max_pixels}"
            )

    @property
    def unit(self) -> int:
        """Side of the square that one token stands for, in pixels."""
        return self.patch * self.merge

    def tokens(self, height: int, width: int) -> int:
        """Number of image tokens that a picture of this size takes."""
        resized_height, resized_width = target_size(height, width, self)
        return resized_height * resized_width // self.unit**2


def target_size(height: int, width: int, settings: PatchSettings) -> tuple[int, int]:
    """Height and width that a picture is resized to: whole tokens, about the same shape, area within the limits.

    Raises:
        ValueError: if one side is more than `MAX_ASPECT` times the other.
    """
    if max(height, width) > MAX_ASPECT * min(height, width):
        raise ValueError(f"frame of {height} x {width} pixels is too long: a side may be {MAX_ASPECT} times the other")
    unit = settings.unit
    nearest = round(height / unit) * unit, round(width / unit) * unit
    area = nearest[0] * nearest[1]
    if area > settings.max_pixels:
        shrink = math.sqrt(height * width / settings.max_pixels)
        floor = [max(1, math.floor(side / shrink / unit)) * unit for side in (height, width)]
        return floor[0], floor[1]
    if area < settings.min_pixels:  # so is a side below half a unit, which would round to nothing
        grow = math.sqrt(settings.min_pixels / (height * width))
        ceiling = [math.ceil(side * grow / unit) * unit for side in (height, width)]
        return ceiling[0], ceiling[1]
    return nearest


def to_patches(frames: Tensor, settings: PatchSettings) -> tuple[Tensor, Tensor]:
    """Resize, normalise and cut frames into patches.

    Args:
        frames: uint8 `[B, 3, H, W]`, RGB.
        settings: the model's.

    Returns:
        float32 `[B * h * w, 3 * temporal * patch * patch]`, patches of one token together; and int64 `[B, 3]`, rows
        `(1, h, w)` in patches. Both on the frames' device.

    Raises:
        ValueError: if the frames have another shape or type, or too long a shape.
    """
    if frames.ndim != 4 or frames.shape[1] != 3 or frames.dtype != torch.uint8:
        raise ValueError(f"frames must be uint8 [B, 3, H, W], got {frames.dtype} {list(frames.shape)}")
    height, width = target_size(frames.shape[2], frames.shape[3], settings)
    pixels = _resize(frames, height, width)
    # float64 first, as the published preprocessing does: 1/255 in float32 would differ in the last bit.
    scaled = pixels.double().mul_(1 / 255).float()
    mean = frames.new_tensor(settings.mean, dtype=torch.float32).view(3, 1, 1)
    std = frames.new_tensor(settings.std, dtype=torch.float32).view(3, 1, 1)
    patches = _cut(scaled.sub_(mean).div_(std), settings)
    grid = frames.new_tensor([1, height // settings.patch, width // settings.patch], dtype=torch.int64)
    return patches, grid.repeat(len(frames), 1)


def _resize(frames: Tensor, height: int, width: int) -> Tensor:
    """Pillow's bicubic resize with antialiasing: rows, then columns, each back to whole grey levels."""
    if tuple(frames.shape[2:]) == (height, width):
        return frames
    rows = _grey_levels(frames.double() @ _pillow_weights(frames.shape[3], width, frames.device).T)
    return _grey_levels(_pillow_weights(frames.shape[2], height, frames.device) @ rows.double())


def _grey_levels(sums: Tensor) -> Tensor:
    """Fixed-point sums, overwritten, to uint8. float64 holds such sums exactly, on any device."""
    return sums.div_(_FIXED_POINT).add_(0.5).floor_().clamp_(0, 255).to(torch.uint8)


@lru_cache(maxsize=32)
def _pillow_weights(size: int, resized: int, device: torch.device) -> Tensor:
    """Share of every old pixel in every new one, float64 `[resized, size]`, in units of 1 / `_FIXED_POINT`.

    Cubic convolution (Keys 1981), stretched when reducing. Pillow rounds the weights to fixed point, and so do we:
    torch's own bicubic is up to two grey levels off.
    """
    scale = size / resized
    stretch = max(scale, 1.0)
    centre = (torch.arange(resized, dtype=torch.float64)[:, None] + 0.5) * scale
    pixel = torch.arange(size, dtype=torch.float64)[None]
    reach = _SUPPORT * stretch
    inside = (pixel >= (centre - reach + 0.5).floor()) & (pixel < (centre + reach + 0.5).floor())
    weights = _keys((pixel - centre + 0.5) / stretch) * inside
    weights = weights / weights.sum(dim=1, keepdim=True) * _FIXED_POINT
    return (weights.abs() + 0.5).floor().copysign(weights).to(device)


def _keys(distance: Tensor) -> Tensor:
    """Keys' kernel with a = -1/2."""
    x = distance.abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < _SUPPORT, far, torch.zeros_like(x)))


def _cut(pixels: Tensor, settings: PatchSettings) -> Tensor:
    """Patches `[B * h * w, 3 * temporal * patch * patch]` of pixels `[B, 3, H, W]`."""
    batch, channels, height, width = pixels.shape
    patch, merge, temporal = settings.patch, settings.merge, settings.temporal
    rows, columns = height // settings.unit, width // settings.unit
    blocks = pixels.view(batch, channels, rows, merge, patch, columns, merge, patch)
    ordered = blocks.permute(0, 2, 5, 3, 6, 1, 4, 7)  # batch, token's row, column, patch in it, channel, pixel
    repeated = ordered.unsqueeze(6).expand(*ordered.shape[:6], temporal, patch, patch)
    return repeated.reshape(batch * rows * columns * merge**2, channels * temporal * patch**2)
