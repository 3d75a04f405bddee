"""The C++ twin of `semore.ops.encoder_inputs`, for tensors on the CPU.

Shape legend as in semore.ops: B batch, K frames in a stack, S frames in a store, H and W image sides.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from semore.ops import FrameStore, InputSpec

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
    store: FrameStore, slots_BK: Tensor, shift_B2: Tensor | None, spec: InputSpec
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Everything the encoders eat, byte for byte what `semore.ops.encoder_inputs` gives; see there.

    Frames are read once, where they lie in the store.

    Args:
        store: uint8 [S, 3, H, W] and, if `spec.masked`, [S, H, W], on the CPU, contiguous.
        slots_BK: int64 [B, K].
        shift_B2: int64 [B, 2], contiguous, or None.
        spec: what is wanted; float32 or bfloat16.

    Raises:
        TypeError: wrong dtype or device.
        ValueError: wrong shape or layout, a slot outside the store, an offset that is not finite, or masks missing.
    """
    from semore_fast import _C

    _check(store, slots_BK, shift_B2, spec)
    (batch, frames), (_, _, height, width) = slots_BK.shape, store.frames.shape
    dense_slots_BK = slots_BK.contiguous()

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
        store_frames=len(store.frames),
        frames=store.frames.data_ptr(),
        masks=_address(store.masks),
        slots=dense_slots_BK.data_ptr(),
        shift=_address(shift_B2),
        stack=stack.data_ptr(),
        residual=_address(residual),
        masked=_address(masked),
        offset=spec.offset,
        absolute=spec.residual == "absolute",
        bfloat16=spec.dtype == torch.bfloat16,
        threads=torch.get_num_threads(),
    )
    return stack, residual, masked


def _check(store: FrameStore, slots_BK: Tensor, shift_B2: Tensor | None, spec: InputSpec) -> None:
    _check_tensor("store.frames", store.frames, torch.uint8)
    if store.frames.ndim != 4 or store.frames.shape[1] != 3 or 0 in store.frames.shape:
        raise ValueError(f"store.frames must have shape [S, 3, H, W] and not be empty, has {list(store.frames.shape)}")
    size, _, height, width = store.frames.shape
    _check_layout("store.frames", store.frames, (size, 3, height, width))
    if store.masks is not None:
        _check_tensor("store.masks", store.masks, torch.uint8)
        _check_layout("store.masks", store.masks, (size, height, width))
    elif spec.masked:
        raise ValueError("masked inputs need a store with masks")
    _check_tensor("slots", slots_BK, torch.int64)
    if slots_BK.ndim != 2 or 0 in slots_BK.shape:
        raise ValueError(f"slots must have shape [B, K] and not be empty, has {list(slots_BK.shape)}")
    if shift_B2 is not None:
        _check_tensor("shift", shift_B2, torch.int64)
        _check_layout("shift", shift_B2, (len(slots_BK), 2))
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
