"""What differs between the protocol's versions: one table, read from the symbols of each official client."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from typing import Literal, get_args

from semore_fast.errors import UserError

VersionName = Literal["0.9.13", "0.9.14", "0.9.15", "0.9.16"]
NEWEST: VersionName = "0.9.16"

_SENSORS = (
    "collision",
    "depth",
    "normals",
    "dvs",
    "gnss",
    "imu",
    "lane_invasion",
    "obstacle",
    "optical_flow",
    "radar",
    "semantic_lidar",
    "lidar",
    "rss",
    "rgb",
    "semantic_segmentation",
    "instance_segmentation",
    "world",
)
_COMMANDS = (
    "spawn",
    "destroy",
    "vehicle_control",
    "ackermann_control",
    "walker_control",
    "physics_control",
    "transform",
    "walker_state",
    "target_velocity",
    "target_angular_velocity",
    "impulse",
    "force",
    "angular_impulse",
    "torque",
    "simulate_physics",
    "gravity",
    "autopilot",
    "telemetry",
    "lights",
    "location",
    "console",
    "traffic_light",
)
_NEW_COMMANDS = ("ackermann_control", "location", "console", "traffic_light")
"""Those that 0.9.13 does not have."""

_NEW_TAGS = tuple(range(256))
_OLD_TAGS_OF = {0: 0, 1: 7, 2: 8, 3: 1, 5: 2, 6: 5, 9: 9, 10: 22, 11: 13, 12: 4, 13: 4, 14: 10, 15: 10, 19: 10, 24: 6}
"""0.9.13's tags of the classes that the simulator draws."""


@dataclass(frozen=True)
class Version:
    """How one version of the protocol differs from the others."""

    name: str
    sensors: tuple[str, ...]
    """In the order of the client's registry: a frame's type is the index. A wrong one crashes the client."""
    commands: tuple[str, ...]
    """In the order of the variant that a batch is made of."""
    first_attribute_type: int
    """Number of "bool", the first type of a blueprint's attributes."""
    box_has_actor: bool
    """Whether a bounding box ends with the id of its actor."""
    spawn_has_socket: bool
    """Whether a batch's spawn carries how to attach, and to which socket."""
    tags: tuple[int, ...]
    """This version's semantic tag of each of the simulator's class ids, by index."""

    def sensor_type(self, sensor: str) -> int:
        """Number of a kind of frame in this version."""
        return self.sensors.index(sensor)


def version_of(name: str) -> Version:
    """One row of the table.

    Raises:
        UserError: a version that the table does not have.
    """
    names = get_args(VersionName)
    if name not in names:
        raise UserError(f"--version must be one of {', '.join(names)}, got {name!r}")
    oldest, newest = name == "0.9.13", name == NEWEST
    sensors = tuple(s for s in _SENSORS if not (oldest and s == "normals"))
    return Version(
        name=name,
        sensors=(*sensors[:-1], "cosmos", "world") if newest else sensors,
        commands=tuple(c for c in _COMMANDS if not (oldest and c in _NEW_COMMANDS)),
        first_attribute_type=1 if newest else 0,
        box_has_actor=newest,
        spawn_has_socket=newest,
        tags=tuple(_OLD_TAGS_OF.get(t, 0) for t in range(256)) if oldest else _NEW_TAGS,
    )


def installed_version() -> str:
    """The version of the client that is installed here, 0.9.16 if there is none or the table lacks it."""
    try:
        found = metadata.version("carla")
    except metadata.PackageNotFoundError:
        return NEWEST
    return found if found in get_args(VersionName) else NEWEST
