"""The grid of a sweep as runs, each an ordinary run directory and an ordinary train command."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from semore_fast.rundir import CONFIG, METRICS, SUMMARY

_TAIL_BYTES = 16_384  # several lines of metrics


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One training run of a sweep."""

    scenario: str
    agent: str
    seed: int
    out: Path
    flags: tuple[str, ...]
    """Of train, beside those three and --out."""

    @property
    def name(self) -> str:
        """Unique within a sweep."""
        return self.out.name

    @property
    def command(self) -> list[str]:
        """What a user would type, with this interpreter."""
        named = ("--scenario", self.scenario, "--agent", self.agent, "--seed", str(self.seed), "--out", str(self.out))
        return [sys.executable, "-m", "semore_fast.train", *named, *self.flags]

    @property
    def finished(self) -> bool:
        """Whether it has its summary, which is written last."""
        return (self.out / SUMMARY).is_file()

    @property
    def begun(self) -> bool:
        """Whether there is something to go on with."""
        return (self.out / CONFIG).is_file()

    def newest(self) -> dict[str, Any]:
        """The last whole line of its metrics that training wrote, or nothing."""
        try:
            with (self.out / METRICS).open("rb") as file:
                file.seek(0, 2)
                file.seek(max(0, file.tell() - _TAIL_BYTES))
                lines = file.read().split(b"\n")[:-1]
        except FileNotFoundError:
            return {}
        for line in reversed(lines):
            if b'"kind":"train"' in line and line.startswith(b"{"):
                values: dict[str, Any] = json.loads(line)
                return values
        return {}


@dataclass(frozen=True, slots=True)
class Group:
    """Seeds of one method and scenario that share a process."""

    runs: tuple[Run, ...]

    @property
    def agent(self) -> str:
        """Their method."""
        return self.runs[0].agent

    @property
    def name(self) -> str:
        """Unique within a sweep."""
        return "+".join([self.runs[0].name, *(str(run.seed) for run in self.runs[1:])])

    @property
    def command(self) -> list[str]:
        """Trains all of them; those that are finished are left alone."""
        first = self.runs[0]
        named = ",".join(f"{run.out}={run.seed}" for run in self.runs)
        flags = ("--scenario", first.scenario, "--agent", first.agent, *first.flags)
        return [sys.executable, "-m", "semore_fast.sweeping.together", named, *flags]

    @property
    def finished(self) -> bool:
        """Whether all are."""
        return all(run.finished for run in self.runs)

    @property
    def begun(self) -> bool:
        """Whether there is something to go on with."""
        return any(run.begun for run in self.runs)

    def newest(self) -> dict[str, Any]:
        """Of the run that is furthest behind."""
        return min((run.newest() for run in self.runs), key=lambda line: int(line.get("frame", 0)))


def grouped(runs: Sequence[Run], seeds_per_process: int) -> list[Run | Group]:
    """Up to so many seeds of the same method and scenario together; what is finished stays by itself."""
    if seeds_per_process == 1:
        return list(runs)
    done = [run for run in runs if run.finished]
    kinds: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        if not run.finished:
            kinds.setdefault((run.scenario, run.agent), []).append(run)
    parts = [
        tuple(alike[begin : begin + seeds_per_process])
        for alike in kinds.values()
        for begin in range(0, len(alike), seeds_per_process)
    ]
    parts.sort(key=lambda part: part[0].seed)
    return [*done, *(part[0] if len(part) == 1 else Group(part) for part in parts)]


def plan(
    folder: Path, scenarios: Sequence[str], agents: Sequence[str], seeds: Sequence[int], flags: Sequence[str]
) -> list[Run]:
    """Every run of the grid, in an absolute folder.

    Seeds change slowest, so that an unfinished sweep compares all methods on few seeds.
    """
    folder = folder.resolve()
    return [
        Run(scenario=scenario, agent=agent, seed=seed, out=folder / f"{scenario}-{agent}-{seed}", flags=tuple(flags))
        for seed, scenario, agent in product(seeds, scenarios, agents)
    ]
