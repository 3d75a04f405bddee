"""The C++ trunk beyond what tests/test_twins.py holds: poisoned memory, layouts, who gets a gradient, bad input."""

import copy

import pytest
import torch
from checks import PoisonedMemory, assert_as_exact
from op_cases import trunk_inputs
from torch import Tensor

from semore.networks import TRUNKS, Trunk
from semore.ops import REFERENCE
from semore.ops import trunk as reference
from semore_fast.backend import choose_ops
from semore_fast.trunk_cpp import trunk

CPU = torch.device("cpu")
KERNELS, STRIDES, CHANNELS = (3, 2), (2, 1), 10


def parts(batch: int = 7, side: int = 12) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    x, *parameters = trunk_inputs(batch, 4, side, KERNELS, CHANNELS, torch.float32, CPU)
    return x, parameters[: len(KERNELS)], parameters[len(KERNELS) :]


def results(op, x: Tensor, weights: list[Tensor], biases: list[Tensor]) -> list[Tensor]:
    """The map, without gradients and with; the gradients of all."""
    with torch.no_grad():
        alone = op(x, weights, biases, STRIDES)
    leaves = [t.detach().clone().requires_grad_() for t in (x, *weights, *biases)]
    out = op(leaves[0], leaves[1 : 1 + len(weights)], leaves[1 + len(weights) :], STRIDES)
    ramp = torch.linspace(-1, 2, out.numel(), dtype=out.dtype).view_as(out)
    return [alone, out.detach(), *torch.autograd.grad(out, leaves, ramp)]


def test_poisoned_memory_does_not_show(monkeypatch):
    x, weights, biases = parts()
    memory = PoisonedMemory()
    with monkeypatch.context() as patch:
        patch.setattr(torch, "empty", memory.empty)
        patch.setattr(torch, "empty_like", memory.empty_like)
        mine = results(trunk, x, weights, biases)
    memory.check()
    assert len(memory.given) == 1 + len(KERNELS) + 1 + 2 * len(KERNELS)
    plain = results(reference, x, weights, biases)
    exact = results(reference, x.double(), [w.double() for w in weights], [b.double() for b in biases])
    for got, torch_got, wanted in zip(mine, plain, exact, strict=True):
        assert_as_exact(got, torch_got, wanted)
    assert torch.equal(mine[0], mine[1])


def test_other_layouts_are_rearranged():
    x, weights, biases = parts()
    wanted = results(trunk, x, weights, biases)
    got = results(trunk, x.contiguous(), [w.contiguous() for w in weights], biases)
    assert all(torch.equal(one, other) for one, other in zip(got, wanted, strict=True))
    wide = torch.zeros(7, 4, 20, 30).to(memory_format=torch.channels_last)
    wide[:, :, 3:15, 5:17] = x
    assert torch.equal(trunk(wide[:, :, 3:15, 5:17], weights, biases, STRIDES), wanted[0])


def test_only_what_asks_for_it_gets_a_gradient():
    x, weights, biases = parts()
    assert not trunk(x, weights, biases, STRIDES).requires_grad
    every = results(trunk, x, weights, biases)
    leaf = x.clone().requires_grad_()
    out = trunk(leaf, weights, biases, STRIDES)
    (alone,) = torch.autograd.grad(out, leaf, torch.linspace(-1, 2, out.numel()).view_as(out))
    assert torch.equal(alone, every[2])
    learnt = [t.clone().requires_grad_() for t in (*weights, *biases)]
    trunk(x, learnt[:2], learnt[2:], STRIDES).sum().backward()
    assert all(t.grad is not None for t in learnt)


@pytest.mark.parametrize("batch", [1, 7, 150])
def test_threads_change_nothing(batch):
    x, weights, biases = parts(batch)
    torch.set_num_threads(3)
    try:
        together = results(trunk, x, weights, biases)
    finally:
        torch.set_num_threads(1)
    alone = results(trunk, x, weights, biases)
    assert all(torch.equal(one, many) for one, many in zip(alone, together, strict=True))


def test_a_trunk_gives_the_same_by_either_operation_and_keeps_its_names():
    ops, _ = choose_ops("cpp", CPU, threads=2)
    torch.manual_seed(0)
    plain = Trunk(TRUNKS["sacae-small"], 9, REFERENCE)
    fast = Trunk(TRUNKS["sacae-small"], 9, ops)
    fast.load_state_dict(plain.state_dict())
    assert set(plain.state_dict()) == {f"{layer}.{part}" for layer in (0, 2, 4, 6) for part in ("weight", "bias")}
    x = torch.randn(5, 9, 32, 32)
    assert torch.allclose(fast(x), plain(x), atol=1e-5)
    moved = copy.deepcopy(fast)
    with torch.no_grad():
        moved[0].weight.add_(1)
    assert not torch.equal(moved(x), fast(x))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"x": torch.zeros(2, 4, 12, 12, dtype=torch.bfloat16)},
            TypeError,
            "x must be torch.float32 on the CPU",
        ),
        ({"x": torch.zeros(2, 4, 12, 12, device="meta")}, TypeError, "on meta; use --kernels auto"),
        (
            {"x": torch.zeros(4, 12, 12)},
            ValueError,
            r"x must have 4 dimensions .* has shape \[4, 12, 12\]",
        ),
        ({"x": torch.zeros(0, 4, 12, 12)}, ValueError, "not be empty"),
        ({"x": torch.zeros(2, 5, 12, 12)}, ValueError, r"layer 1: \[10, 4, 3, 3\] and \[10\] do not fit 5 channels"),
        ({"x": torch.zeros(2, 4, 3, 3)}, ValueError, "layer 2: a kernel of 2 x 2 does not fit a map of 1 x 1"),
        ({"x": torch.zeros(2, 4, 2, 9)}, ValueError, "layer 1: a kernel of 3 x 3 does not fit a map of 2 x 9"),
        ({"biases": []}, ValueError, "2 weights, 0 biases and 2 strides make no trunk"),
        ({"strides": (0, 1)}, ValueError, "strides must be at least 1"),
    ],
)
def test_what_it_cannot_take_is_named(change, error, message):
    x, weights, biases = parts()
    given = {"x": x, "weights": weights, "biases": biases, "strides": STRIDES} | change
    with pytest.raises(error, match=message):
        trunk(*given.values())
