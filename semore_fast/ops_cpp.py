"""The C++ twin of `semore.ops.encoder_inputs`, for tensors on the CPU.

Shape legend as in semore.ops: B batch, K frames in a stack, H and W image sides, C channels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from semore.ops import InputSpec

_ABSENT = 0  # the extension's null address


def unsupported_reasons(device: torch.device) -> list[str]:
    """Why this twin cannot work on `device`; empty where it can."""
    reasons = []
    if device.type != "cpu":
        reasons.append(f"it reads and writes CPU memory, and the learner is on {device.type}")
    try:
        from semore_fast import _C  # noqa: F401  # late: the reference works where the extension is not built
    except ImportError as error:
        reasons.append(f"semore_fast._C cannot be loaded ({error}); build it with `pip install -e .`")
    return reasons


def encoder_inputs(
    frames_BKCHW: Tensor, shift_B2: Tensor | None, mask_BHW: Tensor | None, spec: InputSpec
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Everything the encoders eat, byte for byte what `semore.ops.encoder_inputs` gives; see there.

    Args:
        frames_BKCHW: uint8 [B, K, 3, H, W] on the CPU; frames may lie anywhere, a frame's pixels lie together.
        shift_B2: int64 [B, 2], contiguous, or None.
        mask_BHW: uint8 [B, H, W], contiguous; needed if `spec.masked`.
        spec: what is wanted; float32 or bfloat16.

    Raises:
        TypeError: wrong dtype or device.
        ValueError: wrong shape or layout, an offset that is not finite, or a mask that is missing.
    """
    from semore_fast import _C

    _check(frames_BKCHW, shift_B2, mask_BHW, spec)
    batch, frames, _, height, width = frames_BKCHW.shape

    def empty(channels: int) -> Tensor:
        return torch.empty((batch, channels, height, width), dtype=spec.dtype, memory_format=torch.channels_last)

    stack = empty(3 * frames)
    residual = None if spec.residual == "none" else empty(3 * (frames - 1))
    masked = empty(3 * frames) if spec.masked else None
    _C.encoder_inputs(
        batch=batch,
        stack_frames=frames,
        height=height,
        width=width,
        frames=frames_BKCHW.data_ptr(),
        sample_stride_bytes=frames_BKCHW.stride(0),
        frame_stride_bytes=frames_BKCHW.stride(1),
        shift=_address(shift_B2),
        mask=_address(mask_BHW),
        stack=stack.data_ptr(),
        residual=_address(residual),
        masked=_address(masked),
        offset=spec.offset,
        absolute=spec.residual == "absolute",
        bfloat16=spec.dtype == torch.bfloat16,
        threads=torch.get_num_threads(),
    )
    return stack, residual, masked


def _check(frames_BKCHW: Tensor, shift_B2: Tensor | None, mask_BHW: Tensor | None, spec: InputSpec) -> None:
    _check_tensor("frames", frames_BKCHW, torch.uint8)
    if frames_BKCHW.ndim != 5 or frames_BKCHW.shape[2] != 3 or 0 in frames_BKCHW.shape:
        raise ValueError(f"frames must have shape [B, K, 3, H, W] and not be empty, has {list(frames_BKCHW.shape)}")
    batch, _, _, height, width = frames_BKCHW.shape
    wanted_strides = (height * width, width, 1)
    given = zip(frames_BKCHW.shape[2:], frames_BKCHW.stride()[2:], wanted_strides, strict=True)
    if any(size > 1 and stride != wanted for size, stride, wanted in given):
        raise ValueError(f"frames must be contiguous in [3, H, W], has strides {frames_BKCHW.stride()}")
    if shift_B2 is not None:
        _check_tensor("shift", shift_B2, torch.int64)
        _check_layout("shift", shift_B2, (batch, 2))
    if spec.masked and mask_BHW is None:
        raise ValueError("masked inputs need a mask")
    if mask_BHW is not None:
        _check_tensor("mask", mask_BHW, torch.uint8)
        _check_layout("mask", mask_BHW, (batch, height, width))
    if spec.dtype not in (torch.float32, torch.bfloat16):
        raise TypeError(f"spec.dtype must be torch.float32 or torch.bfloat16, is {spec.dtype}")
    if not math.isfinite(spec.offset):
        raise ValueError(f"spec.offset must be finite, is {spec.offset}")


def _check_tensor(name: str, tensor: Tensor, dtype: torch.dtype) -> None:
    if tensor.device.type != "cpu":
        raise TypeError(f"{name} must be on the CPU, is on {tensor.device}; use --kernels auto")
    if tensor.dtype != dtype:
        raise TypeError(f"{name} must be {dtype}, is {tensor.dtype}")


def _check_layout(name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(tensor.shape) != shape:
        raise ValueError(f"{name} must have shape {list(shape)}, has {list(tensor.shape)}")
    if not tensor.is_contiguous():
        raise ValueError(f"{name} must be contiguous, has strides {tensor.stride()}")


def _address(tensor: Tensor | None) -> int:
    return _ABSENT if tensor is None else tensor.data_ptr()
