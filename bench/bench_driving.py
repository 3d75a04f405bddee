"""The batched driving step: `pytest bench/bench_driving.py --benchmark-only`. One thread unless said.

extra_info["frames_per_s"] is frames / median time of a call. Before anything is timed, one and two threads must give
the same bytes, so that a fast but wrong build has no figures. Beside other load, add
`--benchmark-timer=time.process_time`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from semore_fast import _C
from semore_fast.envs import SCENARIOS, DrivingVectorEnv

ENVS = 16
STEPS_BEFORE = 60
"""So that cars are moving and people are about when the clock starts."""


def _report(benchmark: BenchmarkFixture, frames_per_call: int) -> None:
    if benchmark.stats is None:  # --benchmark-disable
        return
    benchmark.extra_info["frames_per_s"] = round(frames_per_call / benchmark.stats.stats.median)


def _env(scenario: str, **kwargs: Any) -> DrivingVectorEnv:
    env = DrivingVectorEnv(SCENARIOS[scenario], ENVS, **kwargs)
    env.reset(seed=0)
    return env


def _actions(env: DrivingVectorEnv, steps: int) -> np.ndarray:
    drive = np.random.default_rng(0).uniform([-0.05, 0.2], [0.05, 1.0], (steps, env.num_envs, 2))
    return drive.astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
def _threads_change_no_byte() -> None:
    def drive(threads: int) -> list[bytes]:
        env = _env("hw", threads=threads, ids=True)
        steps = [env.step(row) for row in _actions(env, 20)]
        return [step[0].tobytes() + step[4]["instance_ids"].tobytes() + step[1].tobytes() for step in steps]

    assert drive(1) == drive(2)


def _stepper(env: DrivingVectorEnv) -> Callable[[], object]:
    actions = _actions(env, 64)
    for row in actions[:STEPS_BEFORE]:
        env.step(row)
    calls = iter(range(10**9))
    return lambda: env.step(actions[next(calls) % len(actions)])


@pytest.mark.parametrize(
    ("scenario", "kwargs"),
    [
        ("hw", {"image_size": 128, "ids": True}),
        ("hw", {"image_size": 128, "ids": True, "threads": 2}),
        ("hb", {"image_size": 128, "ids": True}),
        ("jw", {"image_size": 128, "ids": True}),
        ("jw", {"image_size": 64}),
        ("jw", {"image_size": 64, "supersample": 2}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(f"{k}={v}" for k, v in value.items()),
)
def test_whole_step(benchmark: BenchmarkFixture, scenario: str, kwargs: dict[str, Any]) -> None:
    """Physics, picture, ids and gymnasium's info: what a trainer calls."""
    env = _env(scenario, **kwargs)
    benchmark(_stepper(env))
    _report(benchmark, ENVS)


@pytest.mark.parametrize("scenario", ["jw", "hb", "hw"])
def test_physics_only(benchmark: BenchmarkFixture, scenario: str) -> None:
    """The simulator's step without a camera; 10 frames a call."""
    simulator = _C.Simulator(
        scenario=SCENARIOS[scenario].to_dict(),
        num_envs=ENVS,
        image_size=16,
        supersample=1,
        threads=1,
        channels_last=False,
    )
    results = np.zeros(ENVS, _C.RESULT_DTYPE)
    out = simulator.outputs(results=results, ego=None, actors=None, rgb=None, class_ids=None, instance_ids=None)
    seeds, every = np.arange(ENVS, dtype=np.uint64), np.ones(ENVS, bool)
    actions = np.tile(np.array([0.0, 0.5], np.float32), (ENVS, 1))
    simulator.reset(seeds, every, out)

    def step() -> None:
        ended = results["end"] != 0
        if ended.any():
            simulator.reset(seeds, ended, out)
        simulator.step(actions, 10, every, out)

    benchmark(step)
    _report(benchmark, 10 * ENVS)


@pytest.mark.parametrize("size", [(128, 128), (800, 600), None], ids=["128x128", "800x600", "no-camera"])
def test_open_world(benchmark: BenchmarkFixture, size: tuple[int, int] | None) -> None:
    """Control, tick, table of actors, collisions and one camera of a car that drives among people."""
    world = _C.OpenWorld(road=SCENARIOS["jw"].to_dict()["road"], dt_s=0.05)
    world.set_scene(weather="dusk", street_lights=False, scenery_seed=1)
    body = {"kind": "car", "length_m": 4.7, "width_m": 1.86, "height_m": 1.44, "colour": (30, 60, 90), "style": 0}
    car = world.spawn_vehicle(**body, x_m=0.0, y_m=-2.0, yaw_rad=0.0)
    world.set_reporting(car, True)
    for i in range(4):
        world.spawn_walker(colour=(90, 60, 30), style=i, x_m=40.0 + i, y_m=6.5, yaw_rad=-1.57)
    width, height = size or (16, 16)
    camera = world.open_camera(width=width, height=height, fov_deg=60.0, supersample=1)
    bgra = np.zeros((height, width, 4), np.uint8)

    def tick() -> None:
        world.control_vehicle(car, steer=0.0, throttle=0.1, brake=0.1, hand_brake=False, reverse=False)
        world.tick()
        world.actors()
        world.collisions()
        if size:
            world.render(camera, owner=car, x_m=1.0, y_m=0.0, z_m=1.5, yaw_rad=0.0, pitch_rad=0.0, bgra=bgra)

    benchmark(tick)
    _report(benchmark, 1)
