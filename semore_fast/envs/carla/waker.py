"""Wakes the client's Traffic Manager where it missed the signal to begin a step.

`TrafficManagerLocal::SynchronousTick` (0.9.13 to 0.9.16) stores the signal and notifies without the worker's mutex. A
worker that has looked and not yet fallen asleep misses it; then the worker waits for the next step and `World.tick` for
this one's end, both for ever. Switching synchronous mode off notifies once more, and the step goes on. Seen once in
thousands of episodes, on a busy machine. A manager that does not hang must not be woken: it then makes a step too many,
and may abort the process over vehicles that are destroyed meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Waker"]


class Waker:
    """Watches ticks from a thread of its own.

    Args:
        wake: called once for a tick that takes too long.
        limit_s: how long one may take; longer than the server has to answer, for it must not be woken then.
    """

    def __init__(self, wake: Callable[[], None], limit_s: float) -> None:
        self.woken = 0
        self._wake, self._limit_s = wake, limit_s
        self._due: float | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="traffic-waker", daemon=True)
        self._thread.start()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Around one tick."""
        self._due = time.monotonic() + self._limit_s
        try:
            yield
        finally:
            self._due = None

    def close(self) -> None:
        """Ends the thread."""
        self._closed.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._closed.wait(self._limit_s / 20):
            due = self._due
            if due is not None and time.monotonic() > due:
                self._due = None
                self.woken += 1
                self._wake()
