"""Each operation as the trainer calls it: eager and compiled PyTorch, then the backends named by `--kernels`.

    pytest bench/bench_ops.py --benchmark-only [--kernels triton,my_package.my_ops]

On a GPU: bfloat16 and the preset paper; without one: float32, the preset laptop and one thread. Equality comes first:
where an operation computes, errors against float64 at most twice those of plain PyTorch in the same dtype, gradients
too; where it moves data, the same bits. What torch.compile makes may round a little otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import pytest
import torch
from checks import assert_as_exact
from gpu_timing import DEVICE, DTYPE, ON_GPU, OPTIONS, Call, Work, measure
from op_cases import interaction_inputs, similarity_inputs, trunk_inputs
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from semore.networks import TRUNKS
from semore.ops import REFERENCE, FrameStore, InputSpec
from semore_fast.backend import OPS, choose_ops

torch.set_num_threads(1)
NEAR = 8
"""Times PyTorch's own error: what torch.compile may err and still count as the same operation."""
BATCH, PIXELS, SIDE, WINDOW, REDUCED = (128, 128, 57, 7, 28) if ON_GPU else (64, 32, 3, 3, 3)
"""Of the presets paper and laptop: minibatch, picture, map, SSIM's window, map in attention."""
TRUNK = TRUNKS["sacae" if ON_GPU else "sacae-small"]
LAYERS = len(TRUNK.kernels)
STACK, REACH, CHANNELS = 3, 4, 32


class Case(NamedTuple):
    """One operation's inputs."""

    inputs: Callable[[torch.dtype], tuple[Tensor, ...]]
    """Tensors in the dtype; empty where an operation moves data."""
    rest: tuple[object, ...]
    """Further arguments, in front of none."""
    learnt: int
    """How many of the tensors get a gradient."""
    work: Callable[[bool], Work]


@cache
def frames_case() -> Case:
    torch.manual_seed(0)
    held = 4 * BATCH
    frames = torch.randint(0, 256, (held, 3, PIXELS, PIXELS), dtype=torch.uint8)
    masks = torch.randint(0, 256, (held, PIXELS, PIXELS), dtype=torch.uint8)
    slots = torch.randint(0, held, (BATCH, STACK))
    shift = torch.randint(-REACH, REACH + 1, (BATCH, 2))
    store = FrameStore(frames.to(DEVICE), masks.to(DEVICE))
    spec = InputSpec(offset=0.5, residual="signed", masked=True, dtype=DTYPE)
    picture = BATCH * PIXELS * PIXELS
    read, written = picture * (3 * STACK + 1), picture * (6 * STACK + 3 * (STACK - 1)) * DTYPE.itemsize
    work = Work(flops=0, exps=0, bytes=read + written)
    return Case(lambda _: (), (store, slots.to(DEVICE), shift.to(DEVICE), spec), 0, lambda _: work)


def similarity_case() -> Case:
    def inputs(dtype: torch.dtype) -> tuple[Tensor, ...]:
        torch.manual_seed(0)
        made = similarity_inputs(BATCH, CHANNELS, SIDE, SIDE, DTYPE, DEVICE)
        return tuple(x.to(dtype) for x in made)

    one = BATCH * CHANNELS * SIDE * SIDE * DTYPE.itemsize
    return Case(inputs, (WINDOW,), 1, lambda backward: Work(flops=0, exps=0, bytes=(5 if backward else 2) * one))


def interaction_case() -> Case:
    count = REDUCED * REDUCED

    def inputs(dtype: torch.dtype) -> tuple[Tensor, ...]:
        torch.manual_seed(0)
        return tuple(x.to(dtype) for x in interaction_inputs(BATCH, count, count, CHANNELS, DTYPE, DEVICE))

    scores, one = BATCH * count * count, BATCH * count * CHANNELS * DTYPE.itemsize

    def work(backward: bool) -> Work:
        """6 tensors forward, 10 backward; products and exponentials of one pass over shared scores."""
        passes = 2 if backward else 1
        return Work(
            flops=(20 if backward else 6) * scores * CHANNELS, exps=passes * scores, bytes=(16, 6)[passes == 1] * one
        )

    return Case(inputs, (), 4, work)


def trunk_case() -> Case:
    """Weights and biases first, which learn; then the picture, which does not."""
    given = 3 * STACK, PIXELS, TRUNK.kernels, TRUNK.channels[0]

    def inputs(dtype: torch.dtype) -> tuple[Tensor, ...]:
        torch.manual_seed(0)
        picture, *parameters = trunk_inputs(BATCH, *given, DTYPE, DEVICE)
        return tuple(x.to(dtype) for x in (*parameters, picture))

    side, channels, products = PIXELS, 3 * STACK, []
    for kernel, stride, out in zip(TRUNK.kernels, TRUNK.strides, TRUNK.channels, strict=True):
        side = (side - kernel) // stride + 1
        products.append(2 * BATCH * side * side * out * kernel * kernel * channels)
        channels = out
    moved = BATCH * (PIXELS * PIXELS * 3 * STACK + side * side * channels)

    def work(backward: bool) -> Work:
        """Gradients of all weights, and of all maps; picture and result read and written once a pass."""
        flops = 3 * sum(products) - products[0] if backward else sum(products)
        return Work(flops=flops, exps=0, bytes=(2 if backward else 1) * moved * DTYPE.itemsize)

    return Case(inputs, (), 2 * LAYERS, work)


CASES = {
    "encoder_inputs": frames_case,
    "trunk": trunk_case,
    "interaction": interaction_case,
    "ssim_distance": similarity_case,
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """For every operation eager, compiled and the backends that have it; also with gradients where it learns."""
    ours = {name: choose_ops(name, DEVICE)[1] for name in metafunc.config.getoption("--kernels")}
    contests = [
        (op, passes, contestant)
        for op in OPS
        for passes in ("forward", "forward+backward")[: 1 + (CASES[op]().learnt > 0)]
        for contestant in ("eager", "compiled", *(n for n, choices in ours.items() if choices[op].backend == n))
    ]
    metafunc.parametrize(("op", "passes", "contestant"), contests, ids=["-".join(contest) for contest in contests])


@cache
def function(op: str, contestant: str) -> Callable[..., object]:
    plain = spread(op, getattr(REFERENCE, op))
    if contestant == "eager":
        return plain
    if contestant == "compiled":
        return torch.compile(plain, fullgraph=True, dynamic=False)
    return spread(op, getattr(choose_ops(contestant, DEVICE)[0], op))


def spread(op: str, made: Callable[..., object]) -> Callable[..., object]:
    """With every tensor an argument of its own, as its case has them."""
    if op != "trunk":
        return made
    return lambda *x: made(x[-1], x[:LAYERS], x[LAYERS : 2 * LAYERS], TRUNK.strides)


def call_of(op: str, contestant: str, backward: bool, dtype: torch.dtype = DTYPE) -> Call:
    """Gives all results as a tuple; with `backward` the gradients of their sum by what learns."""
    case, made = CASES[op](), function(op, contestant)
    inputs = case.inputs(dtype)
    leaves = [x.requires_grad_(backward) for x in inputs[: case.learnt]]

    def results() -> tuple[Tensor, ...]:
        out = made(*inputs, *case.rest)
        return (out,) if isinstance(out, Tensor) else tuple(out)  # type: ignore[arg-type]

    if not backward:
        return results
    upstream = [torch.ones_like(x) for x in results()]
    return lambda: torch.autograd.grad(results(), leaves, upstream)


def check_equal(op: str, contestant: str, backward: bool) -> None:
    mine, plain = (call_of(op, name, backward)() for name in (contestant, "eager"))
    if not CASES[op]().learnt:
        for got, right in zip(mine, plain, strict=True):
            error = (got.double() - right.double()).abs().max().item()
            assert error <= (torch.finfo(DTYPE).eps if contestant == "compiled" else 0), error
        return
    exact = call_of(op, "eager", backward, torch.float64)()
    for trio in zip(mine, plain, exact, strict=True):
        assert_as_exact(*trio, NEAR if contestant == "compiled" else 2)


@pytest.mark.benchmark(**OPTIONS)
def test_op(benchmark: BenchmarkFixture, op: str, passes: str, contestant: str) -> None:
    benchmark.group = f"{op} {passes}"
    backward = passes != "forward"
    check_equal(op, contestant, backward)
    judged = contestant not in ("eager", "compiled")
    measure(benchmark, contestant, call_of(op, contestant, backward), CASES[op]().work(backward), judged)
