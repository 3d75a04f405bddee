"""How long everything may take, how often it may fail, and what happened."""

from __future__ import annotations

import threading
from dataclasses import dataclass

__all__ = ["COUNTERS", "Counters", "Limits"]

COUNTERS = (
    *("restarts", "server_restarts", "timeouts", "crashes", "interrupted_episodes", "steps_lost"),
    *("recycled", "borrowed_episodes"),
)
"""restarts: environments started anew after a failure; server_restarts: servers of ours among them. timeouts: no answer
by the deadline; crashes: every other failure. interrupted_episodes: cut off by a failure; steps_lost: steps asked for
without ever getting their result. recycled: replaced as planned. borrowed_episodes: cut off by an evaluation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Deadlines of whole calls, kept by the trainer, and limits of patience."""

    start_s: float = 120.0
    """For a server's process to listen."""
    connect_s: float = 180.0
    """For connecting, loading the map and setting the scene."""
    reset_s: float = 60.0
    step_s: float = 60.0
    close_s: float = 10.0
    max_failures: int = 10
    """In a row, without one whole episode between them."""
    first_failures: int = 3
    """Of the very first start."""
    recycle_episodes: int = 0
    """Replace server and client after so many episodes; 0 never does."""
    recycle_growth_bytes: int = 0
    """Replace them once the server's memory has grown by so much since its first episode; 0 never does."""
    backoff_s: float = 0.5
    """Pause before the second attempt in a row; doubled for each after it."""
    max_backoff_s: float = 30.0

    def pause_s(self, failures: int) -> float:
        """Pause before the next attempt after so many failures in a row: none after the first."""
        return 0.0 if failures < 2 else min(self.max_backoff_s, self.backoff_s * 2.0 ** (failures - 2))


class Counters:
    """Counts of what happened to all environments of a run. Safe to use from several threads."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(COUNTERS, 0)
        self._lock = threading.Lock()

    def add(self, name: str, count: int = 1) -> None:
        """Count something of `COUNTERS`."""
        with self._lock:
            self._counts[name] += count

    def read(self) -> dict[str, int]:
        """All counts so far."""
        with self._lock:
            return dict(self._counts)

    def restore(self, counts: dict[str, int]) -> None:
        """Go on from `read`'s counts of an earlier process."""
        with self._lock:
            self._counts |= {name: int(counts[name]) for name in COUNTERS if name in counts}
