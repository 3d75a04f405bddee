"""Which layers bfloat16 hurts: gradients of one update against float32's, and its time, by what is left in float32.

    python bench/precision.py OUT.json [flags of train]

A learner that has taken some updates in float32 takes one more in each mix; weights are float32 in all of them. The
error is the gradients' difference from float32's, relative to these in the Euclidean norm.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from interleave import alternate
from torch import Tensor

from semore.agents import Agent
from semore.networks import Heads, Predictor, Trunk
from semore_fast.allocator import reexec_with_tuned_allocator
from semore_fast.backend import choose_ops
from semore_fast.building import build_agent
from semore_fast.cli import parse_run
from semore_fast.config import RunConfig
from semore_fast.sweeping.estimate import noise_batch
from semore_fast.system import describe_system

CPU = torch.device("cpu")
BEFORE, ROUNDS = 100, 15
MIXES = {
    "bfloat16 everywhere": (),
    "critic and policy in float32": ("critic", "policy"),
    "heads, too": ("critic", "policy", "heads"),
    "trunks in float32": ("trunks",),
    "float32 but for the inputs": ("critic", "policy", "heads", "trunks"),
}
PARTS = {"encoder": "representation.", "critic": "critic.", "policy": "actor."}


def in_float32(owner: Any, method: str) -> None:
    """Lets a method compute in float32 whatever surrounds it."""
    plain: Callable[..., Any] = getattr(owner, method)

    def call(*args: Any) -> Any:
        with torch.autocast("cpu", enabled=False):
            return plain(*(_widened(value) for value in args))

    setattr(owner, method, call)


def _widened(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_widened(part) for part in value)
    return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value


def mixed(config: RunConfig, kept: tuple[str, ...]) -> Agent:
    """A learner in bfloat16 but for the parts that are kept in float32."""
    agent = build_agent(config, CPU, choose_ops(config.kernels, CPU)[0])
    if "critic" in kept:
        in_float32(agent.critic, "outputs")
        in_float32(agent.target_critic, "outputs")
    if "policy" in kept:
        in_float32(agent.actor.policy, "forward")
    for module in agent.modules():
        if ("heads" in kept and isinstance(module, Heads | Predictor)) or (
            "trunks" in kept and isinstance(module, Trunk)
        ):
            in_float32(module, "forward")
    return agent


def gradients(agent: Agent) -> dict[str, Tensor]:
    """Of the last update."""
    return {name: p.grad.double().clone() for name, p in agent.named_parameters() if p.grad is not None}


def errors(got: dict[str, Tensor], wanted: dict[str, Tensor]) -> dict[str, float]:
    """Relative error of each part's gradients."""

    def of(prefix: str) -> float:
        names = [name for name in wanted if name.startswith(prefix)]
        apart = sum(float((got[name] - wanted[name]).square().sum()) for name in names)
        return round((apart / sum(float(wanted[name].square().sum()) for name in names)) ** 0.5, 4)

    return {part: of(prefix) for part, prefix in PARTS.items()}


def measure(config: RunConfig) -> dict[str, Any]:
    """Errors and times of every mix."""

    def in_precision(name: str) -> RunConfig:
        return dataclasses.replace(config, learner=dataclasses.replace(config.learner, precision=name))  # type: ignore[arg-type]

    size, generator = config.sampling.batch_size, torch.Generator().manual_seed(0)
    batch = noise_batch(config, generator, CPU)
    torch.manual_seed(0)
    plain = mixed(in_precision("float32"), ())
    for _ in range(BEFORE):
        plain.update(batch, plain.draw(size, generator), True, True)
    state, draws = copy.deepcopy(plain.state_dict()), plain.draw(size, generator)

    def after_one(agent: Agent) -> dict[str, Tensor]:
        agent.load_state_dict(state)
        agent.update(batch, draws, True, False)
        return gradients(agent)

    wanted = after_one(plain)
    agents = {name: mixed(in_precision("bfloat16"), kept) for name, kept in MIXES.items()}
    found = {name: errors(after_one(agent), wanted) for name, agent in agents.items()}

    def two(agent: Agent) -> Callable[[], None]:
        return lambda: [agent.update(batch, draws, due, due) for due in (True, False)] and None

    spent = alternate({name: two(agent) for name, agent in agents.items()}, ROUNDS)
    first = spent["bfloat16 everywhere"]
    times = {
        name: {
            "ms": round(500 * median(mine), 2),
            "times_as_long": round(median(m / f for m, f in zip(mine, first, strict=True)), 3),
        }
        for name, mine in spent.items()
    }
    return {name: {"gradient_error": found[name], **times[name]} for name in agents}


def main(target: Path, flags: list[str]) -> None:
    torch.set_num_threads(1)
    rows = {}
    for agent in ("sac", "semore"):
        config, _ = parse_run(["--device", "cpu", *flags, "--agent", agent], "")
        rows[agent] = measure(config)
        print(agent, json.dumps(rows[agent], indent=1))
    result = {"system": describe_system(), "command": " ".join(sys.argv), "rows": rows}
    target.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    reexec_with_tuned_allocator(sys.argv[1:])
    main(Path(sys.argv[1]), sys.argv[2:])
