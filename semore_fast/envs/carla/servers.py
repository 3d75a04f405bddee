"""CARLA servers: processes started and kept here, or somebody else's that are only connected to."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import psutil

from semore_fast.envs.carla import guard
from semore_fast.envs.carla.ports import Ports, PortsOf
from semore_fast.envs.carla.process import Failure, ending

__all__ = ["External", "ExternalServer", "Own", "OwnServer", "Server", "Servers"]

Command = Callable[[PortsOf], Sequence[str]]
"""What starts a server that listens on these ports."""

_POLL_S = 0.1
_GUARD_S = 10.0
_OWNER = "SEMORE_SERVER_OWNER"
"""Environment variable by which processes of a server are told from others that got their number later."""


class Server(Protocol):
    """One server, as its environment sees it."""

    host: str
    port: int
    traffic_manager_port: int

    def alive(self) -> bool:
        """Whether it runs, as far as can be told from here."""
        ...

    def memory_bytes(self) -> int | None:
        """Resident memory of its processes; None where that cannot be seen."""
        ...

    def stop(self, *, kindly: bool) -> None:
        """Let go of it: one of ours is ended, kindly (a few seconds) or at once. Calling it again does nothing."""
        ...


class Servers(Protocol):
    """Where an environment gets its server from, again and again."""

    several: bool
    """Whether a second server can be had while the first still runs."""

    def open(self, wait_s: float, stopping: threading.Event) -> Server:
        """A server that accepts connections. `Failure` if there is none after `wait_s`, or once `stopping` is set."""
        ...


class OwnServer:
    """A server started here: a guard process (`guard.py`), and under it the server in its own process group."""

    host = "127.0.0.1"

    def __init__(self, command: Sequence[str], ports: PortsOf, log: Path, give_back: Callable[[], None]) -> None:
        self.port, self.traffic_manager_port = ports.server, ports.traffic_manager
        self.log = log
        self._give_back = give_back
        self._owner = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._stopped = False
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__, str(log), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, _OWNER: self._owner},
            start_new_session=True,
        )
        said, _, rest = self._hear(_GUARD_S).partition(" ")
        self.pid = int(rest) if said == "started" else 0
        if not self.pid:
            self.stop(kindly=False)
            raise Failure("lost", f"the server {command[0]} cannot be started: {rest or 'its guard died'}")

    def alive(self) -> bool:
        """See `Server`."""
        return self._guard.poll() is None

    def memory_bytes(self) -> int | None:
        """See `Server`."""
        return sum(_resident_bytes(process) for process in self._members())

    def listens(self) -> bool:
        """Whether one of its processes listens on its port: another program that took the port is not our server."""
        return any(self.port in _listening_ports(process) for process in self._members())

    def wait_until_it_listens(self, wait_s: float, stopping: threading.Event) -> None:
        """`Failure` if it does not in time, or ends."""
        deadline_s = time.monotonic() + wait_s
        while not self.listens():
            if not self.alive():
                said, _, status = self._hear(0.0).partition(" ")
                how = ending(int(status)) if said == "ended" else "ended"
                raise Failure("lost", f"the server {how} before it listened on port {self.port}; see {self.log}")
            if time.monotonic() > deadline_s:
                raise Failure(
                    "timeout", f"waited {wait_s:g} s for the server to listen on port {self.port}; see {self.log}"
                )
            if stopping.wait(_POLL_S):
                raise Failure("lost", "closing")

    def stop(self, *, kindly: bool) -> None:
        """See `Server`."""
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
        assert self._guard.stdin is not None
        assert self._guard.stdout is not None
        try:
            self._guard.stdin.write(b"t" if kindly else b"k")
            self._guard.stdin.flush()
            self._guard.wait(guard.GRACE_S + _GUARD_S)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            self._guard.kill()
            self._guard.wait()
        finally:
            self._kill_what_is_left()
            self._guard.stdout.close()
            _close(self._guard.stdin)
            self._give_back()

    def _hear(self, wait_s: float) -> str:
        """The guard's next line, or nothing."""
        assert self._guard.stdout is not None
        readable, _, _ = select.select([self._guard.stdout], [], [], wait_s)
        return self._guard.stdout.readline().decode().strip() if readable else ""

    def _members(self) -> Iterator[psutil.Process]:
        """Processes of its group."""
        for pid in psutil.pids() if self.pid else []:
            try:
                if os.getpgid(pid) == self.pid:
                    yield psutil.Process(pid)
            except (ProcessLookupError, PermissionError, psutil.NoSuchProcess):
                continue

    def _kill_what_is_left(self) -> None:
        """Whatever outlived the guard, as when somebody killed that; the guard itself leaves nothing."""
        for process in self._members():
            try:
                if process.environ().get(_OWNER) == self._owner:
                    process.send_signal(signal.SIGKILL)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue


class Own:
    """Starts servers, each on free ports.

    Args:
        command: what starts one.
        ports: shared by all environments of a run.
        log: everything that the servers print is appended here.
    """

    several = True

    def __init__(self, command: Command, ports: Ports, log: Path) -> None:
        self._command, self._ports, self._log = command, ports, log

    def open(self, wait_s: float, stopping: threading.Event) -> Server:
        """See `Servers`."""
        try:
            ports = self._ports.take()
        except OSError as error:
            raise Failure("lost", str(error)) from error
        server = OwnServer(self._command(ports), ports, self._log, lambda: self._ports.give_back(ports))
        try:
            server.wait_until_it_listens(wait_s, stopping)
        except BaseException:
            server.stop(kindly=False)
            raise
        return server


class ExternalServer:
    """A server that somebody else started, and that is never ended from here."""

    def __init__(self, host: str, port: int, ports: Ports) -> None:
        self.host, self.port = host, port
        self._ports = ports
        self._own_ports = ports.take()
        self.traffic_manager_port = self._own_ports.traffic_manager

    def alive(self) -> bool:
        """See `Server`."""
        return _answers(self.host, self.port, _POLL_S) is None

    def memory_bytes(self) -> int | None:
        """See `Server`."""
        return None

    def stop(self, *, kindly: bool) -> None:
        """See `Server`."""
        self._ports.give_back(self._own_ports)


class External:
    """Connects to the server at one address, again and again."""

    several = False

    def __init__(self, host: str, port: int, ports: Ports) -> None:
        self._host, self._port, self._ports = host, port, ports

    def open(self, wait_s: float, stopping: threading.Event) -> Server:
        """See `Servers`."""
        deadline_s = time.monotonic() + wait_s
        while (reason := _answers(self._host, self._port, max(1.0, wait_s / 4))) is not None:
            if time.monotonic() > deadline_s or stopping.wait(_POLL_S):
                where = f"{self._host}:{self._port}"
                raise Failure("lost", f"no server accepts connections at {where} ({reason}), waited {wait_s:g} s")
        return ExternalServer(self._host, self._port, self._ports)


def _answers(host: str, port: int, timeout_s: float) -> str | None:
    """None if something accepts connections there, else the reason why not."""
    try:
        socket.create_connection((host, port), timeout_s).close()
    except (OSError, OverflowError) as error:
        return (error.strerror if isinstance(error, OSError) else None) or str(error)
    return None


def _resident_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _listening_ports(process: psutil.Process) -> set[int]:
    connections = getattr(process, "net_connections", None) or process.connections  # the name before psutil 6
    try:
        return {c.laddr.port for c in connections(kind="tcp") if c.status == psutil.CONN_LISTEN}
    except psutil.Error:
        return set()


def _close(stream: object) -> None:
    """Close a pipe whose other end may be gone."""
    try:
        stream.close()  # type: ignore[attr-defined]
    except BrokenPipeError:
        return
