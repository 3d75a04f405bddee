"""Where one update goes: time, FLOPs, bytes and launches of each stage, against what this machine reaches.

    python bench/update_stages.py OUT.json [flags of train]

FLOPs are those of the definition's matrix products and convolutions. Bytes are what PyTorch's operations read and write
one by one, each tensor counted wherever it appears, so they are what eager execution moves, not the least that must be
moved. Launches are operations of PyTorch's that are not mere views; C++ operations are in the times alone. Stages are
timed one after the other, with a wait for the device between them.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import torch
from gpu_timing import DEVICE, ceilings, clock, seconds
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from semore.agents import Agent
from semore.ops import REFERENCE, Ops
from semore_fast.allocator import reexec_with_tuned_allocator
from semore_fast.building import build_agent, build_ops
from semore_fast.cli import parse_run
from semore_fast.sweeping.estimate import noise_batch
from semore_fast.system import describe_system

Spent = dict[str, dict[str, float]]
"""What each stage took, by the name of what is counted."""
ROUNDS = 12
STAGES = {
    "_views": "observation: inputs",
    "_bootstrap": "bootstrap: inputs, encoders, actor, target",
    "_extra_views": "further views",
    "_critic_losses": "losses, backward, Adam",
    "_descend": "losses, backward, Adam",
    "_update_actor": "actor and temperature",
    "_move_targets": "targets",
}
REST = "observation: encoders"


class Traffic(TorchDispatchMode):
    """Counts what operations are launched and what they touch."""

    def __init__(self) -> None:
        super().__init__()
        self.launches = self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if not func.is_view:
            self.launches += 1
            tensors = (x for x in tree_leaves((args, kwargs, out)) if isinstance(x, Tensor))
            self.bytes += sum(x.numel() * x.element_size() for x in tensors)
        return out


class Stages:
    """Attributes what an update does to the method it is in; what is in none of them is `REST`."""

    def __init__(self, agent: Agent, counter: Callable[[], dict[str, float]]) -> None:
        self._counter = counter
        self.spent: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        self._inside: list[str] = []
        self._mark: dict[str, float] = {}
        for method, stage in STAGES.items():
            setattr(agent, method, self._watched(getattr(agent, method), stage))

    @contextmanager
    def update(self) -> Iterator[None]:
        """Around one update."""
        self._inside, self._mark = [REST], self._counter()
        yield
        self._charge()

    def _watched(self, method: Callable[..., Any], stage: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self._charge()
            self._inside.append(stage)
            result = method(*args, **kwargs)
            self._charge()
            self._inside.pop()
            return result

        return call

    def _charge(self) -> None:
        now = self._counter()
        for name, value in now.items():
            self.spent[self._inside[-1]][name] += value - self._mark[name]
        self._mark = now


def run(agent: Agent, batch: Any, size: int, stages: Stages) -> Spent:
    """Two updates, one of each cadence; what they spent, per update."""
    generator = torch.Generator().manual_seed(0)
    stages.spent.clear()
    for number in range(2):
        with stages.update():
            agent.update(batch, agent.draw(size, generator), number == 0, number == 0)
    return {stage: {name: value / 2 for name, value in spent.items()} for stage, spent in stages.spent.items()}


def matmul_gflop_per_s(dtype: torch.dtype, side: int = 1024) -> float:
    """What a product of two square matrices reaches in the update's precision."""
    a, b = (torch.randn(side, side, device=DEVICE).to(dtype) for _ in range(2))
    return round(2e-9 * side**3 / seconds(lambda: a @ b), 1)


def measure(flags: list[str]) -> dict[str, Any]:
    """The table of a configuration."""
    config, _ = parse_run(flags, "")
    if config.torch_threads or config.threads:
        torch.set_num_threads(config.torch_threads or config.threads)
    ops, choices = build_ops(config, DEVICE)
    size, batch = config.sampling.batch_size, noise_batch(config, torch.Generator().manual_seed(0), DEVICE)

    def fresh(counter: Callable[[], dict[str, float]], ops: Ops = ops) -> tuple[Agent, Stages]:
        agent = build_agent(config, DEVICE, ops)
        return agent, Stages(agent, counter)

    def counted(counter: Callable[[], dict[str, float]], ops: Ops, *modes: AbstractContextManager[Any]) -> Spent:
        agent, stages = fresh(counter, ops)
        run(agent, batch, size, stages)  # optimisers make their state
        with ExitStack() as stack:
            for mode in modes:
                stack.enter_context(mode)
            return run(agent, batch, size, stages)

    agent, timed = fresh(lambda: {"s": clock()})
    rounds = [run(agent, batch, size, timed) for _ in range(ROUNDS)][2:]
    traffic, flops = Traffic(), FlopCounterMode(display=False)
    work = counted(lambda: {"bytes": traffic.bytes, "launches": traffic.launches}, ops, traffic)
    needed = counted(lambda: {"flop": flops.get_total_flops()}, REFERENCE, flops)
    rows = {}
    for stage in work:
        times = sorted(one[stage]["s"] for one in rounds)
        rows[stage] = {
            "ms": round(1e3 * median(times), 3),
            "ms_spread": [round(1e3 * t, 3) for t in times[:: len(times) - 1]],
        }
        rows[stage] |= {"gflop": round(needed[stage]["flop"] / 1e9, 3), "gbyte": round(work[stage]["bytes"] / 1e9, 4)}
        rows[stage]["launches"] = work[stage]["launches"]
    return {
        "config": {
            "preset": config.preset,
            "agent": config.agent,
            "batch": size,
            "pixels": config.env.image_size,
            "precision": agent.config.precision,
            "kernels": {name: choice.backend for name, choice in choices.items()},
            "threads": torch.get_num_threads(),
        },
        "ceilings": {**ceilings(), f"matmul_{agent.config.precision}_gflop_per_s": matmul_gflop_per_s(agent.dtype)},
        "stages": rows,
    }


def show(result: dict[str, Any]) -> None:
    """The table on the screen."""
    print(json.dumps(result["config"]), json.dumps(result["ceilings"]))
    total = {name: sum(row[name] for row in result["stages"].values()) for name in ("ms", "gflop", "gbyte", "launches")}
    for stage, row in (*result["stages"].items(), ("together", total)):
        rate = row["gflop"] / row["ms"] * 1e3 if row["ms"] else 0.0
        print(
            f"{stage:44} {row['ms']:9.2f} ms {row['gflop']:9.2f} GFLOP {row['gbyte']:8.3f} GB "
            f"{row['launches']:7.0f} launches {rate:8.0f} GFLOP/s"
        )


if __name__ == "__main__":
    reexec_with_tuned_allocator(sys.argv[1:])
    target, *rest = sys.argv[1:]
    made = {"system": describe_system(), "command": " ".join(sys.argv), **measure(rest)}
    Path(target).write_text(json.dumps(made, indent=1) + "\n")
    show(made)
