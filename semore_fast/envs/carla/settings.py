"""What one environment on one CARLA server needs to know: plain frozen values that cross process borders."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from semore_fast.envs.scenario import Scenario

__all__ = ["DriveSettings", "Timeouts"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeouts:
    """Longest waits, each for one answer. A parent's deadline of a whole call must be longer."""

    connect_s: float = 10.0
    """For the first answer, which tells the version."""
    call_s: float = 20.0
    """For one remote call outside an episode."""
    load_map_s: float = 120.0
    tick_s: float = 20.0
    """For one remote call within an episode; nearly all of them are ticks."""
    sensor_s: float = 10.0
    """For one sensor's data of a frame, after its tick."""
    close_s: float = 5.0
    """For one remote call while closing."""
    collision_s: float = 0.02
    """For a collision event that the actors' places announce; one that comes later counts in the next frame."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise ValueError(f"timeouts.{field.name} must be above 0, is {value}")


@dataclass(frozen=True, kw_only=True, slots=True)
class DriveSettings:
    """One environment on one server. Raises `ValueError` naming the field that has a bad value."""

    scenario: Scenario
    host: str = "127.0.0.1"
    port: int = 2000
    """Of the server's calls; its pictures come through the next one."""
    tm_port: int = 8000
    """Of this environment's Traffic Manager, which is opened only for scenarios with vehicles."""
    image_size: int = 128
    supersample: int = 1
    """Pictures are asked for this many times larger, and averaged here."""
    action_repeat: int = 1
    """Frames an action is held; one `step`."""
    ids: bool = False
    """Also class and instance ids, from a second camera."""
    timeouts: Timeouts = dataclasses.field(default_factory=Timeouts)
    allow_version_mismatch: bool = False
    """For servers built from source, which answer a commit for a version."""
    owner_tag: str = "semore"
    """role_name of every actor of ours; actors of this name left by a predecessor are removed at the start."""

    def __post_init__(self) -> None:
        for name in ("port", "tm_port"):
            if not 0 < getattr(self, name) < 65535:
                raise ValueError(f"{name} must be in [1, 65534], is {getattr(self, name)}")
        if self.tm_port in (self.port, self.port + 1, self.port + 2):
            raise ValueError(f"tm_port must not be one of the server's own ports {self.port} to {self.port + 2}")
        for name in ("image_size", "supersample", "action_repeat"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, is {getattr(self, name)}")
        if not self.owner_tag:
            raise ValueError("owner_tag must not be empty: it tells our actors from other people's")
