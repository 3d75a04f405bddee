"""Gets runs done, several at a time, again from their checkpoints where they die; `Launch` says where."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from semore_fast.errors import EXIT_BUSY, EXIT_INTERRUPTED, EXIT_USER_ERROR
from semore_fast.sweeping.plan import Group, Run

POLL_S = 0.5
SAVING_S = 120.0
"""How long interrupted runs get to write their checkpoints."""
BUSY_PAUSE_S = 2.0


class State(StrEnum):
    """Where a run of a sweep stands."""

    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"


class Attempt(Protocol):
    """A training process somewhere."""

    def status(self) -> int | None:
        """Its exit status, negative for the signal that killed it; None while it runs."""
        ...

    def interrupt(self) -> None:
        """Asks it to save and end."""
        ...

    def finish(self, timeout_s: float) -> int:
        """Waits for its end, kills it after the timeout; its exit status."""
        ...


class Launch(Protocol):
    """Where training processes run."""

    def capacity(self) -> int:
        """How many may run at a time, now."""
        ...

    def start(self, run: Run | Group, log: Path) -> Attempt:
        """Starts one; what it prints is appended to `log`."""
        ...


@dataclass(slots=True)
class Job:
    """A run and what became of it so far."""

    run: Run | Group
    log: Path
    state: State = State.WAITING
    attempts: int = 0
    reason: str = ""
    """Why it failed, or is tried again."""
    attempt: Attempt | None = None
    not_before_s: float = 0.0
    """Time (monotonic) before which it is not tried again."""
    busy_since_s: float | None = None
    """Since when (monotonic) another process has had its directory."""


class Pool:
    """Gets jobs done; `show` is told of them at every poll.

    A run that dies is tried again, up to `retries` times: the same command goes on from its checkpoint. One that
    refuses its settings (status 2) is not, since nothing would change. One whose directory is still in use, as by a
    process that lost its sweep and is saving, is waited for.
    """

    def __init__(
        self,
        runs: Sequence[Run | Group],
        logs: Path,
        launch: Launch,
        *,
        retries: int,
        show: Callable[[list[Job]], None],
    ) -> None:
        self.jobs = [Job(run, logs / f"{run.name}.log") for run in runs]
        self._launch, self._retries, self._show = launch, retries, show
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
            status = None if job.attempt is None else job.attempt.status()
            if status is not None:
                self._settle(job, status)
        free = self._launch.capacity() - sum(job.state == State.RUNNING for job in self.jobs)
        waiting = [job for job in self.jobs if job.state == State.WAITING]
        now_s = time.monotonic()
        for job in [job for job in waiting if job.not_before_s <= now_s][: max(0, free)]:
            self._start(job)
        self._show(self.jobs)
        return bool(waiting) or any(job.state == State.RUNNING for job in self.jobs)

    def _start(self, job: Job) -> None:
        job.attempts += 1
        job.log.parent.mkdir(parents=True, exist_ok=True)
        job.attempt = self._launch.start(job.run, job.log)
        job.state = State.RUNNING

    def _settle(self, job: Job, status: int) -> None:
        job.attempt = None
        if status == 0 and job.run.finished:
            job.state, job.reason = State.FINISHED, ""
            return
        job.reason = f"{_ending(status)}: {_last_line(job.log)}"
        if status == EXIT_BUSY and self._still_patient(job):
            job.state, job.attempts = State.WAITING, job.attempts - 1
            return
        job.busy_since_s = None
        if status == EXIT_INTERRUPTED:
            job.state = State.STOPPED
        elif status in (EXIT_USER_ERROR, EXIT_BUSY) or job.attempts > self._retries:
            job.state = State.FAILED
        else:
            job.state = State.WAITING

    def _still_patient(self, job: Job) -> bool:
        now_s = time.monotonic()
        job.busy_since_s = job.busy_since_s or now_s
        job.not_before_s = now_s + BUSY_PAUSE_S
        return now_s - job.busy_since_s < SAVING_S

    def _interrupt(self) -> None:
        """Lets every run save what it has; kills what takes too long."""
        running = [(job, job.attempt) for job in self.jobs if job.attempt is not None]
        for _, attempt in running:
            attempt.interrupt()
        deadline_s = time.monotonic() + SAVING_S
        for job, attempt in running:
            self._settle(job, attempt.finish(max(0.0, deadline_s - time.monotonic())))
            job.state = State.FINISHED if job.state == State.FINISHED else State.STOPPED


def _ending(status: int) -> str:
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"exit status {status}"


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.is_file() else []
    return lines[-1] if lines else "no output"
