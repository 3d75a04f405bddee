"""Recorded traffic: a file of frames, and whether our tables explain every one of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgpack

from semore_fast.carla_server import wire
from semore_fast.carla_server.versions import Version
from semore_fast.errors import UserError

FORMAT = "semore-fast trace of CARLA's protocol, 1"
Port = Literal["calls", "streams"]


@dataclass(frozen=True)
class Frame:
    """One message of a call connection, or one frame of a stream."""

    seconds: float
    """Since the recording began."""
    connection: int
    port: Port
    from_server: bool
    length: int
    """Bytes it had; of a long stream frame only the beginning is kept."""
    data: bytes


class Writer:
    """Appends frames to a file."""

    def __init__(self, file: BinaryIO, kept_bytes: int):
        self._file = file
        self._kept_bytes = kept_bytes
        self.frames = 0
        file.write(msgpack.packb(FORMAT))

    def add(self, seconds: float, connection: int, port: Port, from_server: bool, data: bytes) -> None:
        """One frame."""
        kept = data[: self._kept_bytes] if port == "streams" else data
        self._file.write(msgpack.packb([seconds, connection, port, from_server, len(data), kept]))
        self.frames += 1


def read(path: Path) -> Iterator[Frame]:
    """The frames of a file; an incomplete last one is left out.

    Raises:
        UserError: it is not such a file.
    """
    with path.open("rb") as file:
        unpacker = msgpack.Unpacker(file, raw=False, max_buffer_size=1 << 30)
        try:
            if next(unpacker, None) != FORMAT:
                raise UserError(f"{path}: not a recording of semore_fast.carla_server.record")
            for fields in unpacker:
                yield Frame(*fields)
        except (ValueError, TypeError, msgpack.exceptions.UnpackException) as error:
            raise UserError(f"{path}: damaged recording: {error}") from error


def messages(data: bytes) -> list[Any]:
    """What msgpack makes of bytes."""
    unpacker = msgpack.Unpacker(raw=False, strict_map_key=False, unicode_errors="replace", max_buffer_size=1 << 30)
    unpacker.feed(data)
    return list(unpacker)


def unexplained(frames: Iterable[Frame], version: Version) -> list[str]:
    """What in a recording our tables do not explain: unknown calls, frames of other sizes or types."""
    asked: dict[tuple[int, int], str] = {}
    found: dict[str, None] = {}
    for frame in frames:
        if frame.port == "calls":
            problem = _call_problem(frame, asked)
        else:
            problem = _stream_problem(frame, version) if frame.from_server else None
        if problem is not None:
            found[problem] = None
    return list(found)


def _call_problem(frame: Frame, asked: dict[tuple[int, int], str]) -> str | None:
    for message in messages(frame.data):
        match message:
            case [0, int(number), str(name), [[bool()], *_]] if not frame.from_server:
                asked[frame.connection, number] = name
            case [1, int(number), error, result] if frame.from_server:
                if (frame.connection, number) not in asked:
                    return f"an answer to no question: {number}"
                name = asked[frame.connection, number]
                if error is not None:
                    return f"{name}: refused by the server: {error}"
                if name != "apply_batch" and not _is_result(result):
                    return f"{name}: not a result: {str(result)[:80]}"
            case _:
                return f"not a message of msgpack-rpc: {str(message)[:80]}"
    return None


def _is_result(result: Any) -> bool:
    """[[1, value]], [[0, [text]]], [[false]] or [[true, [text]]]."""
    return isinstance(result, list) and len(result) == 1 and isinstance(result[0], list) and 1 <= len(result[0]) <= 2


def _stream_problem(frame: Frame, version: Version) -> str | None:
    if frame.length < wire.HEADER.size:
        return f"a stream's frame of {frame.length} bytes is shorter than its header"
    number = wire.HEADER.unpack_from(frame.data)[0]
    if number >= len(version.sensors):
        return f"a frame of type {number}, which {version.name} does not have"
    sensor = version.sensors[number]
    rest = frame.length - wire.HEADER.size
    if sensor == "world" and (rest - wire.STATE.size) % wire.ACTOR_RECORD.itemsize:
        return f"a state of the world of {frame.length} bytes is no whole number of actors"
    if sensor in ("rgb", "depth", "semantic_segmentation", "instance_segmentation"):
        width, height, _ = wire.IMAGE.unpack_from(frame.data, wire.HEADER.size)
        if rest != wire.IMAGE.size + 4 * width * height:
            return f"{sensor}: {rest} bytes after the header are no picture of {width} x {height}"
    if sensor in ("collision", "gnss", "imu") and frame.length == len(frame.data):
        (value,) = messages(frame.data[wire.HEADER.size :])
        if len(value) != 3:
            return f"{sensor}: {len(value)} values in place of 3"
    return None
