"""The same scenario, seed and actions, embedded and through the official client and the protocol server.

JayWalk is equal to the bit: pictures, ids, rewards, distances, impulses, hits, reasons to end. What the wire cannot
carry exactly is held to its rounding: a speed is the norm of two floats here and of two others there, an angle went
through degrees. HighBeam and HighWay have the same cast, light and road; their traffic drives by other rules.
"""

import dataclasses

import numpy as np
import pytest
from carla_processes import server

pytest.importorskip("carla")
pytest.importorskip("msgpack")

from semore_fast import _C
from semore_fast.carla_server.control import Control
from semore_fast.envs import SCENARIOS, DrivingVectorEnv, on_carla
from semore_fast.envs.carla import DriveSettings, Timeouts, make_drive
from semore_fast.envs.embedded import END_REASONS, first_row
from semore_fast.envs.seeding import EpisodeSeeds

PATIENT = Timeouts(collision_s=0.2)
"""A collision's event and the picture come through two sockets: give a busy machine time."""

EXACT = (
    "distance_m",
    "crash_intensity_ns",
    "new_hits",
    "frames",
    "steer_abs",
    "brake",
    "reward_progress",
    "reward_collision",
    "reward_brake",
    "reward_steer",
    "end_reason",
)
ROUNDED = 2e-6
"""Relative: some units in the last place of a float32. Absolute for angles: degrees have 7e-6 of them at 90."""


def world_seed(seed):
    """The world that reset(seed=[seed]) starts."""
    seeds = EpisodeSeeds(1)
    seeds.reseed([seed], np.ones(1, bool))
    return int(seeds.draw(np.ones(1, bool))[0])


@pytest.fixture(scope="module")
def port():
    with server() as running:
        yield running.port


TIME_LIMIT, COLLISIONS = END_REASONS.index("time_limit"), END_REASONS.index("collisions")


class Pair:
    """One scenario on both paths."""

    def __init__(self, scenario, port, **settings):
        self.embedded = DrivingVectorEnv(
            scenario, image_size=64, autoreset="disabled", ids=True, action_repeat=settings.get("action_repeat", 1)
        )
        given = {"image_size": 64, "ids": True, "port": port, "tm_port": port + 2000, "timeouts": PATIENT, **settings}
        self.drive = make_drive(DriveSettings(scenario=scenario, **given))
        self.control = Control(port=port)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.control.close()
        self.drive.close()

    def reset(self, seed):
        world = world_seed(seed)
        self.control.scenery(world)
        ours, info = self.embedded.reset(seed=[seed])
        theirs, their_info = self.drive.reset(world)
        self.control.clock(self.embedded.scenario.warmup_frames)
        return (ours[0], first_row(info)), (theirs, their_info)

    def step(self, action):
        frame, reward, terminated, truncated, info = self.embedded.step([action])
        ours = (frame[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), first_row(info))
        return ours, self.drive.step(action)


def assert_same_info(ours, theirs):
    assert ours.keys() == theirs.keys()
    assert {name: ours[name] for name in EXACT} == {name: theirs[name] for name in EXACT}
    assert theirs["ego"] == pytest.approx(ours["ego"], rel=ROUNDED, abs=ROUNDED)
    ids, their_ids = ours["actors"][:, 1], theirs["actors"][:, 1]
    assert sorted(their_ids) == sorted(ids)  # two at the same distance may come in either order
    order, their_order = np.argsort(ids, kind="stable"), np.argsort(their_ids, kind="stable")
    assert theirs["actors"][their_order] == pytest.approx(ours["actors"][order], rel=ROUNDED, abs=ROUNDED)


def assert_same_picture(ours, theirs):
    (frame, info), (their_frame, their_info) = ours, theirs
    assert (frame != their_frame).sum() == 0
    assert (info["class_ids"] != their_info["class_ids"]).sum() == 0
    assert (info["instance_ids"] != their_info["instance_ids"]).sum() == 0


def straight(generator, t):
    return np.array([0.0, 1.0], np.float32)


def weaving(generator, t):
    return np.array([0.25 * np.sin(0.3 * t), 1.0], np.float32)


def random_walk(generator, t):
    return np.clip(generator.normal([0.0, 0.5], [0.15, 0.6]), -1, 1).astype(np.float32)


def hesitating(generator, t):
    return np.array([0.0, 0.5 if t // 40 % 2 == 0 else -0.35], np.float32)


def drive_both(pair, driver, seed, frames):
    """Up to `frames` frames of one episode, every one compared; the last step's info and how many there were."""
    generator = np.random.default_rng(seed)
    ours, theirs = pair.reset(seed)
    if pair.embedded.scenario.weather != "rain":  # the clock that moves the rain is set only after the warm-up
        assert_same_picture(ours, theirs)
    assert_same_info(ours[1], theirs[1])
    hits = impulse = 0
    for frame in range(1, frames + 1):
        ours, theirs = pair.step(driver(generator, frame))
        assert ours[1:4] == theirs[1:4], f"frame {frame}"
        assert_same_info(ours[4], theirs[4])
        assert_same_picture((ours[0], ours[4]), (theirs[0], theirs[4]))
        hits += ours[4]["new_hits"]
        impulse += ours[4]["crash_intensity_ns"]
        if ours[2] or ours[3]:
            break
    assert pair.drive.counters["late_collisions"] == 0
    return {"frames": frame, "hits": hits, "impulse_ns": impulse, "end": ours[4]["end_reason"]}


@pytest.mark.parametrize(
    ("driver", "weather", "seed", "wanted"),
    [
        (straight, "dusk", 5, {"hits": 2, "end": TIME_LIMIT}),
        (weaving, "rain", 2, {"hits": 2, "end": COLLISIONS}),
        (random_walk, "midnight", 5, {"hits": 3, "end": COLLISIONS}),
        (hesitating, "fog", 1, {"hits": 2, "end": COLLISIONS}),
    ],
)
def test_jaywalk_is_equal_to_the_bit(port, driver, weather, seed, wanted):
    scenario = dataclasses.replace(SCENARIOS["jw"], weather=weather, crossing_probability=0.3)
    with Pair(scenario, port) as pair:
        driven = drive_both(pair, driver, seed, 500)
    assert {name: driven[name] for name in wanted} == wanted


def test_held_actions_are_summed_alike(port):
    with Pair(SCENARIOS["jw"], port, action_repeat=4) as pair:
        assert drive_both(pair, random_walk, 5, 40)["frames"] > 5


@pytest.mark.parametrize("name", ["hb", "hw"])
def test_empty_roads_and_their_fences_are_equal_to_the_bit(port, name):
    empty = {"cyclists": 0, "oncoming_vehicles": 0, "same_direction_vehicles": 0}
    with Pair(dataclasses.replace(on_carla(SCENARIOS[name]), **empty), port) as pair:
        driven = drive_both(pair, random_walk, 0, 500)
    assert driven["impulse_ns"] > 0


def without_beacons(scenario):
    """Three seeds whose traffic has no blue lights: they flash by the clock, which runs while sensors warm up."""
    director = _C.Director(scenario.to_dict())
    seeds = []
    for seed in range(100):
        director.start(world_seed(seed))
        if not (director.vehicles()["lights"] & 16).any():
            seeds.append(seed)
    return seeds[:3]


@pytest.mark.parametrize("name", ["hb", "hw"])
def test_traffic_starts_from_the_same_picture(port, name):
    scenario = dataclasses.replace(on_carla(SCENARIOS[name]), warmup_frames=0)
    with Pair(scenario, port) as pair:
        for seed in without_beacons(scenario):
            ours, theirs = pair.reset(seed)
            assert_same_picture(ours, theirs)
            assert len(np.unique(theirs[1]["instance_ids"])) > 1
            assert (theirs[1]["actors"][:, :4] == ours[1]["actors"][:, :4]).all()
