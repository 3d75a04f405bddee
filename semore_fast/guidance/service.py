"""Guidance beside a trainer: masks are asked for by frame id, may come late, and never hold a step up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from semore.guidance import Guide, Snapshot
from semore_fast.guidance.model import grey_levels

Masks = tuple[NDArray[np.int64], NDArray[np.uint8]]
OUTCOMES = ("answered", "late", "missed", "dropped", "timed_out", "failed")


class GuidanceService(Protocol):
    """What the trainer asks of guidance.

    Every request ends exactly once: `answered` (its mask came with the next poll), `late` (its mask came, but
    later), `missed` (nothing was named, so there is no mask), `dropped` (given up, so that others are served),
    `timed_out` (too old when its turn came) or `failed` (an error). Verdicts are requests too, and counted once more:
    `judged`, and of those `unreasonable`. A verdict that never comes leaves its pair in the buffer.
    """

    def submit(self, frame_ids: NDArray[np.int64], snapshots: Sequence[Snapshot]) -> None:
        """Offer the frames of one step: ids int64 `[M]` and M snapshots. Call it once a step.

        Not every offer becomes a request: a service may look at key frames only. The caller may overwrite the
        snapshots' arrays afterwards, so a service that answers later copies what it needs.
        """
        ...

    def poll(self) -> Masks:
        """Masks that are ready and not given out before: ids int64 `[K]`, masks uint8 `[K, H, W]`, 255 for 1.

        With K = 0 the masks' H and W are 0.
        """
        ...

    def judge(
        self, frame_ids: NDArray[np.int64], snapshots: Sequence[Snapshot], actions: NDArray[np.float32]
    ) -> NDArray[np.bool_]:
        """Verdicts bool `[M]` on actions float32 `[M, 2]` in the frames `[M]`, True for reasonable.

        A service that would have to wait says True at once, and the truth later through `unreasonable`.
        """
        ...

    def unreasonable(self) -> NDArray[np.int64]:
        """Frames int64 `[K]` whose pair `judge` let pass and a later verdict does not; each is given out once."""
        ...

    def stats(self) -> dict[str, int]:
        """Counts of `requested` and of each outcome; their difference is what is still pending."""
        ...

    @property
    def busy(self) -> bool:
        """Whether a model is at work beside the caller just now."""
        ...

    def close(self) -> None:
        """End: whatever is still pending counts as dropped."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything later answers depend on; leaves are values that JSON can hold, or numpy arrays."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        ...


class NoGuidance:
    """No masks, and every action is reasonable."""

    def submit(self, frame_ids: NDArray[np.int64], snapshots: Sequence[Snapshot]) -> None:
        """Ignore the offer."""

    def poll(self) -> Masks:
        """No masks."""
        return no_masks()

    def judge(
        self, frame_ids: NDArray[np.int64], snapshots: Sequence[Snapshot], actions: NDArray[np.float32]
    ) -> NDArray[np.bool_]:
        """All True, bool `[M]`."""
        return np.ones(len(snapshots), np.bool_)

    def unreasonable(self) -> NDArray[np.int64]:
        """None."""
        return np.zeros(0, np.int64)

    def stats(self) -> dict[str, int]:
        """Zeros."""
        return no_counts()

    @property
    def busy(self) -> bool:
        """Never."""
        return False

    def close(self) -> None:
        """Nothing to end."""

    def state_dict(self) -> dict[str, Any]:
        """Empty: nothing to remember."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Accept an empty state."""
        if state:
            raise ValueError(f"this run has no guidance but the saved state has keys {sorted(state)}")


class ScriptedService:
    """Asks a scripted (privileged) guide within `submit`; only a guide with faults answers late.

    Args:
        guide: answers frame by frame.
        key_frame_interval: frames of every n-th step are requested, starting with the first.

    Raises:
        ValueError: if `key_frame_interval` is below 1.
    """

    def __init__(self, guide: Guide, key_frame_interval: int = 1) -> None:
        if key_frame_interval < 1:
            raise ValueError(f"key_frame_interval must be at least 1 step, got {key_frame_interval}")
        self._guide = guide
        self._interval = key_frame_interval
        self._step = 0
        self._counts = no_counts()
        self._pending: list[_Pending] = []

    def submit(self, frame_ids: NDArray[np.int64], snapshots: Sequence[Snapshot]) -> None:
        """Annotate and segment the frames if this step is a key frame. See `GuidanceService.submit`."""
        if len(frame_ids) != len(snapshots):
            raise ValueError(f"{len(frame_ids)} frame_ids but {len(snapshots)} snapshots")
        if self._step % self._interval == 0:
            for frame_id, snapshot in zip(frame_ids, snapshots, strict=True):
                self._request(int(frame_id), snapshot)
        self._step += 1

    def poll(self) -> Masks:
        """Masks due by now, oldest request first. See `GuidanceService.poll`."""
        due = [pending for pending in self._pending if pending.due_step <= self._step]
        if not due:
            return no_masks()
        self._pending = [pending for pending in self._pending if pending.due_step > self._step]
        late = sum(pending.late for pending in due)
        self._counts["late"] += late
        self._counts["answered"] += len(due) - late
        return np.array([pending.frame_id for pending in due], np.int64), np.stack([p.mask for p in due])

    def judge(
        self, frame_ids: NDArray[np.int64], snapshots: Sequence[Snapshot], actions: NDArray[np.float32]
    ) -> NDArray[np.bool_]:
        """Verdicts bool `[M]` on actions `[M, 2]`, at once."""
        pairs = zip(snapshots, actions, strict=True)
        verdicts = np.array([self._guide.judge(snapshot, action) for snapshot, action in pairs], np.bool_)
        for name in ("requested", "answered", "judged"):
            self._counts[name] += len(verdicts)
        self._counts["unreasonable"] += int(np.count_nonzero(~verdicts))
        return verdicts

    def unreasonable(self) -> NDArray[np.int64]:
        """None: its verdicts never come late."""
        return np.zeros(0, np.int64)

    def stats(self) -> dict[str, int]:
        """Counts of `requested` and of each outcome."""
        return dict(self._counts)

    @property
    def busy(self) -> bool:
        """Never: it answers within the call."""
        return False

    def close(self) -> None:
        """Drop the late masks still under way."""
        self._counts["dropped"] += len(self._pending)
        self._pending = []

    def state_dict(self) -> dict[str, Any]:
        """Guide, counters and late masks under way."""
        return {
            "guide": self._guide.state_dict(),
            "step": self._step,
            "counts": dict(self._counts),
            "pending": [pending.state() for pending in self._pending],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        self._guide.load_state_dict(state["guide"])
        self._step = int(state["step"])
        self._counts = no_counts() | {name: int(count) for name, count in state["counts"].items()}
        self._pending = [_Pending(**pending) for pending in state["pending"]]

    def _request(self, frame_id: int, snapshot: Snapshot) -> None:
        self._counts["requested"] += 1
        phrases = self._guide.annotate(snapshot)
        if not phrases:
            self._counts["missed"] += 1
            return
        mask = self._guide.segment(snapshot, phrases)
        levels = grey_levels(mask)
        delay = self._guide.delay_steps()
        self._pending.append(_Pending(frame_id, levels, self._step + 1 + delay, delay > 0))


@dataclass(frozen=True, eq=False)
class _Pending:
    """A mask that is computed and waits to be due."""

    frame_id: int
    mask: NDArray[np.uint8]
    due_step: int
    late: bool

    def state(self) -> dict[str, Any]:
        return {"frame_id": self.frame_id, "mask": self.mask, "due_step": self.due_step, "late": self.late}


def no_counts() -> dict[str, int]:
    """Zeros under every name that `stats` has."""
    return dict.fromkeys(("requested", *OUTCOMES, "judged", "unreasonable"), 0)


def no_masks() -> Masks:
    """Nothing to give out."""
    return np.zeros(0, np.int64), np.zeros((0, 0, 0), np.uint8)
