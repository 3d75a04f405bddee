"""Guidance by a model on a thread of its own: training never waits for it, and outlives it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semore.guidance import Snapshot
from semore_fast.guidance.breaker import Breaker
from semore_fast.guidance.key_frames import KeyFrames
from semore_fast.guidance.model import FrameModel, ModelError, grey_levels
from semore_fast.guidance.requests import Request, RequestQueue
from semore_fast.guidance.service import Masks, no_counts, no_masks

CLOSE_S = 30.0
"""How long `close` waits for the model."""
_LEAST_MASK_LEVEL = 1  # of 255: below that nothing was found


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceLimits:
    """How long requests wait, and how many."""

    queue: int = 256
    """Requests held; the oldest gives way."""
    batch: int = 16
    """Frames the model is given at a time."""
    batch_deadline_s: float = 0.5
    """The oldest of an incomplete batch waits no longer."""
    timeout_s: float = 60.0
    """Requests older than this when their turn comes are given up."""


class BackgroundService:
    """A `GuidanceService` over a `FrameModel`. Masks and verdicts come when they come, and join their frames by id.

    Args:
        model: asked from this service's thread alone, and closed with it.
        key_frames: which frames are worth a request.
        limits: see `ServiceLimits`.
        say: told in one line when guidance is given up, and when it is back.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        model: FrameModel,
        key_frames: KeyFrames,
        limits: ServiceLimits,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model, self._key_frames, self._limits, self._clock = model, key_frames, limits, clock
        self._queue = RequestQueue(limits.queue, clock)
        self._breaker = Breaker(say, clock)
        self._lock = threading.Lock()  # over everything below
        self._counts = no_counts()
        self._ready: list[tuple[Request, NDArray[np.uint8]]] = []
        self._unreasonable: list[int] = []
        self._under_way = 0
        self._step = 0
        self._closed = False
        self._at_work = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="guidance")
        self._served = self._thread.submit(self._serve)

    def submit(self, frame_ids: NDArray[np.int64], snapshots: Sequence[Snapshot]) -> None:
        """See `GuidanceService.submit`."""
        for env, (frame_id, snapshot) in enumerate(zip(frame_ids.tolist(), snapshots, strict=True)):
            if self._key_frames.wants(env, snapshot.frame):
                self._ask(Request(frame_id, snapshot.frame.copy(), None, self._clock(), self._step))
        self._step += 1

    def poll(self) -> Masks:
        """See `GuidanceService.poll`.

        Raises:
            RuntimeError: the thread ended by a fault that is not the model's; it is the cause.
        """
        if self._served.done() and (fault := self._served.exception()) is not None:
            raise RuntimeError("guidance broke") from fault
        with self._lock:
            ready, self._ready = self._ready, []
            for request, _ in ready:
                self._end("answered" if request.step + 1 >= self._step else "late")
        if not ready:
            return no_masks()
        return np.array([request.frame_id for request, _ in ready], np.int64), np.stack([mask for _, mask in ready])

    def judge(
        self, frame_ids: NDArray[np.int64], snapshots: Sequence[Snapshot], actions: NDArray[np.float32]
    ) -> NDArray[np.bool_]:
        """All True, bool `[M]`; what is not comes through `unreasonable`."""
        for frame_id, snapshot, action in zip(frame_ids.tolist(), snapshots, actions, strict=True):
            self._ask(Request(frame_id, snapshot.frame.copy(), action.copy(), self._clock(), self._step))
        return np.ones(len(snapshots), np.bool_)

    def unreasonable(self) -> NDArray[np.int64]:
        """See `GuidanceService.unreasonable`."""
        with self._lock:
            found, self._unreasonable = self._unreasonable, []
        return np.array(found, np.int64)

    def stats(self) -> dict[str, int]:
        """See `GuidanceService.stats`."""
        with self._lock:
            return dict(self._counts)

    @property
    def busy(self) -> bool:
        """Whether the model has a batch."""
        return self._at_work

    def close(self) -> None:
        """Ends the thread after the batch it is at; whatever is pending counts as dropped. Again does nothing."""
        if self._closed:
            return
        self._closed = True
        left = self._queue.close()
        wait([self._served], CLOSE_S)
        self._thread.shutdown(wait=False)
        with self._lock:
            self._end("dropped", len(left) + len(self._ready))
            self._ready = []
        if self._served.done():
            self._model.close()

    def state_dict(self) -> dict[str, Any]:
        """Counts and key frames. What is pending is not saved: after a resume it counts as dropped."""
        with self._lock:
            counts = dict(self._counts)
            counts["dropped"] += self._under_way
            return {"step": self._step, "counts": counts, "key_frames": self._key_frames.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        with self._lock:
            self._step = int(state["step"])
            self._counts = no_counts() | {name: int(count) for name, count in state["counts"].items()}
            self._key_frames.load_state_dict(state["key_frames"])

    def _ask(self, request: Request) -> None:
        with self._lock:
            self._counts["requested"] += 1
            self._under_way += 1
        if self._queue.put(request) is not None:
            self._give_up("dropped", 1)

    def _end(self, outcome: str, count: int = 1) -> None:
        """Requests that are over; the lock is held."""
        self._counts[outcome] += count
        self._under_way -= count

    def _serve(self) -> None:
        while batch := self._queue.take(self._limits.batch, self._limits.batch_deadline_s):
            oldest_s = self._clock() - self._limits.timeout_s
            fresh = [request for request in batch if request.made_s >= oldest_s]
            self._give_up("timed_out", len(batch) - len(fresh))
            if not fresh:
                continue
            if not self._breaker.allows():
                self._give_up("dropped", len(fresh))
                continue
            self._at_work = True
            try:
                self._answer(fresh)
            except ModelError as error:
                self._breaker.failed(str(error))
                self._give_up("failed", len(fresh))
            else:
                self._breaker.succeeded()
            finally:
                self._at_work = False

    def _give_up(self, outcome: str, count: int) -> None:
        with self._lock:
            self._end(outcome, count)

    def _answer(self, batch: Sequence[Request]) -> None:
        frames = np.stack([request.frame for request in batch])
        actions = [request.action for request in batch if request.action is not None]
        if actions:
            verdicts = self._model.verdicts(frames, np.stack(actions))
            wrong = [request.frame_id for request, good in zip(batch, verdicts, strict=True) if not good]
            with self._lock:
                self._end("answered", len(batch))
                self._counts["judged"] += len(batch)
                self._counts["unreasonable"] += len(wrong)
                self._unreasonable += wrong
            return
        phrases, masks = self._model.masks(frames)
        with self._lock:
            for request, named, mask in zip(batch, phrases, grey_levels(masks), strict=True):
                if named and mask.max(initial=0) >= _LEAST_MASK_LEVEL:
                    self._ready.append((request, mask))
                else:
                    self._end("missed")
