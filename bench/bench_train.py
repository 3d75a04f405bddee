"""Whole runs as their users start them: from the command to the first update, and frames a second from then on.

    pytest bench/bench_train.py --benchmark-only

Each run is a process of its own with the real command line; figures are read from its metrics.jsonl. Checked first:
every run did as many updates as its preset's ratio asks for, whatever the number of environments. Preset paper on a
GPU; laptop on one thread without, so that a busy second core changes little.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import pytest
from gpu_timing import ON_GPU
from interleave import report
from pytest_benchmark.fixture import BenchmarkFixture
from runs import QUIET, rates

from semore_fast.logging import read_metrics
from semore_fast.presets import PRESETS

PRESET = "paper" if ON_GPU else "laptop"
FRAMES = 12_000
STARTS = 5
FEW = ("--evaluation.final-episodes", "2", "--evaluation.every-frames", "1000000")


def train(out: Path, *flags: str) -> tuple[float, list[dict[str, Any]]]:
    """Runs the command; when it was started, and its rows of training metrics."""
    started = time.time()
    threads = () if ON_GPU else ("--threads", "1")
    command = [sys.executable, "-m", "semore_fast.train", "--preset", PRESET, *threads, *QUIET, *FEW, "--out", str(out)]
    done = subprocess.run([*command, *flags], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return started, [row for row in read_metrics(out / "metrics.jsonl") if row["kind"] == "train"]


def spread(name: str, seconds: list[float]) -> dict[str, object]:
    low, _, high = quantiles(seconds, n=4)
    return {f"{name}_s": median(seconds), f"{name}_quartiles_s": [round(low, 3), round(high, 3)]}


@pytest.mark.benchmark(group="cold start")
def test_cold_start(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """Seconds to `--help`, to `import torch` alone, and to the first update's row in metrics.jsonl.

    Kernels that compile on first use do so in the first of the runs on a GPU, and come from the cache on disk after.
    """
    figures: dict[str, object] = {}
    for name, command in {
        "help": [sys.executable, "-m", "semore_fast.train", "--help"],
        "import_torch": [sys.executable, "-c", "import torch"],
    }.items():
        seconds = []
        for _ in range(STARTS):
            begin = time.perf_counter()
            subprocess.run(command, capture_output=True, check=True)
            seconds.append(time.perf_counter() - begin)
        figures |= spread(name, seconds)
    first = []
    batch, repeat = PRESETS[PRESET].sampling.batch_size, PRESETS[PRESET].env.action_repeat
    random_frames = 2 * batch * repeat
    for number in range(STARTS):
        flags = ["--frames", str(random_frames + 40 * repeat), "--sampling.random-frames", str(random_frames)]
        arguments = (tmp_path / str(number), *flags, "--log-every-frames", "1")
        timed = number == STARTS - 1  # a whole run, from the command to its end
        started, rows = benchmark.pedantic(train, args=arguments, rounds=1) if timed else train(*arguments)
        first.append(next(row["time_s"] for row in rows if row["updates"]) - started)
    figures |= {"first_update_in_the_first_run_s": first[0], **spread("first_update", first)}
    report(benchmark, {"preset": PRESET, "random_frames": random_frames, **figures})


@pytest.mark.parametrize("envs", [1, 4, 16])
@pytest.mark.parametrize("agent", ["sac", "semore"])
@pytest.mark.benchmark(group="whole runs")
def test_run(benchmark: BenchmarkFixture, tmp_path: Path, agent: str, envs: int) -> None:
    flags = ["--agent", agent, "--envs", str(envs), "--frames", str(FRAMES), "--log-every-frames", "250"]
    _, rows = benchmark.pedantic(train, args=(tmp_path / "run", *flags), rounds=1)
    sampling, repeat = PRESETS[PRESET].sampling, PRESETS[PRESET].env.action_repeat
    wanted = sampling.updates_per_step * (rows[-1]["step"] * envs - sampling.random_frames / repeat)
    assert abs(rows[-1]["updates"] - wanted) <= 0.05 * wanted + 2 * envs
    figures = rates(rows)
    whole = PRESETS[PRESET].frames / figures["frames_per_s"]
    report(benchmark, {"preset": PRESET, **figures, "whole_run_minutes_without_evaluation": whole / 60})
