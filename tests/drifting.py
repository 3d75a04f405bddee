"""How far two trainings that ought to be one drift apart, and how far rounding alone takes them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from small import draws, moved, small_batch
from torch import Tensor

from semore.agents import Agent

NUDGE = 2**-23
"""A weight moved by half of this share of itself, or less, may be the same weight rounded anew."""
ALLOWANCE = 4
"""Times the drift of one nudged training, which is one draw."""
Logged = list[dict[str, float]]


def trained(agent: Agent, updates: int, update: Callable[..., dict[str, Tensor]] | None = None) -> Logged:
    """What every update logs, the cadences in turn; `update` instead of the learner's own."""
    rows = []
    for step in range(updates):
        batch = moved(small_batch(seed=step), agent.device)
        metrics = (update or agent.update)(batch, draws(agent, seed=step), step % 2 == 0, step % 3 == 0)
        rows.append({name: float(value) for name, value in metrics.items()})
    return rows


def nudged(agent: Agent) -> Agent:
    """The learner with its weights rounded anew."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in (p for p in agent.parameters() if p.requires_grad):
            shares = torch.rand(parameter.shape, generator=generator) - 0.5
            parameter.mul_(1 + shares.to(agent.device) * NUDGE)
    return agent


def drift(got: Logged, wanted: Logged) -> float:
    """Root mean square difference of all that was logged, each figure relative to 1 or its size."""
    assert [row.keys() for row in got] == [row.keys() for row in wanted]
    apart = [(mine[k] - row[k]) / (1 + abs(row[k])) for mine, row in zip(got, wanted, strict=True) for k in row]
    return float(torch.tensor(apart, dtype=torch.float64).square().mean().sqrt())


def assert_rounding_apart(got: Logged, make: Callable[[], Agent]) -> None:
    """What was logged is as near to the eager training of `make()` as one from weights rounded anew."""
    wanted = trained(make(), len(got))
    rounding = drift(trained(nudged(make()), len(got)), wanted)
    assert drift(got, wanted) < ALLOWANCE * rounding
