"""Backward kernels of the interaction: scores are computed once more, both softmaxes and all four gradients from them.

With weights P_n = exp2((Q K^T - top_n) scale log2(e)) inverse_n of the softmax over M and P_m, likewise,
of that over N, upstream gradients G_n and G_m, and delta = sum over channels of G * out,

    dS = P_n (G_n V_m^T - delta_n) + P_m (V_n G_m^T - delta_m)
    dQ = scale dS K        dK = scale dS^T Q        dV_m = P_n^T G_n        dV_n = P_m G_m

Work is divided as in the forward kernel: dK and dV_m of a group stay in registers, dQ and dV_n are carried from group
to group in a fixed order, without atomics. Products are transposed, [M, N].

Shape legend: N and M positions of the two sides, D channels of a position, S splits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import triton
import triton.language as tl

from .interaction_tiles import dot, load_live, load_tile, side_of, store_tile, weigh


class Gradients(NamedTuple):
    """Of one side; contiguous tensors [batch, heads, count, D]."""

    out: Any
    """Given: of what the side gathered."""
    rows: Any
    """Wanted: of its queries or keys."""
    v: Any
    """Wanted."""


class GradientCarry(NamedTuple):
    """The N side's gradients so far; float32 scratch of all programs, or of one. None where nothing is kept."""

    rows: Any
    """[batch, heads, S, N, D]"""
    v: Any
    """[batch, heads, S, N, D]"""


@triton.jit
def _gradients_of(gradients, program, count, tile):
    """The part that belongs to one (batch, head)."""
    at = program.to(tl.int64) * count * tile.D
    return Gradients(gradients.out + at, gradients.rows + at, gradients.v + at)


@triton.jit
def _unstabilised(side, BLOCK: tl.constexpr):
    """Whether nothing was subtracted from any of this side's scores."""
    none = tl.full([BLOCK], 1, tl.int32)
    for start in range(0, side.count, BLOCK):
        positions = start + tl.arange(0, BLOCK)
        none &= tl.where(tl.load(side.top + positions, mask=positions < side.count, other=0.0) == 0, 1, 0)
    return tl.min(none)


@triton.jit
def _load_outcome(side, gradients, positions, live, tile):
    """Upstream gradient and its delta, top and inverse; a position that is not live has no gradient and no weight."""
    gradient = load_tile(gradients.out, tile.D, positions, live, tile)
    out = load_tile(side.out, tile.D, positions, live, tile)
    delta = tl.sum(gradient.to(tl.float32) * out.to(tl.float32), 1)
    top = tl.load(side.top + positions, mask=live, other=0.0)
    return gradient, delta, top, tl.load(side.inverse + positions, mask=live, other=0.0)


@triton.jit
def _store_n(side, gradients, carry, ns, d_rows, d_values, scale, is_last, tile):
    """To the carry, or after the last group, if nobody else adds to it, as the result."""
    exists = ns < side.count
    if tile.ONE_GROUP and tile.SPLITS == 1:  # noqa: SIM114  # decided when compiling: there is no carry then
        store_tile(gradients.rows, ns, exists, d_rows * scale, tile)
        store_tile(gradients.v, ns, exists, d_values, tile)
    elif is_last and tile.SPLITS == 1:
        store_tile(gradients.rows, ns, exists, d_rows * scale, tile)
        store_tile(gradients.v, ns, exists, d_values, tile)
    else:
        store_tile(carry.rows, ns, exists, d_rows, tile)
        store_tile(carry.v, ns, exists, d_values, tile)


@triton.jit
def _backward_group(n, m, of_n, of_m, carry, ms, is_first, is_last, scale, scale_log2, tile, STABILISED: tl.constexpr):
    """All N positions against one group of M positions."""
    live_m = load_live(m, ms, tile.M_MASKED)
    k = load_tile(m.rows, m.stride, ms, live_m, tile)
    v_m = load_tile(m.v, m.v_stride, ms, live_m, tile)
    g_m, delta_m, top_m, inverse_m = _load_outcome(m, of_m, ms, live_m, tile)
    bias_m = tl.where(live_m, 0.0, float("-inf"))
    d_k = tl.zeros([tile.BLOCK_M, tile.BLOCK_D], tl.float32)
    d_v_m = tl.zeros([tile.BLOCK_M, tile.BLOCK_D], tl.float32)
    for start in range(0, n.count, tile.BLOCK_N):
        ns = start + tl.arange(0, tile.BLOCK_N)
        live_n = load_live(n, ns, tile.N_MASKED)
        q = load_tile(n.rows, n.stride, ns, live_n, tile)
        v_n = load_tile(n.v, n.v_stride, ns, live_n, tile)
        g_n, delta_n, top_n, inverse_n = _load_outcome(n, of_n, ns, live_n, tile)
        d_q = tl.zeros([tile.BLOCK_N, tile.BLOCK_D], tl.float32)
        d_v_n = tl.zeros([tile.BLOCK_N, tile.BLOCK_D], tl.float32)
        if not tile.ONE_GROUP:
            d_q = load_tile(carry.rows, tile.D, ns, live_n & (is_first == 0), tile)
            d_v_n = load_tile(carry.v, tile.D, ns, live_n & (is_first == 0), tile)
        products = dot(k, tl.trans(q), tile)
        # Rounded as in the forward kernel, or they would not add up to 1.
        p_n, p_m = weigh(products, live_n, bias_m, top_n, top_m, scale_log2, k.dtype, STABILISED)
        p_n, p_m = p_n.to(tl.float32) * inverse_n[None, :], p_m.to(tl.float32) * inverse_m[:, None]
        d_scores = p_n * (dot(v_m, tl.trans(g_n), tile) - delta_n[None, :])
        d_scores += p_m * (dot(g_m, tl.trans(v_n), tile) - delta_m[:, None])
        d_scores = d_scores.to(k.dtype)
        d_v_m += dot(p_n.to(k.dtype), g_n, tile)
        d_k += dot(d_scores, q, tile)
        # The selections also keep the sums out of the products, which Triton 3.6 fails to compile for sm_90.
        d_q += tl.where(live_n[:, None], dot(tl.trans(d_scores), k, tile), 0.0)
        d_v_n += tl.where(live_n[:, None], dot(tl.trans(p_m.to(k.dtype)), g_m, tile), 0.0)
        _store_n(n, of_n, carry, ns, d_q, d_v_n, scale, is_last, tile)
    store_tile(of_m.rows, ms, ms < m.count, tl.where(live_m[:, None], d_k * scale, 0.0), tile)
    store_tile(of_m.v, ms, ms < m.count, tl.where(live_m[:, None], d_v_m, 0.0), tile)


@triton.jit
def _backward_groups(n, m, of_n, of_m, carry, first, last, scale, scale_log2, tile, STABILISED: tl.constexpr):
    for group in range(first, last):
        ms = group * tile.BLOCK_M + tl.arange(0, tile.BLOCK_M)
        _backward_group(
            n, m, of_n, of_m, carry, ms, group == first, group == last - 1, scale, scale_log2, tile, STABILISED
        )
        tl.debug_barrier()  # what one thread has just carried, another may load


@triton.jit
def backward_kernel(
    n_side, m_side, n_grad, m_grad, carry, heads, groups_per_program, scale, scale_log2, tile, stabilised_tile
):
    """Grid (batch * heads * splits).

    `stabilised_tile` is `tile`, but for fewer N positions at a time: two exponentials a score need more registers.
    """
    program = tl.program_id(0)
    owned = program // tile.SPLITS
    n, m = side_of(n_side, owned, heads, tile), side_of(m_side, owned, heads, tile)
    of_n, of_m = _gradients_of(n_grad, owned, n.count, tile), _gradients_of(m_grad, owned, m.count, tile)
    if carry.rows is not None:
        at = program.to(tl.int64) * n.count * tile.D
        carry = GradientCarry(carry.rows + at, carry.v + at)
    first = (program % tile.SPLITS) * groups_per_program
    last = tl.minimum(first + groups_per_program, tl.cdiv(m.count, tile.BLOCK_M))
    stabilised = True
    if tile.SHARED_EXP:
        stabilised = (_unstabilised(n, 1024) & _unstabilised(m, 1024)) == 0
    if stabilised:
        _backward_groups(n, m, of_n, of_m, carry, first, last, scale, scale_log2, stabilised_tile, True)
    else:
        _backward_groups(n, m, of_n, of_m, carry, first, last, scale, scale_log2, tile, False)


@triton.jit
def sum_kernel(n_side, n_grad, carry, scale, tile):
    """Grid (batch * heads, blocks of N): adds up the splits' gradients of the N side."""
    program = tl.program_id(0)
    of_n = _gradients_of(n_grad, program, n_side.count, tile)
    ns = tl.program_id(1) * tile.BLOCK_N + tl.arange(0, tile.BLOCK_N)
    exists = ns < n_side.count
    rows = tl.zeros([tile.BLOCK_N, tile.BLOCK_D], tl.float32)
    values = tl.zeros([tile.BLOCK_N, tile.BLOCK_D], tl.float32)
    for split in range(tile.SPLITS):
        at = (program.to(tl.int64) * tile.SPLITS + split) * n_side.count * tile.D
        rows += load_tile(carry.rows + at, tile.D, ns, exists, tile)
        values += load_tile(carry.v + at, tile.D, ns, exists, tile)
    store_tile(of_n.rows, ns, exists, rows * scale, tile)
    store_tile(of_n.v, ns, exists, values, tile)
