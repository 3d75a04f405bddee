"""When things are due, and where time goes. Cadences follow counters: a resumed run keeps its rhythm."""

import threading
from collections import deque
from collections.abc import Mapping
from statistics import median
from time import perf_counter
from types import TracebackType

SECTIONS = ("env", "act", "sample", "update", "guidance", "evaluate", "checkpoint")
OTHER = "other"


class Every:
    """Due once whenever a counter reaches or passes the next multiple of `interval` after `start`.

    The counter may jump by any amount (a batch of environments steps at once): several multiples passed in
    one jump are due once, and the rhythm stays on the multiples. `interval=None` is never due.
    """

    def __init__(self, interval: int | None, start: int = 0) -> None:
        if interval is not None and interval <= 0:
            raise ValueError(f"interval must be positive or None, got {interval}")
        self._interval = interval
        self._start = start
        self._last = start

    def __call__(self, count: int) -> bool:
        """Return whether a multiple was reached since the last call that returned True."""
        if self._interval is None:
            return False
        due = (count - self._start) // self._interval > (self._last - self._start) // self._interval
        if due:
            self._last = count
        return due

    def state_dict(self) -> dict[str, int]:
        """Return where counting began and when it was last due; both stay right if the interval changes."""
        return {"start": self._start, "last": self._last}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continue from `state`."""
        self._start = state["start"]
        self._last = state["last"]


class Until:
    """True while a counter is below `limit` (None: always). Stateless: the limit belongs to the config."""

    def __init__(self, limit: int | None) -> None:
        if limit is not None and limit < 0:
            raise ValueError(f"limit must not be negative, got {limit}")
        self._limit = limit

    def __call__(self, count: int) -> bool:
        """Return whether `count` is still below the limit."""
        return self._limit is None or count < self._limit


class Rate:
    """Counts per second between calls."""

    def __init__(self, count: int = 0) -> None:
        self._count = count
        self._time_s = perf_counter()

    def per_second(self, count: int) -> float:
        """Return the rate since the last call (or construction), and start the next interval."""
        now_s = perf_counter()
        elapsed_s = now_s - self._time_s
        rate_hz = (count - self._count) / elapsed_s if elapsed_s > 0 else 0.0
        self._count, self._time_s = count, now_s
        return rate_hz


class TimeBudget:
    """Wall time by section: `with budget("env"): ...`. What no section claims is "other".

    A section entered inside another pauses the outer one, so that every moment counts once and shares add up
    to 1. An instance belongs to the first thread that uses it and refuses others: give each thread its own.
    """

    def __init__(self) -> None:
        self._seconds = dict.fromkeys((*SECTIONS, OTHER), 0.0)
        self._at_window = dict(self._seconds)
        self._stack = [OTHER]
        self._marked_s = perf_counter()
        self._thread_id: int | None = None
        self._guards = {name: _Section(self, name) for name in SECTIONS}

    def __call__(self, section: str) -> "_Section":
        """Return the context manager of a section; ValueError if there is no such section."""
        guard = self._guards.get(section)
        if guard is None:
            raise ValueError(f"unknown section {section!r}, expected one of {', '.join(SECTIONS)}")
        return guard

    def seconds(self) -> dict[str, float]:
        """Return the seconds of every section since construction."""
        self._mark()
        return dict(self._seconds)

    def total(self) -> dict[str, float]:
        """Return every section's share of the time since construction."""
        return _shares(self.seconds())

    def window(self) -> dict[str, float]:
        """Return every section's share of the time since the last call, and start the next window."""
        now = self.seconds()
        shares = _shares({name: now[name] - self._at_window[name] for name in now})
        self._at_window = now
        return shares

    def _enter(self, section: str) -> None:
        self._mark()
        self._stack.append(section)

    def _exit(self) -> None:
        self._mark()
        self._stack.pop()

    def _mark(self) -> None:
        caller = threading.get_ident()
        if self._thread_id is None:
            self._thread_id = caller
        if caller != self._thread_id:
            raise RuntimeError("a TimeBudget belongs to the thread that used it first: give each thread its own")
        now_s = perf_counter()
        self._seconds[self._stack[-1]] += now_s - self._marked_s
        self._marked_s = now_s


class SlowDown:
    """How much longer a step with an update takes while something else works on the same machine.

    Medians of the newest `window` steps of each kind: the first after a pause, or one that also reset an episode,
    says nothing.
    """

    def __init__(self, window: int = 200, least: int = 8) -> None:
        self._beside: deque[float] = deque(maxlen=window)
        self._alone: deque[float] = deque(maxlen=window)
        self._least = least

    def add(self, seconds: float, *, beside: bool) -> None:
        """Adds one step."""
        (self._beside if beside else self._alone).append(seconds)

    def read(self) -> float | None:
        """Returns the median beside over the median alone, less 1; None before `least` steps of each kind."""
        if min(len(self._beside), len(self._alone)) < self._least:
            return None
        return median(self._beside) / median(self._alone) - 1


class _Section:
    __slots__ = ("_budget", "_name")

    def __init__(self, budget: TimeBudget, name: str) -> None:
        self._budget = budget
        self._name = name

    def __enter__(self) -> None:
        self._budget._enter(self._name)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._budget._exit()


def _shares(seconds: Mapping[str, float]) -> dict[str, float]:
    whole = sum(seconds.values())
    return {name: value / whole if whole > 0 else 0.0 for name, value in seconds.items()}
