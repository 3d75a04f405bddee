"""The C++ twins under the signatures of `semore.ops`, for tensors on the CPU.

Shape legend as in semore.ops: B batch, K frames in a stack, S frames in a store, H and W image sides, C channels, h and
w map sides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from semore.ops import FrameStore, InputSpec
from semore_fast.trunk_cpp import trunk as trunk

DTYPES: Mapping[str, tuple[torch.dtype, ...]] = {"trunk": (torch.float32,)}
"""What an operation computes in, where not in everything that a learner may."""

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


@torch.compiler.disable  # type: ignore[untyped-decorator]
def encoder_inputs(
    store: FrameStore, slots_BK: Tensor, shift_B2: Tensor | None, spec: InputSpec, *, threads: int | None = None
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Everything the encoders eat, byte for byte what `semore.ops.encoder_inputs` gives; see there.

    Frames are read once, where they lie in the store.

    Args:
        store: uint8 [S, 3, H, W] and, if `spec.masked`, [S, H, W], a centre [3, H, W] or None, on the CPU, contiguous.
        slots_BK: int64 [B, K].
        shift_B2: int64 [B, 2], contiguous, or None.
        spec: what is wanted; float32 or bfloat16.
        threads: by default as many as PyTorch has.

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
        centre=_address(store.centre),
        slots=dense_slots_BK.data_ptr(),
        shift=_address(shift_B2),
        stack=stack.data_ptr(),
        residual=_address(residual),
        masked=_address(masked),
        offset=spec.offset,
        absolute=spec.residual == "absolute",
        bfloat16=spec.dtype == torch.bfloat16,
        threads=threads or torch.get_num_threads(),
    )
    return stack, residual, masked


@torch.compiler.disable  # type: ignore[untyped-decorator]
def ssim_distance(x_BChw: Tensor, y_BChw: Tensor, window: int, *, threads: int | None = None) -> Tensor:
    """1 - SSIM per sample, float32 [B]; see `semore.ops.ssim_distance`. Differentiable once.

    Args:
        x_BChw, y_BChw: float32 or bfloat16, on the CPU; channels_last maps are taken as they are.
        window: at most the smaller side.
        threads: by default as many as PyTorch has.

    Raises:
        TypeError: wrong dtype or device.
        ValueError: empty maps, maps of different shapes, or a window that does not fit.
    """
    for name, tensor in (("x", x_BChw), ("y", y_BChw)):
        if tensor.dtype not in (torch.float32, torch.bfloat16):
            raise TypeError(f"{name} must be torch.float32 or torch.bfloat16, is {tensor.dtype}")
        _check_tensor(name, tensor, tensor.dtype)
    if x_BChw.ndim != 4 or x_BChw.shape != y_BChw.shape:
        raise ValueError(f"x and y must both be [B, C, h, w], are {list(x_BChw.shape)} and {list(y_BChw.shape)}")
    maps = x_BChw.float(), y_BChw.float()
    distance: Tensor = _Distance.apply(*maps, window, threads or torch.get_num_threads())  # type: ignore[no-untyped-call]
    return distance


class _Distance(torch.autograd.Function):
    """Slopes are made along with the distance: both come from the same sums."""

    @staticmethod
    def forward(ctx: Any, x_BChw: Tensor, y_BChw: Tensor, window: int, threads: int) -> Tensor:
        from semore_fast import _C

        x, y = (t.contiguous(memory_format=torch.channels_last) for t in (x_BChw, y_BChw))
        slopes = [torch.empty_like(x) if needed else None for needed in ctx.needs_input_grad[:2]]
        batch, channels, height, width = x.shape
        distance = torch.empty(batch)
        _C.ssim_distance(
            batch=batch,
            height=height,
            width=width,
            channels=channels,
            window=window,
            x=x.data_ptr(),
            y=y.data_ptr(),
            distance=distance.data_ptr(),
            dx=_address(slopes[0]),
            dy=_address(slopes[1]),
            threads=threads,
        )
        ctx.save_for_backward(*slopes)
        return distance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_B: Tensor) -> tuple[Tensor | None, ...]:
        upstream = gradient_B[:, None, None, None]
        return *(None if slope is None else slope * upstream for slope in ctx.saved_tensors), None, None


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
    if store.centre is not None:
        _check_tensor("store.centre", store.centre, torch.uint8)
        _check_layout("store.centre", store.centre, (3, height, width))
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
