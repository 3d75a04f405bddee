"""The server: one episode, its settings, two listening ports, and who ticks."""

from __future__ import annotations

import asyncio
import errno
from typing import Any

from semore_fast.carla_server.episode import Episode
from semore_fast.carla_server.faults import Faults
from semore_fast.carla_server.maps import Map
from semore_fast.carla_server.methods import METHODS
from semore_fast.carla_server.rpc import Methods, RpcConnection
from semore_fast.carla_server.stage import DEFAULT_DT_S, Stage
from semore_fast.carla_server.streams import StreamConnection, Streams
from semore_fast.carla_server.versions import Version
from semore_fast.errors import BusyError, UserError

_DEFAULT_SETTINGS: list[Any] = [False, False, [False], True, 0.01, 10, 0.0, False, 3000.0, 2000.0, True]
"""Synchronous, without rendering, fixed seconds a tick (optional), substeps and their limits, culling, ragdolls, two
distances of large maps, whether the spectator counts as the ego (0.9.15 and later)."""
_SYNCHRONOUS, _NO_RENDERING, _FIXED_DT = 0, 1, 2


class Server:
    """Answers clients. One event loop and one thread: a tick is a call like any other."""

    def __init__(self, version: Version, chosen: Map, scenery_seed: int):
        self.version = version
        self.calls: Methods = METHODS
        self.faults = Faults()
        self.streams = Streams(self.faults)
        self.connections: set[RpcConnection] = set()
        self.traffic_managers: dict[int, list[Any]] = {}
        self.scenery_seed = scenery_seed
        self.settings = list(_DEFAULT_SETTINGS)
        self.ticks = 0
        self._sensing = False
        self.episode = self._new_episode(1, 0, chosen)

    async def serve(self, host: str, port: int) -> None:
        """Listens until cancelled; port 0 lets the system choose two ports in a row.

        Raises:
            BusyError: a port is in use.
        """
        loop = asyncio.get_running_loop()
        calls = await _listen(loop.create_server(lambda: RpcConnection(self), host, port), port)
        self.streams.port = calls.sockets[0].getsockname()[1] + 1
        try:
            streams = await _listen(
                loop.create_server(lambda: StreamConnection(self.streams), host, self.streams.port), self.streams.port
            )
        except UserError:
            calls.close()
            raise
        print(
            f"carla_server: CARLA {self.version.name}'s protocol (not CARLA) on {host}:{self.streams.port - 1}",
            flush=True,
        )
        try:
            await self._tick_unasked()
        finally:  # not `async with`, which would wait for the clients to leave
            calls.close()
            streams.close()

    async def _tick_unasked(self) -> None:
        """In asynchronous mode the server ticks by itself, at the pace of real time."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + self.episode.stage.dt_s, loop.time())
            await asyncio.sleep(due - loop.time())
            if not self.synchronous:
                self._tick()
                self.sense()

    @property
    def synchronous(self) -> bool:
        """Whether the server waits for a client's tick."""
        return bool(self.settings[_SYNCHRONOUS])

    def _new_episode(self, number: int, frame: int, chosen: Map) -> Episode:
        stage = Stage(chosen, _dt_s(self.settings), self.scenery_seed)
        episode = Episode(number, frame, stage, self.version, self.streams)
        episode.rendering = not self.settings[_NO_RENDERING]
        return episode

    def load(self, chosen: Map, reset_settings: bool) -> None:
        """A new episode on a map."""
        if reset_settings:
            self.settings = list(_DEFAULT_SETTINGS)
        self.episode.close()
        self._sensing = False
        self.episode = self._new_episode(self.episode.number + 1, self.episode.frame, chosen)

    def apply_settings(self, settings: list[Any]) -> None:
        """Takes a client's settings; fields it does not know keep their values."""
        self.episode.stage.set_dt(_dt_s(settings))
        self.settings = [*settings, *self.settings[len(settings) :]]
        self.episode.rendering = not self.settings[_NO_RENDERING]

    def tick_cue(self) -> int:
        """A client's tick: the number of the frame that it makes. Sensors follow once the answer is under way."""
        if not self.synchronous:
            return self.episode.frame + 1
        self.sense()
        self._tick()
        return self.episode.frame

    def _tick(self) -> None:
        self.ticks += 1
        self.episode.tick()
        self._sensing = True

    def sense(self) -> None:
        """Sends what sensors saw at the last tick, unless that was done."""
        if self._sensing:
            self._sensing = False
            self.episode.sense()

    def close_connections(self, what: str) -> None:
        """Cuts "calls", "streams" or "all"."""
        connections = (*self.connections,) if what in ("calls", "all") else ()
        for connection in connections:
            asyncio.get_running_loop().call_soon(connection.close)
        for stream in (*self.streams.connections,) if what in ("streams", "all") else ():
            stream.close()


def _dt_s(settings: list[Any]) -> float:
    fixed, *value = settings[_FIXED_DT]
    return float(value[0]) if fixed and value[0] > 0 else DEFAULT_DT_S


async def _listen(server: Any, port: int) -> asyncio.Server:
    try:
        return await server  # type: ignore[no-any-return]
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise BusyError(f"--port: {port} is in use; choose one that is free, and the next one too") from error
        raise UserError(f"--host, --port: cannot listen on port {port}: {error}") from error
