"""A server and the process that drives on it, made together and let go together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semore_fast.envs.carla.limits import Limits
from semore_fast.envs.carla.process import Failure, WorkerProcess
from semore_fast.envs.carla.servers import Server, Servers

__all__ = ["Station", "Stations"]


@dataclass(slots=True)
class Station:
    """One server with one connected drive."""

    server: Server
    worker: WorkerProcess
    episodes: int = 0
    """Begun on this station."""
    first_memory_bytes: int | None = None
    """Of the server, once its first episode was set up."""

    def growth_bytes(self) -> int:
        """How much the server's memory has grown since its first episode; 0 where that cannot be seen."""
        now = self.server.memory_bytes()
        return 0 if now is None or self.first_memory_bytes is None else now - self.first_memory_bytes

    def retire(self, close_s: float) -> Failure | None:
        """Tidy up and end both, as far as they still answer; what went wrong, if anything."""
        failure = self.worker.close(close_s)
        self.server.stop(kindly=failure is None)
        return failure


class Stations:
    """Makes stations for one environment, and can break off what it is making.

    Args:
        name: of the environment, for messages.
        servers: where its servers come from.
        settings: of the drive on a server, as JSON can hold them.
        factory: "module:function", see `WorkerProcess`.
        log: of the drives' processes.
        limits: deadlines.
    """

    def __init__(
        self,
        name: str,
        servers: Servers,
        settings: Callable[[Server], dict[str, Any]],
        factory: str,
        log: Path,
        limits: Limits,
    ) -> None:
        self.name, self.servers = name, servers
        self.stopping = threading.Event()
        self._settings, self._factory, self._log, self._limits = settings, factory, log, limits
        self._lock = threading.Lock()
        self._connecting: set[WorkerProcess] = set()

    def make(self, *, wait_s: float | None = None) -> Station:
        """A connected station on a server of its own, which is let go again if that fails.

        Args:
            wait_s: for a server to accept connections; by default the limits'.

        Raises:
            Failure: the server or the drive did not come up.
        """
        if wait_s is None:
            wait_s = self._limits.start_s if self.servers.several else self._limits.connect_s
        try:
            server = self.servers.open(wait_s, self.stopping)
        except Failure as failure:
            raise Failure(failure.fault, f"{self.name}: {failure}") from failure
        try:
            return Station(server, self._connect(server))
        except BaseException:
            server.stop(kindly=False)
            raise

    def break_off(self) -> None:
        """Make no more stations: what is being made fails soon."""
        self.stopping.set()
        with self._lock:
            for worker in self._connecting:
                worker.kill()

    def _connect(self, server: Server) -> WorkerProcess:
        with self._lock:
            if self.stopping.is_set():
                raise Failure("lost", "closing")
            worker = WorkerProcess(self._factory, self._log, self.name)
            self._connecting.add(worker)
        what = f"a connection to {server.host}:{server.port}"
        try:
            worker.call("make", what, self._limits.connect_s, settings=self._settings(server))
        except Failure as failure:
            if failure.fault in ("refused", "lost"):  # the drive still answers: let it tidy up
                worker.close(self._limits.close_s)
            raise
        except BaseException:
            worker.kill()
            raise
        finally:
            with self._lock:
                self._connecting.discard(worker)
        return worker
