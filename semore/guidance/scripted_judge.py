"""The privileged rule for "reasonable": a stand-in for a VLM's verdict, computed from the simulator's state.

Every number here is our own choice, none is from the paper, which gives no rule. The rule looks ahead along
constant velocities, so it knows nothing a thoughtful passenger could not guess from the last moments.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from semore.guidance.macro import MacroAction
from semore.guidance.protocols import Privileged

# Something in the swept path sooner than this makes accelerating or keeping speed unreasonable.
TIME_TO_COLLISION_S = 1.5
# The road is free if driving off gently would touch nothing for this long.
FREE_ROAD_S = 4.0
DRIVE_OFF = MacroAction(steer=0.0, throttle=0.3, brake=0.0)
# Below this speed, braking harder than NEEDLESS_BRAKE on a free road only stands in the way.
SLOW_MPS = 3.0
NEEDLESS_BRAKE = 0.3
# A wheel held this long must not carry the car's centre over its lane's edge.
STEER_HORIZON_S = 1.0

# An ordinary saloon (CARLA's Model 3, rounded) and how hard it can speed up, brake and corner.
EGO_LENGTH_M = 4.7
EGO_WIDTH_M = 1.9
WHEELBASE_M = 2.9
MAX_STEER_RAD = math.radians(35.0)
MAX_THROTTLE_MPS2 = 2.0
MAX_BRAKE_MPS2 = 8.0
MAX_LATERAL_MPS2 = 7.0
SIDE_MARGIN_M = 0.2

_STEP_S = 0.1
_TIMES_S = (np.arange(round(FREE_ROAD_S / _STEP_S) + 1) * _STEP_S).astype(np.float32)
_STEER_HORIZON_INDEX = round(STEER_HORIZON_S / _STEP_S)


def reasonable(privileged: Privileged, action: MacroAction) -> bool:
    """Whether a careful driver could do this here.

    Unreasonable is: running into something within `TIME_TO_COLLISION_S` without braking; steering into
    something while braking although straight on is free; braking hard while slow with a free road; holding
    the wheel so that the car leaves its lane, unless that is how it evades something straight ahead.
    """
    held = time_to_collision_s(privileged, action)
    straight = time_to_collision_s(privileged, MacroAction(0.0, 0.0, 0.0))
    danger_held, danger_straight = held < TIME_TO_COLLISION_S, straight < TIME_TO_COLLISION_S
    braking = action.pedals == "braking"
    if danger_held and not (braking and danger_straight):
        return False
    if action.brake > NEEDLESS_BRAKE and privileged.ego[0] < SLOW_MPS:
        return not math.isinf(time_to_collision_s(privileged, DRIVE_OFF))
    return danger_straight or not leaves_lane(privileged, action)


def time_to_collision_s(privileged: Privileged, action: MacroAction) -> float:
    """Seconds until the ego, holding `action`, touches an actor ahead that holds its velocity; inf if never.

    Only looks `FREE_ROAD_S` ahead, and only at actors whose centre is ahead of the ego's: what comes from
    behind is not this driver's to avoid.
    """
    class_id, _, dx, dy, vx, vy, length, width = privileged.actors.T[:, :, None]
    x, y = _ego_path(privileged, action)
    gap_x = np.abs(dx + vx * _TIMES_S - x) - 0.5 * (length + EGO_LENGTH_M)
    gap_y = np.abs(dy + vy * _TIMES_S - y) - 0.5 * (width + EGO_WIDTH_M) - SIDE_MARGIN_M
    touches: NDArray[np.bool_] = ((class_id > 0) & (dx > 0) & (gap_x < 0) & (gap_y < 0)).any(axis=0)
    return float(_TIMES_S[touches.argmax()]) if touches.any() else math.inf


def leaves_lane(privileged: Privileged, action: MacroAction) -> bool:
    """Whether holding the wheel for `STEER_HORIZON_S` carries the ego's centre over its lane's edge.

    Steering that brings a car already outside back towards the lane does not count, nor does any steering in
    the oncoming lane, which is there to be left.
    """
    _, lane_offset_m, heading_error_rad, lane_width_m = (float(value) for value in privileged.ego)
    if action.wheel == "going straight" or abs(heading_error_rad) > 0.5 * math.pi:
        return False
    _, y = _ego_path(privileged, action)
    reached_m = lane_offset_m + float(y[_STEER_HORIZON_INDEX])
    return abs(reached_m) > max(0.5 * lane_width_m, abs(lane_offset_m))


def _ego_path(privileged: Privileged, action: MacroAction) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The ego's centre at `_TIMES_S` along and across the lane, from where it is now: `[T]` each, metres."""
    speed_mps, heading_rad = float(privileged.ego[0]), float(privileged.ego[2])
    if abs(heading_rad) > 0.5 * math.pi:  # the nearest lane is the oncoming one: back to the road's axes
        heading_rad -= math.copysign(math.pi, heading_rad)
    acceleration_mps2 = action.throttle * MAX_THROTTLE_MPS2 - action.brake * MAX_BRAKE_MPS2
    moving_s = _TIMES_S
    if acceleration_mps2 < 0:
        moving_s = np.minimum(_TIMES_S, speed_mps / -acceleration_mps2)
    travelled_m = speed_mps * moving_s + 0.5 * acceleration_mps2 * moving_s**2
    curvature_per_m = -math.tan(action.steer * MAX_STEER_RAD) / WHEELBASE_M
    if speed_mps > 0:
        grip_per_m = MAX_LATERAL_MPS2 / speed_mps**2
        curvature_per_m = min(max(curvature_per_m, -grip_per_m), grip_per_m)
    # A car turned past a right angle has left the lane anyway; the clamp keeps the path from curling back.
    bearing = np.clip(heading_rad + 0.5 * curvature_per_m * travelled_m, -0.5 * math.pi, 0.5 * math.pi)
    return travelled_m * np.cos(bearing), travelled_m * np.sin(bearing)
