"""What a client is told of a vehicle's mechanics: figures of the embedded simulator's car in CARLA's form."""

from __future__ import annotations

import math
from typing import Any

from semore_fast.carla_server.actors import Actor

_MASS_KG = 1845.0
_FULL_LOCK_DEG = math.degrees(0.58)
_GRIP = 0.92
_WHEELBASE_SHARE, _TRACK_SHARE = 0.3, 0.42
_CENTIMETRES = 100.0


def _wheel(actor: Actor, front: bool, right: bool) -> list[Any]:
    body = actor.blueprint.body
    length, width = (body.length_m, body.width_m) if body else (0.0, 0.0)
    place = [
        _CENTIMETRES * length * (_WHEELBASE_SHARE if front else -_WHEELBASE_SHARE),
        _CENTIMETRES * width * (_TRACK_SHARE if right else -_TRACK_SHARE),
        35.0,
    ]
    steer = _FULL_LOCK_DEG if front else 0.0
    # Friction, damping, steering angle, radius in cm, two brake torques, three stiffnesses, place in cm.
    return [_GRIP, 0.25, steer, 35.0, 1500.0, 3000.0, 2.0, 17.0, 1000.0, place]


def physics_control(actor: Actor) -> list[Any]:
    """What the client set last, or the simulator's figures."""
    if actor.physics is not None:
        return actor.physics
    wheels = [_wheel(actor, front, right) for front in (True, False) for right in (False, True)]
    engine = [[[0.0, 500.0], [5000.0, 500.0]], 5000.0, 1.0, 0.15, 2.0, 0.35]
    gears = [True, 0.0, 10.0, 4.0, []]
    body: list[Any] = [_MASS_KG, 0.3, [0.0, 0.0, 0.0], [[0.0, 1.0], [10.0, 1.0]], wheels, False]
    return [*engine, *gears, *body]
