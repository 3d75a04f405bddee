"""Faults on demand, so that what talks to a server can be tested against a bad one."""

from __future__ import annotations

import os
import random
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, get_args

from semore_fast.carla_server.control import CallFault, FrameFault

CALL_FAULTS = get_args(CallFault)
FRAME_FAULTS = get_args(FrameFault)
Frame = bytes | bytearray


@dataclass(frozen=True)
class Outcome:
    """What becomes of one call."""

    runs: bool = True
    answers: bool = True
    delay_s: float = 0.0
    error: str | None = None
    bytes_instead: bytes = b""
    closes: bool = False


@dataclass
class Rule:
    """One fault: where, from which occurrence on, and how often. `control.Control.fault` tells what each does."""

    fault: str
    where: str
    after: int = 0
    times: int | None = None
    seconds: float = 0.0
    frames: int = 1
    message: str = "injected fault"
    held: dict[int, deque[bytes]] = field(default_factory=dict)

    def strikes(self, name: str) -> bool:
        """Whether this occurrence is one of those that go wrong; counts it."""
        if self.times == 0 or not fnmatchcase(name, self.where):
            return False
        if self.after > 0:
            self.after -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True


class Faults:
    """The rules in force. With none, a call costs one look at a flag."""

    def __init__(self) -> None:
        self._calls: list[Rule] = []
        self._frames: list[Rule] = []
        self._random = random.Random(0)
        self.struck = 0

    @property
    def calls_at_risk(self) -> bool:
        """Whether any rule is about calls."""
        return bool(self._calls)

    @property
    def frames_at_risk(self) -> bool:
        """Whether any rule is about frames."""
        return bool(self._frames)

    def add(self, fault: str, where: str = "*", **settings: Any) -> None:
        """A new rule; ValueError on a fault that does not exist, TypeError on such a setting."""
        rule = Rule(fault, where, **settings)
        if fault == "black_hole":
            self._calls.append(Rule("drop", "*"))
            self._frames.append(Rule("missing", "*"))
        elif fault in CALL_FAULTS:
            self._calls.append(rule)
        elif fault in FRAME_FAULTS:
            self._frames.append(rule)
        else:
            raise ValueError(f"fault must be one of {', '.join((*CALL_FAULTS, *FRAME_FAULTS))}, got {fault!r}")

    def clear(self) -> None:
        """No more faults; frames held back are lost."""
        self._calls.clear()
        self._frames.clear()

    def for_call(self, name: str) -> Outcome:
        """What becomes of this call. "hang" and "exit" happen here."""
        for rule in self._calls:
            if rule.strikes(name):
                self.struck += 1
                return self._outcome(rule)
        return Outcome()

    def _outcome(self, rule: Rule) -> Outcome:
        if rule.fault == "hang":  # the whole server stands still, as a real one does when its game thread waits
            time.sleep(rule.seconds or 1e6)
        elif rule.fault == "exit":
            os._exit(1)
        return {
            "drop": Outcome(runs=False),
            "mute": Outcome(answers=False),
            "delay": Outcome(delay_s=rule.seconds),
            "error": Outcome(runs=False, error=rule.message),
            "garbage": Outcome(answers=False, bytes_instead=self._noise()),
            "close": Outcome(runs=False, closes=True),
        }.get(rule.fault, Outcome())

    def for_frame(self, kind: str, stream: int, frame: Frame) -> tuple[float, Sequence[Frame]]:
        """What is sent in a frame's place, after how many seconds; the first rule that strikes decides."""
        for rule in self._frames:
            waiting = rule.held.setdefault(stream, deque())
            if rule.strikes(kind):
                self.struck += 1
                return (
                    (rule.seconds, (bytes(frame),))
                    if rule.fault == "delayed"
                    else (0, self._sent(rule, waiting, frame))
                )
            if waiting:
                frames = [*waiting, frame]
                waiting.clear()
                return 0, frames
        return 0, (frame,)

    def _sent(self, rule: Rule, waiting: deque[bytes], frame: Frame) -> Sequence[Frame]:
        if rule.fault == "duplicated":
            return (frame, frame)
        if rule.fault == "garbled":
            return (self._noise(),)
        if rule.fault == "missing":
            return ()
        waiting.append(bytes(frame))
        if rule.fault == "late":
            return (waiting.popleft(),) if len(waiting) > rule.frames else ()
        if len(waiting) <= rule.frames:  # reordered
            return ()
        frames = list(reversed(waiting))
        waiting.clear()
        return frames

    def _noise(self) -> bytes:
        # The length that a frame starts with must be small, or the client waits for gigabytes instead of failing.
        return (60).to_bytes(4, "little") + self._random.randbytes(60)
