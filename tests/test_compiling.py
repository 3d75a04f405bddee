"""Compiled objectives: eager numbers but for rounding, whatever the method, and a plain word where nothing compiles."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from small import draws, small_agent, small_batch

from semore.agents import REPRESENTATIONS, Agent
from semore_fast.backend import choose_ops
from semore_fast.compiling import compile_learner
from semore_fast.errors import UserError

CPU = torch.device("cpu")
NUDGE = 2**-23
"""A weight moved by half of this share of itself, or less, may be the same weight rounded anew."""
Logged = list[dict[str, float]]


def trained(agent: Agent, updates: int) -> Logged:
    """What every update logs, the cadences in turn."""
    rows = []
    for step in range(updates):
        metrics = agent.update(small_batch(seed=step), draws(agent, seed=step), step % 2 == 0, step % 3 == 0)
        rows.append({name: float(value) for name, value in metrics.items()})
    return rows


def nudged(agent: Agent) -> Agent:
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in (p for p in agent.parameters() if p.requires_grad):
            parameter.mul_(1 + (torch.rand(parameter.shape, generator=generator) - 0.5) * NUDGE)
    return agent


def drift(got: Logged, wanted: Logged) -> float:
    """Root mean square difference of all that was logged, each figure relative to 1 or its size."""
    assert [row.keys() for row in got] == [row.keys() for row in wanted]
    apart = [(mine[k] - row[k]) / (1 + abs(row[k])) for mine, row in zip(got, wanted, strict=True) for k in row]
    return float(torch.tensor(apart, dtype=torch.float64).square().mean().sqrt())


@pytest.mark.parametrize("name", ["sac", "curl", "drq", "simoun", "semore"])
def test_what_is_compiled_is_the_update(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced whole, with the C++ operations in between, but its operations run one by one: equal to the bit."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    ops, _ = choose_ops("auto", CPU)
    eager, traced = small_agent(name, ops=ops), small_agent(name, ops=ops)
    traced.compile_objectives()
    assert trained(traced, 4) == trained(eager, 4)
    for (part, mine), theirs in zip(eager.state_dict().items(), traced.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs), part


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_compiled_learners_drift_as_rounding_does(name: str, precision: str) -> None:
    """Over 200 updates: no further, within a factor of four, than eager ones from weights rounded anew."""
    ops, _ = choose_ops("auto", CPU)
    wanted = trained(small_agent(name, ops=ops, precision=precision), 200)
    rounded = drift(trained(nudged(small_agent(name, ops=ops, precision=precision)), 200), wanted)
    agent = small_agent(name, ops=ops, precision=precision)
    compile_learner(agent)
    assert 0 < drift(trained(agent, 200), wanted) < 4 * rounded


def test_where_nothing_compiles_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("InvalidCxxCompiler: No working C++ compiler found\n\nand much more")

    monkeypatch.setattr(torch, "compile", lambda function: refuse)
    with pytest.raises(
        UserError, match=r"^--compile: PyTorch cannot compile for cpu here \(InvalidCxx.*found\); leave"
    ):
        compile_learner(small_agent("sac"))
