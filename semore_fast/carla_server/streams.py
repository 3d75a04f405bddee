"""Streams of frames: one TCP port beside that of the calls; a client names the stream and then only reads."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable

from semore_fast.carla_server import wire
from semore_fast.carla_server.faults import Faults, Frame

WORLD_STREAM = 1
_SEND_BUFFER_BYTES = 4 << 20
_UNREAD_BYTES = 32 << 20
"""Frames are skipped for a client that has left this much unread (a stopped process, say)."""


class Streams:
    """Every stream of a server, and who listens to it."""

    def __init__(self, faults: Faults):
        self.faults = faults
        self.kinds: dict[int, str] = {WORLD_STREAM: "world"}
        """Kind of sensor of each open stream."""
        self.listeners: dict[int, list[StreamConnection]] = {}
        self.connections: set[StreamConnection] = set()
        self.frames_skipped = 0
        self.port = 0
        """Where they can be had; 0 until the server listens."""
        self._next = WORLD_STREAM + 1

    def open(self, kind: str) -> int:
        """A new stream's number."""
        stream, self._next = self._next, self._next + 1
        self.kinds[stream] = kind
        return stream

    def close(self, stream: int) -> None:
        """Ends a stream and disconnects who listens to it."""
        self.kinds.pop(stream, None)
        for connection in self.listeners.pop(stream, []):
            connection.finish()

    def wanted(self, stream: int) -> bool:
        """Whether anybody listens."""
        return bool(self.listeners.get(stream))

    def send(self, stream: int, frame: Frame) -> None:
        """A whole frame, its length first. The buffer may be written again afterwards."""
        if self.faults.frames_at_risk:
            delay_s, frames = self.faults.for_frame(self.kinds.get(stream, ""), stream, frame)
            if delay_s > 0:
                asyncio.get_running_loop().call_later(delay_s, self._send_all, stream, frames)
            else:
                self._send_all(stream, frames)
        else:
            self._send(stream, frame)

    def _send_all(self, stream: int, frames: Iterable[Frame]) -> None:
        for frame in frames:
            self._send(stream, frame)

    def _send(self, stream: int, frame: Frame) -> None:
        for connection in self.listeners.get(stream, ()):
            self.frames_skipped += not connection.send(frame)


class StreamConnection(asyncio.Protocol):
    """One client's connection for one stream."""

    def __init__(self, streams: Streams):
        self._streams = streams
        self._asked = b""
        self._stream: int | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        self._streams.connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Called by asyncio. The first four bytes name the stream; the client has nothing else to say."""
        if self._stream is not None:
            return
        self._asked += data
        if len(self._asked) < wire.SIZE.size:
            return
        (stream,) = wire.SIZE.unpack_from(self._asked)
        if stream not in self._streams.kinds:
            self.close()
            return
        self._stream = stream
        self._streams.listeners.setdefault(stream, []).append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        self._transport = None
        self._streams.connections.discard(self)
        listeners = self._streams.listeners.get(self._stream or 0, [])
        if self in listeners:
            listeners.remove(self)

    def send(self, frame: Frame) -> bool:
        """Whether the frame was written: not if the client is gone or does not read."""
        if self._transport is None or self._transport.get_write_buffer_size() > _UNREAD_BYTES:
            return False
        self._transport.write(frame)
        return True

    def finish(self) -> None:
        """Closes after what was written has been read."""
        if self._transport is not None:
            self._transport.close()

    def close(self) -> None:
        """Cuts the connection at once."""
        if self._transport is not None:
            self._transport.abort()
