"""The hot operations, as plain PyTorch: what they mean, differentiable, on any device.

Each function is the definition that a fast twin must equal. A learner receives them as one frozen `Ops` value, so a
twin is swapped in by passing another value and nothing is dispatched at call time.

Shape legend: B batch, K frames in a stack, S frames in a store, H and W image sides, C channels, h and w map sides,
N query positions, M key positions, D channels of a position.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

SSIM_K1 = 0.01  # Wang et al. 2004, the constants every SSIM uses
SSIM_K2 = 0.03
SSIM_MIN_RANGE = 1e-2  # keeps the constants above zero when the knowledge map is flat


@dataclass(frozen=True, slots=True)
class FrameStore:
    """Frames that samples name by slot: the replay ring where it lies, or a batch gathered out of it."""

    frames: Tensor
    """uint8 [S, 3, H, W]."""
    masks: Tensor | None = None
    """uint8 [S, H, W], beside each frame its guidance mask: anything where it has none; None where none are kept."""
    centre: Tensor | None = None
    """uint8 [3, H, W], what frames are centred on, pixel by pixel, in place of an offset; None for the offset."""


def as_store(frames_BKCHW: Tensor) -> tuple[FrameStore, Tensor]:
    """Stacks at hand as a store of their own, with the slots [B, K] that name each once."""
    slots = torch.arange(frames_BKCHW.shape[0] * frames_BKCHW.shape[1], device=frames_BKCHW.device)
    return FrameStore(frames_BKCHW.flatten(0, 1)), slots.view(frames_BKCHW.shape[:2])


@dataclass(frozen=True, kw_only=True, slots=True)
class InputSpec:
    """What the encoders eat."""

    offset: float
    """Subtracted from x/255 in the stack where the store has no centre; the residuals are centred as they are."""
    residual: Literal["none", "signed", "absolute"]
    """Motion input: absent, o_t - o_{t-1}, or its magnitude."""
    masked: bool
    """Whether the stack is also wanted under the guidance mask."""
    dtype: torch.dtype
    """float32 or bfloat16."""


def random_shift(x_BCHW: Tensor, shift_B2: Tensor) -> Tensor:
    """Moves each sample's picture by (dy, dx) pixels and repeats its border (DrQ's random shift).

    Args:
        x_BCHW: any dtype.
        shift_B2: int64, row and column offset into the picture: output[y, x] = input[y + dy, x + dx], clamped.
    """
    batch, _, height, width = x_BCHW.shape
    rows_BH = (torch.arange(height, device=x_BCHW.device) + shift_B2[:, :1]).clamp_(0, height - 1)
    cols_BW = (torch.arange(width, device=x_BCHW.device) + shift_B2[:, 1:]).clamp_(0, width - 1)
    flat_BP = (rows_BH[:, :, None] * width + cols_BW[:, None, :]).view(batch, 1, -1)
    flat_BCP = flat_BP.expand(-1, x_BCHW.shape[1], -1)
    return x_BCHW.flatten(2).gather(2, flat_BCP).view_as(x_BCHW)


def encoder_inputs(
    store: FrameStore, slots_BK: Tensor, shift_B2: Tensor | None, spec: InputSpec
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Everything the encoders eat, from uint8 frames.

    Args:
        store: where the frames are; needs masks if `spec.masked`.
        slots_BK: int64 in [0, S), each sample's frames, oldest first; its mask is that of the newest.
        shift_B2: int64 random shift, the same for all frames of a sample and its mask; None for none.
        spec: what is wanted.

    Returns:
        stack [B, 3K, H, W] = x/255 - offset; residual [B, 3(K-1), H, W] = (o_t - o_{t-1})/255, newest first, or None;
        masked [B, 3K, H, W] = x m/255^2 - offset, the mask on every frame, centred after masking (eq 5), or None.
        With a centre c, which is shifted as the frames are, stack = (x - c)/255 and masked = (x - c) m/255^2: what a
        mask hides is as it always is. All channels_last in `spec.dtype`.
    """
    frames = slots_BK.shape[1]
    x_BCHW = store.frames.index_select(0, slots_BK.flatten()).unflatten(0, slots_BK.shape).flatten(1, 2)
    if shift_B2 is not None:
        x_BCHW = random_shift(x_BCHW, shift_B2)
    offset = 0.0 if store.centre is not None else spec.offset
    stack = _scaled(x_BCHW if store.centre is None else x_BCHW - _centre_of(store.centre, x_BCHW, shift_B2), 1 / 255)
    masked = None
    if spec.masked:
        if store.masks is None:
            raise ValueError("masked inputs need a store with masks")
        mask_B1HW = store.masks.index_select(0, slots_BK[:, -1])[:, None]
        mask_B1HW = mask_B1HW if shift_B2 is None else random_shift(mask_B1HW, shift_B2)
        masked = (stack * (mask_B1HW.float() * (1 / 255))).sub_(offset).to(spec.dtype)
    residual = None
    if spec.residual != "none":
        signed = x_BCHW.unflatten(1, (frames, 3)).to(torch.int16).diff(dim=1).flip(1)
        signed = signed.abs_() if spec.residual == "absolute" else signed
        residual = _scaled(signed.flatten(1, 2), 1 / 255).to(spec.dtype)
    return stack.sub_(offset).to(spec.dtype), residual, masked


def _centre_of(centre_3HW: Tensor, x_BCHW: Tensor, shift_B2: Tensor | None) -> Tensor:
    """The centre under every frame of every sample, int16: a difference of bytes needs nine bits."""
    frames = x_BCHW.shape[1] // 3
    centre_BCHW = centre_3HW.to(torch.int16).repeat(frames, 1, 1).expand(len(x_BCHW), -1, -1, -1)
    return centre_BCHW if shift_B2 is None else random_shift(centre_BCHW, shift_B2)


def _scaled(x_BCHW: Tensor, factor: float) -> Tensor:
    """float32 channels_last, so that rounding to a narrower type happens once, at the end."""
    return x_BCHW.to(torch.float32, memory_format=torch.channels_last).mul_(factor)


def trunk(x_BCHW: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], strides: Sequence[int]) -> Tensor:
    """Convolutions without padding, a ReLU after each.

    Args:
        x_BCHW: the picture.
        weights: of each layer, [channels, in_channels, kernel height, kernel width].
        biases: [channels].
        strides: pixels.

    Returns:
        The last layer's map [B, C, h, w].
    """
    for weight, bias, stride in zip(weights, biases, strides, strict=True):
        x_BCHW = F.relu_(F.conv2d(x_BCHW, weight, bias, stride))
    return x_BCHW


def interaction(q_BND: Tensor, k_BMD: Tensor, v_motion_BMD: Tensor, v_semantic_BND: Tensor) -> tuple[Tensor, Tensor]:
    """Bidirectional cross-attention from one score matrix (eqs 6-7).

    S = Q K^T / sqrt(D). Each semantic position gathers motion, softmax over the rows of S; each motion position
    gathers semantics, softmax over the rows of S^T.

    Returns:
        (gathered motion [B, N, D], gathered semantics [B, M, D]).
    """
    scores_BNM = torch.bmm(q_BND, k_BMD.transpose(1, 2)) * q_BND.shape[-1] ** -0.5
    to_semantic_BND = torch.bmm(scores_BNM.softmax(2), v_motion_BMD)
    to_motion_BMD = torch.bmm(scores_BNM.softmax(1).transpose(1, 2), v_semantic_BND)
    return to_semantic_BND, to_motion_BMD


def ssim_distance(x_BChw: Tensor, y_BChw: Tensor, window: int) -> Tensor:
    """1 - SSIM between feature maps, per sample [B] (eq 5; the loss of Zhao et al. 2016).

    Uniform windows without padding, dynamic range from `y` (the knowledge map) per sample, in float32 or float64.
    `y` is the reference; gradients flow into both unless the caller detaches.
    """
    dtype = torch.promote_types(x_BChw.dtype, torch.float32)
    x, y = x_BChw.to(dtype), y_BChw.to(dtype)
    value_range = (y.amax((1, 2, 3)) - y.amin((1, 2, 3))).detach().clamp_min(SSIM_MIN_RANGE)
    c1 = (SSIM_K1 * value_range).square()[:, None, None, None]
    c2 = (SSIM_K2 * value_range).square()[:, None, None, None]
    mean_x, mean_y = _window_mean(x, window), _window_mean(y, window)
    mean_squares, mean_product = _window_mean(x * x + y * y, window), _window_mean(x * y, window)
    product, squares = mean_x * mean_y, mean_x.square() + mean_y.square()
    luminance = (2 * product + c1) / (squares + c1)
    structure = (2 * (mean_product - product) + c2) / (mean_squares - squares + c2)
    return 1 - (luminance * structure).mean((1, 2, 3))


def _window_mean(x_BChw: Tensor, window: int) -> Tensor:
    """Mean over every window x window square, first along h, then along w: fewer terms than the square has."""
    return F.avg_pool2d(F.avg_pool2d(x_BChw, (window, 1), 1), (1, window), 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ops:
    """The operations a learner is built with; each field has the signature of the function of that name."""

    encoder_inputs: Callable[
        [FrameStore, Tensor, Tensor | None, InputSpec], tuple[Tensor, Tensor | None, Tensor | None]
    ]
    trunk: Callable[[Tensor, Sequence[Tensor], Sequence[Tensor], Sequence[int]], Tensor]
    interaction: Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
    ssim_distance: Callable[[Tensor, Tensor, int], Tensor]


REFERENCE = Ops(encoder_inputs=encoder_inputs, trunk=trunk, interaction=interaction, ssim_distance=ssim_distance)
