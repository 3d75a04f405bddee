"""A drive that does what a script says, for the tests of supervision. Its episodes have `LENGTH` steps."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from semore_fast.envs.carla.errors import CarlaLost, CarlaSetupError, CarlaTimeout, CarlaVersionError

SIZE, LENGTH = 8, 5
FACTORY = "fake_drive:make"
RAISED = {
    "raise": RuntimeError("std::exception"),
    "timeout": CarlaTimeout("waited 1 s for frame 7"),
    "lost": CarlaLost("the server is gone"),
    "version": CarlaVersionError("client 0.9.16, server 0.9.15: install the server's version"),
    "setup": CarlaSetupError("the server has no map Town01"),
}


class FakeDrive:
    """Behaves, but for the calls in `settings["plan"]`: {"step 3": "hang"}, calls counted over all processes."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._plan, self._folder = settings["plan"], Path(settings["folder"])
        self._ids = settings.get("ids", False)
        self.counters = {"frames": 0}
        self._steps, self._seed = 0, 0
        self._act("make")

    def reset(self, seed: int) -> tuple[Any, dict[str, Any]]:
        self._seed, self._steps = seed, 0
        bad = self._act("reset", seed)
        return self._frame(bad), self._info(0, bad)

    def step(self, action: tuple[float, float]) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        bad = self._act("step")
        self._steps += 1
        self.counters["frames"] += 1
        reward = float("nan") if bad == "nan" else float(action[0])
        return self._frame(bad), reward, False, self._steps == LENGTH, self._info(1, bad)

    def close(self) -> None:
        self._act("close")

    def _act(self, op: str, note: object = "") -> str:
        with (self._folder / op).open("a") as log:
            log.write(f"{os.getpid()} {note}".ljust(63) + "\n")
            log.flush()
            count = log.tell() // 64  # also right while another process appends
        what = str(self._plan.get(f"{op} {count}") or self._plan.get(op) or "")
        if what in RAISED:
            raise RAISED[what]
        if what == "hang":
            time.sleep(3600)
        elif what == "hold":  # hangs with the interpreter's lock held, as the client's get_world may
            ctypes.PyDLL(None).sleep(3600)
        elif what == "slow":
            time.sleep(0.3)
        elif what in ("SIGSTOP", "SIGKILL", "SIGABRT"):
            os.kill(os.getpid(), signal.Signals[what])
            time.sleep(3600)
        elif what == "exit":
            os._exit(0)
        elif what == "garbage":
            os.write(int(sys.argv[1]), b"terminate called without an active exception\n")
        return what

    def _frame(self, bad: str) -> Any:
        size = SIZE - 1 if bad == "shape" else SIZE
        return np.full((3, size, size), (self._seed + self._steps) % 256, np.uint8)

    def _info(self, frames: int, bad: str) -> dict[str, Any]:
        names = ("distance_m", "crash_intensity_ns", "steer_abs", "brake")
        terms = ("reward_progress", "reward_collision", "reward_brake", "reward_steer")
        info: dict[str, Any] = dict.fromkeys((*names, *terms), 0.5)
        info |= {"new_hits": 0, "frames": frames, "end_reason": int(self._steps == LENGTH)}
        info |= {"ego": np.ones(4, np.float32), "actors": np.zeros((8, 8), np.float32)}
        if self._ids:
            info |= {name: np.ones((SIZE, SIZE), np.uint8) for name in ("class_ids", "instance_ids")}
        if bad == "missing":
            del info["ego"]
        return info


def make(settings: Mapping[str, Any]) -> FakeDrive:
    return FakeDrive(settings)
