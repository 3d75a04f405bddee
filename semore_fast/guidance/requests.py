"""Requests that wait for a guidance model: bounded, batched by size or deadline, each ended exactly once."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False, slots=True)
class Request:
    """A frame to be masked, or with an action a pair to be judged."""

    frame_id: int
    frame: NDArray[np.uint8]
    action: NDArray[np.float32] | None
    made_s: float
    step: int


class RequestQueue:
    """First in, first out; when it is full the oldest gives way to the newest, whose answer is worth more.

    Args:
        limit: requests held at most.
        clock: monotonic seconds.
    """

    def __init__(self, limit: int, clock: Callable[[], float]) -> None:
        self._limit, self._clock = limit, clock
        self._waiting: deque[Request] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, request: Request) -> Request | None:
        """Adds a request; the one that had to give way, or None."""
        with self._changed:
            evicted = self._waiting.popleft() if len(self._waiting) >= self._limit else None
            self._waiting.append(request)
            self._changed.notify()
            return evicted

    def take(self, size: int, deadline_s: float) -> list[Request]:
        """The next batch of one kind: as many as `size`, or those there once the oldest has waited `deadline_s`.

        Waits for the first request; empty only when the queue is closed.
        """
        with self._changed:
            while not self._closed:
                kind = self._waiting[0].action is None if self._waiting else None
                ready = [request for request in self._waiting if (request.action is None) is kind][:size]
                left_s = ready[0].made_s + deadline_s - self._clock() if ready else None
                if ready and (len(ready) == size or (left_s is not None and left_s <= 0)):
                    taken = set(map(id, ready))
                    self._waiting = deque(request for request in self._waiting if id(request) not in taken)
                    return ready
                self._changed.wait(left_s)
            return []

    def close(self) -> list[Request]:
        """Wakes whoever waits; what was still waiting."""
        with self._changed:
            self._closed = True
            left, self._waiting = list(self._waiting), deque()
            self._changed.notify_all()
            return left
