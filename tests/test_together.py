"""Seeds that share a process give what they give alone."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_sweep import wait_until
from test_training import tiny

from semore_fast.session import run_session
from semore_fast.sweeping.together import train_together

ROOT = Path(__file__).parents[1]


def learnt(run: Path) -> list[dict[str, Any]]:
    """Everything a run logged that does not depend on the clock."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    timed = ("time", "frames_per_s", "updates_per_s")
    return [{name: value for name, value in line.items() if not name.startswith(timed)} for line in lines]


@pytest.mark.parametrize("agent", ["sac", "semore"])
def test_each_seed_gives_what_it_gives_alone(tmp_path: Path, agent: str) -> None:
    for seed in (1, 2):
        assert run_session(tiny(tmp_path / "alone" / str(seed), agent=agent, seed=seed, threads=1)) == 0
    pair = [tiny(tmp_path / "together" / str(seed), agent=agent, seed=seed, threads=1) for seed in (1, 2)]
    assert train_together(pair) == 0
    for seed in ("1", "2"):
        alone, together = tmp_path / "alone" / seed, tmp_path / "together" / seed
        assert learnt(together) == learnt(alone)
        summaries = [json.loads((run / "summary.json").read_text()) for run in (alone, together)]
        assert summaries[0] == summaries[1]
    assert learnt(tmp_path / "alone" / "1") != learnt(tmp_path / "alone" / "2")


def test_finished_seeds_are_left_alone(tmp_path: Path) -> None:
    pair = [tiny(tmp_path / str(seed), seed=seed) for seed in (1, 2)]
    assert run_session(pair[0]) == 0
    before = (tmp_path / "1" / "metrics.jsonl").read_bytes()
    assert train_together(pair) == 0
    assert (tmp_path / "1" / "metrics.jsonl").read_bytes() == before
    assert (tmp_path / "2" / "summary.json").is_file()
    assert train_together(pair) == 0


def test_an_interrupt_saves_all_seeds(tmp_path: Path) -> None:
    flags = ["--preset", "laptop", "--agent", "sac", "--frames", "20000", "--env.image-size", "36", "--threads", "1"]
    flags += ["--learner.hidden-dim", "32", "--sampling.batch-size", "8", "--sampling.random-frames", "80"]
    named = f"{tmp_path / 'a'}=1,{tmp_path / 'b'}=2"
    command = [sys.executable, "-m", "semore_fast.sweeping.together", named, *flags, "--log-every-frames", "100"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    logs = [tmp_path / run / "metrics.jsonl" for run in "ab"]
    wait_until(lambda: all(log.exists() and log.stat().st_size for log in logs))  # both train
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "a: stopped at frame" in told
    assert "b: stopped at frame" in told
    assert list((tmp_path / "a" / "checkpoints").iterdir())
    assert list((tmp_path / "b" / "checkpoints").iterdir())
