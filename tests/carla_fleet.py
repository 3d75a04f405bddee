"""Fleets of scripted drives (`fake_drive.py`) on pretended servers, for several test files."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from fake_drive import FACTORY, SIZE

from semore_fast.envs import SCENARIOS
from semore_fast.envs.carla.fleet import Fleet, View
from semore_fast.envs.carla.limits import Limits
from semore_fast.envs.carla.process import Failure

TESTS = Path(__file__).parent
STEP_S = 0.6


def runs(pid: int) -> bool:
    """Whether a process exists and has not ended: nobody may be there to reap an orphan."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


class PretendServer:
    """A server without a process."""

    host, port, traffic_manager_port = "nowhere", 1, 2

    def __init__(self) -> None:
        self.stopped = False
        self.memory = 0

    def alive(self) -> bool:
        return not self.stopped

    def memory_bytes(self) -> int | None:
        return self.memory

    def stop(self, *, kindly: bool) -> None:
        self.stopped = True


class PretendServers:
    """Hands out pretended servers, and fails to at the numbers in `missing`."""

    def __init__(self, several: bool = True, missing: set[int] | None = None) -> None:
        self.several = several
        self.missing = missing or set()
        self.opened: list[PretendServer] = []
        self.asked = 0

    def open(self, wait_s: float, stopping: threading.Event) -> PretendServer:
        self.asked += 1
        if self.asked in self.missing:
            raise Failure("lost", "no server accepts connections at nowhere:1")
        self.opened.append(PretendServer())
        return self.opened[-1]


class World:
    """A fleet of scripted drives, and what became of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.fleets: list[Fleet] = []
        self.servers: list[PretendServers] = []

    def fleet(
        self,
        plan: dict[str, str] | None = None,
        *,
        drives: int = 1,
        envs: int = 1,
        ids: bool = False,
        servers: Callable[[], PretendServers] = PretendServers,
        **limits: Any,
    ) -> Fleet:
        view = View(scenario=SCENARIOS["jw"], image_size=SIZE, ids=ids)
        patience = {"step_s": STEP_S, "reset_s": 2.0, "connect_s": 20.0, "close_s": 2.0, "backoff_s": 0.01, **limits}
        self.servers = [servers() for _ in range(drives)]
        settings = {"plan": plan or {}, "folder": str(self.folder), "ids": ids}
        say = self.said.append
        fleet = Fleet(
            self.servers, envs, view, Limits(**patience), lambda _: settings, FACTORY, self.folder / "logs", say
        )
        self.fleets.append(fleet)
        fleet.start()
        return fleet

    def calls(self, op: str) -> list[list[str]]:
        path = self.folder / op
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def processes(self) -> set[int]:
        return {int(line[0]) for line in self.calls("make")}


@contextmanager
def world_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world whose processes and servers must all have ended afterwards."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS.parent), str(TESTS)]))
    (folder / "logs").mkdir()
    made = World(folder)
    yield made
    for fleet in made.fleets:
        fleet.close()
    assert not [pid for pid in made.processes() if runs(pid)]
    assert all(server.stopped for servers in made.servers for server in servers.opened)
