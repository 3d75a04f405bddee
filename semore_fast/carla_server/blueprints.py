"""What can be spawned: names and attributes as CARLA has them, bodies as the embedded simulator draws them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

from semore_fast.carla_server.versions import Version

Type = Literal["bool", "int", "float", "string", "colour"]
_TYPES: tuple[Type, ...] = ("bool", "int", "float", "string", "colour")


@dataclass(frozen=True)
class Attribute:
    """One attribute of a blueprint."""

    name: str
    type: Type
    value: str
    recommended: tuple[str, ...] = ()
    modifiable: bool = True

    def packed(self, version: Version) -> list[Any]:
        """As the protocol has it; the last field says whether only recommended values are allowed."""
        number = version.first_attribute_type + _TYPES.index(self.type)
        return [self.name, number, self.value, list(self.recommended), self.modifiable, False]


@dataclass(frozen=True)
class Body:
    """How the embedded simulator has it."""

    kind: Literal["car", "van", "truck", "police_car", "cyclist", "pedestrian"]
    length_m: float
    width_m: float
    height_m: float
    style: int = 0


@dataclass(frozen=True)
class Blueprint:
    """Something that can be spawned."""

    name: str
    tags: str
    attributes: tuple[Attribute, ...]
    body: Body | None = None
    semantic_tags: tuple[int, ...] = ()
    """Class ids of the embedded simulator."""

    def packed(self, uid: int, version: Version) -> list[Any]:
        """As the protocol has it."""
        return [uid, self.name, self.tags, [attribute.packed(version) for attribute in self.attributes]]


_CAR = Body("car", 4.6, 1.85, 1.5)
_VAN = Body("van", 5.9, 2.0, 2.6)
_TRUCK = Body("truck", 8.4, 2.5, 3.2)
_POLICE = Body("police_car", 5.0, 1.95, 1.6)
_BIKE = Body("cyclist", 1.8, 0.6, 1.75)
_EGO = Body("car", 4.70, 1.86, 1.44)
"""The car that the embedded simulator's dynamics are those of."""

_VEHICLES: dict[str, tuple[Body, str]] = {
    "tesla.model3": (_EGO, "24,50,120"),
    "audi.a2": (_CAR, "170,20,24"),
    "audi.tt": (_CAR, "120,124,130"),
    "audi.etron": (_CAR, "235,235,235"),
    "bmw.grandtourer": (_CAR, "24,24,28"),
    "chevrolet.impala": (_CAR, "190,150,40"),
    "citroen.c3": (_CAR, "30,80,50"),
    "dodge.charger_2020": (_CAR, "170,20,24"),
    "ford.mustang": (_CAR, "24,50,120"),
    "jeep.wrangler_rubicon": (_CAR, "30,80,50"),
    "lincoln.mkz_2017": (_CAR, "180,180,186"),
    "mercedes.coupe": (_CAR, "24,24,28"),
    "mini.cooper_s": (_CAR, "170,20,24"),
    "nissan.micra": (_CAR, "190,150,40"),
    "nissan.patrol": (_CAR, "235,235,235"),
    "seat.leon": (_CAR, "120,124,130"),
    "toyota.prius": (_CAR, "24,50,120"),
    "dodge.charger_police": (_POLICE, "24,24,28"),
    "ford.ambulance": (replace(_VAN, style=1), "240,240,236"),
    "mercedes.sprinter": (_VAN, "235,235,235"),
    "volkswagen.t2": (_VAN, "190,150,40"),
    "carlamotors.carlacola": (_TRUCK, "170,20,24"),
    "carlamotors.firetruck": (replace(_TRUCK, style=1), "190,16,16"),
    "bh.crossbike": (_BIKE, "170,20,24"),
    "diamondback.century": (_BIKE, "24,50,120"),
    "gazelle.omafiets": (_BIKE, "24,24,28"),
}
_PALETTE = ("235,235,235", "24,24,28", "120,124,130", "170,20,24", "24,50,120", "190,150,40", "30,80,50", "180,180,186")
_CLASS_OF = {"car": 14, "van": 14, "police_car": 14, "truck": 15, "cyclist": 19, "pedestrian": 12}
_WALKERS = 24
_PERSON = Body("pedestrian", 0.5, 0.5, 1.75)


def _role(value: str) -> Attribute:
    return Attribute("role_name", "string", value, ("autopilot", "scenario", "ego_vehicle"))


def _style(value: int) -> Attribute:
    return Attribute("semore_style", "int", str(value))  # this server's own: the embedded simulator's look


def _fixed(name: str, kind: Type, value: str) -> Attribute:
    return Attribute(name, kind, value, modifiable=False)


def _vehicle(name: str, body: Body, colour: str) -> Blueprint:
    wheels = "2" if body.kind == "cyclist" else "4"
    base = {"cyclist": "bicycle", "police_car": "car"}.get(body.kind, body.kind)
    palette = (colour, *(c for c in _PALETTE if c != colour))
    emergency = body.kind == "police_car" or body.style == 1
    attributes = (
        _role("autopilot"),
        Attribute("color", "colour", colour, palette),
        Attribute("sticky_control", "bool", "true"),
        Attribute("semore_speed_limit", "float", "0.0"),  # of a limiter, in m/s; 0: none
        _fixed("number_of_wheels", "int", wheels),
        _fixed("base_type", "string", base),
        _fixed("special_type", "string", "emergency" if emergency else ""),
        _fixed("generation", "int", "1"),
        _fixed("object_type", "string", ""),
        _fixed("has_lights", "bool", "false" if base == "bicycle" else "true"),
        _style(body.style),
    )
    maker, model = name.split(".")
    return Blueprint(f"vehicle.{name}", f"vehicle,{maker},{model}", attributes, body, (_CLASS_OF[body.kind],))


def _walker(number: int) -> Blueprint:
    colour = ",".join(str(30 + number * step % 200) for step in (67, 113, 179))
    attributes = (
        _role("pedestrian"),
        Attribute("is_invincible", "bool", "true"),
        Attribute("speed", "float", "1.4", ("0.0", "1.4", "3.3")),
        _fixed("gender", "string", "female" if number % 2 else "male"),
        _fixed("age", "string", "adult"),
        _fixed("generation", "int", "1"),
        Attribute("semore_colour", "colour", colour),
        _style(number * 37 % 256),
    )
    name = f"{number:04}"
    return Blueprint(f"walker.pedestrian.{name}", f"walker,pedestrian,{name}", attributes, _PERSON, (12,))


_TICK = Attribute("sensor_tick", "float", "0.0")
_CAMERA = (
    _role("front"),
    Attribute("image_size_x", "int", "800"),
    Attribute("image_size_y", "int", "600"),
    Attribute("fov", "float", "90.0"),
    _TICK,
)
_LENS = {"circle_falloff": 5.0, "circle_multiplier": 0.0, "k": -1.0, "kcube": 0.0, "x_size": 0.08, "y_size": 0.08}
_LOOKS = {
    "bloom_intensity": 0.675,
    "lens_flare_intensity": 0.1,
    "gamma": 2.2,
    "fstop": 1.4,
    "min_fstop": 1.2,
    "iso": 100.0,
    "shutter_speed": 200.0,
    "exposure_compensation": 0.0,
    "exposure_min_bright": 10.0,
    "exposure_max_bright": 12.0,
    "exposure_speed_up": 3.0,
    "exposure_speed_down": 1.0,
    "calibration_constant": 16.0,
    "focal_distance": 1000.0,
    "blur_amount": 1.0,
    "blur_radius": 0.0,
    "motion_blur_intensity": 0.45,
    "motion_blur_max_distortion": 0.35,
    "motion_blur_min_object_screen_size": 0.1,
    "slope": 0.88,
    "toe": 0.55,
    "shoulder": 0.26,
    "black_clip": 0.0,
    "white_clip": 0.04,
    "temp": 6500.0,
    "tint": 0.0,
    "chromatic_aberration_intensity": 0.0,
    "chromatic_aberration_offset": 0.0,
}
"""CARLA's post-processing: taken, and without effect here."""

_EXPOSURE = (
    Attribute("enable_postprocess_effects", "bool", "true"),
    Attribute("exposure_mode", "string", "histogram", ("histogram", "manual")),
    Attribute("blade_count", "int", "5"),
)


def _floats(values: dict[str, float], prefix: str = "") -> tuple[Attribute, ...]:
    return tuple(Attribute(prefix + name, "float", str(value)) for name, value in values.items())


_NOISE = {f"noise_{what}": 0.0 for what in ("alt_bias", "alt_stddev", "lat_bias", "lat_stddev", "lon_bias")}
_IMU = {f"noise_{what}_stddev_{axis}": 0.0 for what in ("accel", "gyro") for axis in "xyz"}


def _sensor(family: str, name: str, attributes: tuple[Attribute, ...]) -> Blueprint:
    return Blueprint(f"sensor.{family}.{name}", f"sensor,{family},{name}", attributes)


def _sensors() -> list[Blueprint]:
    lens = (*_CAMERA, *_floats(_LENS, "lens_"))
    cameras = [_sensor("camera", "rgb", (*lens, *_EXPOSURE, *_floats(_LOOKS)))]
    cameras += [_sensor("camera", kind, lens) for kind in ("depth", "semantic_segmentation", "instance_segmentation")]
    others = {
        "collision": (_role("front"),),
        "lane_invasion": (_role("front"),),
        "gnss": (_role("front"), _TICK, *_floats(_NOISE)),
        "imu": (_role("front"), _TICK, *_floats(_IMU)),
    }
    return cameras + [_sensor("other", kind, attributes) for kind, attributes in others.items()]


@cache
def blueprints() -> dict[str, Blueprint]:
    """Every blueprint by name."""
    found = [_vehicle(name, body, colour) for name, (body, colour) in _VEHICLES.items()]
    found += [_walker(number) for number in range(1, _WALKERS + 1)]
    found += _sensors()
    found.append(Blueprint("controller.ai.walker", "controller,ai,walker", (_role(""),)))
    return {blueprint.name: blueprint for blueprint in found}


@cache
def definitions(version: Version) -> list[list[Any]]:
    """The whole library as the protocol has it."""
    return [blueprint.packed(uid, version) for uid, blueprint in enumerate(blueprints().values(), start=1)]
