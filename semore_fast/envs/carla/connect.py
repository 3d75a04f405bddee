"""The connection: versions first, then the map, the scene and synchronous mode; and everything back as it was."""

from __future__ import annotations

import re

import carla

from semore_fast.envs.carla.asking import asking
from semore_fast.envs.carla.errors import CarlaError, CarlaSetupError, CarlaVersionError
from semore_fast.envs.carla.roads import ROADS, road_frame
from semore_fast.envs.carla.settings import DriveSettings
from semore_fast.envs.carla.weather import WEATHERS

__all__ = ["Connection", "check_versions"]

_WORKER_THREADS = 8
"""At least two more than there are streams, or they wait for each other."""
_RELEASES = {(0, 9, minor) for minor in (13, 14, 15, 16)}
_HIDDEN = ("Dynamic", "Poles", "Vegetation")
"""Objects of the map that DMR removes; street lights go with the poles."""
_MAX_SUBSTEP_S, _SUBSTEPS = 0.01, 10


def _release(version: str) -> tuple[int, ...] | None:
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    return tuple(map(int, found.groups())) if found else None


def check_versions(client: str, server: str, allow_mismatch: bool) -> None:
    """Refuse what would crash the interpreter: client and server of different releases.

    Raises:
        CarlaVersionError: they differ, or are of a release that this adapter does not know.
    """
    if allow_mismatch:
        return
    if _release(client) not in _RELEASES:
        raise CarlaVersionError(f"carla client {client} is not supported: install carla 0.9.13 to 0.9.16")
    if _release(client) != _release(server):
        raise CarlaVersionError(
            f"carla client {client} and server {server} differ and would crash: install carla=={server}, or allow the "
            "mismatch for a server built from the client's sources"
        )


class Connection:
    """One checked connection in synchronous mode, on the scenario's map, in its weather.

    Attributes:
        client: the official client.
        world: its world.
        frame: the scenario's road on its map.
    """

    def __init__(self, settings: DriveSettings):
        self._settings = settings
        times = settings.timeouts
        self.client = carla.Client(settings.host, settings.port, worker_threads=_WORKER_THREADS)
        self.client.set_timeout(times.connect_s)
        with asking(f"CARLA at {settings.host}:{settings.port}", times.connect_s):
            version = self.client.get_server_version()
        check_versions(self.client.get_client_version(), version, settings.allow_version_mismatch)
        self.client.set_timeout(times.call_s)
        with asking("get the world", times.call_s):
            self.world = self.client.get_world()
            self._found = self.world.get_settings()
            self._found_weather = self.world.get_weather()
        self._hidden: set[int] = set()
        self._changed = False
        self._load_map()
        with asking("get the map", times.call_s):
            self.frame = road_frame(self.world.get_map(), ROADS[settings.scenario.kind], settings.scenario.road)

    def _load_map(self) -> None:
        wanted = ROADS[self._settings.scenario.kind].map_name
        with asking("get the map's name", self._settings.timeouts.call_s):
            there = self.world.get_map().name.rsplit("/", 1)[-1].removesuffix("_Opt")
        if there == wanted:
            return
        self._changed = True
        self._leave_synchronous()  # nobody would tick while the map loads
        limit_s = self._settings.timeouts.load_map_s
        self.client.set_timeout(limit_s)
        with asking(f"load map {wanted}", limit_s):
            self.world = self.client.load_world(wanted)
        self.client.set_timeout(self._settings.timeouts.call_s)

    def _leave_synchronous(self) -> None:
        with asking("apply the world's settings", self._settings.timeouts.call_s):
            settings = self.world.get_settings()
            if settings.synchronous_mode:
                settings.synchronous_mode = False
                settings.fixed_delta_seconds = None
                self.world.apply_settings(settings)

    def take_over(self) -> None:
        """Synchronous mode at the scenario's step, its weather, and the map without what DMR removes."""
        scenario, limit_s = self._settings.scenario, self._settings.timeouts.call_s
        self._changed = True
        with asking("apply the world's settings", limit_s):
            settings = self.world.get_settings()
            settings.synchronous_mode = True
            settings.no_rendering_mode = False
            settings.fixed_delta_seconds = scenario.dt_s
            settings.substepping = True
            settings.max_substep_delta_time = _MAX_SUBSTEP_S
            settings.max_substeps = _SUBSTEPS
            self.world.apply_settings(settings)
        if not self.world.get_settings().synchronous_mode:
            raise CarlaSetupError("the server does not go into synchronous mode: another client holds it")
        with asking("set the weather", limit_s):
            self.world.set_weather(carla.WeatherParameters(**WEATHERS[scenario.weather]))
        for label in _HIDDEN:
            with asking(f"hide the map's {label}", limit_s):
                objects = self.world.get_environment_objects(getattr(carla.CityObjectLabel, label))
                ids = {item.id for item in objects}
                if ids:
                    self.world.enable_environment_objects(ids, False)
                    self._hidden |= ids

    def answers(self) -> bool:
        """Whether the server still does, within the closing time-out."""
        limit_s = self._settings.timeouts.close_s
        self.client.set_timeout(limit_s)
        try:
            with asking("close", limit_s):
                self.client.get_server_version()
        except CarlaError:
            return False
        return True

    def restore(self, crashed_before: bool) -> None:
        """Weather, objects and settings as they were found.

        Args:
            crashed_before: a predecessor of ours left its actors, so the synchronous mode found was its own: it goes.
        """
        if not self._changed:
            return
        limit_s = self._settings.timeouts.close_s
        with asking("restore the world", limit_s):
            if self._hidden:
                self.world.enable_environment_objects(self._hidden, True)
            self.world.set_weather(self._found_weather)
            found = self._found
            if crashed_before and found.synchronous_mode:
                found.synchronous_mode = False
                found.fixed_delta_seconds = None
            self.world.apply_settings(found)
        self._changed = False
