"""What bfloat16 costs and brings: errors of gradients and times by what is left in float32; times by instruction set.

    python bench/precision.py OUT.json [flags of train]

A learner that has taken some updates in float32 takes one more in each mix; weights are float32 in all of them. The
error is the gradients' difference from float32's, relative to these in the Euclidean norm. Then `sac` in both
precisions, oneDNN held to older instruction sets in processes of their own.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from interleave import alternate, update_twice
from torch import Tensor

from semore.agents import Agent
from semore.networks import Heads, Predictor, Trunk
from semore_fast.allocator import reexec_with_tuned_allocator
from semore_fast.building import build_agent, build_ops
from semore_fast.cli import parse_run
from semore_fast.config import RunConfig
from semore_fast.sweeping.estimate import noise_batch
from semore_fast.system import describe_system

CPU = torch.device("cpu")
BEFORE, ROUNDS = 100, 15
INSTRUCTIONS = ("AVX512_CORE_BF16", "AVX512_CORE", "AVX2")
MIXES = {
    "bfloat16 everywhere": (),
    "critic and policy in float32": ("critic", "policy"),
    "heads, too": ("critic", "policy", "heads"),
    "trunks in float32": ("trunks",),
    "float32 but for the inputs": ("critic", "policy", "heads", "trunks"),
}
PARTS = {"encoder": "representation.", "critic": "critic.", "policy": "actor."}


def in_precision(config: RunConfig, name: str) -> RunConfig:
    """The configuration with another arithmetic."""
    return dataclasses.replace(config, learner=dataclasses.replace(config.learner, precision=name))  # type: ignore[arg-type]


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
    agent = build_agent(config, CPU, build_ops(config, CPU)[0])
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
    size, generator = config.sampling.batch_size, torch.Generator().manual_seed(0)
    batch = noise_batch(config, generator, CPU)
    torch.manual_seed(0)
    plain = mixed(in_precision(config, "float32"), ())
    for _ in range(BEFORE):
        plain.update(batch, plain.draw(size, generator), True, True)
    state, draws = copy.deepcopy(plain.state_dict()), plain.draw(size, generator)

    def after_one(agent: Agent) -> dict[str, Tensor]:
        agent.load_state_dict(state)
        agent.update(batch, draws, True, False)
        return gradients(agent)

    wanted = after_one(plain)
    agents = {name: mixed(in_precision(config, "bfloat16"), kept) for name, kept in MIXES.items()}
    found = {name: errors(after_one(agent), wanted) for name, agent in agents.items()}

    spent = alternate(
        {name: partial(update_twice, agent.update, batch, draws) for name, agent in agents.items()}, ROUNDS
    )
    first = spent["bfloat16 everywhere"]
    times = {
        name: {
            "ms": round(500 * median(mine), 2),
            "times_as_long": round(median(m / f for m, f in zip(mine, first, strict=True)), 3),
        }
        for name, mine in spent.items()
    }
    return {name: {"gradient_error": found[name], **times[name]} for name in agents}


def both_precisions(flags: list[str]) -> dict[str, float]:
    """Milliseconds of an update of `sac`, and how many times as long bfloat16 takes."""
    config, _ = parse_run(["--device", "cpu", *flags, "--agent", "sac"], "")
    calls: dict[str, Callable[[], object]] = {}
    for name in ("float32", "bfloat16"):
        agent = mixed(in_precision(config, name), ())
        generator = torch.Generator().manual_seed(0)
        batch = noise_batch(config, generator, CPU)
        draws = agent.draw(config.sampling.batch_size, generator)
        calls[name] = partial(update_twice, agent.update, batch, draws)
    spent = alternate(calls, ROUNDS)
    ratio = median(b / f for b, f in zip(spent["bfloat16"], spent["float32"], strict=True))
    return {**{f"{name}_ms": round(500 * median(s), 2) for name, s in spent.items()}, "times_as_long": round(ratio, 2)}


def by_instructions(flags: list[str]) -> dict[str, Any]:
    """`both_precisions` under each of `INSTRUCTIONS`."""
    found = {}
    for name in INSTRUCTIONS:
        command = [sys.executable, __file__, "-", *flags]
        done = subprocess.run(
            command, env={**os.environ, "ONEDNN_MAX_CPU_ISA": name}, stdout=subprocess.PIPE, text=True, check=True
        )
        found[name] = json.loads(done.stdout.splitlines()[-1])
        print(name, found[name], flush=True)
    return found


def main(target: str, flags: list[str]) -> None:
    torch.set_num_threads(1)
    if target == "-":  # one of `by_instructions`
        print(json.dumps(both_precisions(flags)))
        return
    rows = {}
    for agent in ("sac", "semore"):
        config, _ = parse_run(["--device", "cpu", *flags, "--agent", agent], "")
        rows[agent] = measure(config)
        print(agent, json.dumps(rows[agent], indent=1))
    older = by_instructions(flags)
    result = {"system": describe_system(), "command": " ".join(sys.argv), "rows": rows, "instructions": older}
    Path(target).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    reexec_with_tuned_allocator(sys.argv[1:])
    main(sys.argv[1], sys.argv[2:])
