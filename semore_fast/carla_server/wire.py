"""Bytes of what is not msgpack: tokens, sensor frames and the world's state. Little-endian, packed."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

SIZE = struct.Struct("<I")
"""Before every frame of a stream: its length in bytes, without this field."""

HEADER = struct.Struct("<QQd6f")
"""Sensor type, frame, time in seconds, location in metres, pitch, yaw and roll in degrees."""

IMAGE = struct.Struct("<IIf")
"""Width, height, field of view in degrees; then BGRA, 4 bytes a pixel."""

STATE = struct.Struct("<Qdf3iI")
"""Episode, the server's clock in seconds, seconds of this tick, origin of the map, flags; then the actors' records."""

MAP_CHANGED, LIGHTS_PENDING = 1, 2

INVALID, ALIVE, DORMANT = 0, 1, 2
"""States of an actor's record."""

_TOKEN = struct.Struct("<IHBB16s")
_TCP, _ADDRESS_UNSET = 1, 0
TOKEN_BYTES = _TOKEN.size

_F4 = "<f4"
_VECTOR = (_F4, (3,))

ACTOR_RECORD = np.dtype(
    {
        "names": ["id", "state", "location", "rotation", "velocity", "angular_velocity", "acceleration", "typed"],
        "formats": ["<u4", "u1", _VECTOR, _VECTOR, _VECTOR, _VECTOR, _VECTOR, "V54"],
        "offsets": [0, 4, 5, 17, 29, 41, 53, 65],
        "itemsize": 119,
    }
)
"""One actor in the world's state. Degrees in `rotation` (pitch, yaw, roll) and degrees a second in its velocity."""

_VEHICLE = struct.Struct("<3f3?ifB?IB")
_WALKER = struct.Struct("<4f?")
_GREEN = 2


def token(stream: int, port: int) -> bytes:
    """Where a stream can be had; no address, so that the client takes the host it already speaks to."""
    return _TOKEN.pack(stream, port, _TCP, _ADDRESS_UNSET, bytes(16))


def token_stream(raw: bytes) -> int:
    """Number of the stream that a token names."""
    return int(_TOKEN.unpack(raw)[0])


def vehicle_part(control: tuple[float, float, float, bool, bool, bool, int], limit_kmh: float) -> bytes:
    """The end of a vehicle's record: throttle, steer, brake, hand brake, reverse, manual, gear; its speed limit."""
    return _VEHICLE.pack(*control, limit_kmh, _GREEN, False, 0, 0).ljust(54, b"\0")


def walker_part(direction: tuple[float, float, float], speed_mps: float, jump: bool) -> bytes:
    """The end of a walker's record: what it was last told."""
    return _WALKER.pack(*direction, speed_mps, jump).ljust(54, b"\0")


class ImageFrame:
    """A camera's frame in one buffer that is written again each tick: length, header, size, pixels."""

    def __init__(self, sensor_type: int, width: int, height: int, fov_deg: float):
        payload = HEADER.size + IMAGE.size + 4 * width * height
        self.buffer = bytearray(SIZE.size + payload)
        self._type = sensor_type
        SIZE.pack_into(self.buffer, 0, payload)
        start = SIZE.size + HEADER.size
        IMAGE.pack_into(self.buffer, start, width, height, fov_deg)
        pixels = np.frombuffer(self.buffer, np.uint8, offset=start + IMAGE.size)
        self.bgra: NDArray[np.uint8] = pixels.reshape(height, width, 4)
        self.words: NDArray[np.uint32] = pixels.view("<u4").reshape(height, width)
        """The same pixels: blue is the lowest byte, alpha the highest."""

    def stamp(self, frame: int, time_s: float, pose: tuple[float, ...]) -> None:
        """Sets which tick this is, and where the camera stood: location, then pitch, yaw, roll."""
        HEADER.pack_into(self.buffer, SIZE.size, self._type, frame, time_s, *pose)


def sensor_frame(sensor_type: int, frame: int, time_s: float, pose: tuple[float, ...], payload: bytes) -> bytes:
    """Any other sensor's frame, length included."""
    size = SIZE.pack(HEADER.size + len(payload))
    return size + HEADER.pack(sensor_type, frame, time_s, *pose) + payload
