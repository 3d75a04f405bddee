"""Messages between the trainer and the process of one environment: a JSON object, then the bytes of its arrays.

Neither end trusts the other's bytes: a native library may crash half-way through a message, or print into it.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Arrays", "GarbageError", "receive", "send"]

Arrays = dict[str, NDArray[Any]]

_HEAD = struct.Struct("<4sII")  # magic, bytes of JSON, bytes of all arrays
_MAGIC = b"smr1"
_MAX_JSON_BYTES = 2**20
_MAX_ARRAY_BYTES = 2**28
_DTYPES = {name: np.dtype(name) for name in ("|u1", "<f4", "<i4")}


class GarbageError(Exception):
    """The bytes that came are no message."""


def send(channel: socket.socket, message: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]] | None = None) -> None:
    """Send one message; arrays may be uint8, float32 or int32. OSError if the other end is gone."""
    parts = {name: np.ascontiguousarray(array) for name, array in (arrays or {}).items()}
    layout = [[name, part.dtype.str, list(part.shape)] for name, part in parts.items()]
    text = json.dumps({**message, "arrays": layout}, separators=(",", ":")).encode()
    blobs = [part.tobytes() for part in parts.values()]
    channel.sendall(b"".join([_HEAD.pack(_MAGIC, len(text), sum(map(len, blobs))), text, *blobs]))


def receive(channel: socket.socket, deadline_s: float | None) -> tuple[dict[str, Any], Arrays]:
    """Wait for one whole message.

    Args:
        channel: a stream socket.
        deadline_s: time (monotonic) to wait until; what has arrived by then is still read. None: for ever.

    Raises:
        TimeoutError: it was not there by the deadline.
        EOFError: the other end closed the channel.
        GarbageError: what came is no message.
        OSError: the channel broke.
    """
    magic, text_bytes, array_bytes = _HEAD.unpack(_read(channel, _HEAD.size, deadline_s))
    if magic != _MAGIC or text_bytes > _MAX_JSON_BYTES or array_bytes > _MAX_ARRAY_BYTES:
        raise GarbageError(f"a message should begin with {_MAGIC!r}, got {magic!r}")
    text, blob = _read(channel, text_bytes, deadline_s), _read(channel, array_bytes, deadline_s)
    try:
        message = json.loads(bytes(text))
        layout = message.pop("arrays")
        return message, _unpack(layout, blob)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise GarbageError(f"a message that cannot be read ({type(error).__name__}: {error})") from error


def _unpack(layout: list[list[Any]], blob: bytearray) -> Arrays:
    arrays: Arrays = {}
    start = 0
    for name, kind, shape in layout:
        dtype = _DTYPES[kind]
        count = int(np.prod(shape, dtype=np.int64))
        arrays[name] = np.frombuffer(blob, dtype, count, start).reshape(shape)
        start += count * dtype.itemsize
    if start != len(blob):
        raise ValueError(f"{len(blob)} bytes of arrays, their layout says {start}")
    return arrays


def _read(channel: socket.socket, count: int, deadline_s: float | None) -> bytearray:
    data = bytearray(count)
    view = memoryview(data)
    while view:
        # At least 0: an answer that lies ready counts, however long this process itself was stopped.
        channel.settimeout(None if deadline_s is None else max(0.0, deadline_s - time.monotonic()))
        try:
            got = channel.recv_into(view)
        except BlockingIOError as error:
            raise TimeoutError("nothing came in time") from error
        if got == 0:
            raise EOFError("the other end closed the channel")
        view = view[got:]
    return data
