"""The reference drivers do what their names say, and sight is worth something in every scenario."""

import dataclasses

import numpy as np
import pytest

from semore_fast.envs import SCENARIOS, DrivingVectorEnv
from semore_fast.envs.drivers import DRIVERS, privileged, weave
from semore_fast.envs.metrics import EpisodeResult, run_episodes, summarise

SHORT = {name: dataclasses.replace(scenario, max_episode_frames=300) for name, scenario in SCENARIOS.items()}


def drive(scenario: str, driver: str, episodes: int) -> list[EpisodeResult]:
    def make() -> DrivingVectorEnv:
        return DrivingVectorEnv(SHORT[scenario], 6, image_size=16, action_repeat=4, autoreset="disabled")

    return run_episodes(make, DRIVERS[driver], episodes, seed=1000)


def test_doing_nothing_ends_stuck_without_reward() -> None:
    summary = summarise(drive("jw", "do_nothing", 6))
    assert summary.frames.mean == 100
    assert summary.episode_return.mean == 0.0
    assert summary.hits.mean == 0.0


@pytest.mark.parametrize("scenario", ["jw", "hb", "hw"])
def test_the_planner_beats_blind_driving_and_hits_less(scenario: str) -> None:
    blind = summarise(drive(scenario, "full_throttle", 60))  # as cheap as it varies
    planner = summarise(drive(scenario, "privileged", 6))
    margin = 2 * np.hypot(blind.episode_return.standard_error, planner.episode_return.standard_error)
    assert planner.episode_return.mean > blind.episode_return.mean + margin
    assert planner.hits.mean < blind.hits.mean


def test_weaving_swings_the_wheel_and_stays_on_the_road() -> None:
    episodes = drive("jw", "weave", 12)
    summary = summarise(episodes)
    assert summary.steer_percent == pytest.approx(100 * 0.25 * 2 / np.pi, rel=0.05)
    assert summary.brake_percent == 0.0
    assert all(episode.end_reason in ("time_limit", "collisions") for episode in episodes)


def test_drivers_give_one_row_an_environment() -> None:
    env = DrivingVectorEnv(SCENARIOS["hb"], 3, image_size=16)
    frames, _ = env.reset(seed=0)
    steps = np.array([0, 5, 10])
    for name, driver in DRIVERS.items():
        actions = driver(frames, steps, env)
        assert actions.shape == (3, 2), name
        assert actions.dtype == np.float32, name
        assert np.abs(actions).max() <= 1, name
    assert len({row.tobytes() for row in weave(frames, steps, env)}) == 3
    env.step(privileged(frames, steps, env))
