"""Which of the server's blueprints stands for whom, and how it is dressed."""

from __future__ import annotations

from typing import Any

import carla
import numpy as np

from semore_fast import _C
from semore_fast.envs.carla.errors import CarlaSetupError

__all__ = ["CAMERA_LOOKS", "Wardrobe"]

_NAMES: dict[str, tuple[str, ...]] = {
    "ego": ("vehicle.tesla.model3", "vehicle.audi.a2"),
    "car": ("vehicle.audi.tt", "vehicle.audi.etron", "vehicle.lincoln.mkz_2017", "vehicle.dodge.charger_2020"),
    "van": ("vehicle.mercedes.sprinter", "vehicle.volkswagen.t2"),
    "van siren": ("vehicle.ford.ambulance",),
    "truck": ("vehicle.carlamotors.carlacola", "vehicle.carlamotors.european_hgv"),
    "truck siren": ("vehicle.carlamotors.firetruck",),
    "police_car": ("vehicle.dodge.charger_police", "vehicle.dodge.charger_police_2020"),
    "cyclist": ("vehicle.bh.crossbike", "vehicle.diamondback.century", "vehicle.gazelle.omafiets"),
}
"""By the embedded simulator's kinds; an odd style of a van or truck is an ambulance or a fire engine there."""

CAMERA_LOOKS = {
    "enable_postprocess_effects": "true",
    "exposure_max_bright": "20.0",
    "exposure_min_bright": "12.0",
    "exposure_speed_up": "3.0",
    "exposure_speed_down": "1.0",
    "blur_amount": "1.0",
    "motion_blur_intensity": "1.0",
    "motion_blur_max_distortion": "0.8",
    "motion_blur_min_object_screen_size": "0.4",
    "lens_flare_intensity": "0.2",
    "shutter_speed": "100.0",
}
"""DMR's. `sensor_tick` stays 0: a tick equal to the fixed step would sometimes round to a skipped frame."""

_STYLE, _COLOUR, _LIMIT = "semore_style", "semore_colour", "semore_speed_limit"
"""Attributes of the protocol server alone: the embedded simulator's looks and speed limiter."""


class Wardrobe:
    """Finds blueprints and sets what they have of our attributes; what they lack is left alone.

    Every blueprint that has a role name gets the owner's tag for it.
    """

    def __init__(self, library: carla.BlueprintLibrary, owner_tag: str):
        self._library = {blueprint.id: blueprint for blueprint in library}
        self._tag = owner_tag
        self._walkers = sorted(name for name in self._library if name.startswith("walker.pedestrian."))

    def ego(self, speed_limit_mps: float) -> tuple[carla.ActorBlueprint, bool]:
        """The ego, and whether its speed limiter is the server's."""
        blueprint = self._dress(self._one_of("ego", 0))
        limited = blueprint.has_attribute(_LIMIT)
        self._set(blueprint, _LIMIT, repr(float(np.float32(speed_limit_mps))))
        return blueprint, limited

    def walker(self, row: np.void) -> carla.ActorBlueprint:
        """For a row of `Director.walkers()`."""
        if not self._walkers:
            raise CarlaSetupError("the server has no walker.pedestrian blueprints: install CARLA's default assets")
        blueprint = self._dress(self._walkers[int(row["style"]) % len(self._walkers)])
        self._set(blueprint, "is_invincible", "false")
        self._set(blueprint, _COLOUR, _rgb(row))
        self._set(blueprint, _STYLE, str(int(row["style"])))
        return blueprint

    def vehicle(self, row: np.void) -> carla.ActorBlueprint:
        """For a row of `Director.vehicles()`."""
        kind, style = _C.VEHICLE_KINDS[int(row["kind"])], int(row["style"])
        siren = f"{kind} siren"
        blueprint = self._dress(self._one_of(siren if style & 1 and siren in _NAMES else kind, style))
        self._set(blueprint, "color", _rgb(row))
        self._set(blueprint, _STYLE, str(style))
        return blueprint

    def sensor(self, name: str, attributes: dict[str, str]) -> carla.ActorBlueprint:
        """A sensor with those of the attributes that it has."""
        if name not in self._library:
            raise CarlaSetupError(f"the server has no {name}: use CARLA 0.9.13 or newer")
        blueprint = self._dress(name)
        for attribute, value in attributes.items():
            self._set(blueprint, attribute, value)
        return blueprint

    def _one_of(self, role: str, index: int) -> str:
        there = [name for name in _NAMES[role] if name in self._library]
        if not there:
            wheels = 2 if role == "cyclist" else 4
            there = [name for name, blueprint in sorted(self._library.items()) if _wheels(blueprint) == wheels]
        if not there:
            raise CarlaSetupError(f"the server has no blueprint for a {role}: install CARLA's default assets")
        return there[index % len(there)]

    def _dress(self, name: str) -> carla.ActorBlueprint:
        blueprint = self._library[name]
        self._set(blueprint, "role_name", self._tag)
        return blueprint

    @staticmethod
    def _set(blueprint: Any, attribute: str, value: str) -> None:
        if blueprint.has_attribute(attribute):
            blueprint.set_attribute(attribute, value)


def _wheels(blueprint: carla.ActorBlueprint) -> int:
    return int(blueprint.get_attribute("number_of_wheels")) if blueprint.has_attribute("number_of_wheels") else 0


def _rgb(row: np.void) -> str:
    return ",".join(str(int(part)) for part in row["colour"])
