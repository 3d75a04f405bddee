"""1 - SSIM between feature maps and its gradients: the twin of `semore.ops.ssim_distance`.

The forward pass keeps, where gradients are wanted, the slope of every window's SSIM by the window's means; the backward
pass is then one more pass of window sums. The kernels are in `similarity_kernels.py`, the arithmetic in `frames.md`.

Shape legend: B batch, C channels, h and w map sides, i and j sides of the map of windows, M maps of slopes.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
import triton
from torch import Tensor

from .launch import Launch, on, require_gpu
from .similarity_kernels import distance_kernel, gradient_kernel

COLUMNS = 256  # of a program
WARPS = 4
MAX_WINDOW = 11
DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def ssim_distance(x_BChw: Tensor, y_BChw: Tensor, window: int) -> Tensor:
    """1 - SSIM per sample [B], float32; see `semore.ops.ssim_distance`.

    Gradients flow into both maps where they are required, once: there are no second derivatives. Channels_last maps are
    read where they are, others are copied into that layout in both passes.

    Args:
        x_BChw: float32, bfloat16 or float16, on a CUDA device.
        y_BChw: the reference, whose range is the dynamic range; the same shape and device, any of these dtypes.
        window: side of the uniform windows, from 1 to 11, at most h and w.

    Raises:
        TypeError: wrong dtype or device.
        ValueError: wrong shape or window.
    """
    for_x, for_y = (torch.is_grad_enabled() and map_BChw.requires_grad for map_BChw in (x_BChw, y_BChw))
    distance: Tensor = _ssim_distance(x_BChw, y_BChw, window, for_x, for_y)[0]
    return distance


@torch.library.custom_op("semore_fast::ssim_distance", mutates_args=())
def _ssim_distance(x_BChw: Tensor, y_BChw: Tensor, window: int, for_x: bool, for_y: bool) -> tuple[Tensor, Tensor]:
    """Distance [B] and slopes [B, M, i, j, C], M = 0 where no gradient follows."""
    _check(x_BChw, y_BChw, window)
    slopes = _slopes(x_BChw, window, for_x, for_y)
    with on(x_BChw.device):
        x, y = _channels_last(x_BChw), _channels_last(y_BChw)
        low, high = y.permute(0, 2, 3, 1).flatten(1).aminmax(dim=1)  # of a view
        launch, parts = _distance_launch(x, y, (low, high), slopes, window, for_x, for_y)
        launch.run()
    return parts.sum(1), slopes


@_ssim_distance.register_fake
def _(x: Tensor, y: Tensor, window: int, for_x: bool, for_y: bool) -> tuple[Tensor, Tensor]:
    _check(x, y, window)
    return x.new_empty(len(x), dtype=torch.float32), _slopes(x, window, for_x, for_y)


@torch.library.custom_op("semore_fast::ssim_distance_backward", mutates_args=())
def _ssim_distance_backward(
    grad_B: Tensor, x_BChw: Tensor, y_BChw: Tensor, slopes: Tensor, window: int, for_x: bool, for_y: bool
) -> tuple[Tensor, Tensor]:
    """Gradients of both maps, empty where not wanted."""
    out = _gradients(x_BChw, y_BChw, for_x, for_y)
    with on(x_BChw.device):
        x, y = _channels_last(x_BChw), _channels_last(y_BChw)
        _gradient_launch(grad_B.contiguous(), x, y, slopes, out, window, for_x, for_y).run()
    return out


@_ssim_distance_backward.register_fake
def _(
    grad: Tensor, x: Tensor, y: Tensor, slopes: Tensor, window: int, for_x: bool, for_y: bool
) -> tuple[Tensor, Tensor]:
    return _gradients(x, y, for_x, for_y)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, y, *ctx.options = inputs
    ctx.save_for_backward(x, y, output[1])


def _backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    """The slopes are for the backward pass alone and pass on no gradient."""
    _, for_x, for_y = ctx.options
    grad_x, grad_y = _ssim_distance_backward(grad, *ctx.saved_tensors, *ctx.options)
    return grad_x if for_x else None, grad_y if for_y else None, None, None, None


_ssim_distance.register_autograd(_backward, setup_context=_keep)


def _channels_last(x_BChw: Tensor) -> Tensor:
    return x_BChw.contiguous(memory_format=torch.channels_last)


def _slopes(x: Tensor, window: int, for_x: bool, for_y: bool) -> Tensor:
    batch, channels, height, width = x.shape
    maps = 2 + for_x + for_y if for_x or for_y else 0
    shape = (batch, maps, height - window + 1, width - window + 1, channels)
    return torch.empty(shape, dtype=torch.float32, device=x.device)


def _gradients(x: Tensor, y: Tensor, for_x: bool, for_y: bool) -> tuple[Tensor, Tensor]:
    def like(map_BChw: Tensor, wanted: bool) -> Tensor:
        shape = map_BChw.shape if wanted else (0, *map_BChw.shape[1:])
        return torch.empty(shape, dtype=map_BChw.dtype, device=x.device, memory_format=torch.channels_last)

    return like(x, for_x), like(y, for_y)


def _geometry(x: Tensor, window: int, for_x: bool, for_y: bool) -> dict[str, Any]:
    _, channels, height, width = x.shape
    sizes = {"HEIGHT": height, "LENGTH": width * channels, "STEP": channels, "WINDOW": window, "P": COLUMNS}
    return sizes | {"FOR_X": for_x, "FOR_Y": for_y}


def _distance_launch(
    x: Tensor, y: Tensor, low_high: tuple[Tensor, Tensor], slopes: Tensor, window: int, for_x: bool, for_y: bool
) -> tuple[Launch, Tensor]:
    """The launch, and every program's part [B, G] of the distance, which it fills."""
    batch, channels, _, width = x.shape
    grid = (batch, triton.cdiv((width - window + 1) * channels, COLUMNS))
    parts = torch.empty(grid, dtype=torch.float32, device=x.device)
    arguments = {"x_BhwC": x, "y_BhwC": y, "low_B": low_high[0], "high_B": low_high[1], "parts_BG": parts}
    arguments |= {"slopes_BMijC": slopes if slopes.numel() else None} | _geometry(x, window, for_x, for_y)
    return Launch(kernel=distance_kernel, grid=grid, arguments=arguments, options={"num_warps": WARPS}), parts


def _gradient_launch(
    grad: Tensor,
    x: Tensor,
    y: Tensor,
    slopes: Tensor,
    out: tuple[Tensor, Tensor],
    window: int,
    for_x: bool,
    for_y: bool,
) -> Launch:
    batch, channels, _, width = x.shape
    grid = (batch, triton.cdiv(width * channels, COLUMNS))
    arguments = {"grad_B": grad, "x_BhwC": x, "y_BhwC": y, "slopes_BMijC": slopes}
    arguments |= {"grad_x_BhwC": out[0] if for_x else None, "grad_y_BhwC": out[1] if for_y else None}
    arguments |= _geometry(x, window, for_x, for_y)
    return Launch(kernel=gradient_kernel, grid=grid, arguments=arguments, options={"num_warps": WARPS})


def _check(x: Tensor, y: Tensor, window: int) -> None:
    for name, tensor in (("x", x), ("y", y)):
        require_gpu(name, tensor)
        if tensor.dtype not in DTYPES:
            raise TypeError(f"{name} must be float32, bfloat16 or float16, is {tensor.dtype}")
    if x.device != y.device:
        raise TypeError(f"y must be on {x.device} as x is, is on {y.device}")
    if x.ndim != 4 or 0 in x.shape:
        raise ValueError(f"x must have shape [B, C, h, w] and not be empty, has {list(x.shape)}")
    if x.shape != y.shape:
        raise ValueError(f"y must have the shape of x, {list(x.shape)}, has {list(y.shape)}")
    largest = min(MAX_WINDOW, *x.shape[2:])
    if not 1 <= window <= largest:
        raise ValueError(f"window must be from 1 to {largest} for maps of {x.shape[2]} x {x.shape[3]}, is {window}")


def _example(
    shape: tuple[int, int, int], window: int, dtype: torch.dtype, for_x: bool, for_y: bool
) -> Iterator[Launch]:
    """Both passes over 128 samples' maps, without memory."""
    x = torch.empty((128, *shape), dtype=dtype, device="meta", memory_format=torch.channels_last)
    grad, slopes = torch.empty(128, device="meta"), _slopes(x, window, for_x, for_y)
    yield _distance_launch(x, x, (grad, grad), slopes, window, for_x, for_y)[0]
    if for_x or for_y:
        yield _gradient_launch(grad, x, x, slopes, _gradients(x, x, for_x, for_y), window, for_x, for_y)


_MAPS = [
    ("57x57x32 window 7", (32, 57, 57), 7),
    ("57x57x32 window 11", (32, 57, 57), 11),
    ("6x6x256 window 3", (256, 6, 6), 3),
]
_WANTED = [
    ("bfloat16, no gradient", torch.bfloat16, False, False),
    ("bfloat16, gradient of x", torch.bfloat16, True, False),
    ("bfloat16, both gradients", torch.bfloat16, True, True),
    ("float32, both gradients", torch.float32, True, True),
    ("float16, both gradients", torch.float16, True, True),
]
SHIPPED = [
    (f"{maps} {wanted}", partial(_example, shape, window, dtype, for_x, for_y))
    for maps, shape, window in _MAPS
    for wanted, dtype, for_x, for_y in _WANTED
]
"""Name and launches for the trunks' maps and the largest window, to be compiled ahead of time."""
