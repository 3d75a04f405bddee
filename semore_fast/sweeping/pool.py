"""Executes runs in processes of this machine, several at a time, again from their checkpoints where they die."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from semore_fast.errors import EXIT_INTERRUPTED, EXIT_USER_ERROR
from semore_fast.sweeping.plan import Run

POLL_S = 0.5
SAVING_S = 120.0
"""How long interrupted runs get to write their checkpoints."""


class State(StrEnum):
    """Where a run of a sweep stands."""

    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(slots=True)
class Job:
    """A run and what became of it so far."""

    run: Run
    log: Path
    state: State = State.WAITING
    attempts: int = 0
    reason: str = ""
    """Why it failed, or is tried again."""
    process: subprocess.Popen[bytes] | None = None


class Pool:
    """Runs jobs, at most `jobs` at a time; `show` is told of them at every poll.

    A run that dies is tried again, up to `retries` times: the same command goes on from its checkpoint. One that
    refuses its settings (status 2) is not, since nothing would change.
    """

    def __init__(
        self, runs: Sequence[Run], logs: Path, *, jobs: int, retries: int, show: Callable[[list[Job]], None]
    ) -> None:
        self.jobs = [Job(run, logs / f"{run.name}.log") for run in runs]
        self._at_once, self._retries, self._show = jobs, retries, show
        for job in self.jobs:
            if job.run.finished:
                job.state = State.FINISHED

    def execute(self) -> bool:
        """Runs everything that is not finished; whether everything now is. Ctrl-C stops the runs and propagates."""
        try:
            while self._poll():
                time.sleep(POLL_S)
        except BaseException:
            self._interrupt()
            raise
        finally:
            self._show(self.jobs)
        return all(job.state == State.FINISHED for job in self.jobs)

    def _poll(self) -> bool:
        """Takes note of ended runs and starts others; whether there is anything to wait for."""
        for job in self.jobs:
            if job.process is not None and job.process.poll() is not None:
                self._settle(job, job.process.returncode)
        free = self._at_once - sum(job.state == State.RUNNING for job in self.jobs)
        for job in [job for job in self.jobs if job.state == State.WAITING][:free]:
            self._start(job)
        self._show(self.jobs)
        return any(job.state == State.RUNNING for job in self.jobs)

    def _start(self, job: Job) -> None:
        job.attempts += 1
        job.log.parent.mkdir(parents=True, exist_ok=True)
        with job.log.open("ab") as log:
            # A session of its own: Ctrl-C on the terminal reaches the sweep alone, which passes it on once.
            job.process = subprocess.Popen(
                job.run.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=stop_with_parent if sys.platform == "linux" else None,
            )
        job.state = State.RUNNING

    def _settle(self, job: Job, status: int) -> None:
        job.process = None
        if status == 0 and job.run.finished:
            job.state, job.reason = State.FINISHED, ""
            return
        job.reason = f"{_ending(status)}: {_last_line(job.log)}"
        if status == EXIT_INTERRUPTED:
            job.state = State.STOPPED
        elif status == EXIT_USER_ERROR or job.attempts > self._retries:
            job.state = State.FAILED
        else:
            job.state = State.WAITING

    def _interrupt(self) -> None:
        """Lets every run save what it has; kills what takes too long."""
        running = [job for job in self.jobs if job.process is not None]
        for job in running:
            if job.process is not None:
                job.process.send_signal(signal.SIGINT)
        deadline_s = time.monotonic() + SAVING_S
        for job in running:
            if job.process is None:
                continue
            try:
                status = job.process.wait(max(0.0, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                job.process.kill()
                status = job.process.wait()
            self._settle(job, status)
            job.state = State.FINISHED if job.state == State.FINISHED else State.STOPPED


_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def stop_with_parent() -> None:
    """In a child: asks for SIGINT when its parent is gone, so that a run saves and ends when its sweep is killed."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


def _ending(status: int) -> str:
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"exit status {status}"


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no output"
