"""The runs of a report side by side: scores by method and scenario, and what makes them hard to compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from semore.config import METHOD_SUMMARIES
from semore_fast.reporting.runs import RunRecord
from semore_fast.reporting.statistics import F64
from semore_fast.rundir import flat_fields

OWN_FIELDS = ("scenario", "agent", "seed", "out", "resume", "checkpoint_every_frames", "tensorboard")
"""Settings in which runs of one comparison may differ without a word."""
DRIVER_BLIND, DRIVER_PLANNER = "full_throttle", "privileged"
SIGHT_ERRORS = 2.0
"""A run counts as seeing where its gap is above zero by this many standard errors (about 95 %)."""


@dataclass(frozen=True, slots=True)
class Study:
    """Runs, finished or not, of several methods, scenarios and seeds."""

    runs: list[RunRecord]

    @property
    def finished(self) -> list[RunRecord]:
        """Those that count in tables."""
        return [run for run in self.runs if run.summary is not None]

    @property
    def scenarios(self) -> list[str]:
        """Of finished runs, in the paper's order."""
        present = {run.scenario for run in self.finished}
        return [name for name in ("jw", "hb", "hw") if name in present]

    def methods(self, scenario: str | None = None) -> list[str]:
        """Of finished runs (of a scenario), baselines first."""
        present = {run.agent for run in self.finished if scenario in (None, run.scenario)}
        return [name for name in METHOD_ORDER if name in present]

    def of(self, scenario: str, agent: str) -> list[RunRecord]:
        """A method's finished runs of a scenario, by seed."""
        return [run for run in self.finished if (run.scenario, run.agent) == (scenario, agent)]

    def scores(self, scenario: str, agent: str, metric: str) -> F64:
        """[R]: each finished run's mean over its final episodes."""
        return np.array([summary_of(run)["seen"][metric] for run in self.of(scenario, agent)], np.float64)

    def drivers(self, scenario: str) -> dict[str, dict[str, Any]]:
        """The reference drivers' figures, from the first run that measured them."""
        for run in self.finished:
            if run.scenario == scenario and summary_of(run)["drivers"]:
                drivers: dict[str, dict[str, Any]] = summary_of(run)["drivers"]
                return drivers
        return {}

    def differences(self) -> dict[str, dict[str, list[str]]]:
        """Settings that are not the same in all runs: name -> value -> names of the runs with it."""
        fields = {run.name: flat_fields(run.config) | _origin(run) for run in self.runs}
        names = sorted({name for values in fields.values() for name in values} - set(OWN_FIELDS))
        found: dict[str, dict[str, list[str]]] = {}
        for name in names:
            by_value: dict[str, list[str]] = {}
            for run, values in fields.items():
                by_value.setdefault(values.get(name, "(not set)"), []).append(run)
            if len(by_value) > 1:
                found[name] = by_value
        return found


METHOD_ORDER = [
    *(name for name in METHOD_SUMMARIES if not name.startswith("semore")),
    *sorted(name for name in METHOD_SUMMARIES if name.startswith("semore-")),
    "semore",
]
"""Baselines, ablations, Semore."""


def gaps_of(runs: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """The gaps seen - not drawn of those runs that could measure one; those on CARLA cannot."""
    return [gap for run in runs if (gap := summary_of(run)["gap"]) is not None]


def sees(gap: dict[str, Any]) -> bool:
    """Whether a gap differs from none; unknown (one episode) is no."""
    error = gap["standard_error"]
    return error is not None and bool(gap["mean"] > SIGHT_ERRORS * error)


def summary_of(run: RunRecord) -> dict[str, Any]:
    """A finished run's figures."""
    if run.summary is None:
        raise ValueError(f"{run.name} is not finished")
    return run.summary


def common_scores(study: Study, agent: str, scenarios: Sequence[str], metric: str) -> F64:
    """[R, T]: scores of a method on scenarios, as many runs of each as the one with fewest has."""
    columns = [study.scores(scenario, agent, metric) for scenario in scenarios]
    runs = min(len(column) for column in columns)
    return np.stack([column[:runs] for column in columns], axis=1)


def normalised(study: Study, agent: str, scenarios: Sequence[str]) -> F64:
    """[R, T]: returns on the scale on which blind full throttle is 0 and the privileged planner 1.

    Raises:
        KeyError: a scenario whose runs measured no reference drivers.
    """
    scores = common_scores(study, agent, scenarios, "episode_return")
    ends = [
        [study.drivers(scenario)[name]["episode_return"] for name in (DRIVER_BLIND, DRIVER_PLANNER)]
        for scenario in scenarios
    ]
    low, high = np.array(ends, np.float64).T
    shares: F64 = (scores - low) / (high - low)
    return shares


def _origin(run: RunRecord) -> dict[str, str]:
    """What made a run, beside its settings."""
    system = run.manifest.get("system", {})
    versions = {f"version of {name}": str(version) for name, version in system.get("versions", {}).items()}
    return {"commit": str(system.get("commit")), "processor": str(system.get("cpu")), **versions}
