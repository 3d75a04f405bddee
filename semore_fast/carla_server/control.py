"""A small client for what tests ask of the server beyond CARLA's own calls: faults, scenery, counters."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Literal

import msgpack

CallFault = Literal["drop", "mute", "delay", "error", "hang", "garbage", "close", "exit"]
"""Of a call: not run and not answered; run, not answered; run later; refused with an error in the error slot; the whole
server stands still; answered with noise; the connection is cut; the server's process ends."""

FrameFault = Literal["late", "delayed", "reordered", "duplicated", "missing", "garbled"]
"""Of a sensor's frames: sent in a later one's place; sent some seconds later; newest first; twice; never; as noise."""

Fault = CallFault | FrameFault | Literal["black_hole"]
"""A black hole takes everything and sends nothing."""


class ControlError(RuntimeError):
    """The server could not be asked, or refused."""


class Control:
    """Asks the protocol server (not CARLA) on the port of its calls. One thread at a time."""

    def __init__(self, host: str = "127.0.0.1", port: int = 2000, timeout_s: float = 10.0):
        try:
            self._socket = socket.create_connection((host, port), timeout_s)
        except OSError as error:
            raise ControlError(f"no server at {host}:{port}: {error}") from error
        self.port = port
        self._unpacker = msgpack.Unpacker(raw=False, strict_map_key=False)
        self._number = 0

    def __enter__(self) -> Control:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; faults stay in force."""
        self._socket.close()

    def fault(
        self,
        fault: Fault,
        where: str = "*",
        *,
        after: int = 0,
        times: int | None = None,
        seconds: float = 0.0,
        frames: int = 1,
        message: str = "injected fault",
    ) -> None:
        """Adds a fault.

        Args:
            fault: what goes wrong.
            where: the call's name, or the sensor's kind ("rgb", "collision", "world", ...); may have wildcards.
            after: how many occurrences pass unharmed first.
            times: how many are struck then; None is all of them.
            seconds: of "delay" and "delayed"; of "hang", where 0 is for ever.
            frames: how much later a "late" frame is, and how many are exchanged when "reordered".
            message: of "error".
        """
        self.call("semore.fault", fault, where, after, times, seconds, frames, message)

    def clear_faults(self) -> None:
        """Ends every fault."""
        self.call("semore.clear_faults")

    def close_connections(self, what: Literal["calls", "streams", "all"] = "all") -> None:
        """Cuts every connection but this one."""
        self.call("semore.close_connections", what)

    def exit(self, status: int = 1) -> None:
        """Ends the server's process without a word to anybody."""
        self._send("semore.exit", status)

    def scenery(self, seed: int) -> None:
        """Chooses houses and trees along the road, as `SceneView.scenery_seed` does."""
        self.call("semore.scenery", seed)

    def clock(self, ticks: int) -> None:
        """Sets the count of ticks from which rain and beacons take their time."""
        self.call("semore.clock", ticks)

    def street_lights(self, lit: bool | None) -> None:
        """Lights the lamp posts, or not; None: at night."""
        self.call("semore.street_lights", lit)

    def counters(self) -> dict[str, int]:
        """Actors, streams, connections, ticks, frames skipped, faults struck and resident bytes."""
        return dict(self.call("semore.counters"))

    def call(self, name: str, *arguments: Any) -> Any:
        """Any call of the server, CARLA's included; the answer as it is on the wire."""
        self._send(name, *arguments)
        for message in self._messages(name):
            if message[1] == self._number:
                if message[2] is not None:
                    raise ControlError(f"{name}: {message[2]}")
                return _result(name, message[3])
        raise ControlError(f"{name}: the server closed the connection")

    def _send(self, name: str, *arguments: Any) -> None:
        self._number += 1
        try:
            self._socket.sendall(msgpack.packb([0, self._number, name, [[False], *arguments]]))
        except OSError as error:
            raise ControlError(f"{name}: {error}") from error

    def _messages(self, name: str) -> Iterator[Any]:
        while True:
            yield from self._unpacker
            try:
                data = self._socket.recv(1 << 16)
            except OSError as error:
                raise ControlError(f"{name}: no answer from the server: {error}") from error
            if not data:
                return
            self._unpacker.feed(data)


def _result(name: str, result: Any) -> Any:
    """Opens a result: [[1, value]] and [[False]] are good ones, [[0, [text]]] and [[True, [text]]] errors."""
    if not (isinstance(result, list) and len(result) == 1 and isinstance(result[0], list) and result[0]):
        return result
    kind, *rest = result[0]
    if not rest:
        return None
    if kind is True or (kind is not False and kind == 0):
        raise ControlError(f"{name}: {rest[0][0]}")
    return rest[0]
