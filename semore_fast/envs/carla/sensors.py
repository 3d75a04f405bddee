"""Sensor data by frame: bounded boxes that foreign threads fill and the environment empties."""

from __future__ import annotations

import threading
import time
from typing import Generic, TypeVar

import carla

from semore_fast.envs.carla.errors import CarlaTimeout

__all__ = ["Box", "Collision", "Ear", "Eye"]

T = TypeVar("T")
_KEPT = 8
"""Frames a box keeps; nobody asks for older ones."""


class Box(Generic[T]):
    """What a sensor sent, by frame. Frames may come late, twice, in any order or never."""

    def __init__(self, name: str, kept: int = _KEPT):
        self.name = name
        self._kept = kept
        self._items: dict[int, T] = {}
        self._news = threading.Condition()
        self.dropped = 0
        """Frames that came and were never taken."""

    def put(self, frame: int, item: T) -> None:
        """Called by the sensor's thread; the oldest frames make room."""
        with self._news:
            self._items[frame] = item
            while len(self._items) > self._kept:
                del self._items[min(self._items)]
                self.dropped += 1
            self._news.notify_all()

    def take(self, frame: int, timeout_s: float) -> T:
        """What was sent for `frame`; older frames are dropped.

        Raises:
            CarlaTimeout: it did not come.
        """
        deadline = time.monotonic() + timeout_s
        with self._news:
            while frame not in self._items:
                left = deadline - time.monotonic()
                if left <= 0:
                    newest = max(self._items, default=None)
                    seen = "no frame came" if newest is None else f"the newest is {newest}"
                    raise CarlaTimeout(f"{self.name}: frame {frame} did not come within {timeout_s:g} s; {seen}")
                self._news.wait(left)
            item = self._items.pop(frame)
            for old in [other for other in self._items if other < frame]:
                del self._items[old]
                self.dropped += 1
            return item

    def any(self) -> bool:
        """Whether a frame waits here."""
        with self._news:
            return bool(self._items)

    def wait_any(self, timeout_s: float) -> bool:
        """Wait until a frame does."""
        with self._news:
            return self._news.wait_for(lambda: bool(self._items), timeout_s)


class Eye:
    """A camera: BGRA bytes by frame."""

    def __init__(self, name: str, sensor: carla.Sensor):
        self.sensor = sensor
        self.box: Box[bytes] = Box(name)
        box = self.box

        def copy(image: carla.Image) -> None:
            box.put(image.frame, bytes(image.raw_data))

        sensor.listen(copy)

    def stop(self) -> None:
        """Listen no more."""
        self.sensor.stop()


Collision = tuple[int, int, float, float, float]
"""Frame, the other actor's id (0: none of the map's actors), the normal impulse in N s."""


class Ear:
    """The collision sensor: it speaks only when something has happened, so nobody can wait for its silence."""

    def __init__(self, sensor: carla.Sensor):
        self.sensor = sensor
        self._heard: list[Collision] = []
        self._news = threading.Condition()
        heard, news = self._heard, self._news

        def note(event: carla.CollisionEvent) -> None:
            other, impulse = event.other_actor, event.normal_impulse
            collision = (event.frame, other.id if other else 0, impulse.x, impulse.y, impulse.z)
            with news:
                heard.append(collision)
                news.notify_all()

        sensor.listen(note)

    def take(self, frame: int, expected: bool, wait_s: float) -> list[Collision]:
        """Everything heard up to `frame` and not yet taken, late ones of earlier frames included.

        Args:
            frame: the last frame asked for.
            expected: wait a little if nothing of this frame has come yet.
            wait_s: how long.
        """
        deadline = time.monotonic() + wait_s
        with self._news:
            while expected and not any(event[0] >= frame for event in self._heard):
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._news.wait(left)
            taken = [event for event in self._heard if event[0] <= frame]
            self._heard[:] = [event for event in self._heard if event[0] > frame]
        return taken

    def stop(self) -> None:
        """Listen no more."""
        self.sensor.stop()
