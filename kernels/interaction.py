"""Bidirectional cross-attention, fused: each of two sides gathers from the other through one score matrix.

    S = Q K^T scale
    for N: softmax over M of S, times V_motion [M, D]        for M: softmax over N of S^T, times V_semantic [N, D]

the twin of `semore.ops.interaction` (eqs 6-7 of the paper), and with heads and masks the attention that GroundingDINO,
GLIP and the package bidirectional-cross-attention compute. README.md beside this file tells how it works and why.

Shape legend: B batch, H heads, N and M positions of the two sides, D channels of a position.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .interaction_launches import Inputs, backward_launches, backward_outputs, forward_launches, forward_outputs
from .interaction_plan import MAX_D
from .launch import on, require_gpu

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
MAX_SPAN = 2**31
"""Elements from the first to the last of one (batch, head): kernels count in 32 bits within it."""


def interaction(
    q: Tensor,
    k: Tensor,
    v_motion: Tensor,
    v_semantic: Tensor,
    *,
    scale: float | None = None,
    n_mask: Tensor | None = None,
    m_mask: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Both directions of cross-attention from one score matrix that is never written to memory.

    Differentiable once, deterministic, free of host synchronisation; works under `torch.compile(fullgraph=True)` and in
    CUDA graphs. Products, sums and softmaxes are kept in float32.

    Args:
        q: [B, N, D] or, with heads, [B, H, N, D]; float32, bfloat16 or float16; 1 <= D <= 256. Any strides, so long as
            channels lie together: views of channels_last maps are taken as they are.
        k: [B, M, D] or [B, H, M, D], dtype and device as q; likewise the values.
        v_motion: what the N side gathers, shape of k.
        v_semantic: what the M side gathers, shape of q.
        scale: of the scores, above 0; D^-0.5 if None.
        n_mask: bool [B, N], True for positions that take part; None for all. Others have no weight for the M side, get
            zeros, and zero gradients. So does everything in a sample where one side has none that take part.
        m_mask: bool [B, M], likewise.

    Returns:
        What N gathered from v_motion, shape of q, and what M gathered from v_semantic, shape of k.

    Raises:
        TypeError: a dtype or device that is not supported, or tensors that differ in theirs.
        ValueError: a shape, layout or scale that is not supported.
    """
    scale = q.shape[-1] ** -0.5 if scale is None and q.dim() and q.shape[-1] else scale
    _check(Inputs(q, k, v_motion, v_semantic, 1.0 if scale is None else float(scale), n_mask, m_mask))
    results = torch.ops.semore_fast.interaction(q, k, v_motion, v_semantic, scale, n_mask, m_mask)
    return results[0], results[1]


def _check(inputs: Inputs) -> None:
    q, k = inputs.q, inputs.k
    if q.dim() not in (3, 4) or q.numel() == 0:
        raise ValueError(f"q must be [B, N, D] or [B, H, N, D] and not be empty, is {list(q.shape)}")
    if k.dim() != q.dim() or k.shape[:-2] != q.shape[:-2] or k.shape[-1] != q.shape[-1] or k.numel() == 0:
        raise ValueError(f"k must differ from q {list(q.shape)} in the last axis but one at most, is {list(k.shape)}")
    if q.shape[-1] > MAX_D:
        raise ValueError(f"q must have at most {MAX_D} channels, has {q.shape[-1]}")
    if not 0 < inputs.scale < math.inf:
        raise ValueError(f"scale must be above 0 and finite, is {inputs.scale}")
    for name, like in (("q", q), ("k", k), ("v_motion", k), ("v_semantic", q)):
        _check_tensor(name, getattr(inputs, name), like, q)
    for name, side in (("n_mask", q), ("m_mask", k)):
        _check_mask(name, getattr(inputs, name), side)


def _check_tensor(name: str, x: Tensor, like: Tensor, q: Tensor) -> None:
    if x.dtype not in DTYPES or x.dtype != q.dtype:
        raise TypeError(f"{name} must be float32, bfloat16 or float16 and of q's dtype {q.dtype}, is {x.dtype}")
    if x.device != q.device:
        raise TypeError(f"{name} must be on q's device {q.device}, is on {x.device}")
    require_gpu(name, x)
    if x.shape != like.shape:
        raise ValueError(f"{name} must have shape {list(like.shape)}, has {list(x.shape)}")
    if x.shape[-1] > 1 and x.stride(-1) != 1:
        raise ValueError(f"{name} must have its channels together in memory, has strides {x.stride()}")
    if (x.shape[-2] - 1) * x.stride(-2) + x.shape[-1] > MAX_SPAN:
        raise ValueError(f"{name} must span at most {MAX_SPAN} elements a sample, has strides {x.stride()}")


def _check_mask(name: str, mask: Tensor | None, side: Tensor) -> None:
    if mask is None:
        return
    wanted = [side.shape[0], side.shape[-2]]
    if mask.dtype != torch.bool:
        raise TypeError(f"{name} must be torch.bool, is {mask.dtype}")
    if mask.device != side.device:
        raise TypeError(f"{name} must be on q's device {side.device}, is on {mask.device}")
    if list(mask.shape) != wanted:
        raise ValueError(f"{name} must have shape {wanted}, has {list(mask.shape)}")


@torch.library.custom_op("semore_fast::interaction", mutates_args=())
def _forward(
    q: Tensor,
    k: Tensor,
    v_motion: Tensor,
    v_semantic: Tensor,
    scale: float,
    n_mask: Tensor | None,
    m_mask: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The two results and, for the backward pass, both sides' softmaxes (`forward_outputs`)."""
    outputs = forward_outputs(q, k)
    with on(q.device):
        for launch in forward_launches(Inputs(q, k, v_motion, v_semantic, scale, n_mask, m_mask), outputs):
            launch.run()
    return outputs


@_forward.register_fake
def _forward_fake(q: Tensor, k: Tensor, *_: object) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return forward_outputs(q, k)


@torch.library.custom_op("semore_fast::interaction_backward", mutates_args=())
def _backward(
    q: Tensor,
    k: Tensor,
    v_motion: Tensor,
    v_semantic: Tensor,
    scale: float,
    n_mask: Tensor | None,
    m_mask: Tensor | None,
    out_n: Tensor,
    out_m: Tensor,
    softmax_n: Tensor,
    softmax_m: Tensor,
    grad_n: Tensor,
    grad_m: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of q, k, v_motion, v_semantic."""
    inputs = Inputs(q, k, v_motion, v_semantic, scale, n_mask, m_mask)
    upstream = grad_n.contiguous(), grad_m.contiguous()
    gradients = backward_outputs(q, k)
    with on(q.device):
        for launch in backward_launches(inputs, (out_n, out_m, softmax_n, softmax_m), upstream, gradients):
            launch.run()
    return gradients


@_backward.register_fake
def _backward_fake(q: Tensor, k: Tensor, *_: object) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return backward_outputs(q, k)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    q, k, v_motion, v_semantic, ctx.scale, n_mask, m_mask = inputs
    ctx.save_for_backward(q, k, v_motion, v_semantic, n_mask, m_mask, *output)
    ctx.mark_non_differentiable(*output[2:])


def _differentiate(ctx: Any, grad_n: Tensor, grad_m: Tensor, *_: object) -> tuple[Tensor | None, ...]:
    q, k, v_motion, v_semantic, n_mask, m_mask, *outputs = ctx.saved_tensors
    inputs = q, k, v_motion, v_semantic, ctx.scale, n_mask, m_mask
    gradients = torch.ops.semore_fast.interaction_backward(*inputs, *outputs, grad_n, grad_m)
    return *gradients, None, None, None


def _refuse(ctx: Any, *_: object) -> None:
    raise NotImplementedError("interaction has no second derivative; use semore.ops.interaction where one is needed")


_forward.register_autograd(_differentiate, setup_context=_save)
_backward.register_autograd(_refuse)
