"""Sweeps: the grid, what becomes of runs that die, Ctrl-C, and the real command killed half-way and continued."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from semore_fast.errors import UserError
from semore_fast.sweep import main
from semore_fast.sweeping import pool as pool_module
from semore_fast.sweeping.local import Local, least_loaded
from semore_fast.sweeping.plan import Run, grouped, plan
from semore_fast.sweeping.pool import Pool, State

ROOT = Path(__file__).parents[1]
BEGIN = "import pathlib, sys; out = pathlib.Path(sys.argv[1]); out.mkdir(exist_ok=True); "
FINISH = "(out / 'summary.json').write_text('{}')"


@dataclass(frozen=True, kw_only=True)
class Scripted(Run):
    """A run whose training is a line of Python; `out` is its directory."""

    script: str = ""

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-c", BEGIN + self.script, str(self.out)]


def pool_of(folder: Path, *scripts: str, jobs: int = 2, retries: int = 1, show=lambda _: None) -> Pool:
    runs = [
        Scripted(scenario="jw", agent="sac", seed=seed, out=folder / f"run-{seed}", flags=(), script=script)
        for seed, script in enumerate(scripts)
    ]
    return Pool(runs, folder / "logs", Local(jobs), retries=retries, show=show)


def states(pool: Pool) -> list[tuple[str, int]]:
    return [(job.state.value, job.attempts) for job in pool.jobs]


def test_the_grid_has_every_combination_and_all_methods_of_a_seed_before_the_next(tmp_path):
    runs = plan(tmp_path, ("jw", "hb"), ("sac", "curl"), (1, 2), ("--frames", "9"))
    assert [run.name for run in runs[:5]] == ["jw-sac-1", "jw-curl-1", "hb-sac-1", "hb-curl-1", "jw-sac-2"]
    assert len({run.name for run in runs}) == 8
    named = ["--scenario", "jw", "--agent", "sac", "--seed", "1", "--out", str(tmp_path / "jw-sac-1")]
    assert runs[0].command[1:] == ["-m", "semore_fast.train", *named, "--frames", "9"]


def test_seeds_share_a_process_by_method_and_finished_ones_are_left_out(tmp_path):
    runs = plan(tmp_path, ("jw",), ("sac", "curl"), (1, 2, 3), ("--frames", "9"))
    runs[2].out.mkdir()
    (runs[2].out / "summary.json").write_text("{}")
    found = grouped(runs, 2)
    assert [part.name for part in found] == ["jw-sac-2", "jw-sac-1+3", "jw-curl-1+2", "jw-curl-3"]
    assert found[1].command[2:] == [
        "semore_fast.sweeping.together",
        f"{tmp_path}/jw-sac-1=1,{tmp_path}/jw-sac-3=3",
        *("--scenario", "jw", "--agent", "sac", "--frames", "9"),
    ]
    assert grouped(runs, 1) == runs
    (runs[0].out).mkdir()
    (runs[0].out / "metrics.jsonl").write_text('{"kind":"train","frame":7}\n')
    assert found[1].newest() == {}
    assert found[1].begun is False


def test_the_newest_line_is_the_last_whole_one_of_training(tmp_path):
    run = plan(tmp_path, ("jw",), ("sac",), (1,), ())[0]
    assert run.newest() == {}
    run.out.mkdir()
    lines = [{"kind": "train", "frame": 1}, {"kind": "train", "frame": 2}, {"kind": "episode", "frame": 3}]
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    (run.out / "metrics.jsonl").write_text(text + '{"kind":"train","fra')
    assert run.newest()["frame"] == 2


def test_finished_runs_are_left_alone(tmp_path):
    assert pool_of(tmp_path, FINISH, FINISH).execute()
    again = pool_of(tmp_path, "raise SystemExit(1)", "raise SystemExit(1)")
    assert again.execute()
    assert states(again) == [("finished", 0)] * 2


def test_a_run_that_dies_is_tried_again_and_one_that_refuses_is_not(tmp_path):
    dies_once = (
        "mark = out / 'config.json'; again = mark.exists(); mark.write_text('{}'); again or sys.exit(7); " + FINISH
    )
    refuses = "print('error: --frames must be positive'); raise SystemExit(2)"
    killed = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    leaves_nothing = "pass"
    pool = pool_of(tmp_path, dies_once, refuses, killed, leaves_nothing)
    assert not pool.execute()
    assert states(pool) == [("finished", 2), ("failed", 1), ("failed", 2), ("failed", 2)]
    assert pool.jobs[1].reason == "exit status 2: error: --frames must be positive"
    assert pool.jobs[2].reason == "killed by SIGKILL: no output"


def test_as_many_run_as_may_and_no_more(tmp_path):
    running: list[int] = []

    def count(jobs):
        running.append(sum(job.state == State.RUNNING for job in jobs))

    assert pool_of(tmp_path, *[f"import time; time.sleep(1); {FINISH}"] * 5, jobs=2, show=count).execute()
    assert max(running) == 2


def test_a_directory_in_use_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(pool_module, "BUSY_PAUSE_S", 0.1)
    busy_twice = (
        "tries = out / 'tries'; n = len(tries.read_text()) if tries.exists() else 0; tries.write_text('x' * (n + 1)); "
        "n < 2 and sys.exit(75); " + FINISH
    )
    pool = pool_of(tmp_path, busy_twice, retries=0)
    assert pool.execute()
    assert states(pool) == [("finished", 1)]
    monkeypatch.setattr(pool_module, "SAVING_S", 0.3)
    pool = pool_of(tmp_path / "forever", "print('error: in use'); sys.exit(75)", retries=0)
    assert not pool.execute()
    assert pool.jobs[0].state == State.FAILED
    assert pool.jobs[0].reason == "exit status 75: error: in use"


def test_runs_are_spread_over_gpus():
    assert least_loaded(["0", "1"], []) == "0"
    assert least_loaded(["0", "1"], ["0"]) == "1"
    assert least_loaded(["0", "1"], ["0", "1", "0"]) == "1"


def test_an_interrupt_lets_runs_save_and_starts_no_others(tmp_path):
    saves = (
        "import signal, time; "
        "signal.signal(signal.SIGINT, lambda *_: ((out / 'saved').touch(), sys.exit(130))); "
        "(out / 'ready').touch(); time.sleep(60)"
    )

    def interrupt(jobs):
        if jobs[0].state == State.RUNNING and (tmp_path / "run-0" / "ready").exists():
            raise KeyboardInterrupt

    pool = pool_of(tmp_path, saves, saves, jobs=1, show=interrupt)
    with pytest.raises(KeyboardInterrupt):
        pool.execute()
    assert (tmp_path / "run-0" / "saved").exists()
    assert states(pool) == [("stopped", 1), ("waiting", 0)]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--agents", "sac,sax"], "--agents must be all or some of .*, got 'sax'"),
        (["--scenarios", "jw,jw"], "--scenarios names something twice: jw,jw"),
        (["--seeds", "0"], "--seeds must be at least 1, got 0"),
        (["--", "--sampling.discount", "2"], "--sampling.discount must lie in"),
    ],
)
def test_bad_flags_are_named_before_anything_runs(flags, message, tmp_path):
    with pytest.raises(UserError, match=message):
        main(["--out", str(tmp_path / "sweep"), *flags])
    assert not (tmp_path / "sweep").exists()


def running(folder: Path) -> list[str]:
    """Command lines of processes that work in the folder."""
    lines = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]  # a zombie's is None
    return [" ".join(line) for line in lines if any(part.startswith(str(folder)) for part in line)]


def finished(folder: Path) -> dict[str, int]:
    """Finished runs, and when their summaries were written."""
    return {path.parent.name: path.stat().st_mtime_ns for path in sorted(folder.glob("*/summary.json"))}


def wait_until(true, timeout_s: float = 120.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline_s
        time.sleep(0.1)


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_runs_save_and_end_when_their_sweep_is_killed(tmp_path):
    saves = (
        "import os, signal, time; "
        "signal.signal(signal.SIGINT, lambda *_: ((out / 'saved').touch(), sys.exit(130))); "
        "(out / 'pid').write_text(str(os.getpid())); time.sleep(60)"
    )
    sweep = (
        "import sys, pathlib; sys.path[:0] = [sys.argv[2], sys.argv[2] + '/tests']; from test_sweep import pool_of; "
        "pool_of(pathlib.Path(sys.argv[1]), sys.argv[3]).execute()"
    )
    parent = subprocess.Popen([sys.executable, "-c", sweep, str(tmp_path), str(ROOT), saves])
    wait_until((tmp_path / "run-0" / "pid").exists)
    time.sleep(0.2)
    parent.kill()
    parent.wait()
    wait_until((tmp_path / "run-0" / "saved").exists, 10)


def test_a_real_sweep_is_killed_interrupted_continued_and_reported(tmp_path):
    """Two methods, two seeds, 200 frames each, through the real commands."""
    tiny = ["--preset", "laptop", "--frames", "200", "--env.image-size", "36", "--env.supersample", "1"]
    tiny += ["--learner.hidden-dim", "32", "--sampling.batch-size", "8", "--sampling.random-frames", "100"]
    tiny += ["--env.max-episode-frames", "80", "--evaluation.final-episodes", "1", "--evaluation.driver-episodes", "0"]
    tiny += ["--evaluation.videos", "0", "--checkpoint-every-frames", "50", "--no-tensorboard"]
    command = [sys.executable, "-m", "semore_fast.sweep", "--agents", "sac,semore", "--seeds", "2", "--no-estimate"]
    command += ["--out", str(tmp_path), "--jobs", "1", "--", *tiny]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    first = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    wait_until(lambda: finished(tmp_path))
    first.kill()
    first.wait()
    wait_until(lambda: not running(tmp_path))
    begun = len(finished(tmp_path))
    interrupted = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    wait_until(lambda: len(finished(tmp_path)) > begun)
    interrupted.send_signal(signal.SIGINT)
    assert interrupted.wait(120) == 130
    before = finished(tmp_path)
    assert 2 <= len(before) < 4
    second = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert second.returncode == 0, second.stdout + second.stderr
    assert f"4 runs, {len(before)} finished" in second.stdout
    after = finished(tmp_path)
    assert list(after) == ["jw-sac-1", "jw-sac-2", "jw-semore-1", "jw-semore-2"]
    assert {name: after[name] for name in before} == before
    page = tmp_path / "page"
    command = [sys.executable, "-m", "semore_fast.report", str(tmp_path), "--out", str(page)]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True).stdout
    assert "4 finished runs of 4: 2 methods on jw, 2 seeds, 200 simulator frames each" in told
    assert (page / "report.html").stat().st_size > 20_000
    text = (page / "report.md").read_text()
    assert "None: every run was finished." in text
    assert "every setting, the commit and all versions are the same" in text
