"""The scenarios' weathers as CARLA's weather parameters, and back. Plain numbers: `carla` is not needed."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["WEATHERS", "nearest_weather"]

_NAMES = (
    "cloudiness",
    "precipitation",
    "precipitation_deposits",
    "wind_intensity",
    "fog_density",
    "fog_distance",
    "wetness",
    "sun_azimuth_angle",
    "sun_altitude_angle",
)
_ROWS: dict[str, tuple[float, ...]] = {
    "day": (5, 0, 0, 10, 2, 0.75, 0, -1, 45),  # `normal` of DMR's sister project DDM: CARLA's own default
    "dusk": (20, 0, 0, 0, 20, 0, 0, 0, 10),  # DMR's `normal`
    "midnight": (30, 0, 0, 0, 20, 0, 0, 0, -90),  # DMR, as are the next two
    "rain": (0, 100, 100, 0, 0, 0, 50, 0, 5),  # hard_rain
    "fog": (50, 0, 0, 0, 100, 0, 0, 0, 5),  # dense_fog
}

WEATHERS: dict[str, dict[str, float]] = {
    weather: dict(zip(_NAMES, map(float, row), strict=True)) for weather, row in _ROWS.items()
}
"""Attributes of `carla.WeatherParameters` by `Scenario.weather`; attributes not named here are 0."""

_TELLING = ("precipitation", "fog_density", "sun_altitude_angle")


def nearest_weather(parameters: Mapping[str, float]) -> str:
    """The `Scenario.weather` whose rain, fog and height of the sun are nearest to the given parameters.

    Args:
        parameters: at least `precipitation`, `fog_density` and `sun_altitude_angle`, as in `WEATHERS`.
    """

    def apart(weather: str) -> float:
        return sum((parameters[name] - WEATHERS[weather][name]) ** 2 for name in _TELLING)

    return min(WEATHERS, key=apart)
