"""From tensors to kernel launches of the interaction, and the list of all that is shipped.

Shape legend: B batch, H heads, N and M positions of the two sides, D channels of a position.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache, partial
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.runtime import driver

from .interaction_backward import GradientCarry, Gradients, backward_kernel, sum_kernel
from .interaction_forward import Carry, forward_kernel, merge_kernel
from .interaction_plan import Plan, plan
from .interaction_tiles import Side, Tile
from .launch import INTERPRETED, Launch

Four = tuple[Tensor, Tensor, Tensor, Tensor]


WGMMA_ARCH = 90


class Inputs(NamedTuple):
    """Of the interaction, as its caller gives them."""

    q: Tensor
    k: Tensor
    v_motion: Tensor
    v_semantic: Tensor
    scale: float
    n_mask: Tensor | None
    m_mask: Tensor | None


def forward_outputs(q: Tensor, k: Tensor) -> Four:
    """Unwritten: what N and M gather, and float32 [2, B, (H,) N or M] each: top and inverse (see `Side`)."""
    results = (torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in (q, k))
    softmaxes = (torch.empty((2, *x.shape[:-1]), dtype=torch.float32, device=x.device) for x in (q, k))
    return *results, *softmaxes


def backward_outputs(q: Tensor, k: Tensor) -> Four:
    """Unwritten: gradients of q, k, v_motion, v_semantic."""
    dq, dk, dv_motion, dv_semantic = (torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in (q, k, k, q))
    return dq, dk, dv_motion, dv_semantic


def forward_launches(inputs: Inputs, outputs: Four) -> Iterator[Launch]:
    """What computes `outputs`, as `forward_outputs` gives them."""
    inner, owned = _shorter_first(*_sides(inputs, outputs))
    chosen = _plan(inputs.q, inner, owned, backward=False)
    carry = Carry(None, None, None)
    if chosen.groups > 1:
        carry = Carry(_scratch(inputs.q, inner, chosen), *(_scratch(inputs.q, inner, chosen, 1) for _ in range(2)))
    shared = {"n_side": inner, "carry": carry, "heads": _heads(inputs.q), "tile": _tile(inner, owned, chosen)}
    shared["scale_log2"] = inputs.scale * math.log2(math.e)
    yield _main_launch(forward_kernel, inputs.q, chosen, shared | {"m_side": owned})
    if chosen.splits > 1:
        yield _merge_launch(merge_kernel, inputs.q, chosen, shared)


def backward_launches(
    inputs: Inputs, outputs: Four, upstream: tuple[Tensor, Tensor], gradients: Four
) -> Iterator[Launch]:
    """What computes `gradients`, as `backward_outputs` gives them.

    Args:
        inputs: of the forward pass.
        outputs: of the forward pass.
        upstream: gradients of its first two outputs, contiguous.
        gradients: to be written.
    """
    dq, dk, dv_motion, dv_semantic = gradients
    n_side, m_side = _sides(inputs, outputs)
    n_given, m_given = Gradients(upstream[0], dq, dv_semantic), Gradients(upstream[1], dk, dv_motion)
    inner, owned = _shorter_first(n_side, m_side)
    n_grad, m_grad = (n_given, m_given) if inner is n_side else (m_given, n_given)
    chosen = _plan(inputs.q, inner, owned, backward=True)
    carry = GradientCarry(None, None)
    if chosen.groups > 1:
        carry = GradientCarry(_scratch(inputs.q, inner, chosen), _scratch(inputs.q, inner, chosen))
    tile = _tile(inner, owned, chosen)
    shared = {"n_side": inner, "n_grad": n_grad, "carry": carry, "scale": inputs.scale, "tile": tile}
    own = {"m_side": owned, "m_grad": m_grad, "heads": _heads(inputs.q)}
    own["scale_log2"] = inputs.scale * math.log2(math.e)
    own["stabilised_tile"] = tile._replace(BLOCK_N=tl.constexpr(chosen.stabilised_block_n))
    yield _main_launch(backward_kernel, inputs.q, chosen, shared | own)
    if chosen.splits > 1:
        yield _merge_launch(sum_kernel, inputs.q, chosen, shared)


def _sides(inputs: Inputs, outputs: Four) -> tuple[Side, Side]:
    """The N side and the M side."""
    out_n, out_m, softmax_n, softmax_m = outputs
    return (
        _side(inputs.q, inputs.v_semantic, inputs.n_mask, out_n, softmax_n),
        _side(inputs.k, inputs.v_motion, inputs.m_mask, out_m, softmax_m),
    )


def _side(rows: Tensor, values: Tensor, mask: Tensor | None, out: Tensor, softmax: Tensor) -> Side:
    mask = rows if mask is None else mask.contiguous().view(torch.uint8)
    return Side(rows, values, mask, out, softmax[0], softmax[1], *_strides(rows), *_strides(values), rows.shape[-2])


def _strides(x: Tensor) -> tuple[int, int, int]:
    """Of position, batch, head."""
    return (x.stride(-2), x.stride(0), x.stride(1) if x.dim() == 4 else 0)


def _shorter_first(n_side: Side, m_side: Side) -> tuple[Side, Side]:
    """The operation is symmetric; programs share the longer side, and carry or merge results of the shorter."""
    return (n_side, m_side) if n_side.count <= m_side.count else (m_side, n_side)


def _heads(q: Tensor) -> int:
    return q.shape[1] if q.dim() == 4 else 1


def _batch_heads(q: Tensor) -> int:
    return q.shape[0] * _heads(q)


def _plan(q: Tensor, inner: Side, owned: Side, backward: bool) -> Plan:
    sizes = _batch_heads(q), inner.count, owned.count, q.shape[-1]
    return plan(*sizes, q.dtype, backward=backward, wgmma=_has_wgmma())


@cache
def _has_wgmma() -> bool:
    """Whether tensor cores read from shared memory (compute capability 9); the interpreter takes such GPUs' plans."""
    return INTERPRETED or driver.active.get_current_target().arch == WGMMA_ARCH


def _scratch(q: Tensor, inner: Side, chosen: Plan, width: int | None = None) -> Tensor:
    shape = (_batch_heads(q) * chosen.splits, inner.count, width or q.shape[-1])
    return torch.empty(shape, dtype=torch.float32, device=q.device)


def _tile(inner: Side, owned: Side, chosen: Plan) -> Tile:
    return Tile(
        D=tl.constexpr(inner.rows.shape[-1]),
        BLOCK_D=tl.constexpr(chosen.block_d),
        BLOCK_N=tl.constexpr(chosen.block_n),
        BLOCK_M=tl.constexpr(chosen.block_m),
        ONE_GROUP=tl.constexpr(chosen.groups_per_program == 1),
        SPLITS=tl.constexpr(chosen.splits),
        SHARED_EXP=tl.constexpr(inner.rows.dtype == torch.bfloat16),
        N_MASKED=tl.constexpr(inner.mask is not inner.rows),
        M_MASKED=tl.constexpr(owned.mask is not owned.rows),
        UPCAST=tl.constexpr(INTERPRETED),
    )


def _main_launch(kernel: triton.JITFunction, q: Tensor, chosen: Plan, arguments: dict[str, object]) -> Launch:
    return Launch(
        kernel=kernel,
        grid=(_batch_heads(q) * chosen.splits,),
        arguments=arguments | {"groups_per_program": chosen.groups_per_program},
        options={"num_warps": chosen.warps, "num_stages": chosen.stages},
    )


def _merge_launch(kernel: triton.JITFunction, q: Tensor, chosen: Plan, arguments: dict[str, object]) -> Launch:
    inner, tile = arguments["n_side"], arguments["tile"]
    assert isinstance(inner, Side)
    assert isinstance(tile, Tile)
    block_n = chosen.merge_block_n
    return Launch(
        kernel=kernel,
        grid=(_batch_heads(q), -(-inner.count // block_n)),
        arguments=arguments | {"tile": tile._replace(BLOCK_N=tl.constexpr(block_n))},
    )


def _shipped(
    backward: bool, shape: tuple[int, int, int, int], d: int, dtype: torch.dtype, masked: bool
) -> Iterator[Launch]:
    """Launches for [B, H, N, M], on the meta device."""
    b, h, n, m = shape
    q, k = (torch.empty((b, h, count, d), dtype=dtype, device="meta") for count in (n, m))
    masks = (torch.empty((b, count), dtype=torch.bool, device="meta") if masked else None for count in (n, m))
    inputs, outputs = Inputs(q, k, k, q, d**-0.5, *masks), forward_outputs(q, k)
    if backward:
        return backward_launches(inputs, outputs, outputs[:2], backward_outputs(q, k))
    return forward_launches(inputs, outputs)


def _all_shipped() -> Iterator[tuple[str, partial[Iterator[Launch]]]]:
    """The trainer's shapes, a detector's, and the largest tiles of every D and dtype."""
    bf16, fp16, fp32 = torch.bfloat16, torch.float16, torch.float32
    trainer = [((128, 1, n, n), 32, bf16, False) for n in (1, 36, 196, 784)]
    split = [((8, 1, 784, 784), 32, dtype, True) for dtype in (bf16, fp16, fp32)]
    widths = [((128, 1, 784, 784), d, dtype, True) for d in (16, 24, 64, 128) for dtype in (bf16, fp16, fp32)]
    detector = [((4, 4, 13294, 256), 256, bf16, True)]
    for shape, d, dtype, masked in trainer + split + widths + detector:
        for backward in (False, True):
            name = f"{'backward' if backward else 'forward'} {str(dtype)[6:]} B={shape[0]} H={shape[1]}"
            name += f" N={shape[2]} M={shape[3]} D={d}" + (" masked" if masked else "")
            yield name, partial(_shipped, backward, shape, d, dtype, masked)


SHIPPED = tuple(_all_shipped())
"""Names and launches, for the ahead-of-time check."""
