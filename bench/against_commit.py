"""Whole runs of an earlier commit and of this checkout, in turns: what has become faster for who trains.

    python bench/against_commit.py COMMIT OUT.json [ROUNDS]

The earlier commit is built in a folder of its own with this interpreter. Each round trains every method below with
both, in an order drawn anew, with the preset laptop as it is in either, and twice with this checkout: on one thread and
on as many as its preset takes. Rates are medians over a run's lines after its first updates, ratios are of one round.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from runs import QUIET, rates

from semore_fast.logging import read_metrics
from semore_fast.system import describe_system

ROOT = Path(__file__).resolve().parent.parent
AGENTS = ("sac", "semore")
FRAMES = 12_000
SHORT = ("--evaluation.final-episodes", "2", "--evaluation.every-frames", "1000000", "--log-every-frames", "250")
CONTESTANTS = {"before": (), "one thread": ("--threads", "1"), "now": ()}
"""Flags of each."""


def built(commit: str, folder: Path) -> Path:
    """A checkout of `commit` in `folder` with its extension built in place."""
    run = subprocess.run
    run(["git", "worktree", "add", "--detach", "--quiet", str(folder), commit], cwd=ROOT, check=True)
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    run(command, cwd=folder, check=True, capture_output=True)
    return folder


def train(checkout: Path, out: Path, *flags: str) -> dict[str, float]:
    """Trains in a process of its own, started in `checkout`, whose code it thereby takes."""
    frames = ("--frames", str(FRAMES), "--preset", "laptop")
    command = [sys.executable, "-m", "semore_fast.train", *frames, *QUIET, *SHORT, "--out", str(out), *flags]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{checkout}: {done.stderr[-2000:]}")
    return rates([row for row in read_metrics(out / "metrics.jsonl") if row["kind"] == "train"])


def measure(commit: str, rounds: int, folder: Path) -> dict[str, Any]:
    """Rates of all runs, and how many times as fast they are as before."""
    earlier, order = built(commit, folder / "checkout"), random.Random(0)
    found: dict[str, dict[str, list[float]]] = {agent: {name: [] for name in CONTESTANTS} for agent in AGENTS}
    try:
        for number in range(rounds):
            for agent in AGENTS:
                for name in order.sample(list(CONTESTANTS), len(CONTESTANTS)):
                    checkout = earlier if name == "before" else ROOT
                    out = folder / f"{number}-{agent}-{name.replace(' ', '-')}"
                    rate = train(checkout, out, "--agent", agent, *CONTESTANTS[name])["updates_per_s"]
                    print(f"{number} {agent} {name}: {rate:.1f} updates/s", flush=True)
                    found[agent][name].append(round(rate, 2))
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", str(earlier)], cwd=ROOT, check=True)
    return {agent: {"updates_per_s": runs, "times_as_fast": _ratios(runs)} for agent, runs in found.items()}


def _ratios(runs: dict[str, list[float]]) -> dict[str, float]:
    before = runs["before"]
    return {
        name: round(median(mine / theirs for mine, theirs in zip(measured, before, strict=True)), 2)
        for name, measured in runs.items()
        if name != "before"
    }


def main(commit: str, target: Path, rounds: int) -> None:
    """Measures, and writes the result."""
    with tempfile.TemporaryDirectory() as folder:
        found = measure(commit, rounds, Path(folder))
    result = {"system": describe_system(), "command": " ".join(sys.argv), "against": commit, "methods": found}
    target.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 3)
