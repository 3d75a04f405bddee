"""Bidirectional cross-attention against everything else that computes it: `pytest bench/bench_interaction.py`.

On a GPU: bfloat16, the trainer's shapes and a detector's. Without one: small float32 batches, the rivals only; such
figures show that the benchmark works. Equality comes first: ours within twice the error of plain PyTorch in the same
dtype against float64, gradients too, and rivals near enough to show that they compute the same.

Work is counted as one pass over shared scores needs it: 6 NMD operations forward, of which rivals that compute the
scores twice do 8; 20 with the backward pass, of which they do 28; so equal rates mean equal times.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from checks import assert_as_exact
from gpu_timing import DEVICE, DTYPE, ON_GPU, OPTIONS, Call, Work, measure
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor
from torch.nn.attention.flex_attention import flex_attention

from semore import ops

Pair = tuple[Tensor, Tensor]
Attention = Callable[[Tensor, Tensor, Tensor, Tensor], Pair]
NEAR = 8
"""Times PyTorch's own error: what a rival may err and still count as the same operation."""


class Shape(NamedTuple):
    """Of one attention, [batch, heads, n or m, d]."""

    batch: int
    heads: int
    n: int
    m: int
    d: int

    def __str__(self) -> str:
        return "x".join(str(size) for size in self)

    def work(self, backward: bool) -> Work:
        """Forward reads 4 tensors and writes 2; the backward pass reads those 4 and 2 gradients, and writes 4."""
        scores = self.batch * self.heads * self.n * self.m
        side = self.batch * self.heads * (self.n + self.m) * self.d * DTYPE.itemsize  # one tensor of each side
        if backward:
            return Work(flops=20 * scores * self.d, exps=2 * scores, bytes=8 * side)
        return Work(flops=6 * scores * self.d, exps=scores, bytes=3 * side)


BATCH = 128 if ON_GPU else 2
SHAPES = [Shape(BATCH, 1, count, count, 32) for count in (36, 196, 784)]
DETECTOR = Shape(1, 4, 256, 13294, 256)
"""GroundingDINO's: a picture's positions against a sentence's."""


def reference(q: Tensor, k: Tensor, v_motion: Tensor, v_semantic: Tensor) -> Pair:
    to_n, to_m = ops.interaction(*(x.flatten(0, 1) for x in (q, k, v_motion, v_semantic)))
    return to_n.view_as(q), to_m.view_as(k)


def compiled() -> Attention:
    return torch.compile(reference, fullgraph=True, dynamic=False)


def sdpa_twice(q: Tensor, k: Tensor, v_motion: Tensor, v_semantic: Tensor) -> Pair:
    return F.scaled_dot_product_attention(q, k, v_motion), F.scaled_dot_product_attention(k, q, v_semantic)


def flex_twice() -> Attention:
    if not ON_GPU:
        pytest.skip("FlexAttention has no backward pass without a GPU")
    attend = torch.compile(flex_attention, fullgraph=True, dynamic=False)
    return lambda q, k, v_motion, v_semantic: (attend(q, k, v_motion), attend(k, q, v_semantic))


def ours() -> Attention:
    if not ON_GPU:
        pytest.skip("ours is a Triton kernel, and there is no GPU")
    from semore_fast.kernels.interaction import interaction

    return interaction


CONTESTANTS: dict[str, Callable[[], Attention]] = {
    "eager": lambda: reference,
    "compiled": compiled,
    "sdpa_twice": lambda: sdpa_twice,
    "flex_twice": flex_twice,
    "ours": ours,
}


def tensors(shape: Shape, dtype: torch.dtype) -> tuple[list[Tensor], list[Tensor]]:
    """Inputs, and gradients from above; the same numbers in every dtype."""
    torch.manual_seed(0)
    n_side, m_side = ((*shape[:2], count, shape.d) for count in (shape.n, shape.m))
    sizes = n_side, m_side, m_side, n_side, n_side, m_side
    all_six = [torch.randn(size, device=DEVICE).to(DTYPE).to(dtype) for size in sizes]
    return all_six[:4], all_six[4:]


def call_of(attention: Attention, shape: Shape, backward: bool, dtype: torch.dtype = DTYPE) -> Call:
    """Gives both results, or the gradients of all four inputs."""
    inputs, upstream = tensors(shape, dtype)
    if not backward:
        return lambda: attention(*inputs)
    for x in inputs:
        x.requires_grad_()
    return lambda: torch.autograd.grad(attention(*inputs), inputs, upstream)


@cache
def yardsticks(shape: Shape, backward: bool) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """What plain PyTorch gives in the same dtype, and in float64."""
    return tuple(call_of(reference, shape, backward, dtype)() for dtype in (DTYPE, torch.float64))


@cache
def made(contestant: str) -> Attention:
    """Once: both passes and all shapes share what was compiled."""
    torch._dynamo.config.recompile_limit = 64  # it would give up after 8 shapes
    return CONTESTANTS[contestant]()


@cache
def check_equal(contestant: str, shape: Shape) -> None:
    attention, factor = made(contestant), 2 if contestant == "ours" else NEAR
    for backward in (False, True):
        results = call_of(attention, shape, backward)()
        for mine, theirs, exact in zip(results, *yardsticks(shape, backward), strict=True):
            assert_as_exact(mine, theirs, exact, factor)


@pytest.mark.benchmark(**OPTIONS)
@pytest.mark.parametrize("contestant", CONTESTANTS)
@pytest.mark.parametrize("passes", ["forward", "forward+backward"])
@pytest.mark.parametrize("shape", [*SHAPES, DETECTOR], ids=str)
def test_interaction(benchmark: BenchmarkFixture, shape: Shape, passes: str, contestant: str) -> None:
    if shape == DETECTOR and not ON_GPU:
        pytest.skip("a detector's shape takes a GPU")
    benchmark.group = f"interaction {shape} {passes}"
    attention, backward = made(contestant), passes != "forward"
    try:
        call_of(attention, shape, backward=True)()
    except RuntimeError as error:
        if contestant == "ours":
            raise
        pytest.skip(f"{contestant} does not run {shape}: {str(error).strip().splitlines()[0]}")
    check_equal(contestant, shape)
    judged = contestant == "ours"
    measure(benchmark, contestant, call_of(attention, shape, backward), shape.work(backward), judged)
