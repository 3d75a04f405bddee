"""A proxy that writes down what a client and a CARLA server say to each other.

`python -m semore_fast.carla_server.record --live HOST:PORT OUT`, then point the client at this proxy's port.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgpack
import tyro

from semore_fast.carla_server import wire
from semore_fast.carla_server.running import run_until_asked
from semore_fast.carla_server.trace import Port, Writer
from semore_fast.errors import UserError, run_cli

DESCRIPTION = """Record a CARLA server's protocol: a proxy between any client and a real server.

Clients connect to --port here (streams come through the next one). Ctrl-C ends the recording. Check it with
`pytest tests/test_carla_live.py --carla-trace OUT`, and please contribute it: our tables come from the clients."""

_CHUNK_BYTES = 1 << 16
_TOKEN = re.compile(rb"\xc4\x18(.{4})(.{2})\x01[\x00\x01](.{16})", re.DOTALL)
"""A token inside a message: 24 bytes of TCP."""


@dataclass(frozen=True)
class RecordConfig:
    """Flags of the recorder."""

    out: Annotated[Path, tyro.conf.Positional]
    """File to write; it must not exist."""
    live: str
    """HOST:PORT of the server."""
    port: int = 2100
    """Where clients connect instead, and the next one."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    kept_bytes: int = 4096
    """Of each frame of a stream; the rest of a long one (pixels) is only counted."""


def parse_address(flag: str, text: str) -> tuple[str, int]:
    """HOST:PORT taken apart, or a UserError that names the flag."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65535:
        raise UserError(f"{flag} must be HOST:PORT, got {text!r}")
    return host, int(port)


class Recorder:
    """Passes bytes on in both directions, and keeps them."""

    def __init__(self, config: RecordConfig, writer: Writer):
        self._server_host, self._server_port = parse_address("--live", config.live)
        self._own_port = config.port
        self._host = config.host
        self._writer = writer
        self._began = time.monotonic()
        self._connections = 0

    async def run(self) -> None:
        """Until cancelled."""
        try:
            calls = await asyncio.start_server(self._calls, self._host, self._own_port)
            streams = await asyncio.start_server(self._streams, self._host, self._own_port + 1)
        except OSError as error:
            raise UserError(f"--port: cannot listen on {self._own_port} and the next one: {error}") from error
        print(f"recording {self._server_host}:{self._server_port} through {self._host}:{self._own_port}", flush=True)
        async with calls, streams:
            await asyncio.Event().wait()

    async def _calls(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._join(reader, writer, "calls", self._server_port)

    async def _streams(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._join(reader, writer, "streams", self._server_port + 1)

    async def _join(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kind: Port, server_port: int
    ) -> None:
        self._connections += 1
        number = self._connections
        try:
            server_reader, server_writer = await asyncio.open_connection(self._server_host, server_port)
        except OSError as error:
            print(f"{self._server_host}:{server_port}: {error}", file=sys.stderr)
            writer.close()
            return
        ways = (
            asyncio.create_task(self._pass(reader, server_writer, number, kind, False)),
            asyncio.create_task(self._pass(server_reader, writer, number, kind, True)),
        )
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        server_writer.close()
        writer.close()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int, kind: Port, from_server: bool
    ) -> None:
        cut = _Messages() if kind == "calls" else _Frames() if from_server else _Chunks()
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(_CHUNK_BYTES):
                for whole in cut.take(data):
                    seconds = time.monotonic() - self._began
                    self._writer.add(seconds, number, kind, from_server, whole[cut.skipped :])
                    writer.write(self._redirected(whole) if kind == "calls" and from_server else whole)
                await writer.drain()

    def _redirected(self, message: bytes) -> bytes:
        """Tokens that lead to this proxy's port for streams instead of the server's."""

        def own(found: re.Match[bytes]) -> bytes:
            stream, port, _ = found.groups()
            if int.from_bytes(port, "little") != self._server_port + 1:
                return found[0]
            return b"\xc4\x18" + wire.token(int.from_bytes(stream, "little"), self._own_port + 1)

        return _TOKEN.sub(own, message)


class _Chunks:
    """As they come."""

    skipped = 0

    def take(self, data: bytes) -> list[bytes]:
        """Bytes that belong together, of those received so far."""
        return [data]


class _Frames(_Chunks):
    """A stream's frames, each after its length."""

    skipped = wire.SIZE.size

    def __init__(self) -> None:
        self._held = bytearray()

    def take(self, data: bytes) -> list[bytes]:
        self._held += data
        found = []
        while len(self._held) >= self.skipped:
            end = self.skipped + wire.SIZE.unpack_from(self._held)[0]
            if len(self._held) < end:
                break
            found.append(bytes(self._held[:end]))
            del self._held[:end]
        return found


class _Messages(_Chunks):
    """Messages of msgpack."""

    def __init__(self) -> None:
        self._held = b""

    def take(self, data: bytes) -> list[bytes]:
        self._held += data
        unpacker = msgpack.Unpacker(raw=True, strict_map_key=False, max_buffer_size=1 << 30)
        unpacker.feed(self._held)
        found: list[bytes] = []
        start = 0
        try:
            for _ in unpacker:
                found.append(self._held[start : unpacker.tell()])
                start = unpacker.tell()
        except (ValueError, msgpack.exceptions.UnpackException):  # not msgpack: passed on as it is
            found.append(self._held[start:])
            start = len(self._held)
        self._held = self._held[start:]
        return found


def main(argv: Sequence[str]) -> None:
    """Records until interrupted."""
    program = "python -m semore_fast.carla_server.record"
    config = tyro.cli(RecordConfig, args=list(argv), description=DESCRIPTION, prog=program)
    parse_address("--live", config.live)
    try:
        file = config.out.open("xb")
    except OSError as error:
        raise UserError(f"{config.out}: cannot be written anew: {error.strerror}") from error
    with file:
        writer = Writer(file, config.kept_bytes)
        try:
            run_until_asked(Recorder(config, writer).run())
        finally:
            print(f"{config.out}: {writer.frames} frames", flush=True)


if __name__ == "__main__":
    sys.exit(run_cli(lambda: main(sys.argv[1:])))
