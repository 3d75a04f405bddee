"""The tables of a report, as text cells that the page and the Markdown file both show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from semore_fast.reporting import paper
from semore_fast.reporting.statistics import Interval, interquartile_mean, interval, probability_of_improvement
from semore_fast.reporting.study import Study, common_scores, gaps_of, sees, summary_of
from semore_fast.results import METRICS

SPREAD = ("episode_return", "distance_m", "crash_intensity_ns")
"""Metrics that are means over episodes; the others are pooled over frames and have no spread."""
ABLATION_METRICS = ("distance_m", "crash_intensity_ns")
ABLATIONS = ("semore-m1", "semore-m2", "semore-m3", "semore")


@dataclass(frozen=True, slots=True)
class Cell:
    """What a cell says, and below it in small what belongs to it."""

    text: str
    below: str = ""
    shade: float | None = None
    """0 to 1 to colour it by, or nothing."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a header; the first column names the row."""

    header: list[str]
    rows: list[list[Cell]]


def iqm(scores: Any) -> Interval:
    """Interquartile mean over runs with its bootstrap interval. scores: [R] or [R, T]."""
    return interval(interquartile_mean, np.asarray(scores, np.float64).reshape(len(scores), -1))


def main_table(study: Study, scenario: str) -> Table:
    """Table 1 of one scenario, with the gap and the reference drivers."""
    header = ["method", "runs", *METRICS.values(), "IQM return", "gap", "see"]
    rows = []
    for agent in study.methods(scenario):
        runs = study.of(scenario, agent)
        gaps = gaps_of(runs)
        rows.append(
            [
                Cell(agent),
                Cell(str(len(runs))),
                *(_metric_cell(study, scenario, agent, metric) for metric in METRICS),
                _interval_cell(iqm(study.scores(scenario, agent, "episode_return")), len(runs)),
                *_gap_cells(gaps),
            ]
        )
    for name, figures in study.drivers(scenario).items():
        cells = [Cell(_spread(figures, metric)) for metric in METRICS]
        rows.append([Cell(name.replace("_", " "), "reference driver"), Cell("–"), *cells, *[Cell("–")] * 3])
    return Table(header, rows)


def ablation_table(study: Study) -> Table:
    """Table 2: what each part adds."""
    present = [name for name in ABLATIONS if name in study.methods()]
    header = ["scenario", *(f"{'M4, ' if name == 'semore' else ''}{name}" for name in present)]
    rows = []
    for scenario in study.scenarios:
        for metric in ABLATION_METRICS:
            cells = [
                _with_paper(_number(study, scenario, name, metric), paper.table2().get((scenario, name, metric)))
                for name in present
            ]
            rows.append([Cell(f"{scenario}, {METRICS[metric]}"), *cells])
    return Table(header, rows)


def improvement_table(study: Study, scenarios: Sequence[str], agents: Sequence[str]) -> Table:
    """How likely a run of the row's method returns more than one of the column's, on the same scenario."""
    scores = {agent: common_scores(study, agent, scenarios, "episode_return") for agent in agents}
    rows = []
    for one in agents:
        cells = [Cell(one)]
        for other in agents:
            if one == other:
                cells.append(Cell("–"))
                continue
            found = interval(probability_of_improvement, scores[one], scores[other])
            cells.append(Cell(f"{found.value:.0%}", f"{found.low:.0%}–{found.high:.0%}", shade=found.value))
        rows.append(cells)
    return Table(["row beats column", *agents], rows)


def time_table(study: Study) -> Table:
    """What a run takes, and where its time goes."""
    rows = []
    for (scenario, agent), group in groupby(study.runs, key=lambda run: (run.scenario, run.agent)):
        runs = list(group)
        rates = [run.frames_per_s for run in runs]
        known = [run.time_shares for run in runs if run.time_shares]
        shares = {name: float(np.mean([each.get(name, 0.0) for each in known])) for name in (known[0] if known else ())}
        largest = sorted(shares.items(), key=lambda item: -item[1])[:4]
        rows.append(
            [
                Cell(f"{scenario} {agent}"),
                Cell(f"{float(np.median(rates)):.0f}"),
                Cell(f"{float(np.median([run.wall_s for run in runs])) / 60:.1f}"),
                Cell(", ".join(f"{name} {share:.0%}" for name, share in largest if share >= 0.005) or "–"),
            ]
        )
    return Table(["runs", "frames/s", "minutes a run", "time goes to"], rows)


def difference_table(study: Study) -> Table:
    """Settings and origins in which the runs differ."""
    rows = []
    for name, by_value in study.differences().items():
        told = "; ".join(f"{value}: {_names(runs)}" for value, runs in by_value.items())
        rows.append([Cell(name), Cell(told)])
    return Table(["setting", "values"], rows)


def failure_table(study: Study) -> Table:
    """Runs that are not finished."""
    return Table(["run", "what is known"], [[Cell(run.name), Cell(run.trouble)] for run in study.runs if run.trouble])


def whole(value: float) -> str:
    """Rounded, without a minus before 0."""
    return f"{round(value) + 0:d}"


def pooled_std(runs: Sequence[dict[str, Any]], metric: str) -> float:
    """Population standard deviation over all episodes of several runs, from each run's mean, spread and count."""
    count = np.array([run["episodes"] for run in runs], np.float64)
    mean = np.array([run[metric] for run in runs], np.float64)
    square = np.array([run[f"{metric}/std"] for run in runs], np.float64) ** 2 + mean**2
    overall = float(np.average(mean, weights=count))
    return float(np.sqrt(max(0.0, float(np.average(square, weights=count)) - overall**2)))


def _metric_cell(study: Study, scenario: str, agent: str, metric: str) -> Cell:
    text = _number(study, scenario, agent, metric)
    if metric in SPREAD:
        seen = [summary_of(run)["seen"] for run in study.of(scenario, agent)]
        text += f" ± {pooled_std(seen, metric):.0f}"
    return _with_paper(text, paper.printed().get((scenario, agent, metric)))


def _number(study: Study, scenario: str, agent: str, metric: str) -> str:
    scores = study.scores(scenario, agent, metric)
    if not len(scores):
        return "–"
    return f"{scores.mean():.0f}" if metric in SPREAD else f"{scores.mean():.1f}"


def _with_paper(text: str, printed: paper.Printed | None) -> Cell:
    if printed is None:
        return Cell(text)
    mean, std = printed
    return Cell(text, f"paper {mean:g}" + (f" ± {std:g}" if std is not None else ""))


def _gap_cells(gaps: Sequence[dict[str, Any]]) -> list[Cell]:
    """The gap, and how many runs see."""
    if not gaps:
        return [Cell("–", "not measured")] * 2
    means = [gap["mean"] for gap in gaps]
    below = " ".join(map(whole, means)) if len(means) > 1 else ""
    return [Cell(whole(float(np.mean(means))), below), Cell(f"{sum(map(sees, gaps))} of {len(gaps)}")]


def _interval_cell(found: Interval, runs: int) -> Cell:
    if runs < 2:
        return Cell(f"{found.value:.0f}", "one run: no interval")
    return Cell(f"{found.value:.0f}", f"{found.low:.0f} to {found.high:.0f}")


def _spread(figures: dict[str, Any], metric: str) -> str:
    std = figures.get(f"{metric}/std")
    return f"{figures[metric]:.1f}" if std is None else f"{figures[metric]:.0f} ± {std:.0f}"


def _names(runs: Sequence[str]) -> str:
    return ", ".join(runs) if len(runs) <= 4 else f"{', '.join(runs[:3])} and {len(runs) - 3} more"
