"""Other people's models as shipped, compiled, and with our attention: `pytest bench/bench_foreign_models.py`.

Sizes are their own: GroundingDINO's fusion layer for one picture of 800 x 1066 and 256 words, and the example of
bidirectional-cross-attention's README. bfloat16 on a GPU; without one, small float32 sizes that show that it works.
Equality comes first, as in tests/interpreted/test_foreign_models.py.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import cache
from typing import NamedTuple

import pytest
import torch
from checks import assert_as_exact
from gpu_timing import DEVICE, DTYPE, ON_GPU, OPTIONS, Call, measure
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor, nn

NEAR = 8
"""As in bench_interaction.py: for the compiled module."""


class Setting(NamedTuple):
    """A module that takes two sides, their sizes [batch, positions, channels], and what fuses it."""

    module: nn.Module
    sizes: tuple[tuple[int, int, int], tuple[int, int, int]]
    fuse: Callable[[nn.Module], nn.Module]
    results: Callable[[object], tuple[Tensor, Tensor]]


def grounding_dino() -> Setting:
    library = pytest.importorskip("transformers.models.grounding_dino.modeling_grounding_dino")
    from transformers import GroundingDinoConfig

    def fuse(module: nn.Module) -> nn.Module:
        import fused_grounding_dino

        return fused_grounding_dino.fuse(module)

    module = library.GroundingDinoFusionLayer(GroundingDinoConfig(fusion_droppath=0.0))
    sizes = (1, 13294 if ON_GPU else 340, 256), (1, 256 if ON_GPU else 8, 256)
    return Setting(module, sizes, fuse, lambda given: (given[0][0], given[1][0]))


def bidirectional_cross_attention() -> Setting:
    library = pytest.importorskip("bidirectional_cross_attention")

    def fuse(module: nn.Module) -> nn.Module:
        import fused_bidirectional_cross_attention

        return fused_bidirectional_cross_attention.fuse(module)

    module = library.BidirectionalCrossAttention(dim=512, heads=8, dim_head=64, context_dim=386)
    sizes = (1, 4096 if ON_GPU else 64, 512), (1, 8192 if ON_GPU else 128, 386)
    return Setting(module, sizes, fuse, tuple)


MODELS = {"grounding_dino": grounding_dino, "bidirectional_cross_attention": bidirectional_cross_attention}


@cache
def setting(model: str) -> Setting:
    torch.manual_seed(0)
    made = MODELS[model]()
    with torch.no_grad():
        for parameter in made.module.parameters():  # scales that start at 1e-4 would hide the attention
            parameter.add_(0.02 * torch.randn_like(parameter))
    return made._replace(module=made.module.to(DEVICE, DTYPE))


@cache
def contestant_of(model: str, contestant: str) -> nn.Module:
    module = deepcopy(setting(model).module)
    if contestant == "compiled":
        module.compile(dynamic=False)
    if contestant == "ours":
        if not ON_GPU:
            pytest.skip("ours is a Triton kernel, and there is no GPU")
        setting(model).fuse(module)
    return module


def call_of(model: str, module: nn.Module, backward: bool) -> Call:
    """Gives both results, or the gradients of both sides and all parameters, in the module's own dtype."""
    dtype = next(module.parameters()).dtype
    torch.manual_seed(1)
    sides = [torch.randn(size).to(DEVICE, DTYPE).to(dtype) for size in setting(model).sizes]
    upstream = [torch.randn(size).to(DEVICE, DTYPE).to(dtype) for size in setting(model).sizes]
    if not backward:
        return torch.no_grad()(lambda: setting(model).results(module(*sides)))
    wanted = [*(side.requires_grad_() for side in sides), *module.parameters()]
    return lambda: torch.autograd.grad(setting(model).results(module(*sides)), wanted, upstream)


@cache
def yardsticks(model: str, backward: bool) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """What the module gives as shipped, and in float64."""
    module = setting(model).module
    return tuple(call_of(model, m, backward)() for m in (module, deepcopy(module).double()))


@cache
def check_equal(model: str, contestant: str) -> None:
    module, factor = contestant_of(model, contestant), 2 if contestant == "ours" else NEAR
    for backward in (False, True):
        trio = call_of(model, module, backward)(), *yardsticks(model, backward)
        for mine, theirs, exact in zip(*trio, strict=True):
            assert_as_exact(mine, theirs, exact, factor)


@pytest.mark.benchmark(**OPTIONS)
@pytest.mark.parametrize("contestant", ["shipped", "compiled", "ours"])
@pytest.mark.parametrize("passes", ["forward", "forward+backward"])
@pytest.mark.parametrize("model", MODELS)
def test_model(benchmark: BenchmarkFixture, model: str, passes: str, contestant: str) -> None:
    benchmark.group = f"{model} {passes}"
    module = contestant_of(model, contestant)
    check_equal(model, contestant)
    measure(benchmark, contestant, call_of(model, module, passes != "forward"), judged=contestant == "ours")
