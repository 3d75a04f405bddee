"""Timing several things that do the same, in turns, so that a busy machine slows all alike."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from pytest_benchmark.fixture import BenchmarkFixture

from semore.batch import Draws, TensorBatch


def alternate(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each call in each round, the calls taking turns in an order drawn anew each round.

    In a fixed order a call always follows the same other one, and inherits what that left of cache and time slice.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    order, rng = list(calls.items()), random.Random(0)
    for number in range(rounds + 2):
        rng.shuffle(order)
        for name, call in order:
            begin = time.perf_counter()
            call()
            if number >= 2:
                seconds[name].append(time.perf_counter() - begin)
    return seconds


def update_twice(update: Callable[..., object], batch: TensorBatch, draws: Draws) -> None:
    """Once with each cadence: with and without the actor and the targets."""
    for due in (True, False):
        update(batch, draws, due, due)


def report(benchmark: BenchmarkFixture, figures: dict[str, Any]) -> None:
    """Prints the figures and keeps them in the benchmark's results."""
    rounded = {k: round(v, 3) if isinstance(v, float) else v for k, v in figures.items()}
    benchmark.extra_info.update(rounded)
    print("\n" + "\n".join(f"{name:34} {value}" for name, value in rounded.items()))
