"""Stops asking a model that fails again and again, and finds out when it is back."""

from __future__ import annotations

from collections.abc import Callable

FAILURES = 3
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 300.0


class Breaker:
    """Closed: everything is asked. After `failures` in a row it opens: nothing is asked for a pause, which doubles
    every time; then one batch is tried, and its success closes it again.

    Args:
        say: told in one line when guidance is given up and when it is back.
        clock: monotonic seconds.
        failures: in a row that open it.
    """

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float], failures: int = FAILURES) -> None:
        self._say, self._clock, self._limit = say, clock, failures
        self._failed = 0
        self._pause_s = FIRST_PAUSE_S
        self._open_until_s: float | None = None

    def allows(self) -> bool:
        """Whether to ask the model now."""
        return self._open_until_s is None or self._clock() >= self._open_until_s

    def succeeded(self) -> None:
        """A batch was answered."""
        if self._open_until_s is not None:
            self._say("guidance is back")
        self._failed, self._pause_s, self._open_until_s = 0, FIRST_PAUSE_S, None

    def failed(self, reason: str) -> None:
        """A batch was not."""
        self._failed += 1
        if self._failed < self._limit:
            return
        if self._open_until_s is None:
            self._say(f"training goes on without guidance: {reason}; it is tried again in {self._pause_s:.0f} s")
        self._open_until_s = self._clock() + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
