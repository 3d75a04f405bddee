"""Reads run directories for a report: what was set, what came out, what it took, what failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from semore_fast.errors import UserError
from semore_fast.logging import read_metrics
from semore_fast.plot import Curve, read_curve
from semore_fast.rundir import CONFIG, MANIFEST, METRICS, SUMMARY, RunDirectory

_TIME = "time/"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """One run, as its directory tells it."""

    path: Path
    config: dict[str, Any]
    manifest: dict[str, Any]
    summary: dict[str, Any] | None
    """None: not finished."""
    curve: Curve
    frame: int
    """The last one logged."""
    wall_s: float
    """From the first line of the metrics to the last; pauses of a run that was taken up again count."""
    frames_per_s: float
    """Median over the lines logged while learning; nan if there is none."""
    time_shares: dict[str, float]
    """Share of wall time by section of the training loop, mean over those lines."""
    film: Path | None
    """Picture of an evaluation episode."""
    trouble: str
    """Why it is not finished, as far as can be told; empty for a finished run."""

    @property
    def scenario(self) -> str:
        """Its scenario."""
        return str(self.config["scenario"])

    @property
    def agent(self) -> str:
        """Its method."""
        return str(self.config["agent"])

    @property
    def seed(self) -> int:
        """Its seed."""
        return int(self.config["seed"])

    @property
    def name(self) -> str:
        """Scenario, method and seed: unique within a report."""
        return f"{self.scenario}-{self.agent}-{self.seed}"


def find_runs(paths: Sequence[Path]) -> list[RunRecord]:
    """Every run at or below the paths, by scenario, method and seed.

    Raises:
        UserError: a path holds no run, a run is damaged, or two runs have the same scenario, method and seed.
    """
    folders: dict[Path, None] = {}
    for path in paths:
        found = [file.parent for file in sorted(path.rglob(CONFIG))]
        if not found:
            why = "holds no run (no config.json in it or below)" if path.is_dir() else "is not a directory"
            raise UserError(f"{path} {why}; give run directories, or a folder of them such as a sweep's --out")
        folders.update(dict.fromkeys(found))
    runs: dict[tuple[str, str, int], RunRecord] = {}
    for folder in folders:
        run = read_run(folder)
        other = runs.setdefault((run.scenario, run.agent, run.seed), run)
        if other is not run:
            raise UserError(f"{other.path} and {run.path} are both {run.name}: give one of them")
    return [runs[key] for key in sorted(runs)]


def read_run(folder: Path) -> RunRecord:
    """One run directory; its metrics may be compressed, as metrics.jsonl.gz.

    Raises:
        UserError: a file is damaged.
    """
    run = RunDirectory.read(folder)
    lines = _metrics(folder)
    learning = [line for line in lines if line["kind"] == "train" and line.get("updates_per_s")]
    finished = (folder / SUMMARY).is_file()
    frame = max((line["frame"] for line in lines), default=0)
    films = sorted(folder.glob("**/episode-*.jpg"))
    return RunRecord(
        path=folder,
        config=run.config,
        manifest=run.read_json(MANIFEST) if (folder / MANIFEST).is_file() else {},
        summary=run.read_json(SUMMARY) if finished else None,
        curve=read_curve(lines),
        frame=frame,
        wall_s=lines[-1]["time_s"] - lines[0]["time_s"] if lines else 0.0,
        frames_per_s=median(line["frames_per_s"] for line in learning) if learning else float("nan"),
        time_shares=_shares(learning),
        film=films[0] if films else None,
        trouble="" if finished else _trouble(folder, frame, int(run.config["frames"])),
    )


def _metrics(folder: Path) -> list[dict[str, Any]]:
    for path in (folder / METRICS, folder / f"{METRICS}.gz"):
        if path.is_file():
            return read_metrics(path)
    return []


def _shares(learning: Sequence[dict[str, Any]]) -> dict[str, float]:
    sections = [key for key in learning[0] if key.startswith(_TIME)] if learning else []
    return {key.removeprefix(_TIME): sum(float(line[key]) for line in learning) / len(learning) for key in sections}


def _trouble(folder: Path, frame: int, frames: int) -> str:
    log = folder.parent / "logs" / f"{folder.name}.log"  # where a sweep puts it
    last = log.read_text(errors="replace").strip().splitlines()[-1:] if log.is_file() else []
    return f"stopped or still running at frame {frame:,} of {frames:,}" + (
        f"; its output ends: {last[0]}" if last else ""
    )
