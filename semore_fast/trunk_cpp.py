"""The C++ twin of `semore.ops.trunk`, for float32 on the CPU.

Shape legend as in semore.ops: B batch, C channels, H and W image sides, h and w map sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


@torch.compiler.disable  # type: ignore[untyped-decorator]
def trunk(
    x_BCHW: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    strides: Sequence[int],
    *,
    threads: int | None = None,
) -> Tensor:
    """Convolutions with a ReLU after each; see `semore.ops.trunk`. Differentiable once.

    A few samples at a time pass all layers, so that maps between two layers stay in the cache; without gradients they
    are not kept at all. Results do not depend on the number of threads.

    Args:
        x_BCHW: float32 on the CPU; channels_last is taken as it is.
        weights: of each layer, float32 [channels, in_channels, kernel height, kernel width]; channels_last likewise.
        biases: float32 [channels].
        strides: at least 1.
        threads: by default as many as PyTorch has.

    Raises:
        TypeError: wrong dtype or device.
        ValueError: no layers, shapes that do not fit one another, or a kernel larger than its map.
    """
    _check(x_BCHW, weights, biases, strides)
    laid_out, biases = [_channels_last(weight) for weight in weights], [bias.contiguous() for bias in biases]
    x_BCHW, threads = _channels_last(x_BCHW), threads or torch.get_num_threads()
    if torch.is_grad_enabled() and any(t.requires_grad for t in (x_BCHW, *laid_out, *biases)):
        out: Tensor = _Trunk.apply(x_BCHW, tuple(strides), threads, *laid_out, *biases)  # type: ignore[no-untyped-call]
        return out
    return _forward(x_BCHW, laid_out, biases, strides, threads, keep=False)[-1]


class _Trunk(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BCHW: Tensor, strides: tuple[int, ...], threads: int, *parameters: Tensor) -> Tensor:
        weights, biases = parameters[: len(strides)], parameters[len(strides) :]
        maps = _forward(x_BCHW, weights, biases, strides, threads, keep=True)
        ctx.strides, ctx.threads = strides, threads
        ctx.save_for_backward(x_BCHW, *parameters, *maps)
        return maps[-1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        from semore_fast import _C

        layers = len(ctx.strides)
        x, *saved = ctx.saved_tensors
        weights, biases, maps = saved[:layers], saved[layers : 2 * layers], saved[2 * layers :]
        slopes = [torch.empty_like(parameter) for parameter in (*weights, *biases)]
        of_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        upstream = _channels_last(gradient)
        _C.trunk_backward(
            **_described(x, weights, biases, ctx.strides),
            maps=[m.data_ptr() for m in maps],
            upstream=upstream.data_ptr(),
            weight_slopes=[slope.data_ptr() for slope in slopes[:layers]],
            bias_slopes=[slope.data_ptr() for slope in slopes[layers:]],
            picture_slopes=0 if of_x is None else of_x.data_ptr(),
            threads=ctx.threads,
        )
        return of_x, None, None, *slopes


def _forward(
    x_BCHW: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    strides: Sequence[int],
    threads: int,
    *,
    keep: bool,
) -> list[Tensor]:
    """Every layer's map, or the last alone."""
    from semore_fast import _C

    height, width = x_BCHW.shape[2:]
    shapes = []
    for i, (weight, stride) in enumerate(zip(weights, strides, strict=True), 1):
        tall, wide = weight.shape[2:]
        if height < tall or width < wide:
            raise ValueError(f"layer {i}: a kernel of {tall} x {wide} does not fit a map of {height} x {width}")
        height, width = (height - tall) // stride + 1, (width - wide) // stride + 1
        shapes.append((len(x_BCHW), len(weight), height, width))
    maps = [torch.empty(shape, memory_format=torch.channels_last) for shape in (shapes if keep else shapes[-1:])]
    unwanted = [0] * (len(shapes) - len(maps))
    _C.trunk_forward(
        **_described(x_BCHW, weights, biases, strides),
        maps=unwanted + [m.data_ptr() for m in maps],
        threads=threads,
    )
    return maps


def _described(
    x_BCHW: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], strides: Sequence[int]
) -> dict[str, Any]:
    batch, channels, height, width = x_BCHW.shape
    return {
        "batch": batch,
        "height": height,
        "width": width,
        "channels": channels,
        "layers": [(*w.shape[2:], stride, len(w)) for w, stride in zip(weights, strides, strict=True)],
        "picture": x_BCHW.data_ptr(),
        "weights": [w.data_ptr() for w in weights],
        "biases": [b.data_ptr() for b in biases],
    }


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _check(x_BCHW: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], strides: Sequence[int]) -> None:
    if not len(weights) == len(biases) == len(strides) > 0:
        raise ValueError(f"{len(weights)} weights, {len(biases)} biases and {len(strides)} strides make no trunk")
    if min(strides) < 1:
        raise ValueError(f"strides must be at least 1, are {list(strides)}")
    named = [("x", x_BCHW), *((f"weight {i}", w) for i, w in enumerate(weights, 1))]
    for name, tensor in named:
        if tensor.ndim != 4 or tensor.numel() == 0:
            raise ValueError(f"{name} must have 4 dimensions and not be empty, has shape {list(tensor.shape)}")
    channels = x_BCHW.shape[1]
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True), 1):
        if weight.shape[1] != channels or tuple(bias.shape) != (len(weight),):
            raise ValueError(f"layer {i}: {list(weight.shape)} and {list(bias.shape)} do not fit {channels} channels")
        channels = len(weight)
    for name, tensor in (*named, *((f"bias {i}", b) for i, b in enumerate(biases, 1))):
        if tensor.device.type != "cpu" or tensor.dtype != torch.float32:
            raise TypeError(
                f"{name} must be torch.float32 on the CPU, is {tensor.dtype} on {tensor.device}; use --kernels auto"
            )
