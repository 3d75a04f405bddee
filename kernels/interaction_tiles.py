"""What the interaction's forward and backward kernels share: how the two sides are described, loaded and stored.

Shape legend: N and M positions of the two sides, D channels of a position.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import triton
import triton.language as tl

EXPONENT_LIMIT = tl.constexpr(60.0)
"""Rows and columns whose log2-sum-exp lies within +-60 need no stabiliser in float32: weights that matter are at least
2^-60 2^-24, far above the smallest normal number 2^-126, and sums stay far below the largest, 2^127."""


class Side(NamedTuple):
    """One side: tensors of the whole batch, or, inside a kernel, of one (batch, head)."""

    rows: Any
    """Queries (N side) or keys (M side) [batch, heads, count, D]."""
    v: Any
    """What the other side gathers, same shape."""
    mask: Any
    """uint8 [batch, count], 0 for positions that take no part; any tensor where `Tile` says that there is no mask.
    (Not None, which compiled functions cannot return.)"""
    out: Any
    """What this side gathers, contiguous, same shape."""
    top: Any
    """Of this side's softmax, float32 [batch, heads, count]: what was subtracted from products q k. A weight is
    exp2((q k - top) scale log2(e)) inverse; one log-sum-exp instead of the two would cost float32 some of its bits."""
    inverse: Any
    """1 / sum of exp2((q k - top) scale log2(e)), likewise; 0 where nothing was gathered."""
    stride: Any
    """Of positions, in rows; then of batches and heads, and all three in v."""
    batch_stride: Any
    head_stride: Any
    v_stride: Any
    v_batch_stride: Any
    v_head_stride: Any
    count: Any
    """Positions."""


class Tile(NamedTuple):
    """What a kernel is compiled for."""

    D: tl.constexpr
    BLOCK_D: tl.constexpr
    """D padded to a power of two of at least 16."""
    BLOCK_N: tl.constexpr
    BLOCK_M: tl.constexpr
    ONE_GROUP: tl.constexpr
    """Whether a program has a single group of M positions, so that it never reads its carry."""
    SPLITS: tl.constexpr
    """Programs that share a (batch, head)."""
    SHARED_EXP: tl.constexpr
    """Whether one exponential may serve both directions: in bfloat16. Float16 has too few exponents, and float32 is
    bound by its products, not by exponentials."""
    N_MASKED: tl.constexpr
    M_MASKED: tl.constexpr
    UPCAST: tl.constexpr
    """For the interpreter, whose products of bfloat16 are wrong."""


@triton.jit
def side_of(side, program, heads, tile):
    """The part of a side that belongs to one (batch, head)."""
    batch, head = (program // heads).to(tl.int64), (program % heads).to(tl.int64)
    positions = program.to(tl.int64) * side.count
    return Side(
        side.rows + batch * side.batch_stride + head * side.head_stride,
        side.v + batch * side.v_batch_stride + head * side.v_head_stride,
        side.mask + batch * side.count,
        side.out + positions * tile.D,
        side.top + positions,
        side.inverse + positions,
        side.stride,
        side.batch_stride,
        side.head_stride,
        side.v_stride,
        side.v_batch_stride,
        side.v_head_stride,
        side.count,
    )


@triton.jit
def load_live(side, positions, MASKED: tl.constexpr):
    """Which of the positions exist and take part."""
    live = positions < side.count
    if MASKED:
        live = live & (tl.load(side.mask + positions, mask=live, other=0) != 0)
    return live


@triton.jit
def load_tile(base, stride, positions, wanted, tile):
    """[positions, BLOCK_D]; zero where a position is not wanted and in the padding of D."""
    channels = tl.arange(0, tile.BLOCK_D)
    wanted = wanted[:, None]
    if tile.D != tile.BLOCK_D:
        wanted = wanted & (channels < tile.D)[None, :]
    return tl.load(base + positions[:, None] * stride + channels[None, :], mask=wanted, other=0.0)


@triton.jit
def store_tile(base, positions, wanted, values, tile):
    """Into contiguous [count, D], rounded to its dtype."""
    channels = tl.arange(0, tile.BLOCK_D)
    wanted = wanted[:, None]
    if tile.D != tile.BLOCK_D:
        wanted = wanted & (channels < tile.D)[None, :]
    tl.store(base + positions[:, None] * tile.D + channels[None, :], values.to(base.dtype.element_ty), mask=wanted)


@triton.jit
def dot(a, b, tile):
    """Matrix product in float32.

    Float32 operands are multiplied as they are: 3xTF32 would be faster, but drops a term of relative size 2^-22, which
    is not safely within twice the error of PyTorch's float32.
    """
    if tile.UPCAST:
        a, b = a.to(tl.float32), b.to(tl.float32)
    return tl.dot(a, b, input_precision="ieee")


@triton.jit
def row_sums(a, wanted, tile):
    """Of a [rows, wanted], over what is wanted; where tensor cores multiply, as a product, which needs no shuffles."""
    if a.dtype == tl.float32:
        return tl.sum(tl.where(wanted[None, :], a, 0.0), 1)
    else:
        ones = tl.where(wanted, 1.0, 0.0).to(a.dtype)[:, None].broadcast_to(wanted.shape[0], 16)
        return tl.sum(dot(a, ones, tile), 1) * (1 / 16)


@triton.jit
def weigh(products, live_n, bias_m, top_n, top_m, scale_log2, dtype: tl.constexpr, STABILISED: tl.constexpr):
    """Weights of both softmaxes, before division by their sums, from products k q [M, N]; rounded to `dtype`.

    Stabilised, two exponentials a score. Not stabilised, one, and weights of rows that are not live are then wrong for
    the M side, where they only meet zeros.
    """
    if STABILISED:
        products += bias_m[:, None] + tl.where(live_n, 0.0, float("-inf"))[None, :]
        for_n, for_m = (products - top_n[None, :]) * scale_log2, (products - top_m[:, None]) * scale_log2
        return tl.exp2(for_n).to(dtype), tl.exp2(for_m).to(dtype)
    else:
        weights = tl.exp2(products * scale_log2 + bias_m[:, None]).to(dtype)
        return weights, weights
