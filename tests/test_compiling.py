"""Compiled objectives: eager numbers but for rounding, whatever the method, and a plain word where nothing compiles."""

from __future__ import annotations

import dataclasses
from functools import partial

import pytest
import torch
from drifting import assert_rounding_apart, trained
from small import small_agent

from semore.agents import REPRESENTATIONS
from semore.ops import REFERENCE
from semore_fast.backend import choose_ops
from semore_fast.compiling import compile_learner
from semore_fast.errors import UserError

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["sac", "curl", "drq", "simoun", "semore"])
def test_what_is_compiled_is_the_update(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced whole, with C++ operations at its ends, but its operations run one by one: equal to the bit.

    The trunk is the definition's, as on a GPU: at its C++ twin tracing begins anew, and gradients of a map that several
    losses read are then added up in another order.
    """
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    ops = dataclasses.replace(choose_ops("auto", CPU)[0], trunk=REFERENCE.trunk)
    eager, traced = small_agent(name, ops=ops), small_agent(name, ops=ops)
    traced.compile_objectives()
    assert trained(traced, 4) == trained(eager, 4)
    for (part, mine), theirs in zip(eager.state_dict().items(), traced.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs), part


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_compiled_learners_drift_as_rounding_does(name: str, precision: str) -> None:
    ops, _ = choose_ops("auto", CPU, torch.bfloat16 if precision == "bfloat16" else torch.float32)
    make = partial(small_agent, name, ops=ops, precision=precision)
    agent = make()
    compile_learner(agent)
    logged = trained(agent, 200)
    assert logged != trained(make(), 200)  # something was compiled
    assert_rounding_apart(logged, make)


def test_where_nothing_compiles_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("InvalidCxxCompiler: No working C++ compiler found\n\nand much more")

    monkeypatch.setattr(torch, "compile", lambda function: refuse)
    with pytest.raises(UserError, match=r"^--compile: PyTorch cannot compile for cpu here \(Invalid.*found\); leave"):
        compile_learner(small_agent("sac"))


def test_an_older_torch_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", "2.6.0+cu124")
    with pytest.raises(UserError, match=r"^--compile needs torch 2\.11 or newer, this is 2\.6\.0\+cu124; leave"):
        compile_learner(small_agent("sac"))
