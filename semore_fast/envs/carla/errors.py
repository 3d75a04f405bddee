"""What can go wrong between an environment and its CARLA server. Each message is one line: what happened, the fix."""

__all__ = ["CarlaError", "CarlaLost", "CarlaSetupError", "CarlaTimeout", "CarlaVersionError"]


class CarlaError(Exception):
    """The server, or the connection to it, is of no use any more; a new one may be."""


class CarlaTimeout(CarlaError):  # noqa: N818 - says what happened
    """Something was waited for and did not come; the message names it."""


class CarlaLost(CarlaError):  # noqa: N818
    """The server answered before and does not now, or it lost one of our actors."""


class CarlaVersionError(CarlaError):
    """Client and server are of different versions; going on would crash the interpreter. Trying again is no use."""


class CarlaSetupError(CarlaError):
    """The client is not installed, or the server has not what the scenario needs (a map, a blueprint, a free place)."""
