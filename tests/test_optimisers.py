"""Adam with one counter: PyTorch's numbers to the bit, whatever it continues from."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from semore.optimisers import Adam, load_optimiser_state, optimiser_state

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def parameters() -> list[nn.Parameter]:
    """One of them channels_last; the last is never learnt."""
    torch.manual_seed(3)
    kernel = torch.randn(6, 5, 3, 3).contiguous(memory_format=torch.channels_last)
    return [nn.Parameter(x.to(DEVICE)) for x in (kernel, torch.randn(70), torch.randn(()), torch.ones(2))]


def gradients(learnt: list[nn.Parameter], step: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(step)
    return [torch.randn(p.shape, generator=generator).to(DEVICE) for p in learnt]


def advance(optimiser: torch.optim.Optimizer, owned: list[nn.Parameter], steps: range) -> None:
    for step in steps:
        optimiser.param_groups[0]["lr"].fill_(1e-2 / (1 + step))
        for p, gradient in zip(owned[:-1], gradients(owned[:-1], step), strict=True):
            p.grad = torch.empty_like(p).copy_(gradient)
        optimiser.step()


def of_torch(owned: list[nn.Parameter]) -> torch.optim.Adam:
    rate, on_gpu = torch.tensor(1e-2, device=DEVICE), DEVICE.type == "cuda"
    return torch.optim.Adam(owned, lr=rate, betas=(0.8, 0.999), fused=True, capturable=on_gpu)


def ours(owned: list[nn.Parameter]) -> Adam:
    return Adam(owned, torch.tensor(1e-2, device=DEVICE), 0.8)


def same(one: list[nn.Parameter], other: list[nn.Parameter]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_the_same_numbers_as_pytorch_s():
    mine, theirs = parameters(), parameters()
    advance(ours(mine), mine, range(5))
    advance(of_torch(theirs), theirs, range(5))
    assert same(mine, theirs)
    assert not same(mine, parameters())
    assert torch.equal(mine[-1], parameters()[-1])


@pytest.mark.parametrize("make", [of_torch, ours])
def test_it_continues_from_a_saved_state_of_either(make):
    straight, before = parameters(), parameters()
    advance(of_torch(straight), straight, range(6))
    first = make(before)
    advance(first, before, range(4))
    resumed = copy.deepcopy(before)
    again = ours(resumed)
    load_optimiser_state({"critic": again}, copy.deepcopy(optimiser_state({"critic": first})))
    advance(again, resumed, range(4, 6))
    assert same(resumed, straight)


def test_its_state_has_pytorch_s_names_and_counts():
    owned = parameters()
    optimiser = ours(owned)
    advance(optimiser, owned, range(3))
    states = optimiser.state_dict()["state"]
    assert set(states) == {0, 1, 2}
    assert all(set(state) == {"step", "exp_avg", "exp_avg_sq"} and state["step"] == 3 for state in states.values())


def test_a_gradient_that_comes_and_goes_is_refused():
    owned = parameters()
    optimiser = ours(owned)
    advance(optimiser, owned, range(1))
    owned[1].grad = None
    with pytest.raises(RuntimeError, match="2 parameters have a gradient, at the first step 3 had"):
        optimiser.step()
