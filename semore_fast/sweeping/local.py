"""Runs of a sweep as processes of this machine."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from semore_fast.sweeping.plan import Group, Run

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class LocalAttempt:
    """A training process of this machine, in a session of its own: Ctrl-C on the terminal reaches the sweep alone."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
                preexec_fn=_prepare,
            )

    def status(self) -> int | None:
        """See `Attempt`."""
        return self._process.poll()

    def interrupt(self) -> None:
        """See `Attempt`."""
        self._process.send_signal(signal.SIGINT)

    def finish(self, timeout_s: float) -> int:
        """See `Attempt`."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


class Local:
    """At most `jobs` processes at a time, spread over the machine's GPUs if `gpus` names some."""

    def __init__(self, jobs: int, gpus: Sequence[str] = ()) -> None:
        self._jobs = jobs
        self._gpus = tuple(gpus)
        self._placed: list[tuple[LocalAttempt, str]] = []

    def capacity(self) -> int:
        """See `Launch`."""
        return self._jobs

    def start(self, run: Run | Group, log: Path) -> LocalAttempt:
        """See `Launch`."""
        self._placed = [(attempt, gpu) for attempt, gpu in self._placed if attempt.status() is None]
        gpu = least_loaded(self._gpus, [gpu for _, gpu in self._placed]) if self._gpus else None
        attempt = LocalAttempt(run.command, log, None if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu})
        if gpu is not None:
            self._placed.append((attempt, gpu))
        return attempt


def least_loaded(gpus: Sequence[str], taken: Sequence[str]) -> str:
    """The GPU with the fewest runs, the first of several."""
    load = Counter(taken)
    return min(gpus, key=lambda gpu: load[gpu])


def _prepare() -> None:
    """In the child: SIGINT reaches it whatever its parent does with its own, and one comes when its parent is gone.

    So a run saves and ends when its sweep is killed.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
