"""What is inside one environment's saved state, for tests that replay it: `csrc/driving/state.hpp` as numpy types."""

from __future__ import annotations

import numpy as np

BODY = np.dtype(
    [
        ("carried", "f4", 2),
        ("peak_mps", "f4"),
        ("slide_mps", "f4"),
        ("frames", "i4", 2),
        ("status", "u1"),
        ("", "u1", 3),
    ]
)
EGO = np.dtype([(name, "f4") for name in ("x_m", "y_m", "yaw_rad", "forward", "sideways", "yaw_rate_rps", "wheel_rad")])
WALKER = np.dtype(
    [
        ("body", BODY),
        ("x_m", "f4"),
        ("y_m", "f4"),
        ("speed_y_mps", "f4"),
        ("phase_rad", "f4"),
        ("group", "i4"),
        ("home_side", "i1"),
        ("style", "u1"),
        ("", "u1", 2),
        ("colour", "u1", 4),
    ]
)
WORLD = np.dtype(
    [
        ("seed", "u8", 2),
        ("ego", EGO),
        ("walker_speed_mps", "f4", 2),
        ("frame", "i4"),
        ("ticks", "i4"),
        ("counts", "i4", 2),
        ("walker_count", "i4"),
        ("vehicle_count", "i4"),
        ("end", "u1", 4),
        ("walkers", WALKER, 48),
        ("vehicles", "u1", (32, 92)),
    ]
)
_SIMULATOR_HEADER_BYTES, _WORLD_HEADER_BYTES = 4 * 8, 24


def first_world(state: bytes) -> np.void:
    """The first environment of `_C.Simulator.save_state()`."""
    world = np.frombuffer(state, WORLD, 1, _SIMULATOR_HEADER_BYTES + _WORLD_HEADER_BYTES)
    return world[0]
