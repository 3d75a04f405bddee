"""Train a grid of methods, scenarios and seeds: `python -m semore_fast.sweep --agents all --scenarios jw --seeds 3`."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import tyro

from semore.config import METHOD_SUMMARIES
from semore_fast.cli import parse_run
from semore_fast.config import RunConfig, ScenarioName
from semore_fast.errors import UserError, run_cli
from semore_fast.sweeping.local import Local
from semore_fast.sweeping.plan import Group, Run, grouped, plan
from semore_fast.sweeping.pool import Launch, Pool, State
from semore_fast.sweeping.table import SweepTable
from semore_fast.system import usable_cores

DESCRIPTION = """Train a grid of methods, scenarios and seeds, several runs at a time.

Every run is an ordinary run directory under --out. The same command again goes on where it stopped: finished runs are
never done again, others continue from their checkpoints. What follows -- goes to train as it is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepConfig:
    """What to run, and how many at a time."""

    agents: str = "all"
    """Methods, separated by commas, or all."""
    scenarios: str = "jw"
    """Scenarios, separated by commas, or all."""
    seeds: int = 5
    """Seeds of each: 1 to this."""
    out: Path = Path("runs/sweep")
    """Folder of the runs."""
    jobs: int = 0
    """Runs at a time on this machine; 0: as many as there are cores for --threads each, on GPUs as many as
    --gpus-per-run allows."""
    ray: str = ""
    """Run on a Ray cluster: HOST:PORT, auto for the one this machine belongs to, or local for one of its own. All its
    nodes must see --out. Token authentication is on unless RAY_AUTH_MODE says otherwise."""
    gpus_per_run: float = 1.0
    """On a GPU: its share for each run; 0.25 puts four runs on one."""
    seeds_per_process: int = 1
    """Seeds of one method that share a process: a thread, and on a GPU a stream, each (docs/sweeps.md)."""
    threads: int = 1
    """CPU threads of each run: two runs with one thread each beat one with two."""
    retries: int = 2
    """How often a run that dies is taken up again from its checkpoint."""
    estimate: bool = True
    """Measure a few updates of every method first, and say what the sweep will cost."""
    dry_run: bool = False
    """Only plan and estimate."""


def main(argv: Sequence[str]) -> int:
    """Plans, estimates, runs. Status 1 if a run failed for good."""
    own, flags = _split(argv)
    config = tyro.cli(SweepConfig, args=own, description=DESCRIPTION, prog="python -m semore_fast.sweep")
    agents = _names("--agents", config.agents, tuple(METHOD_SUMMARIES))
    scenarios = _names("--scenarios", config.scenarios, get_args(ScenarioName))
    for flag, value, least in (
        ("--seeds", config.seeds, 1),
        ("--jobs", config.jobs, 0),
        ("--retries", config.retries, 0),
        ("--seeds-per-process", config.seeds_per_process, 1),
    ):
        if value < least:
            raise UserError(f"{flag} must be at least {least}, got {value}")
    flags = [*flags, "--threads", str(config.threads)]
    runs = plan(config.out, scenarios, agents, range(1, config.seeds + 1), flags)
    configs = {agent: parse_run([*flags, "--agent", agent], "")[0] for agent in agents}
    if config.dry_run:
        _prepare(config, runs, configs, _jobs(config, _gpus(configs[agents[0]])))
        print("\n".join(shlex.join(run.command) for run in grouped(runs, config.seeds_per_process)))
        return 0
    with _launch(config, configs[agents[0]]) as launch:
        _prepare(config, runs, configs, launch.capacity())
        return _execute(config, grouped(runs, config.seeds_per_process), launch, configs[agents[0]].frames)


def _split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    own = list(argv)
    if "--" not in own:
        return own, []
    at = own.index("--")
    return own[:at], own[at + 1 :]


def _names(flag: str, given: str, known: Sequence[str]) -> tuple[str, ...]:
    names = tuple(known) if given == "all" else tuple(given.split(","))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(f"{flag} must be all or some of {','.join(known)}, got {unknown[0]!r}")
    if len(set(names)) < len(names):
        raise UserError(f"{flag} names something twice: {given}")
    return names


def _gpus(config: RunConfig) -> list[str]:
    """GPUs of this machine that runs learn on, as CUDA_VISIBLE_DEVICES names them; none on the CPU."""
    from semore_fast.backend import choose_device

    if choose_device(config.device).type == "cpu":
        return []
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",") if visible else [str(index) for index in range(torch.cuda.device_count())]


def _jobs(config: SweepConfig, gpus: Sequence[str]) -> int:
    """Runs at a time on this machine: what is asked for, or what its cores and GPUs carry."""
    if config.jobs:
        return config.jobs
    cores = max(1, usable_cores() // max(1, config.threads))
    return min(cores, max(1, int(len(gpus) / config.gpus_per_run))) if gpus else cores


@contextmanager
def _launch(config: SweepConfig, run: RunConfig) -> Iterator[Launch]:
    if not config.ray:
        gpus = _gpus(run)
        yield Local(_jobs(config, gpus), gpus)
        return
    from semore_fast.sweeping.cluster import Cluster

    gpus_per_run = 0.0 if run.device == "cpu" else config.gpus_per_run
    cluster = Cluster(config.ray, threads=config.threads, gpus=gpus_per_run)
    try:
        yield cluster
    finally:
        cluster.close()


def _prepare(config: SweepConfig, runs: Sequence[Run], configs: dict[str, RunConfig], jobs: int) -> None:
    _announce(runs, jobs)
    if config.estimate:
        _estimate(runs, configs, jobs)


def _announce(runs: Sequence[Run], jobs: int) -> None:
    done, begun = sum(run.finished for run in runs), sum(run.begun and not run.finished for run in runs)
    print(f"{len(runs)} runs, {done} finished, {begun} begun; {jobs} at a time", flush=True)


def _estimate(runs: Sequence[Run], configs: dict[str, RunConfig], jobs: int) -> None:
    from semore_fast.sweeping.estimate import run_seconds, sweep_seconds, update_seconds  # loads torch

    cost_s = {}
    for agent in sorted({run.agent for run in runs if not run.finished}):
        update_s = update_seconds(configs[agent])
        cost_s[agent] = run_seconds(configs[agent], update_s)
        print(f"  {agent}: {update_s * 1e3:.1f} ms an update, {_readable(cost_s[agent])} a run", flush=True)
    left = {run: 1 - run.newest().get("frame", 0) / configs[run.agent].frames for run in runs if not run.finished}
    total_s = sweep_seconds([cost_s[run.agent] * max(0.0, share) for run, share in left.items()], jobs)
    print(f"at least {_readable(total_s)} still to go, if runs beside each other are as fast as alone", flush=True)


def _readable(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"


def _execute(config: SweepConfig, runs: Sequence[Run | Group], launch: Launch, frames: int) -> int:
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell started this in the background, deaf to Ctrl-C
        signal.signal(number, signal.default_int_handler)
    with SweepTable(frames) as table:
        pool = Pool(runs, config.out / "logs", launch, retries=config.retries, show=table)
        complete = pool.execute()
    for job in pool.jobs:
        if job.state == State.FAILED:
            print(f"{job.run.name} failed after {job.attempts} tries: {job.reason}; its output: {job.log}")
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(run_cli(lambda: main(sys.argv[1:])))
