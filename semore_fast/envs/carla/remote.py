"""Makes a drive from settings that came as JSON. Runs in the drive's process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from semore_fast.envs.carla.drive import Drive, make_drive
from semore_fast.envs.carla.settings import DriveSettings, Timeouts
from semore_fast.envs.scenario import Road, Scenario

__all__ = ["make"]


def make(settings: Mapping[str, Any]) -> Drive:
    """The drive of `fleet.drive_settings`; see `make_drive` for what it raises."""
    scenario = Scenario(**{**settings["scenario"], "road": Road(**settings["scenario"]["road"])})
    timeouts = Timeouts(**settings["timeouts"])
    return make_drive(DriveSettings(**{**settings, "scenario": scenario, "timeouts": timeouts}))
