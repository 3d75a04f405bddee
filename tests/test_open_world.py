"""The open world's Python face, and that it is the embedded simulator when it is asked to do the same."""

import dataclasses
import threading
import time
from typing import Any

import numpy as np
import pytest
from world_state import first_world

from semore_fast import _C
from semore_fast.envs import SCENARIOS
from semore_fast.envs.scenario import Scenario

CAR = {"kind": "car", "length_m": 4.70, "width_m": 1.86, "height_m": 1.44, "colour": (30, 60, 90), "style": 0}
EYE = {"x_m": 1.0, "y_m": 0.0, "z_m": 1.5, "yaw_rad": 0.0, "pitch_rad": 0.0}
LOW_BEAM = 1
SIZE = 64
# An open world has no warm-up: the embedded episode must do without it too.
JW = dataclasses.replace(SCENARIOS["jw"], warmup_frames=0, collision_frames_to_end=10**6)


def make(scenario: Scenario = JW) -> _C.OpenWorld:
    return _C.OpenWorld(road=scenario.to_dict()["road"], dt_s=scenario.dt_s)


def drive(world: _C.OpenWorld, actor: int, steer: float, pedal: float) -> None:
    """`pedal` is throttle above 0 and brake below."""
    throttle, brake = max(pedal, 0.0), max(-pedal, 0.0)
    world.control_vehicle(actor, steer=steer, throttle=throttle, brake=brake, hand_brake=False, reverse=False)


def facing_the_road(walker: np.void) -> float:
    return np.pi / 2 if walker["y_m"] < 0 else -np.pi / 2


class Embedded:
    """One environment of the embedded simulator, and what is inside it."""

    def __init__(self, scenario: Scenario, seed: int, supersample: int) -> None:
        self.simulator = _C.Simulator(
            scenario=scenario.to_dict(),
            num_envs=1,
            image_size=SIZE,
            supersample=supersample,
            threads=1,
            channels_last=True,
        )
        self.result = np.zeros(1, _C.RESULT_DTYPE)
        self.rgb = np.zeros((1, SIZE, SIZE, 3), np.uint8)
        self.class_ids, self.instance_ids = np.zeros((2, 1, SIZE, SIZE), np.uint8)
        self.out = self.simulator.outputs(
            results=self.result,
            ego=None,
            actors=None,
            rgb=self.rgb,
            class_ids=self.class_ids,
            instance_ids=self.instance_ids,
        )
        self.which = np.ones(1, np.bool_)
        self.simulator.reset(np.array([seed], np.uint64), self.which, self.out)

    def step(self, steer: float, pedal: float) -> None:
        self.simulator.step(np.array([[steer, pedal]], np.float32), 1, self.which, self.out)

    def state(self) -> np.void:
        return first_world(self.simulator.save_state())


class Replayed:
    """The open world made to do what an embedded episode does: the same driver, the same walkers' speeds."""

    def __init__(self, scenario: Scenario, seed: int, supersample: int, state: np.void) -> None:
        self.world = make(scenario)
        self.world.set_scene(weather=scenario.weather, street_lights=scenario.street_lights, scenery_seed=seed)
        self.walkers = [self.spawn(walker) for walker in state["walkers"][: state["walker_count"]]]
        ego = state["ego"]
        self.ego = self.world.spawn_vehicle(**CAR, x_m=ego["x_m"], y_m=ego["y_m"], yaw_rad=0.0)
        self.world.set_reporting(self.ego, True)
        self.world.set_speed_limit(self.ego, scenario.speed_limit_mps)
        self.world.set_lights(self.ego, 0 if scenario.weather in ("day", "rain") else LOW_BEAM)
        self.camera = self.world.open_camera(width=SIZE, height=SIZE, fov_deg=60.0, supersample=supersample)
        self.bgra = np.zeros((SIZE, SIZE, 4), np.uint8)
        self.class_ids, self.instance_ids = np.zeros((2, SIZE, SIZE), np.uint8)

    def spawn(self, walker: np.void) -> int:
        look = {"colour": tuple(int(c) for c in walker["colour"][:3]), "style": int(walker["style"])}
        return self.world.spawn_walker(**look, x_m=walker["x_m"], y_m=walker["y_m"], yaw_rad=facing_the_road(walker))

    def tick(self, before: np.void, after: np.void, steer: float, pedal: float) -> None:
        for slot, actor in enumerate(self.walkers):
            old, new = before["walkers"][slot], after["walkers"][slot]
            speed = new["speed_y_mps"]
            if old["group"] != new["group"]:  # the embedded world uses a slot again ahead of the ego
                self.world.remove(actor)
                self.walkers[slot] = self.spawn(new)
                continue
            if speed == 0 != old["speed_y_mps"]:  # it arrives: stands exactly at the kerb, and turns to the road
                self.world.place(actor, x_m=new["x_m"], y_m=new["y_m"], z_m=0.0, yaw_rad=facing_the_road(new))
            self.world.control_walker(actor, x=0.0, y=float(np.sign(speed)), speed_mps=abs(speed))
        drive(self.world, self.ego, steer, pedal)
        self.world.tick()

    def render(self) -> None:
        ids = {"class_ids": self.class_ids, "instance_ids": self.instance_ids}
        self.world.render(self.camera, owner=self.ego, **EYE, bgra=self.bgra, **ids)


def impulses(world: _C.OpenWorld) -> np.ndarray[Any, np.dtype[np.float32]]:
    rows = world.collisions()
    x, y = rows["impulse_x_ns"].astype(np.float64), rows["impulse_y_ns"].astype(np.float64)
    return np.sqrt(x * x + y * y).astype(np.float32)


def assert_same_actors(open_world: Replayed, state: np.void) -> None:
    rows = {int(row["id"]): row for row in open_world.world.actors()}
    ego = rows[open_world.ego]
    for name in ("x_m", "y_m", "yaw_rad", "yaw_rate_rps"):
        assert ego[name] == state["ego"][name], name
    for slot, actor in enumerate(open_world.walkers):
        walker = state["walkers"][slot]
        assert rows[actor]["x_m"] == walker["x_m"], slot
        assert rows[actor]["y_m"] == walker["y_m"], slot
        assert rows[actor]["present"] == (walker["body"]["status"] != 3), slot


@pytest.mark.parametrize(
    ("weather", "seed", "supersample"),
    [("dusk", 16, 1), ("midnight", 2, 1), ("rain", 6, 2), ("day", 27, 1), ("fog", 22, 1)],
)
def test_an_embedded_episode_replayed_is_equal_to_the_bit(weather: Any, seed: int, supersample: int) -> None:
    scenario = dataclasses.replace(JW, weather=weather, street_lights=weather == "midnight")
    embedded = Embedded(scenario, seed, supersample)
    before = embedded.state()
    replayed = Replayed(scenario, seed, supersample, before)
    random = np.random.default_rng(seed)
    frames_felt = 0
    for frame in range(260):
        steer, pedal = np.float32(random.normal(0, 0.06)), np.float32(1.0 if frame % 90 < 75 else -1.0)
        embedded.step(steer, pedal)
        after = embedded.state()
        replayed.tick(before, after, steer, pedal)
        assert_same_actors(replayed, after)
        felt = impulses(replayed.world)
        assert felt.sum(dtype=np.float32) == embedded.result["crash_intensity_ns"][0]
        new_hits = replayed.world.collisions()
        assert (new_hits["begun"] * (new_hits["other"] > 0)).sum() == embedded.result["new_hits"][0]
        frames_felt += int(felt.size > 0)
        replayed.render()
        np.testing.assert_array_equal(replayed.bgra[..., 2::-1], embedded.rgb[0])
        np.testing.assert_array_equal(replayed.class_ids, embedded.class_ids[0])
        np.testing.assert_array_equal(replayed.instance_ids, embedded.instance_ids[0])
        before = after
    assert frames_felt > 5, "an episode without contact shows little"


def test_two_reporting_vehicles_both_hear_of_it() -> None:
    world = make()
    cars = [world.spawn_vehicle(**CAR, x_m=x, y_m=-2.0, yaw_rad=yaw) for x, yaw in ((0.0, 0.0), (25.0, np.pi))]
    for car, speed in zip(cars, (10.0, -10.0), strict=True):
        world.set_reporting(car, True)
        world.set_velocity(car, x_mps=speed, y_mps=0.0)
    while not len(rows := world.collisions()):
        world.tick()
    assert sorted(rows["actor"]) == sorted(rows["other"]) == sorted(cars)
    assert rows["impulse_x_ns"].sum() == 0
    assert abs(impulses(world)[0] - 0.5 * 1845 * 20) < 300
    assert rows["begun"].all()


def test_full_and_occupied() -> None:
    world = make()
    assert world.spawn_vehicle(**CAR, x_m=0.0, y_m=-2.0, yaw_rad=0.0) == 1
    assert world.spawn_vehicle(**CAR, x_m=3.0, y_m=-2.0, yaw_rad=0.0) == -1
    for i in range(1, 33):
        assert world.spawn_vehicle(**CAR, x_m=6.0 * i, y_m=-2.0, yaw_rad=0.0) == i + 1
    with pytest.raises(_C.OpenWorldFull, match="33"):
        world.spawn_vehicle(**CAR, x_m=900.0, y_m=-2.0, yaw_rad=0.0)
    world.remove(7)
    assert world.spawn_vehicle(**CAR, x_m=900.0, y_m=-2.0, yaw_rad=0.0) == 34
    assert list(world.actors()["id"]) == [*range(1, 7), 34, *range(8, 34)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda w: w.remove(9), "actor 9"),
        (
            lambda w: w.spawn_vehicle(**{**CAR, "kind": "tram"}, x_m=0.0, y_m=0.0, yaw_rad=0.0),
            "kind must be one of car",
        ),
        (lambda w: w.set_scene(weather="hail", street_lights=False, scenery_seed=0), "weather must be one of"),
        (
            lambda w: w.control_vehicle(1, steer=0.0, throttle=2.0, brake=0.0, hand_brake=False, reverse=False),
            "throttle",
        ),
        (lambda w: w.control_walker(1, x=1.0, y=0.0, speed_mps=1.0), "actor 1 is not a walker"),
        (lambda w: w.place(1, x_m=float("nan"), y_m=0.0, z_m=0.0, yaw_rad=0.0), "x_m"),
        (lambda w: w.open_camera(width=8, height=64, fov_deg=90.0, supersample=1), "width"),
        (lambda w: w.render(1, owner=7, **EYE, bgra=None), "actor 7"),
        (lambda w: w.render(5, owner=1, **EYE, bgra=None), "camera 5"),
        (lambda w: w.render(1, owner=1, **EYE, bgra=np.zeros((64, 64, 4), np.uint8)), "bgra must have shape"),
        (lambda w: w.render(1, owner=1, **EYE, bgra=None, depth_m=np.zeros((48, 64), np.float32)[:, ::-1]), "depth_m"),
    ],
)
def test_bad_input_is_named(call: Any, message: str) -> None:
    world = make()
    world.spawn_vehicle(**CAR, x_m=0.0, y_m=-2.0, yaw_rad=0.0)
    world.open_camera(width=64, height=48, fov_deg=90.0, supersample=1)
    before = world.actors()
    with pytest.raises(ValueError, match=message):
        call(world)
    np.testing.assert_array_equal(world.actors(), before)


def test_road_fields_are_checked() -> None:
    road = JW.to_dict()["road"]
    with pytest.raises(ValueError, match=r"road\.town is missing"):
        _C.OpenWorld(road={name: value for name, value in road.items() if name != "town"}, dt_s=0.05)
    with pytest.raises(ValueError, match="dt_s"):
        _C.OpenWorld(road=road, dt_s=1.0)


def test_depth_and_classes_agree() -> None:
    world = make()
    world.set_scene(weather="day", street_lights=False, scenery_seed=1)
    hero = world.spawn_vehicle(**CAR, x_m=0.0, y_m=-2.0, yaw_rad=0.0)
    world.spawn_vehicle(**CAR, x_m=15.0, y_m=-2.0, yaw_rad=0.0)
    camera = world.open_camera(width=160, height=120, fov_deg=90.0, supersample=1)
    classes, depth = np.zeros((120, 160), np.uint8), np.zeros((120, 160), np.float32)
    world.render(camera, owner=hero, **EYE, bgra=None, class_ids=classes, depth_m=depth)
    car = classes == _C.CLASS_IDS["car"]
    assert car.sum() > 100
    back = 15 - 1 - CAR["length_m"] / 2  # from the camera
    assert abs(np.median(depth[car]) - back) < 0.3
    assert (depth[classes == _C.CLASS_IDS["sky"]] == 1000).all()
    below = np.arange(120)[:, None] + 0.5 - 60
    expected = np.broadcast_to(1.5 * 80 / np.where(below > 0, below, np.nan), depth.shape)
    road = classes == _C.CLASS_IDS["road"]
    assert road.sum() > 1000
    np.testing.assert_allclose(depth[road], expected[road], rtol=1e-3)


def test_threads_may_draw_while_the_world_moves() -> None:
    world = make()
    hero = world.spawn_vehicle(**CAR, x_m=0.0, y_m=-2.0, yaw_rad=0.0)
    drive(world, hero, 0.0, 1.0)
    cameras = [world.open_camera(width=32, height=32, fov_deg=90.0, supersample=1) for _ in range(3)]
    done, failures = threading.Event(), []

    def look(camera: int) -> None:
        bgra = np.zeros((32, 32, 4), np.uint8)
        while not done.is_set():
            try:
                world.render(camera, owner=hero, **EYE, bgra=bgra)
            except ValueError as error:
                failures.append(error)
                return

    threads = [threading.Thread(target=look, args=(camera,)) for camera in (*cameras, cameras[0])]
    for thread in threads:
        thread.start()
    for _ in range(300):
        world.tick()
        extra = world.spawn_walker(colour=(1, 2, 3), style=1, x_m=500.0, y_m=6.5, yaw_rad=0.0)
        world.remove(extra)
    done.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert world.actors()["x_m"][0] > 100


def test_ticks_with_a_camera_are_quick() -> None:
    world = make()
    hero = world.spawn_vehicle(**CAR, x_m=0.0, y_m=-2.0, yaw_rad=0.0)
    for i in range(4):
        world.spawn_walker(colour=(9, 9, 9), style=i, x_m=40.0 + i, y_m=6.5, yaw_rad=0.0)
    camera = world.open_camera(width=128, height=128, fov_deg=60.0, supersample=1)
    bgra = np.zeros((128, 128, 4), np.uint8)
    fastest = float("inf")
    for _ in range(200):
        start = time.perf_counter()
        world.tick()
        world.render(camera, owner=hero, **EYE, bgra=bgra)
        world.actors()
        fastest = min(fastest, time.perf_counter() - start)
    assert fastest < 1 / 600, f"{1 / fastest:.0f} ticks/s with one camera"
