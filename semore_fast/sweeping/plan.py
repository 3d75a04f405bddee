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


def plan(
    folder: Path, scenarios: Sequence[str], agents: Sequence[str], seeds: Sequence[int], flags: Sequence[str]
) -> list[Run]:
    """Every run of the grid; seeds change slowest, so that an unfinished sweep compares all methods on few seeds."""
    return [
        Run(scenario=scenario, agent=agent, seed=seed, out=folder / f"{scenario}-{agent}-{seed}", flags=tuple(flags))
        for seed, scenario, agent in product(seeds, scenarios, agents)
    ]
