"""Whole training runs, several at once: how long they take, what each still reaches, and what they have learnt.

    python bench/runs.py OUT.json AT_ONCE[,AT_ONCE...] [flags of train]

For each number, so many runs with seeds 1, 2, ... are started together as their user would start them, and waited for.
Rates are medians over the lines of a run's metrics after its first updates; `slow_down` is how much less each reaches
than a run that had the machine to itself, where 1 is among the numbers.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from semore_fast.logging import read_metrics
from semore_fast.system import describe_system

QUIET = ("--no-tensorboard", "--evaluation.driver-episodes", "0", "--evaluation.videos", "0")


def run_together(count: int, flags: list[str], folder: Path) -> dict[str, Any]:
    """Starts `count` runs, waits for all, and reads what they logged."""
    places = [folder / f"{count}-{seed}" for seed in range(1, count + 1)]
    commands = [
        [sys.executable, "-m", "semore_fast.train", *QUIET, "--seed", str(seed), "--out", str(place), *flags]
        for seed, place in enumerate(places, 1)
    ]
    began = time.time()
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]
    statuses = [process.wait() for process in running]
    if any(statuses):
        raise SystemExit(f"{count} runs at once ended with statuses {statuses}: {' '.join(flags)}")
    runs = [one_run(place, began) for place in places]
    rates = [run["frames_per_s"] for run in runs]
    return {"at_once": count, "wall_s": round(time.time() - began, 1), "frames_per_s": median(rates), "runs": runs}


def one_run(place: Path, began: float) -> dict[str, Any]:
    """When a run did what, and what came of it."""
    rows = read_metrics(place / "metrics.jsonl")
    summary = json.loads((place / "summary.json").read_text())
    return {
        **{name: round(rate, 4) for name, rate in rates(rows).items()},
        "trained_after_s": round(rows[-1]["time_s"] - began, 1),
        "evaluations": [
            [row["frame"], round(row["time_s"] - began, 1), round(row["episode_return"], 1)]
            for row in rows
            if row["kind"] == "evaluation"
        ],
        "final_return": round(summary["seen"]["episode_return"], 1),
        "gap": None if summary["gap"] is None else round(summary["gap"]["mean"], 1),
    }


def rates(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Medians of rates and shares of time over the lines that a run wrote while it learnt, but for the first."""
    learning = [row for row in rows if row["kind"] == "train" and row["updates_per_s"]][1:]
    shares = sorted(name for name in learning[0] if name.startswith("time/"))
    return {name: median(row[name] for row in learning) for name in ("frames_per_s", "updates_per_s", *shares)}


def main(target: Path, numbers: list[int], flags: list[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="runs-") as folder:
        measured = [run_together(count, flags, Path(folder)) for count in numbers]
    alone = next((one["frames_per_s"] for one in measured if one["at_once"] == 1), None)
    for one in measured:
        one["slow_down"] = None if alone is None else round(alone / one["frames_per_s"] - 1, 3)
        print(f"{one['at_once']} at once: {one['wall_s']} s, {one['frames_per_s']} frames/s each", flush=True)
    result = {"system": describe_system(), "command": " ".join(sys.argv), "flags": flags, "measured": measured}
    target.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(number) for number in sys.argv[2].split(",")], sys.argv[3:])
