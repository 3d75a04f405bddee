"""The remote calls about the server and its world, by CARLA's names. Those about actors: `actor_methods`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import psutil

from semore_fast.carla_server import values, wire
from semore_fast.carla_server.actor_methods import ACTOR_METHODS
from semore_fast.carla_server.blueprints import definitions
from semore_fast.carla_server.maps import MAPS, map_named, open_drive, spawn_points
from semore_fast.carla_server.rpc import Methods
from semore_fast.carla_server.values import RefusedError

if TYPE_CHECKING:
    from semore_fast.carla_server.server import Server

METHODS = Methods(ACTOR_METHODS)

_POLES, _ANY = 6, 255
_OBJECTS = {1: ("lamp_posts", _POLES), 2: ("trees", 9), 3: ("houses", 3), 4: ("fences", 5)}
"""Environment objects, each for all of its kind: number, name, class id of the protocol's newest version."""


@METHODS.value()
def version(server: Server) -> str:
    return server.version.name


@METHODS.value()
def get_episode_info(server: Server) -> list[Any]:
    return [server.episode.number, [wire.token(1, server.streams.port)]]


@METHODS.value()
def get_sensor_token(server: Server, stream: int) -> list[bytes]:
    return [wire.token(stream, server.streams.port)]


@METHODS.value()
def get_map_info(server: Server) -> list[Any]:
    chosen = server.episode.stage.map
    return [chosen.full_name, [values.transform(pose) for pose in spawn_points(chosen)]]


@METHODS.value()
def get_map_data(server: Server) -> str:
    return open_drive(server.episode.stage.map)


@METHODS.value()
def get_navigation_mesh(server: Server) -> bytes:
    return b""


@METHODS.value()
def get_required_files(server: Server, folder: str, *more: Any) -> list[str]:
    return []


@METHODS.value()
def request_file(server: Server, name: str) -> bytes:
    raise RefusedError(f"this server has no file {name!r}")


@METHODS.value()
def get_available_maps(server: Server) -> list[str]:
    return [f"/Game/{chosen.full_name}" for chosen in MAPS.values()]


@METHODS.value()
def get_actor_definitions(server: Server) -> list[Any]:
    return definitions(server.version)


@METHODS.done()
def load_new_episode(server: Server, name: str, reset_settings: bool = True, layers: int = 0xFFFF) -> None:
    chosen = map_named(name) if name else server.episode.stage.map
    if chosen is None:
        raise RefusedError(f"map {name!r} not found: this server has {', '.join(MAPS)}")
    server.load(chosen, reset_settings)


@METHODS.done()
def copy_opendrive_to_file(server: Server, text: str, parameters: Any) -> None:
    raise RefusedError("this server cannot build a world from OpenDRIVE: it has straight roads only")


@METHODS.done()
def load_map_layer(server: Server, layer: int) -> None:
    pass


@METHODS.done()
def unload_map_layer(server: Server, layer: int) -> None:
    pass


@METHODS.value(doubles=True)
def get_episode_settings(server: Server) -> list[Any]:
    return server.settings


@METHODS.value()
def set_episode_settings(server: Server, settings: list[Any]) -> int:
    server.apply_settings(settings)
    return server.episode.frame


@METHODS.value()
def tick_cue(server: Server) -> int:
    return server.tick_cue()


@METHODS.value()
def get_weather_parameters(server: Server) -> list[float]:
    return server.episode.stage.weather


@METHODS.done()
def set_weather_parameters(server: Server, weather: list[float]) -> None:
    stage = server.episode.stage
    stage.weather = [float(value) for value in weather]
    stage.set_scene()


@METHODS.value()
def is_weather_enabled(server: Server) -> bool:
    return True


@METHODS.value()
def get_imui_gravity(server: Server) -> float:
    return 9.81


@METHODS.value()
def query_lights_state(server: Server, endpoint: str) -> list[Any]:
    return []


@METHODS.done()
def update_lights_state(server: Server, *ignored: Any) -> None:
    pass


@METHODS.value()
def get_environment_objects(server: Server, tag: int) -> list[Any]:
    origin, box = values.transform(values.NO_POSE), [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    newer = {server.version.tags[cls]: cls for _, cls in _OBJECTS.values()}
    wanted = newer.get(tag, tag)
    full = [*box, 0] if server.version.box_has_actor else box
    return [
        [origin, full, number, name, server.version.tags[cls]]
        for number, (name, cls) in _OBJECTS.items()
        if wanted in (cls, _ANY)
    ]


@METHODS.done()
def enable_environment_objects(server: Server, numbers: list[int], enable: bool) -> None:
    """Only the lamp posts' light can be had or not; the rest of the scenery stays."""
    if any(_OBJECTS.get(number, ("", 0))[1] == _POLES for number in numbers):
        server.episode.stage.poles = bool(enable)
        server.episode.stage.set_scene()


@METHODS.value()
def get_all_level_BBs(server: Server, tag: int) -> list[Any]:  # noqa: N802 (CARLA's name)
    return []


@METHODS.value()
def get_names_of_all_objects(server: Server) -> list[str]:
    return [name for name, _ in _OBJECTS.values()]


@METHODS.done()
def reset_all_traffic_lights(server: Server) -> None:
    """There are none."""


@METHODS.value()
def is_traffic_manager_running(server: Server, port: int) -> bool:
    return port in server.traffic_managers


@METHODS.value()
def get_traffic_manager_running(server: Server, port: int) -> list[Any]:
    return server.traffic_managers.get(port, ["", 0])


@METHODS.value()
def add_traffic_manager_running(server: Server, where: list[Any]) -> bool:
    host, port = where
    if port in server.traffic_managers:
        return False
    server.traffic_managers[port] = [host, port]
    return True


@METHODS.value()
def destroy_traffic_manager(server: Server, port: int) -> bool:
    return server.traffic_managers.pop(port, None) is not None


def _add(name: str, function: Any) -> None:
    function.__name__ = name
    METHODS.value()(function)


def _fault(
    server: Server, fault: str, where: str, after: int, times: int | None, seconds: float, frames: int, message: str
) -> bool:
    settings = {"after": after, "times": times, "seconds": seconds, "frames": frames, "message": message}
    server.faults.add(fault, where, **settings)
    return True


def _clear_faults(server: Server) -> bool:
    server.faults.clear()
    return True


def _close_connections(server: Server, what: str) -> bool:
    server.close_connections(what)
    return True


def _exit(server: Server, status: int) -> bool:
    os._exit(status)


def _scenery(server: Server, seed: int) -> bool:
    server.scenery_seed = server.episode.stage.scenery_seed = seed
    server.episode.stage.set_scene()
    return True


def _clock(server: Server, ticks: int) -> bool:
    server.episode.stage.world.reset_clock(ticks)
    return True


def _street_lights(server: Server, lit: bool | None) -> bool:
    server.episode.stage.street_lights = lit
    server.episode.stage.set_scene()
    return True


def _counters(server: Server) -> dict[str, int]:
    return {
        "actors": len(server.episode.actors),
        "streams": len(server.streams.kinds),
        "call_connections": len(server.connections),
        "stream_connections": len(server.streams.connections),
        "episodes": server.episode.number,
        "ticks": server.ticks,
        "frames_skipped": server.streams.frames_skipped,
        "faults_struck": server.faults.struck,
        "rss_bytes": psutil.Process().memory_info().rss,
    }


_add("semore.fault", _fault)
_add("semore.clear_faults", _clear_faults)
_add("semore.close_connections", _close_connections)
_add("semore.exit", _exit)
_add("semore.scenery", _scenery)
_add("semore.clock", _clock)
_add("semore.street_lights", _street_lights)
_add("semore.counters", _counters)
