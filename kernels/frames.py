"""Everything the encoders eat, made from stored uint8 frames in one launch: the twin of `semore.ops.encoder_inputs`.

Random shift, crop, scaling, frame differences, guidance mask, bfloat16 and channels_last in one pass over the bytes.
The kernel is in `frames_kernel.py`, the reasons for its shape and its arithmetic in `frames.md`.

Shape legend: S stored frames, R rows (one window of K frames each), K frames in a stack, H and W sides of a stored
frame, h and w sides of an output.
"""

import math
from collections.abc import Iterator
from functools import partial
from typing import Sequence  # noqa: UP035  # the one that custom operators of torch 2.6 know

import torch
import triton
from torch import Tensor

from .frames_kernel import GROUP, frames_kernel
from .launch import Launch, on, require_gpu

GROUPS = 128  # of a program, one a thread
WARPS = 4
RESIDUALS = ("none", "signed", "absolute")
DTYPES = (torch.float32, torch.bfloat16)
MAX_STACK = 4  # a thread keeps its pixels of all frames and the centre in registers, and 5 pictures spill
MAX_PIXELS = 65535 * GROUPS * GROUP.value  # what CUDA's grid covers in its second direction


def encoder_inputs(
    frames_S3HW: Tensor,
    masks_SHW: Tensor | None,
    slots_RK: Tensor,
    shift_R2: Tensor | None,
    *,
    offset: float,
    residual: str,
    masked: bool,
    dtype: torch.dtype,
    centre_3HW: Tensor | None = None,
    masked_rows: int | None = None,
    crop_R2: Tensor | None = None,
    out_size: tuple[int, int] | None = None,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Everything the encoders eat, bit for bit what `semore.ops.encoder_inputs` gives.

    One launch serves several windows of a sample as more rows: a learner passes the slots of all its observations and
    then those of its next observations, and masks only the first half by `masked_rows`. Frames that windows share are
    read from memory once. All tensors are contiguous, on one CUDA device.

    Args:
        frames_S3HW: uint8.
        masks_SHW: uint8; a row's mask is its newest frame's. Needed if `masked`.
        slots_RK: int64, each row's frames in `frames_S3HW`, oldest first, at most 4. Their values are not checked
            unless Triton's debug mode is on: a slot outside reads what is not a frame.
        shift_R2: int64 or None: output[y, x] = frame[y + dy, x + dx], the border repeated.
        offset: subtracted from x/255 in the stack.
        residual: "none", "signed" or "absolute".
        masked: whether the stack is also wanted under the mask.
        dtype: float32 or bfloat16.
        centre_3HW: uint8, subtracted from every frame in place of the offset and shifted with it, or None; with one, a
            row has at most 3 frames.
        masked_rows: so many rows, from the first, are wanted under the mask; None for all.
        crop_R2: int64, first row and column of the window of the shifted picture that is kept, or None for all of it.
        out_size: sides (h, w) of that window. What of a window lies outside the picture repeats the border.

    Returns:
        stack [R, 3K, h, w] = x/255 - offset; residual [R, 3(K-1), h, w] = (o_t - o_{t-1})/255, newest first, or None;
        masked [masked_rows, 3K, h, w] = x m/255^2 - offset, or None; with a centre (x - c)/255 and (x - c) m/255^2. All
        channels_last in `dtype`.

    Raises:
        TypeError: wrong dtype or device.
        ValueError: wrong shape, layout or size, an unknown residual, an offset that is not finite, a missing mask.
    """
    if (crop_R2 is None) != (out_size is None):
        raise ValueError(f"crop and out_size go together, out_size is {out_size} and crop {crop_R2}")
    rows = (slots_RK.shape[0] if masked_rows is None else masked_rows) if masked else 0
    size = frames_S3HW.shape[-2:] if out_size is None else out_size
    stack, steps, under_mask = _encoder_inputs(
        frames_S3HW, masks_SHW, centre_3HW, slots_RK, shift_R2, crop_R2, size, offset, residual, rows, dtype
    )
    return stack, steps if residual != "none" else None, under_mask if masked else None


@torch.library.custom_op("semore_fast::encoder_inputs", mutates_args=())
def _encoder_inputs(
    frames_S3HW: Tensor,
    masks_SHW: Tensor | None,
    centre_3HW: Tensor | None,
    slots_RK: Tensor,
    shift_R2: Tensor | None,
    crop_R2: Tensor | None,
    size: Sequence[int],
    offset: float,
    residual: str,
    masked_rows: int,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor]:
    """An operator's output cannot be absent: what is not wanted is empty."""
    out = _checked_outputs(
        frames_S3HW, masks_SHW, centre_3HW, slots_RK, shift_R2, crop_R2, size, offset, residual, masked_rows, dtype
    )
    absolute = residual == "absolute"
    with on(frames_S3HW.device):
        _launch(frames_S3HW, masks_SHW, centre_3HW, slots_RK, shift_R2, crop_R2, out, offset, absolute).run()
    return out


@_encoder_inputs.register_fake
def _checked_outputs(
    frames: Tensor,
    masks: Tensor | None,
    centre: Tensor | None,
    slots: Tensor,
    shift: Tensor | None,
    crop: Tensor | None,
    size: Sequence[int],
    offset: float,
    residual: str,
    masked_rows: int,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor]:
    _check_frames(frames, size)
    _check_rows(frames, slots, masks, shift, crop, masked_rows)
    if centre is not None:
        _check("centre", centre, frames, torch.uint8, frames.shape[1:])
        if slots.shape[1] == MAX_STACK:
            raise ValueError(f"slots must have K from 1 to {MAX_STACK - 1} where there is a centre, has {MAX_STACK}")
    _check_wish(offset, residual, dtype)
    return _outputs(frames, slots, size, residual, masked_rows, dtype)


def _outputs(
    frames: Tensor, slots: Tensor, size: Sequence[int], residual: str, masked_rows: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    rows, stack = slots.shape

    def empty(batch: int, channels: int) -> Tensor:
        shape = (batch, channels, *size)
        return torch.empty(shape, dtype=dtype, device=frames.device, memory_format=torch.channels_last)

    steps = 3 * (stack - 1) if residual != "none" else 0
    return empty(rows, 3 * stack), empty(rows, steps), empty(masked_rows, 3 * stack)


def _launch(
    frames: Tensor,
    masks: Tensor | None,
    centre: Tensor | None,
    slots: Tensor,
    shift: Tensor | None,
    crop: Tensor | None,
    out: tuple[Tensor, Tensor, Tensor],
    offset: float,
    absolute: bool,
) -> Launch:
    stack, residual, masked = (tensor if tensor.numel() else None for tensor in out)
    (stored, _, height, width), (out_height, out_width) = frames.shape, out[0].shape[2:]
    per_group = GROUP.value * 3 * slots.shape[1]
    arguments = {
        **{"frames_S3HW": frames, "masks_SHW": None if masked is None else masks, "centre_3HW": centre},
        **{"slots_RK": slots, "shift_R2": shift, "crop_R2": crop},
        **{"stack_RhwC": stack, "residual_RhwC": residual, "masked_RhwC": masked},
        **{"stored": stored, "masked_rows": len(out[2]), "offset": offset, "ABSOLUTE": absolute, "K": slots.shape[1]},
        **{"HEIGHT": height, "WIDTH": width, "OUT_HEIGHT": out_height, "OUT_WIDTH": out_width, "Q": GROUPS},
        "LOG_STACK": (per_group - 1).bit_length(),
        "LOG_RESIDUAL": (per_group - 3 * GROUP.value - 1).bit_length(),
    }
    tiles = triton.cdiv(out_height * out_width, GROUP.value * GROUPS)
    # Without fused multiply-add, x * s - offset is rounded twice, as the definition's is.
    options = {"num_warps": WARPS, "enable_fp_fusion": False}
    return Launch(kernel=frames_kernel, grid=(len(slots), tiles), arguments=arguments, options=options)


def _check_frames(frames: Tensor, size: Sequence[int]) -> None:
    require_gpu("frames", frames)
    if frames.ndim != 4 or frames.shape[1] != 3 or 0 in frames.shape:
        raise ValueError(f"frames must have shape [S, 3, H, W] and not be empty, has {list(frames.shape)}")
    _check("frames", frames, frames, torch.uint8, frames.shape)
    height, width = frames.shape[2:]
    if len(size) != 2 or not (0 < size[0] <= height and 0 < size[1] <= width):
        raise ValueError(f"out_size must be two sides from 1 to {(height, width)}, is {tuple(size)}")
    if height * width > MAX_PIXELS:
        raise ValueError(f"frames must have at most {MAX_PIXELS} pixels, has {height} x {width}")


def _check_rows(
    frames: Tensor, slots: Tensor, masks: Tensor | None, shift: Tensor | None, crop: Tensor | None, masked_rows: int
) -> None:
    if slots.ndim != 2 or not 1 <= slots.shape[1] <= MAX_STACK or len(slots) == 0:
        raise ValueError(
            f"slots must have shape [R, K] with R > 0 and K from 1 to {MAX_STACK}, has {list(slots.shape)}"
        )
    for name, tensor, width in (("slots", slots, slots.shape[1]), ("shift", shift, 2), ("crop", crop, 2)):
        if tensor is not None:
            _check(name, tensor, frames, torch.int64, (len(slots), width))
    if masks is not None:
        _check("masks", masks, frames, torch.uint8, (len(frames), *frames.shape[2:]))
    elif masked_rows:
        raise ValueError("masked inputs need masks")
    if not 0 <= masked_rows <= len(slots):
        raise ValueError(f"masked_rows must be from 0 to {len(slots)}, the rows of slots, is {masked_rows}")


def _check(name: str, tensor: Tensor, frames: Tensor, dtype: torch.dtype, shape: Sequence[int]) -> None:
    if tensor.device != frames.device:
        raise TypeError(f"{name} must be on {frames.device} as frames are, is on {tensor.device}")
    if tensor.dtype != dtype:
        raise TypeError(f"{name} must be {dtype}, is {tensor.dtype}")
    if tuple(tensor.shape) != tuple(shape):
        raise ValueError(f"{name} must have shape {list(shape)}, has {list(tensor.shape)}")
    if not tensor.is_contiguous():
        raise ValueError(f"{name} must be contiguous, has strides {tensor.stride()}")


def _check_wish(offset: float, residual: str, dtype: torch.dtype) -> None:
    if residual not in RESIDUALS:
        raise ValueError(f"residual must be one of {', '.join(RESIDUALS)}, is {residual!r}")
    if dtype not in DTYPES:
        raise TypeError(f"dtype must be torch.float32 or torch.bfloat16, is {dtype}")
    if not math.isfinite(offset):
        raise ValueError(f"offset must be finite, is {offset}")


def _learner_s_launch(stack: int, dtype: torch.dtype, centred: bool) -> Iterator[Launch]:
    """128 observations and next observations, the former also under masks, out of 100,000 frames; without memory."""
    empty = partial(torch.empty, device="meta")
    frames, masks = empty((100_000, 3, 128, 128), dtype=torch.uint8), empty((100_000, 128, 128), dtype=torch.uint8)
    slots, shift = empty((256, stack), dtype=torch.int64), empty((256, 2), dtype=torch.int64)
    centre = empty((3, 128, 128), dtype=torch.uint8) if centred else None
    out = _outputs(frames, slots, (128, 128), "signed", 128, dtype)
    yield _launch(frames, masks, centre, slots, shift, None, out, 0.5, absolute=False)


SHIPPED = [
    (
        f"K={stack} {dtype}{' centred' * centred}".replace("torch.", ""),
        partial(_learner_s_launch, stack, dtype, centred),
    )
    for stack in range(1, MAX_STACK + 1)
    for dtype in DTYPES
    for centred in (False, *((True,) if stack == MAX_STACK - 1 else ()))  # smaller ones need less
]
"""Every configuration's name and launches, to be compiled ahead of time."""
