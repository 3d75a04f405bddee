"""Forward kernels of the interaction: both softmaxes of one score matrix that is never written to memory.

One program owns a (batch, head) and a run of groups of M positions. For each group it goes through all N positions:
what the M side gathers stays in registers and is final after the group; what the N side gathers is carried from group
to group in float32 scratch, which one program alone reads and writes, in a fixed order. Where more programs than
(batch, head)s are wanted, the groups are split over several, each with a carry of its own, and `merge_kernel` adds up.

Without stabilisers one exponential a score serves both directions. Where that is not safe, a pass before finds every
position's largest product; that costs the scores once more, and a second exponential.

GPUs compute exp2, so the scale is multiplied by log2(e). Products q k are transposed, [M, N], so that weights are at
once the left operand of what the M side gathers. A stabiliser is subtracted before the scale is multiplied: the
difference of two large products is exact where it matters.

Shape legend: N and M positions of the two sides, D channels of a position, S splits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import triton
import triton.language as tl

from .interaction_tiles import EXPONENT_LIMIT, dot, load_live, load_tile, row_sums, side_of, store_tile, weigh


class Carry(NamedTuple):
    """What the N side has gathered so far; float32 scratch of all programs, or of one. None where nothing is kept."""

    sums: Any
    """[batch, heads, S, N, D] weighted values."""
    total: Any
    """[batch, heads, S, N] weights."""
    top: Any
    """[batch, heads, S, N] what was subtracted from products q k before both."""


@triton.jit
def _store_result(side, positions, live, sums, total, top, tile):
    """Zeros where a position takes no part or has no partner."""
    some = live & (total != 0)
    inverse = tl.where(some, 1.0 / tl.where(some, total, 1.0), 0.0)
    exists = positions < side.count
    store_tile(side.out, positions, exists, tl.where(some[:, None], sums * inverse[:, None], 0.0), tile)
    tl.store(side.top + positions, tl.where(some, top, 0.0), mask=exists)
    tl.store(side.inverse + positions, inverse, mask=exists)


@triton.jit
def _outside(total, live):
    """1 where a live position's sum of exponentials needs a stabiliser, or is NaN."""
    inside = (total >= tl.exp2(-EXPONENT_LIMIT)) & (total <= tl.exp2(EXPONENT_LIMIT))
    return tl.where(live & (inside == 0), 1, 0)


@triton.jit
def _load_tops(tops, positions, live, STABILISED: tl.constexpr):
    """Zero where nothing is to be subtracted."""
    if STABILISED:
        top = tl.load(tops + positions, mask=live, other=0.0)
        return tl.where(top == float("-inf"), 0.0, top)
    else:  # needed: Triton also compiles what follows a return
        return tl.zeros_like(positions).to(tl.float32)


@triton.jit
def _load_carry(carry, ns, wanted, tile):
    """Zero where nothing is wanted."""
    if tile.ONE_GROUP:
        return tl.zeros([tile.BLOCK_N, tile.BLOCK_D], tl.float32), tl.zeros([tile.BLOCK_N], tl.float32)
    else:
        return load_tile(carry.sums, tile.D, ns, wanted, tile), tl.load(carry.total + ns, mask=wanted, other=0.0)


@triton.jit
def _store_n(n_side, carry, ns, live_n, sums, total, top, is_last, tile):
    """To the carry, or after the last group, if nobody else adds to it, as the result."""
    exists = ns < n_side.count
    if tile.ONE_GROUP and tile.SPLITS == 1:  # noqa: SIM114  # decided when compiling: there is no carry then
        _store_result(n_side, ns, live_n, sums, total, top, tile)
    elif is_last and tile.SPLITS == 1:
        _store_result(n_side, ns, live_n, sums, total, top, tile)
    else:
        store_tile(carry.sums, ns, exists, sums, tile)
        some = live_n & (total != 0)
        tl.store(carry.total + ns, tl.where(some, total, 0.0), mask=exists)
        tl.store(carry.top + ns, tl.where(some, top, float("-inf")), mask=exists)


@triton.jit
def _find_tops(n_side, m_side, tops_n, first, last, tile):
    """Each position's largest product with a live partner; minus infinity where there is none."""
    for group in range(first, last):
        ms = group * tile.BLOCK_M + tl.arange(0, tile.BLOCK_M)
        live_m = load_live(m_side, ms, tile.M_MASKED)
        k = load_tile(m_side.rows, m_side.stride, ms, live_m, tile)
        bias_m = tl.where(live_m, 0.0, float("-inf"))
        top_m = tl.full([tile.BLOCK_M], float("-inf"), tl.float32)
        for start in range(0, n_side.count, tile.BLOCK_N):
            ns = start + tl.arange(0, tile.BLOCK_N)
            live_n = load_live(n_side, ns, tile.N_MASKED)
            q = load_tile(n_side.rows, n_side.stride, ns, live_n, tile)
            products = dot(k, tl.trans(q), tile) + bias_m[:, None]
            top_m = tl.maximum(top_m, tl.max(products + tl.where(live_n, 0.0, float("-inf"))[None, :], 1))
            old_top_n = tl.load(tops_n + ns, mask=live_n & (group > first), other=float("-inf"))
            tl.store(tops_n + ns, tl.maximum(old_top_n, tl.max(products, 0)), mask=live_n)
        tl.store(m_side.top + ms, top_m, mask=live_m)
        tl.debug_barrier()  # what one thread has just stored, another may load


@triton.jit
def _gather_group(
    n_side, m_side, carry, tops_n, ms, live_m, is_first, is_last, scale_log2, tile, STABILISED: tl.constexpr
):
    """All N positions against one group of M positions; returns where sums left the range without a stabiliser."""
    outside = tl.zeros([tile.BLOCK_N], tl.int32)
    k = load_tile(m_side.rows, m_side.stride, ms, live_m, tile)
    v_m = load_tile(m_side.v, m_side.v_stride, ms, live_m, tile)
    bias_m = tl.where(live_m, 0.0, float("-inf"))
    top_m = _load_tops(m_side.top, ms, live_m, STABILISED)
    sums_m = tl.zeros([tile.BLOCK_M, tile.BLOCK_D], tl.float32)
    total_m = tl.zeros([tile.BLOCK_M], tl.float32)
    for start in range(0, n_side.count, tile.BLOCK_N):
        ns = start + tl.arange(0, tile.BLOCK_N)
        live_n = load_live(n_side, ns, tile.N_MASKED)
        q = load_tile(n_side.rows, n_side.stride, ns, live_n, tile)
        v_n = load_tile(n_side.v, n_side.v_stride, ns, live_n, tile)
        top_n = _load_tops(tops_n, ns, live_n, STABILISED)
        sums_n, total_n = _load_carry(carry, ns, live_n & (is_first == 0), tile)
        products = dot(k, tl.trans(q), tile)
        for_n, for_m = weigh(products, live_n, bias_m, top_n, top_m, scale_log2, v_n.dtype, STABILISED)
        for_n = tl.trans(for_n)
        sums_m += dot(for_m, v_n, tile)
        total_m += row_sums(for_m, live_n, tile)
        # The selection also keeps the sum out of the product, which Triton 3.6 fails to compile for sm_90.
        sums_n += tl.where(live_n[:, None], dot(for_n, v_m, tile), 0.0)
        total_n += row_sums(for_n, live_m, tile)
        _store_n(n_side, carry, ns, live_n, sums_n, total_n, top_n, is_last, tile)
        outside |= tl.where(is_last, _outside(total_n, live_n), 0)
    _store_result(m_side, ms, live_m, sums_m, total_m, top_m, tile)
    return tl.max(outside), tl.max(_outside(total_m, live_m))


@triton.jit
def _gather(n_side, m_side, carry, tops_n, first, last, scale_log2, tile, STABILISED: tl.constexpr):
    """Groups first..last-1; returns whether a sum left the range that needs no stabiliser."""
    outside_n, outside_m, some_m = 0, 0, 0
    for group in range(first, last):
        ms = group * tile.BLOCK_M + tl.arange(0, tile.BLOCK_M)
        live_m = load_live(m_side, ms, tile.M_MASKED)
        rows, columns = _gather_group(
            n_side, m_side, carry, tops_n, ms, live_m, group == first, group == last - 1, scale_log2, tile, STABILISED
        )
        outside_n |= rows
        outside_m |= columns
        some_m |= tl.max(tl.where(live_m, 1, 0))
        tl.debug_barrier()  # what one thread has just carried, another may load
    return (outside_n & some_m) | outside_m


@triton.jit
def forward_kernel(n_side, m_side, carry, heads, groups_per_program, scale_log2, tile):
    """Grid (batch * heads * splits).

    First without stabilisers; if a sum shows that this was not safe, everything once more with them.
    """
    program = tl.program_id(0)
    n, m = side_of(n_side, program // tile.SPLITS, heads, tile), side_of(m_side, program // tile.SPLITS, heads, tile)
    if carry.sums is not None:
        at = program.to(tl.int64) * n.count
        carry = Carry(carry.sums + at * tile.D, carry.total + at, carry.top + at)
    tops_n = carry.top if tile.SPLITS > 1 else n.top
    first = (program % tile.SPLITS) * groups_per_program
    last = tl.minimum(first + groups_per_program, tl.cdiv(m.count, tile.BLOCK_M))
    unsafe = True
    if tile.SHARED_EXP:
        unsafe = _gather(n, m, carry, tops_n, first, last, scale_log2, tile, False) != 0
    if unsafe:
        _find_tops(n, m, tops_n, first, last, tile)
        _gather(n, m, carry, tops_n, first, last, scale_log2, tile, True)


@triton.jit
def merge_kernel(n_side, carry, heads, scale_log2, tile):
    """Grid (batch * heads, blocks of N): adds up what the splits have gathered for the N side."""
    program = tl.program_id(0)
    n = side_of(n_side, program, heads, tile)
    ns = tl.program_id(1) * tile.BLOCK_N + tl.arange(0, tile.BLOCK_N)
    exists = ns < n.count
    first = program.to(tl.int64) * tile.SPLITS * n.count
    top = tl.full([tile.BLOCK_N], float("-inf"), tl.float32)
    for split in range(tile.SPLITS):
        top = tl.maximum(top, tl.load(carry.top + first + split * n.count + ns, mask=exists, other=float("-inf")))
    top = tl.where(top == float("-inf"), 0.0, top)
    sums = tl.zeros([tile.BLOCK_N, tile.BLOCK_D], tl.float32)
    total = tl.zeros([tile.BLOCK_N], tl.float32)
    for split in range(tile.SPLITS):
        at = first + split * n.count
        below = tl.load(carry.top + at + ns, mask=exists, other=float("-inf")) - top
        factor = tl.exp2(below * scale_log2)
        sums += load_tile(carry.sums + at * tile.D, tile.D, ns, exists, tile) * factor[:, None]
        total += tl.load(carry.total + at + ns, mask=exists, other=0.0) * factor
    _store_result(n, ns, exists, sums, total, top, tile)
