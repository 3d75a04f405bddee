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
