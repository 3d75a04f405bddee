"""Timing of work that a GPU does while Python goes on; on a machine without one, the same on the CPU.

A benchmark takes `clock` as its timer: it waits for the device, so a round of many calls is timed from the first to
the last one's end, and its share of a call is free of the wait. That is a call as Python launches it; `graph_seconds`
replays the same call as a CUDA graph and so tells what the device needs from what the launches cost. Inputs are as
small as in training and stay in the cache, where training too finds them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from statistics import median
from typing import Any

import torch
from pytest_benchmark.fixture import BenchmarkFixture

Call = Callable[[], object]

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
ON_GPU = DEVICE.type == "cuda"
DTYPE = torch.bfloat16 if ON_GPU else torch.float32
ROUND_SECONDS, ROUNDS = 0.01, 20


def clock() -> float:
    """Seconds, when the device has done all it was given."""
    if ON_GPU:
        torch.cuda.synchronize()
    return time.perf_counter()


OPTIONS = {"timer": clock, "min_time": ROUND_SECONDS, "max_time": 0.3, "min_rounds": ROUNDS, "warmup": ON_GPU}
"""Of `pytest.mark.benchmark`."""


def seconds(call: Call, rounds: int = ROUNDS) -> float:
    """Median of rounds of as many calls as fill `ROUND_SECONDS`."""

    def once(calls: int) -> float:
        begin = clock()
        for _ in range(calls):
            call()
        return (clock() - begin) / calls

    once(3)
    calls = max(1, round(ROUND_SECONDS / once(3)))
    return median(once(calls) for _ in range(rounds))


def graph_seconds(call: Call) -> float | None:
    """Of one replay of `call` as a CUDA graph; None without a GPU."""
    if not ON_GPU:
        return None
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # what a first call sets up must not be recorded
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return seconds(graph.replay)


def peak_bytes(call: Call) -> int | None:
    """Of device memory that a call takes beyond what was taken before it; None without a GPU."""
    if not ON_GPU:
        return None
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


@dataclass(frozen=True)
class Work:
    """The least that must be done, whoever does it."""

    flops: float
    exps: float
    bytes: float
    """Each input read once and each output written once, in each pass."""


@cache
def ceilings() -> dict[str, float]:
    """What this machine reaches: FLOP/s of a matrix product in `DTYPE`, bytes/s read and written by a copy."""
    side, count = (8192, 2**30) if ON_GPU else (512, 2**24)
    a, b = (torch.randn(side, side, device=DEVICE, dtype=DTYPE) for _ in range(2))
    source = torch.randint(0, 256, (count,), device=DEVICE, dtype=torch.uint8)
    target = torch.empty_like(source)
    return {
        "matmul_tflop_per_s": round(2e-12 * side**3 / seconds(lambda: a @ b), 4),
        "copy_gbyte_per_s": round(2e-9 * count / seconds(lambda: target.copy_(source)), 1),
    }


_race: dict[str, dict[str, float]] = {}
"""Seconds by group and contestant, on the device where that is known."""


def measure(
    benchmark: BenchmarkFixture, contestant: str, call: Call, work: Work | None = None, judged: bool = False
) -> None:
    """Times `call` as one of the benchmark's group; one that is judged is told how it did against those before it.

    Figures: `graph_ms`, `peak_mbyte`; achieved rates for `work` and their share of the ceilings.
    """
    benchmark(call)
    if benchmark.stats is None:  # --benchmark-disable
        return
    on_device = graph_seconds(call)
    spent = on_device or benchmark.stats.stats.median
    peak = peak_bytes(call)
    figures: dict[str, Any] = {"device": DEVICE.type, "dtype": str(DTYPE)[6:], "ceilings": ceilings()}
    figures |= {"graph_ms": on_device and 1e3 * on_device, "peak_mbyte": None if peak is None else peak / 1e6}
    figures |= {} if work is None else _rates(work, spent)
    others = _race.setdefault(str(benchmark.group), {})
    if judged and others:
        best = min(others, key=lambda name: others[name])
        figures |= {"best_other": best, "times_as_fast_as_best_other": others[best] / spent}
        figures |= {f"times_as_fast_as_{name}": other / spent for name, other in others.items()}
    others[contestant] = spent
    benchmark.extra_info.update({k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in figures.items()})


def _rates(work: Work, spent: float) -> dict[str, float]:
    limit = ceilings()
    flops, moved = 1e-12 * work.flops / spent, 1e-9 * work.bytes / spent
    return {
        "tflop_per_s": flops,
        "gbyte_per_s": moved,
        "gexp_per_s": 1e-9 * work.exps / spent,
        "share_of_matmul": flops / limit["matmul_tflop_per_s"],
        "share_of_copy": moved / limit["copy_gbyte_per_s"],
    }
