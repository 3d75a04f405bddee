"""The three scenarios on CARLA servers, through the official client. Importing this does not import `carla`."""

from semore_fast.envs.carla.drive import Drive, make_drive
from semore_fast.envs.carla.errors import CarlaError, CarlaLost, CarlaSetupError, CarlaTimeout, CarlaVersionError
from semore_fast.envs.carla.settings import DriveSettings, Timeouts

__all__ = [
    "CarlaError",
    "CarlaLost",
    "CarlaSetupError",
    "CarlaTimeout",
    "CarlaVersionError",
    "Drive",
    "DriveSettings",
    "Timeouts",
    "make_drive",
]
