"""The parts of a CARLA environment that need no server: boxes, pictures, roads, weather, versions, settings."""

import dataclasses
import math
import pickle
import threading
import time

import numpy as np
import pytest

pytest.importorskip("carla")

import carla

from semore_fast import _C
from semore_fast.envs import SCENARIOS
from semore_fast.envs.carla import CarlaLost, CarlaSetupError, CarlaTimeout, CarlaVersionError, DriveSettings, Timeouts
from semore_fast.envs.carla.asking import asking
from semore_fast.envs.carla.connect import check_versions
from semore_fast.envs.carla.measure import GONE, STRUCK, UP, Member, actor_rows, contacts_expected, impulse_ns
from semore_fast.envs.carla.pictures import InstanceIds, class_table, rgb_chw, tags_and_ids
from semore_fast.envs.carla.roads import ROADS, Motion, RoadFrame, RoadOn, road_frame
from semore_fast.envs.carla.sensors import Box, Ear
from semore_fast.envs.carla.traffic import light_state
from semore_fast.envs.carla.weather import WEATHERS, nearest_weather

STANDING = carla.Vector3D(0, 0, 0)


# boxes


def test_a_box_gives_the_frame_asked_for_and_drops_older_ones():
    box = Box("camera")
    for frame in (3, 1, 2):
        box.put(frame, f"picture {frame}")
    assert box.take(2, 0.1) == "picture 2"
    assert box.dropped == 1
    assert box.take(3, 0.1) == "picture 3"


def test_a_box_is_bounded():
    box = Box("camera", kept=2)
    for frame in range(5):
        box.put(frame, frame)
    assert box.dropped == 3
    assert box.take(3, 0.1) == 3


def test_a_box_waits_for_a_late_frame():
    box = Box("camera")
    box.put(6, "early")
    thread = threading.Timer(0.05, box.put, (5, "late"))
    thread.start()
    assert box.take(5, 5.0) == "late"
    thread.join()


def test_a_box_names_what_did_not_come():
    box = Box("camera of ids")
    box.put(8, "another")
    with pytest.raises(CarlaTimeout, match=r"camera of ids: frame 9 did not come within 0\.05 s; the newest is 8"):
        box.take(9, 0.05)


class Whisper:
    """A collision sensor that says what it is told to."""

    def listen(self, callback):
        self.say = callback


@dataclasses.dataclass
class Event:
    frame: int
    other_actor: object
    normal_impulse: carla.Vector3D


def event(frame, other, x=1.0):
    return Event(frame, dataclasses.make_dataclass("Other", ["id"])(other), carla.Vector3D(x, 0, 0))


def test_an_ear_gives_what_has_happened_so_far_late_events_too():
    sensor = Whisper()
    ear = Ear(sensor)
    for one in (event(4, 7), event(6, 8), event(5, 7)):
        sensor.say(one)
    assert [e[:2] for e in ear.take(5, 0, 0.0)] == [(4, 7), (5, 7)]
    assert [e[:2] for e in ear.take(6, 0, 0.0)] == [(6, 8)]


def test_an_ear_waits_for_as_many_as_are_expected():
    sensor = Whisper()
    ear = Ear(sensor)
    sensor.say(event(5, 7))
    thread = threading.Timer(0.05, sensor.say, (event(5, 8),))
    thread.start()
    assert len(ear.take(5, 2, 5.0)) == 2
    thread.join()
    start = time.monotonic()
    assert ear.take(6, 1, 0.02) == []
    assert time.monotonic() - start >= 0.02


def test_a_collision_with_nobody_is_with_a_barrier():
    sensor = Whisper()
    ear = Ear(sensor)
    sensor.say(Event(1, None, carla.Vector3D(3, 4, 0)))
    events = ear.take(1, 0, 0.0)
    assert events == [(1, 0, 3, 4, 0)]
    assert impulse_ns(events * 2) == 10


# pictures


def bgra(size, generator):
    return generator.integers(0, 256, (size, size, 4), dtype=np.uint8)


def test_pictures_are_rgb_and_our_own():
    raw = bgra(4, np.random.default_rng(0))
    picture = rgb_chw(raw.tobytes(), 4, 1)
    assert (picture == raw[:, :, [2, 1, 0]].transpose(2, 0, 1)).all()
    assert picture.flags.owndata
    assert picture.flags.writeable


def test_large_pictures_are_averaged_with_ties_up():
    raw = np.zeros((4, 4, 4), np.uint8)
    raw[:2, :2, 2] = [[1, 2], [2, 1]]  # 1.5
    raw[2:, 2:, 0] = [[1, 0], [0, 0]]  # 0.25
    picture = rgb_chw(raw.tobytes(), 2, 2)
    assert picture[0].tolist() == [[2, 0], [0, 0]]
    assert picture[2].tolist() == [[0, 0], [0, 0]]


def test_tags_and_instances_are_read_from_the_middles():
    raw = bgra(6, np.random.default_rng(1))
    tags, instances = tags_and_ids(raw.tobytes(), 2, 3)
    assert (tags == raw[1::3, 1::3, 2]).all()
    assert (instances == raw[1::3, 1::3, 1] + 256 * raw[1::3, 1::3, 0].astype(int)).all()


def test_this_client_s_tags_are_ours():
    table = class_table()
    names = {"road": "Roads", "pedestrian": "Pedestrians", "car": "Car", "bicycle": "Bicycle", "road_line": "RoadLines"}
    for ours, theirs in names.items():
        assert table[int(getattr(carla.CityObjectLabel, theirs))] == _C.CLASS_IDS[ours]


def test_an_old_client_s_tags_become_ours(monkeypatch):
    @dataclasses.dataclass
    class Labels:
        Roads: int = 7
        Pedestrians: int = 4
        Vehicles: int = 10

    monkeypatch.setattr(carla, "CityObjectLabel", Labels())
    table = class_table()
    assert (table[7], table[4], table[10], table[99]) == (1, 12, 14, 0)


def test_instances_are_our_actors_or_numbered_as_they_are_seen():
    ids = InstanceIds()
    classes = np.array([[1, 12, 12], [14, 18, 14]], np.uint8)
    instances = np.array([[9, 1030, 40000], [70, 71, 70]], np.uint16)
    plane = ids.plane(classes, instances, {1030: 3})
    assert plane.tolist() == [[0, 3, 253], [255, 254, 255]]
    assert ids.plane(classes[:, ::-1], instances[:, ::-1], {1030: 3}).tolist() == plane[:, ::-1].tolist()


def test_instances_without_end_share_the_last_number():
    ids = InstanceIds()
    instances = np.arange(300, dtype=np.uint16)[None]
    plane = ids.plane(np.full((1, 300), 14, np.uint8), instances, {})
    assert plane.min() >= 1
    assert len(np.unique(plane)) == 255


# roads

XODR = """<?xml version="1.0"?><OpenDRIVE><header revMajor="1" revMinor="4" name="t" version="1" north="0" south="0"
east="0" west="0"/><road name="r" length="400" id="12" junction="-1"><link/><type s="0" type="town"/>
<planView>{geometry}</planView><elevationProfile><elevation s="0" a="2" b="{slope}" c="0" d="0"/></elevationProfile>
<lanes><laneSection s="0"><left><lane id="1" type="driving" level="false"><link/>
<width sOffset="0" a="4" b="0" c="0" d="0"/></lane></left><center><lane id="0" type="none" level="false"><link/></lane>
</center><right><lane id="-1" type="driving" level="false"><link/><width sOffset="0" a="4" b="0" c="0" d="0"/></lane>
</right></laneSection></lanes></road></OpenDRIVE>"""
STRAIGHT = '<geometry s="0" x="{x}" y="{y}" hdg="{hdg}" length="400"><line/></geometry>'
CURVED = '<geometry s="0" x="10" y="5" hdg="0.3" length="400"><arc curvature="0.004"/></geometry>'


def frame_of(geometry, slope=0.0):
    town = carla.Map("Test", XODR.format(geometry=geometry, slope=slope))
    return road_frame(town, RoadOn("Test", 12), SCENARIOS["jw"].road)


@pytest.mark.parametrize(("hdg", "moves"), [(0.0, (1, 0)), (math.pi / 2, (0, -1)), (math.pi, (-1, 0))])
def test_a_straight_road_along_an_axis_is_exact(hdg, moves):
    frame = frame_of(STRAIGHT.format(x=30, y=-7, hdg=hdg))
    assert frame.straight
    x, y = np.float32(11.3), np.float32(-2.7)
    place = frame.transform(float(x), float(y), 0.25)
    assert place.location.x == pytest.approx(30 + 11.3 * moves[0] - 2.7 * moves[1], abs=1e-5)
    assert place.location.y == pytest.approx(7 + 11.3 * moves[1] + 2.7 * moves[0], abs=1e-5)
    velocity = carla.Vector3D(x=3.0 * moves[0], y=3.0 * moves[1])
    motion = frame.motion(place, velocity)
    assert (motion.x_m, motion.y_m) == pytest.approx((11.3, -2.7), abs=1e-5)
    assert motion.yaw_rad == pytest.approx(0.25, abs=1e-6)
    assert (motion.vx_mps, motion.vy_mps) == (3.0, 0.0)


def test_on_the_x_axis_nothing_is_rounded():
    frame = frame_of(STRAIGHT.format(x=0, y=0, hdg=0))
    x, y = float(np.float32(123.456)), float(np.float32(-1.2345))
    motion = frame.motion(frame.transform(x, y, 0.0), carla.Vector3D(7.1, -0.3, 0))
    assert (motion.x_m, motion.y_m) == (x, y)
    assert (motion.vx_mps, motion.vy_mps) == (float(np.float32(7.1)), float(np.float32(0.3)))


def test_heights_follow_the_road():
    frame = frame_of(STRAIGHT.format(x=0, y=0, hdg=0), slope=0.01)
    assert frame.transform(200.0, 0.0, 0.0, above_m=0.5).location.z == pytest.approx(4.5, abs=0.01)


def test_a_curved_road_goes_there_and_back():
    frame = frame_of(CURVED)
    assert not frame.straight
    for x in (0.3, 57.7, 250.2, 390.0):
        for y in (-2.0, 1.5, 6.5):
            place = frame.transform(x, y, 0.1)
            motion = frame.motion(place, frame.vector(x, 5.0, 1.0))
            assert (motion.x_m, motion.y_m) == pytest.approx((x, y), abs=0.05)
            assert motion.yaw_rad == pytest.approx(0.1, abs=0.01)
            assert (motion.vx_mps, motion.vy_mps) == pytest.approx((5.0, 1.0), abs=0.05)


def test_the_lane_itself_is_where_the_scenario_has_it():
    town = carla.Map("Test", XODR.format(geometry=CURVED, slope=0))
    frame = road_frame(town, RoadOn("Test", 12), SCENARIOS["jw"].road)
    waypoint = town.get_waypoint_xodr(12, -1, 100.0)
    motion = frame.motion(waypoint.transform, STANDING)
    assert motion.y_m == pytest.approx(-2.0, abs=0.05)
    assert math.remainder(motion.yaw_rad, 2 * math.pi) == pytest.approx(0.0, abs=0.01)


def test_a_map_without_the_road_is_refused():
    town = carla.Map("Elsewhere", XODR.format(geometry=CURVED, slope=0))
    with pytest.raises(CarlaSetupError, match="map Elsewhere: lane -1 of road 45"):
        road_frame(town, RoadOn("Elsewhere", 45), SCENARIOS["hw"].road)


def test_a_road_has_two_points():
    with pytest.raises(ValueError, match="two points"):
        RoadFrame(np.zeros((1, 3)))


def test_every_scenario_has_a_road():
    assert {scenario.kind for scenario in SCENARIOS.values()} == set(ROADS)


# weather, lights, versions, settings, errors


def test_every_weather_is_its_own_nearest():
    assert {nearest_weather(parameters) for parameters in WEATHERS.values()} == set(WEATHERS)
    for name, parameters in WEATHERS.items():
        assert nearest_weather(parameters) == name
        assert carla.WeatherParameters(**parameters).sun_altitude_angle == parameters["sun_altitude_angle"]


def test_lights_are_carla_s():
    lights = carla.VehicleLightState
    assert int(light_state(0)) == 0
    assert int(light_state(1 | 8)) == int(lights.LowBeam) | int(lights.Position)
    assert int(light_state(2)) == int(lights.HighBeam)


@pytest.mark.parametrize(
    ("client", "there", "good"),
    [
        ("0.9.16", "0.9.16", True),
        ("0.9.16", "0.9.16-dirty", True),
        ("0.9.13", "0.9.13", True),
        ("0.9.16", "0.9.15", False),
        ("0.9.16", "4d7c1a2", False),
        ("0.10.0", "0.10.0", False),
        ("0.9.5", "0.9.5", False),
    ],
)
def test_versions_must_be_equal_and_known(client, there, good):
    if good:
        check_versions(client, there, allow_mismatch=False)
        return
    with pytest.raises(CarlaVersionError):
        check_versions(client, there, allow_mismatch=False)
    check_versions(client, there, allow_mismatch=True)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"port": 0}, "port must be"),
        ({"tm_port": 2001}, "tm_port must not be one of the server's own ports"),
        ({"image_size": 0}, "image_size"),
        ({"action_repeat": 0}, "action_repeat"),
        ({"owner_tag": ""}, "owner_tag"),
    ],
)
def test_bad_settings_are_named(changes, error):
    with pytest.raises(ValueError, match=error):
        DriveSettings(scenario=SCENARIOS["jw"], **changes)


def test_bad_timeouts_are_named():
    with pytest.raises(ValueError, match=r"timeouts\.tick_s"):
        Timeouts(tick_s=0)


def test_settings_cross_processes():
    settings = DriveSettings(scenario=SCENARIOS["hw"], timeouts=Timeouts(tick_s=3))
    assert pickle.loads(pickle.dumps(settings)) == settings


def late():
    time.sleep(0.02)
    raise RuntimeError("time-out")


def test_what_the_client_raises_becomes_ours():
    with pytest.raises(CarlaLost, match="spawn: std::exception"), asking("spawn", 10.0):
        raise RuntimeError("std::exception")
    with pytest.raises(CarlaTimeout, match=r"tick: the server did not answer within 0\.01 s"), asking("tick", 0.01):
        late()
    with pytest.raises(ValueError, match="ours"), asking("tick", 1.0):
        raise ValueError("ours")


# who is where

EGO = Motion(100.0, -2.0, 0.0, 10.0, 0.0)
SIZE = (4.7, 1.86)


class Body:
    id = 5
    is_dormant = False


def person(dx, dy, **changes):
    motion = Motion(EGO.x_m + dx, EGO.y_m + dy, 0, 0, 0)
    return Member(1, 12, 0.5, 0.5, motion, Body(), **changes)


def expected(*others, ego=EGO, drive=1.0):
    return contacts_expected(ego, SIZE, list(others), SCENARIOS["jw"], 50, drive)


def test_contacts_are_expected_where_boxes_meet():
    assert expected(person(2.5, 0), person(-1, 1.1), person(8, 0), person(0, 3)) == 2
    assert expected(ego=dataclasses.replace(EGO, y_m=-8.3)) == 1  # the fence
    assert contacts_expected(dataclasses.replace(EGO, y_m=-2.0), SIZE, [], SCENARIOS["hw"], 50, 1.0) == 1  # the median
    assert expected(Member(1, 12, 0.5, 0.5, EGO)) == 0  # no body


def test_whoever_is_carried_weighs_while_the_car_pushes():
    carried = person(2.6, 0, struck=True)
    assert expected(carried) == 1
    assert expected(carried, drive=-1.0) == 0
    carried.last_hit = 49
    assert expected(carried, drive=-1.0) == 1
    assert expected(person(0, -1.1, struck=True)) == 0  # lies beside the car


def test_a_member_s_status():
    assert person(1, 0).status(100.0) == UP
    assert person(1, 0, struck=True).status(100.0) == STRUCK
    assert person(-41, 0, struck=True).status(100.0) == GONE
    assert Member(1, 12, 0.5, 0.5, EGO).status(100.0) == GONE


def test_rows_are_the_nearest_first():
    others = [person(30 - i, 0) for i in range(12)]
    for number, one in enumerate(others):
        one.instance_id = number
    rows = actor_rows(EGO, others)
    assert rows.shape == (_C.ACTOR_ROWS, 8)
    assert rows[:, 1].tolist() == list(range(11, 3, -1))
    assert rows[0].tolist() == [12, 11, 19, 0, 0, 0, 0.5, 0.5]
    assert not actor_rows(EGO, []).any()
