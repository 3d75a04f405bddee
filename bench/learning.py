"""The evidence of learning: keeps runs' logs, and turns kept logs into a plot and a table.

python bench/learning.py keep FOLDER RUN... copies logs (compressed) into a folder, and a film a method
python bench/learning.py drivers jw 60      drives the reference drivers, keeps their figures
python bench/learning.py table jw FOLDER...  prints the final figures of the runs in these folders
python bench/learning.py plot jw FOLDER...   draws their curves into docs/images/learning-jw.png
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from semore_fast.config import ScenarioName
from semore_fast.evaluator import FINAL_SEED, Evaluator
from semore_fast.logging import read_metrics
from semore_fast.plot import Curve, plot_curves, read_curve
from semore_fast.presets import PRESETS
from semore_fast.reporting.page import middling
from semore_fast.reporting.runs import read_run
from semore_fast.worlds import EmbeddedWorlds

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "bench" / "results" / "learning"
COPIED = ("config.json", "manifest.json", "summary.json")
COLUMNS = ("distance m", "crash N s", "hits", "ended by collision", "brake %")


def keep(folder: Path, runs: list[Path]) -> None:
    """Copies what a claim about a run needs, and of each method the film that a report shows."""
    records = [read_run(run) for run in runs]
    kinds = {(record.scenario, record.agent) for record in records}
    shown = [middling([record for record in records if (record.scenario, record.agent) == kind]) for kind in kinds]
    for run in runs:
        target = folder / run.name
        target.mkdir(parents=True, exist_ok=True)
        for name in COPIED:
            shutil.copy(run / name, target / name)
        config = json.loads((target / "config.json").read_text()) | {"out": run.name}
        (target / "config.json").write_text(json.dumps(config, indent=1) + "\n")
        with gzip.GzipFile(target / "metrics.jsonl.gz", "wb", mtime=0) as packed:
            packed.write((run / "metrics.jsonl").read_bytes())
    for record in shown:
        if record is not None and record.film is not None:
            shutil.copy(record.film, folder / record.path.name / record.film.name)


def drivers(scenario: ScenarioName, episodes: int) -> None:
    """Drives the reference drivers over the final evaluation's episodes, with the laptop preset's clock."""
    config = dataclasses.replace(PRESETS["laptop"], scenario=scenario)
    summaries = Evaluator(config, EmbeddedWorlds(config)).reference_drivers(episodes, FINAL_SEED, print)
    figures = {name: summary.to_dict() for name, summary in summaries.items()}
    (KEPT / f"drivers-{scenario}.json").write_text(json.dumps(figures, indent=1) + "\n")


def kept(scenario: str, folders: list[str]) -> Iterator[tuple[str, dict[str, Any], list[Any]]]:
    """Folder, summary and logged lines of a scenario's kept runs."""
    for folder in folders:
        for run in sorted((KEPT / folder).glob(f"{scenario}-*")):
            yield folder, json.loads((run / "summary.json").read_text()), list(read_metrics(run / "metrics.jsonl.gz"))


def reference(scenario: str) -> dict[str, dict[str, float]]:
    """The reference drivers' figures."""
    found: dict[str, dict[str, float]] = json.loads((KEPT / f"drivers-{scenario}.json").read_text())
    return found


def table(scenario: str, folders: list[str]) -> None:
    """Prints a line for each kept run, and one for each reference driver."""
    columns = ("run", "minutes", "return", "not drawn", "gap ± s.e.", *COLUMNS)
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for folder, summary, lines in kept(scenario, folders):
        minutes = (lines[-1]["time_s"] - lines[0]["time_s"]) / 60
        print(row(f"{folder} {summary['agent']} {summary['seed']}", minutes, summary))
    for name, figures in reference(scenario).items():
        print(f"| {name.replace('_', ' ')} | – | {spread(figures, 'episode_return')} | – | – |{metrics(figures)} |")


def plot(scenario: str, folders: list[str]) -> None:
    """Draws evaluations over updates: the same work for every run of a method, whatever else its machine did."""
    curves: dict[str, list[Any]] = defaultdict(list)
    for folder, summary, lines in kept(scenario, folders):
        curves[f"{summary['agent']}, {folder}"].append(over_updates(lines))
    named = {f"{label} ({len(runs)} seed{'s' * (len(runs) > 1)})": runs for label, runs in curves.items()}
    image = ROOT / "docs" / "images" / f"learning-{scenario}.png"
    plot_curves(named, reference(scenario), image, xlabel="updates")


def over_updates(lines: list[Any]) -> Curve:
    """A curve of evaluations whose first column is the updates made by then."""
    curve = read_curve(lines)
    logged = [line for line in lines if line["kind"] == "train"]
    curve[:, 0] = np.interp(curve[:, 0], [line["frame"] for line in logged], [line["updates"] for line in logged])
    return curve


def row(name: str, minutes: float, summary: dict[str, Any]) -> str:
    """One run's line of the table."""
    gap = summary["gap"]
    return (
        f"| {name} | {minutes:.1f} | {spread(summary['seen'], 'episode_return')}"
        f" | {spread(summary['not_drawn'], 'episode_return')} | {gap['mean']:.0f} ± {gap['standard_error']:.0f}"
        f" |{metrics(summary['seen'])} |"
    )


def spread(figures: dict[str, float], name: str) -> str:
    """Mean and standard deviation over episodes."""
    return f"{figures[name]:.0f} ± {figures[f'{name}/std']:.0f}"


def metrics(figures: dict[str, float]) -> str:
    """The other columns."""
    parts = (
        f"{figures['distance_m']:.0f}",
        f"{figures['crash_intensity_ns']:.0f}",
        f"{figures['hits']:.2f}",
        f"{figures['collision_ends']:.2f}",
        f"{figures['brake_percent']:.1f}",
    )
    return " " + " | ".join(parts)


def main(verb: str, *rest: str) -> None:
    """Dispatches the verb."""
    if verb == "keep":
        keep(Path(rest[0]), [Path(run) for run in rest[1:]])
    elif verb == "drivers":
        drivers(rest[0], int(rest[1]))  # type: ignore[arg-type]  # an unknown one fails by name
    elif verb == "table":
        table(rest[0], list(rest[1:]))
    elif verb == "plot":
        plot(rest[0], list(rest[1:]))
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:])
