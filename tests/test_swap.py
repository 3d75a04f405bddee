"""Training goes the same way on every backend; on yours too: `pytest tests/test_swap.py --kernels my_package.my_ops`.

Moving data gives the same bits, so whole updates do. Computing rounds in its own way, and learning amplifies that: 200
updates after a start one bit apart, trainings differ as much as if attention were a percent too sharp in one. So each
of 200 updates is made from the reference's state: its losses and gradients may be off by what one bit in the weights
does to them.
"""

from copy import deepcopy
from dataclasses import replace
from functools import cache

import pytest
import torch
from small import draws, moved, small_agent, small_batch
from torch import Tensor

from semore.agents import Agent
from semore.ops import REFERENCE, Ops
from semore.optimisers import load_optimiser_state, optimiser_state
from semore_fast.backend import OPS, choose_ops

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
MOVES_DATA = {"encoder_inputs"}
MINIBATCHES = 20
slow = pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])  # for Triton's interpreter above all
ALLOWANCE = 4
"""Times the largest of a few nudges, each of which is one draw."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each backend that has an operation of the kind that the fixture names."""
    for fixture, wanted in (("moving", MOVES_DATA), ("computing", set(OPS) - MOVES_DATA)):
        if fixture in metafunc.fixturenames:
            names = metafunc.config.getoption("--kernels")
            having = [name for name in names if mixed(name, wanted) != REFERENCE]
            metafunc.parametrize(fixture, [mixed(name, wanted) for name in having], ids=having)


def mixed(backend: str, wanted: set[str]) -> Ops:
    """The reference with a backend's operations of one kind, as far as it has them."""
    ops, choices = choose_ops(backend, DEVICE)
    return replace(REFERENCE, **{op: getattr(ops, op) for op in wanted if choices[op].backend == backend})


def fresh(ops: Ops) -> Agent:
    """The same learner each time, its interaction at work."""
    return small_agent("semore", ops=ops, device=DEVICE, shift_pixels=2)


@torch.no_grad()
def nudge(agent: Agent, seed: int) -> None:
    """Moves half of the weights to the next higher number."""
    generator = torch.Generator().manual_seed(seed)
    for weight in agent.parameters():
        higher = torch.nextafter(weight, torch.full_like(weight, torch.inf))
        chosen = torch.rand(weight.shape, generator=generator).to(DEVICE) < 0.5
        weight.copy_(torch.where(chosen, higher, weight))


def outcome(agent: Agent, update: int) -> list[Tensor]:
    """Makes one update; its losses, then the gradient of every parameter, float64."""
    batch = moved(small_batch(seed=update % MINIBATCHES), DEVICE)
    metrics = agent.update(batch, draws(agent, seed=update), True, True)
    losses = [value for name, value in metrics.items() if name.startswith("loss/")]
    gradients = [parameter.grad for parameter in agent.parameters() if parameter.grad is not None]
    return [value.double().cpu() for value in (*losses, *gradients)]


def errors(ops: Ops, updates: int, nudged: int | None = None) -> Tensor:
    """Root mean square over the updates of how far each loss and gradient is off, as a share of its size."""
    agent, reference = fresh(ops), fresh(REFERENCE)
    off = wanted = torch.zeros(())
    for update in range(updates):
        agent.load_state_dict(reference.state_dict())
        load_optimiser_state(agent.optimisers, deepcopy(optimiser_state(reference.optimisers)))
        if nudged is not None:
            nudge(agent, updates * nudged + update)
        pairs = list(zip(outcome(agent, update), outcome(reference, update), strict=True))
        off = off + torch.stack([(mine - right).square().sum() for mine, right in pairs])
        wanted = wanted + torch.stack([right.square().sum() for _, right in pairs])
    return (off / wanted).sqrt()


@cache
def bound(updates: int) -> Tensor:
    """How far each loss and gradient may be off."""
    return ALLOWANCE * torch.stack([errors(REFERENCE, updates, run) for run in range(2)]).amax(0)


@pytest.mark.parametrize("updates", [10, pytest.param(50, marks=slow.marks)])
def test_moving_data_gives_the_same_bits_over_updates(moving, updates):
    mine, reference = fresh(moving), fresh(REFERENCE)
    for update in range(updates):
        pairs = zip(outcome(mine, update), outcome(reference, update), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_the_bound_rejects_attention_that_is_a_thousandth_too_sharp():
    def sharper(q: Tensor, *rest: Tensor) -> tuple[Tensor, Tensor]:
        return REFERENCE.interaction(1.001 * q, *rest)

    assert (errors(replace(REFERENCE, interaction=sharper), 20) > bound(20)).any()


@pytest.mark.parametrize("updates", [20, slow])
def test_computing_is_off_by_no_more_than_one_bit_in_the_weights(computing, updates):
    off = errors(computing, updates)
    assert (off <= bound(updates)).all(), (off / bound(updates)).max()
