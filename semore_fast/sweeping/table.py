"""How a sweep is doing: a live table on a terminal, a line for every change elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.table import Table

from semore_fast.sweeping.pool import Job, State

_STYLES = {
    State.WAITING: "bright_black",
    State.RUNNING: "cyan",
    State.FINISHED: "green",
    State.FAILED: "red",
    State.STOPPED: "yellow",
}


class SweepTable:
    """Shows jobs each time it is called; use it as a context manager."""

    def __init__(self, frames: int, console: Console | None = None) -> None:
        self._frames = frames
        self._console = console if console is not None else Console()
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._told: dict[str, tuple[State, int]] = {}

    def __enter__(self) -> SweepTable:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, jobs: Sequence[Job]) -> None:
        """Shows the jobs as they stand."""
        if self._live is not None:
            self._live.update(self._table(jobs), refresh=True)
            return
        for job in jobs:
            now = job.state, job.attempts
            if self._told.get(job.run.name, (State.WAITING, 0)) != now:
                self._told[job.run.name] = now
                reason = f" ({job.reason})" if job.reason else ""
                self._console.print(f"{_counts(jobs)} | {job.run.name}: {job.state}{reason}", soft_wrap=True)

    def _table(self, jobs: Sequence[Job]) -> Table:
        table = Table(caption=_counts(jobs), caption_justify="left")
        for column in ("run", "state", "done", "frames/s", "try"):
            table.add_column(column, justify="left" if column in ("run", "state") else "right")
        for job in jobs:
            newest = job.run.newest() if job.state == State.RUNNING else {}
            frame, rate = newest.get("frame"), newest.get("frames_per_s")
            table.add_row(
                job.run.name,
                f"[{_STYLES[job.state]}]{job.state}[/]{' ' + job.reason if job.reason else ''}",
                "–" if frame is None else f"{frame / self._frames:.0%}",
                "–" if rate is None else f"{rate:.0f}",
                str(job.attempts),
            )
        return table


def _counts(jobs: Sequence[Job]) -> str:
    counts = Counter(job.state for job in jobs)
    return ", ".join(f"{counts[state]} {state}" for state in State if counts[state])
