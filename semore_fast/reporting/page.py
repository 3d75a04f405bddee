"""Puts a report together: one page, the same as Markdown, and every figure as CSV."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from semore_fast.reporting import figures, paper, tables
from semore_fast.reporting.findings import findings, subject
from semore_fast.reporting.runs import RunRecord
from semore_fast.reporting.statistics import Interval, performance_profile
from semore_fast.reporting.study import DRIVER_BLIND, DRIVER_PLANNER, Study, gaps_of, normalised, summary_of
from semore_fast.reporting.tables import Table, iqm
from semore_fast.results import METRICS

_LINES = {DRIVER_BLIND: "blind full throttle", DRIVER_PLANNER: "planner"}
_NAMES = {"jw": "JayWalk (jw)", "hb": "HighBeam (hb)", "hw": "HighWay (hw)"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """One scenario of a report."""

    scenario: str
    name: str
    """Of the scenario, for people."""
    findings: list[str]
    table: Table
    figures: dict[str, str] = field(default_factory=dict)
    """Name to SVG."""
    curves: dict[str, str] = field(default_factory=dict)
    """Method to SVG."""
    films: dict[str, RunRecord] = field(default_factory=dict)
    """Method to the run whose film is shown: of middling return, so that nobody's luck is on show."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What the templates show."""

    title: str
    subject: str
    sections: list[Section]
    ablations: Table | None
    improvement: Table | None
    overall: dict[str, Interval]
    """With several scenarios: IQM of normalised return over all of them."""
    times: Table
    differences: Table
    failures: Table
    command: str


def build(study: Study, title: str, command: str) -> Report:
    """Everything a report says. `command` is what made it."""
    agents, scenarios = study.methods(), study.scenarios
    everywhere = [agent for agent in agents if all(study.of(scenario, agent) for scenario in scenarios)]
    measured = all(study.drivers(scenario) for scenario in scenarios)
    return Report(
        title=title,
        subject=subject(study),
        sections=[_section(study, scenario) for scenario in scenarios],
        ablations=tables.ablation_table(study) if any(name.startswith("semore-") for name in agents) else None,
        improvement=tables.improvement_table(study, scenarios, everywhere) if len(everywhere) > 1 else None,
        overall={agent: iqm(normalised(study, agent, scenarios)) for agent in everywhere}
        if len(scenarios) > 1 and measured
        else {},
        times=tables.time_table(study),
        differences=tables.difference_table(study),
        failures=tables.failure_table(study),
        command=command,
    )


def render(report: Report, template: str) -> str:
    """The report in one of the templates, `report.html` or `report.md`."""
    environment = Environment(
        loader=PackageLoader("semore_fast.reporting"),
        autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"film": _data_url, "pipe": lambda text: str(text).replace("|", "\\|")}
    return environment.get_template(template).render(report=report)


def to_csv(study: Study) -> str:
    """One line for each run and metric, and the paper's value beside it."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    header = ["scenario", "method", "seed", "frames", "metric", "value", "std_over_episodes", "episodes"]
    writer.writerow([*header, "not_drawn", "paper_mean", "paper_std"])
    for run in study.finished:
        summary = summary_of(run)
        seen, hidden = summary["seen"], summary["not_drawn"]
        for metric in METRICS:
            theirs = paper.printed().get((run.scenario, run.agent, metric), ("", ""))
            of_run = [run.scenario, run.agent, run.seed, summary["frames"], metric, f"{seen[metric]:.6g}"]
            spread = seen.get(f"{metric}/std")
            control = "" if hidden is None else f"{hidden[metric]:.6g}"
            rest = ["" if spread is None else f"{spread:.6g}", seen["episodes"], control]
            writer.writerow([*of_run, *rest, *("" if value is None else value for value in theirs)])
    return file.getvalue()


def _section(study: Study, scenario: str) -> Section:
    agents = study.methods(scenario)
    returns = {agent: iqm(study.scores(scenario, agent, "episode_return")) for agent in agents}
    measured = {agent: gaps_of(study.of(scenario, agent)) for agent in agents}
    gaps = {agent: iqm([gap["mean"] for gap in found]) for agent, found in measured.items() if found}
    drivers = study.drivers(scenario)
    lines = {name: drivers[key]["episode_return"] for key, name in _LINES.items() if key in drivers}
    drawn = {
        "return": figures.forest(returns, lines, "return, IQM over runs, 95 % interval"),
    }
    if gaps:
        drawn["gap"] = figures.forest(gaps, {"drives blind": 0.0}, "return lost with nobody drawn")
    palette = figures.colours(agents)
    shares, thresholds = _profiles(study, scenario, agents)
    if shares:
        drawn["profile"] = figures.profiles(shares, thresholds, palette)
    curves = {agent: [run.curve for run in study.of(scenario, agent) if len(run.curve)] for agent in agents}
    curves = {agent: runs for agent, runs in curves.items() if runs}
    limits = figures.curve_limits(curves) if curves else (0.0, 1.0)
    return Section(
        scenario=scenario,
        name=_NAMES[scenario],
        findings=findings(study, scenario),
        table=tables.main_table(study, scenario),
        figures=drawn,
        curves={agent: figures.curve_panel(agent, curves, palette[agent], limits) for agent in curves},
        films={agent: run for agent in agents if (run := middling(study.of(scenario, agent))) is not None},
    )


def _profiles(study: Study, scenario: str, agents: Sequence[str]) -> tuple[dict[str, Any], Any]:
    """Share of final episodes above each return: every episode is a task that all runs of a method were given."""
    returns = {
        agent: [summary_of(run).get("episode_returns", {}).get("seen") for run in study.of(scenario, agent)]
        for agent in agents
    }
    known = {
        agent: np.array(runs) for agent, runs in returns.items() if None not in runs and len(set(map(len, runs))) == 1
    }
    if not known:
        return {}, None
    every = np.concatenate([runs.ravel() for runs in known.values()])
    thresholds = np.linspace(every.min(), every.max(), 101)
    return {agent: performance_profile(runs, thresholds) for agent, runs in known.items()}, thresholds


def middling(runs: Sequence[RunRecord]) -> RunRecord | None:
    """Of finished runs with a film the one of middling return."""
    filmed = sorted((run for run in runs if run.film), key=lambda run: summary_of(run)["seen"]["episode_return"])
    return filmed[len(filmed) // 2] if filmed else None


def _data_url(run: RunRecord) -> str:
    if run.film is None:
        raise ValueError(f"{run.name} has no film")
    return "data:image/jpeg;base64," + base64.b64encode(run.film.read_bytes()).decode()
