"""Every twin against its definition; yours too: `pytest tests/test_twins.py --kernels my_package.my_ops`.

Where a twin computes, its error against float64 is at most twice plain PyTorch's in the same dtype, gradients included;
where it moves data, it gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import op_cases
import pytest
import torch
from checks import assert_as_exact
from torch import Tensor

from semore.ops import REFERENCE, InputSpec
from semore_fast.backend import OPS, choose_ops

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
DTYPES = (torch.float32, torch.bfloat16)
Results = list[Tensor]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each backend that has the operation that the test names by its fixture `twin_of_OP`."""
    for fixture in metafunc.fixturenames:
        if fixture.startswith("twin_of_"):
            op = fixture.removeprefix("twin_of_")
            names = metafunc.config.getoption("--kernels")
            chosen = {name: choose_ops(name, DEVICE) for name in names}
            having = [name for name, (_, choices) in chosen.items() if choices[op].backend == name]
            metafunc.parametrize(fixture, [getattr(chosen[name][0], op) for name in having], ids=having)


def forward_and_gradients(
    op: Callable[..., Tensor | tuple[Tensor, ...]], inputs: tuple[Tensor, ...], *rest: int, dtype: torch.dtype
) -> Results:
    """Outputs, then the gradient of a fixed weighting of them by every input."""
    leaves = [x.detach().to(dtype).requires_grad_() for x in inputs]
    outputs = op(*leaves, *rest)
    outputs = (outputs,) if isinstance(outputs, Tensor) else outputs
    generator = torch.Generator().manual_seed(1)
    coarse = [torch.randn(y.shape, generator=generator).to(inputs[0].dtype) for y in outputs]
    weights = [weight.to(y.device, y.dtype) for weight, y in zip(coarse, outputs, strict=True)]
    gradients = torch.autograd.grad(outputs, leaves, weights)
    return [*(y.detach() for y in outputs), *gradients]


def assert_twins(twin, definition, inputs: tuple[Tensor, ...], *rest: int) -> None:
    dtype = inputs[0].dtype
    mine = forward_and_gradients(twin, inputs, *rest, dtype=dtype)
    plain = forward_and_gradients(definition, inputs, *rest, dtype=dtype)
    exact = forward_and_gradients(definition, inputs, *rest, dtype=torch.float64)
    for index, (got, torch_got, wanted) in enumerate(zip(mine, plain, exact, strict=True)):
        assert_as_exact(got, torch_got, wanted, name=f"result {index}")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", op_cases.INTERACTION)
def test_interaction(twin_of_interaction, shape, dtype):
    inputs = op_cases.interaction_inputs(*shape, dtype, DEVICE)
    assert_twins(twin_of_interaction, REFERENCE.interaction, inputs)


@pytest.mark.parametrize("shape", op_cases.TRUNK)
def test_trunk(twin_of_trunk, shape):
    batch, channels, side, kernels, strides, out = shape
    inputs = op_cases.trunk_inputs(batch, channels, side, kernels, out, torch.float32, DEVICE)

    def over(op):
        return lambda x, *parameters: op(x, parameters[: len(kernels)], parameters[len(kernels) :], strides)

    assert_twins(over(twin_of_trunk), over(REFERENCE.trunk), inputs)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", op_cases.SIMILARITY)
def test_ssim_distance(twin_of_ssim_distance, shape, dtype):
    *sizes, window = shape
    inputs = op_cases.similarity_inputs(*sizes, dtype, DEVICE)
    assert_twins(twin_of_ssim_distance, REFERENCE.ssim_distance, inputs, window)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("residual", ["none", "signed", "absolute"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shape", op_cases.FRAMES)
def test_encoder_inputs(twin_of_encoder_inputs, shape, masked, residual, dtype):
    store, slots, shift = op_cases.frames_inputs(*shape, DEVICE)
    spec = InputSpec(offset=0.5, residual=residual, masked=masked, dtype=dtype)
    centred = replace(store, centre=store.frames[0].flip(1).contiguous())
    for given, moved in ((store, shift), (store, None), (centred, shift)):
        mine = twin_of_encoder_inputs(given, slots, moved, spec)
        wanted = REFERENCE.encoder_inputs(given, slots, moved, spec)
        for got, right in zip(mine, wanted, strict=True):
            assert (got is None) == (right is None)
            if got is not None:
                assert got.dtype == right.dtype
                assert got.is_contiguous(memory_format=torch.channels_last)
                bits = torch.int32 if dtype == torch.float32 else torch.int16
                assert torch.equal(got.contiguous().view(bits), right.contiguous().view(bits))


def test_every_operation_has_a_test_here():
    assert {f"test_{op}" for op in OPS} <= set(globals())
