"""Two straight roads that stand in for Town01 and Town04: cross-section, OpenDRIVE text and spawn points.

The reference line is the x axis, so that a place along the road is its x, and y to the left becomes CARLA's -y.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from semore_fast.carla_server.values import Pose
from semore_fast.envs.presets import HW, JW
from semore_fast.envs.scenario import Road

TITLE = "straight road of semore_fast.carla_server, not CARLA"
_STRIP_M = 2.0
"""Pavement between the kerb and lane 3, which so lies beyond the band that crossing people are counted in."""
_SPAWN_EVERY_M, _SPAWN_UNTIL_M = 20.0, 400.0


@dataclass(frozen=True)
class Map:
    """One road, cut into two pieces: the second begins at x = 0."""

    name: str
    road: Road
    road_id: int
    before_id: int
    before_m: float
    length_m: float
    limit_kmh: float

    @property
    def full_name(self) -> str:
        """As `world.get_map().name` has it."""
        return f"Carla/Maps/{self.name}"


MAPS = {
    "Town01": Map("Town01", JW.road, road_id=12, before_id=11, before_m=10.0, length_m=2000.0, limit_kmh=30.0),
    "Town04": Map("Town04", HW.road, road_id=45, before_id=46, before_m=100.0, length_m=2000.0, limit_kmh=90.0),
}


def map_named(name: str) -> Map | None:
    """By its last part, whatever folder stands before; large-map and _Opt variants are the same road here."""
    return MAPS.get(name.rsplit("/", 1)[-1].removesuffix("_Opt"))


@cache
def spawn_points(chosen: Map) -> list[Pose]:
    """The middle of every driving lane, every 20 m, at the height that CARLA's have above the road."""
    points: list[Pose] = []
    for step in range(1, int(_SPAWN_UNTIL_M / _SPAWN_EVERY_M)):
        for side, lanes, yaw in ((1, chosen.road.lanes_forward, 0.0), (-1, chosen.road.lanes_oncoming, 180.0)):
            for lane in range(lanes):
                y = 0.5 * chosen.road.median_width_m + (lane + 0.5) * chosen.road.lane_width_m
                points.append((step * _SPAWN_EVERY_M, side * y, 0.3, 0.0, yaw, 0.0))
    return points


@cache
def open_drive(chosen: Map) -> str:
    """The road as OpenDRIVE 1.4."""
    before = _piece(chosen, chosen.before_id, -chosen.before_m, chosen.before_m, ("successor", chosen.road_id))
    road = _piece(chosen, chosen.road_id, 0.0, chosen.length_m, ("predecessor", chosen.before_id))
    half = chosen.road.fence_y_m
    return (
        '<?xml version="1.0" standalone="yes"?>\n<OpenDRIVE>\n'
        f'<header revMajor="1" revMinor="4" name="{TITLE}" version="1" north="{half}" south="{-half}" '
        f'east="{chosen.length_m}" west="{-chosen.before_m}" vendor="semore-fast">\n'
        "<geoReference><![CDATA[+proj=tmerc +lat_0=0 +lon_0=0 +k=1 +x_0=0 +y_0=0 +datum=WGS84 +units=m "
        "+no_defs]]></geoReference>\n</header>\n"
        f"{before}{road}</OpenDRIVE>\n"
    )


def _piece(chosen: Map, road_id: int, start_m: float, length_m: float, link: tuple[str, int]) -> str:
    which, other = link
    contact = "start" if which == "successor" else "end"
    speed = f'<speed max="{chosen.limit_kmh}" unit="km/h"/>'
    left = "".join(_lane(number, *lane, which) for number, lane in reversed(_numbered(_left(chosen.road))))
    right = "".join(_lane(-number, *lane, which) for number, lane in _numbered(_right(chosen.road)))
    return (
        f'<road name="Road {road_id}" length="{length_m!r}" id="{road_id}" junction="-1">\n'
        f'<link><{which} elementType="road" elementId="{other}" contactPoint="{contact}"/></link>\n'
        f'<type s="0" type="{"town" if chosen.road.town else "motorway"}">{speed}</type>\n'
        f'<planView><geometry s="0" x="{start_m!r}" y="0" hdg="0" length="{length_m!r}"><line/></geometry></planView>\n'
        '<elevationProfile><elevation s="0" a="0" b="0" c="0" d="0"/></elevationProfile>\n<lanes>\n'
        f'<laneOffset s="0" a="{-0.5 * chosen.road.median_width_m!r}" b="0" c="0" d="0"/>\n'
        f'<laneSection s="0">\n<left>\n{left}</left>\n'
        f'<center>\n<lane id="0" type="none" level="false">{_mark("solid", "yellow")}</lane>\n</center>\n'
        f"<right>\n{right}</right>\n</laneSection>\n</lanes>\n</road>\n"
    )


Lane = tuple[str, float]
"""Type and width."""


def _edge(road: Road) -> list[Lane]:
    lanes: list[Lane] = [("shoulder", road.shoulder_width_m)] if road.shoulder_width_m > 0 else []
    if road.pavement_width_m > 0:
        lanes += [("shoulder", _STRIP_M), ("sidewalk", road.pavement_width_m - _STRIP_M)]
    return lanes


def _right(road: Road) -> list[Lane]:
    return [("driving", road.lane_width_m)] * road.lanes_forward + _edge(road)


def _left(road: Road) -> list[Lane]:
    # The lane offset puts lane -1 beside the median, which is the first lane on the left.
    median: list[Lane] = [("median", road.median_width_m)] if road.median_width_m > 0 else []
    return median + [("driving", road.lane_width_m)] * road.lanes_oncoming + _edge(road)


def _numbered(lanes: list[Lane]) -> list[tuple[int, Lane]]:
    return list(enumerate(lanes, start=1))


def _lane(number: int, kind: str, width_m: float, which: str) -> str:
    change = "both" if kind == "driving" else "none"
    mark = _mark("broken", "white", change) if kind == "driving" else _mark("none", "white")
    return (
        f'<lane id="{number}" type="{kind}" level="false"><link><{which} id="{number}"/></link>'
        f'<width sOffset="0" a="{width_m!r}" b="0" c="0" d="0"/>{mark}</lane>\n'
    )


def _mark(kind: str, colour: str, change: str = "none") -> str:
    return (
        f'<roadMark sOffset="0" type="{kind}" weight="standard" color="{colour}" width="0.15" laneChange="{change}"/>'
    )
