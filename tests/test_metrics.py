"""Metrics against numbers worked out by hand, and run_episodes against its promises."""

import dataclasses
import math
import zlib
from typing import Any

import numpy as np
import pytest

from semore_fast.envs import END_REASONS, SCENARIOS, DrivingVectorEnv
from semore_fast.envs.drivers import weave
from semore_fast.envs.metrics import EpisodeMetrics, EpisodeResult, paired_gap, run_episodes, summarise


def result(seed: int | None, episode_return: float, **changes: Any) -> EpisodeResult:
    values: dict[str, Any] = {
        "distance_m": 10.0,
        "crash_intensity_ns": 0.0,
        "frames": 100,
        "hits": 0,
        "steer_abs_sum": 0.0,
        "brake_sum": 0.0,
        "end_reason": "time_limit",
    }
    return EpisodeResult(seed=seed, episode_return=episode_return, **{**values, **changes})


def info_of(frames: list[int], steer: list[float], end: list[str]) -> dict[str, Any]:
    count = len(frames)
    return {
        "distance_m": np.full(count, 0.5, np.float32),
        "crash_intensity_ns": np.full(count, 100.0, np.float32),
        "frames": np.array(frames),
        "new_hits": np.array([1, 0]),
        "steer_abs": np.array(steer, np.float32),
        "brake": np.array([0.25, 1.0], np.float32),
        "end_reason": np.array([END_REASONS.index(name) for name in end]),
    }


def test_steps_add_up_to_an_episode_weighted_by_their_frames() -> None:
    metrics = EpisodeMetrics(2)
    going = np.zeros(2, bool)
    assert metrics.update(np.array([1.0, 2.0]), going, info_of([4, 4], [0.5, 0.0], ["running"] * 2)) == []
    [(env, episode)] = metrics.update(
        np.array([0.5, 2.0]), np.array([True, False]), info_of([1, 4], [1.0, 0.0], ["collisions", "running"])
    )
    assert env == 0
    assert episode == EpisodeResult(
        seed=None,
        episode_return=1.5,
        distance_m=1.0,
        crash_intensity_ns=200.0,
        frames=5,
        hits=2,
        steer_abs_sum=4 * 0.5 + 1 * 1.0,
        brake_sum=5 * 0.25,
        end_reason="collisions",
    )
    [(_, again)] = metrics.update(
        np.array([7.0, 0.0]), np.array([True, False]), info_of([2, 0], [0.0, 0.0], ["stuck", "running"])
    )
    assert (again.episode_return, again.frames, again.brake_sum) == (7.0, 2, 0.5)


def test_steer_and_brake_are_pooled_over_frames_not_averaged_over_episodes() -> None:
    short = result(0, 0.0, frames=100, steer_abs_sum=100.0, brake_sum=50.0, end_reason="collisions")
    long = result(1, 0.0, frames=300, steer_abs_sum=0.0, brake_sum=0.0)
    summary = summarise([short, long])
    assert summary.steer_percent == 25.0
    assert summary.brake_percent == 12.5
    assert summary.collision_ends == 0.5


def test_spread_is_population_std_and_sample_standard_error() -> None:
    summary = summarise([result(seed, value) for seed, value in enumerate([1.0, 2.0, 3.0, 6.0])])
    assert summary.episode_return.mean == 3.0
    assert summary.episode_return.std == pytest.approx(math.sqrt((4 + 1 + 0 + 9) / 4))
    assert summary.episode_return.standard_error == pytest.approx(math.sqrt((4 + 1 + 0 + 9) / 3 / 4))
    flat = summary.to_dict()
    assert flat["episode_return"] == 3.0
    assert flat["episode_return/standard_error"] == summary.episode_return.standard_error
    assert flat["steer_percent"] == 0.0
    assert math.isnan(summarise([result(0, 1.0)]).episode_return.standard_error)
    with pytest.raises(ValueError, match="no episode"):
        summarise([])


def test_paired_gap_takes_differences_episode_by_episode() -> None:
    seen = [result(seed, value) for seed, value in enumerate([100.0, 10.0, 55.0])]
    hidden = [result(seed, value) for seed, value in enumerate([90.0, 2.0, 43.0])]
    gap = paired_gap(seen, hidden)
    assert (gap.mean, gap.episodes) == (10.0, 3)
    assert gap.standard_error == pytest.approx(math.sqrt((0 + 4 + 4) / 2 / 3))
    assert paired_gap(seen, hidden, "distance_m").mean == 0.0
    for other in (hidden[::-1], hidden[:2], [result(None, 1.0)] * 3, []):
        with pytest.raises(ValueError, match="same episodes"):
            paired_gap(seen, other)


SHORT = dataclasses.replace(SCENARIOS["jw"], max_episode_frames=120)


def env_of(num_envs: int, **kwargs: Any) -> DrivingVectorEnv:
    return DrivingVectorEnv(
        SHORT, num_envs, **{"image_size": 16, "autoreset": "disabled", "action_repeat": 4, **kwargs}
    )


class ByFirstFrame:
    """Holds a throttle that the episode's first frame decides: some get stuck, others drive on, all differ."""

    def __init__(self) -> None:
        self.throttle = np.zeros(64, np.float32)

    def __call__(self, frames: np.ndarray, steps: np.ndarray, env: DrivingVectorEnv) -> np.ndarray:
        for i in np.flatnonzero(steps == 0):
            kind = zlib.crc32(frames[i].tobytes()) % 7
            self.throttle[i] = kind / 6 if kind > 1 else -1.0
        return np.stack([np.zeros(env.num_envs, np.float32), self.throttle[: env.num_envs]], axis=1)


@pytest.mark.parametrize("num_envs", [1, 3, 20])
def test_run_episodes_gives_the_same_results_for_any_number_of_environments(num_envs: int) -> None:
    reference = run_episodes(lambda: env_of(4), ByFirstFrame(), 9, 100)
    assert [episode.seed for episode in reference] == list(range(100, 109))
    assert len({episode.frames for episode in reference}) > 1, "episodes of one length would prove little"
    assert len({episode.episode_return for episode in reference}) > 2
    assert run_episodes(lambda: env_of(num_envs), ByFirstFrame(), 9, 100) == reference


def test_run_episodes_refuses_what_it_cannot_count() -> None:
    with pytest.raises(ValueError, match="episodes must be at least 1"):
        run_episodes(lambda: env_of(1), weave, 0, 0)
    with pytest.raises(ValueError, match="disabled"):
        run_episodes(lambda: env_of(1, autoreset="next_step"), weave, 1, 0)


def test_distance_metric_is_the_displacement_of_straight_driving() -> None:
    def straight(frames: np.ndarray, steps: np.ndarray, env: DrivingVectorEnv) -> np.ndarray:
        return np.tile(np.array([0.0, 0.5], np.float32), (env.num_envs, 1))

    empty = dataclasses.replace(SHORT, walkers_per_side=0)
    [episode] = run_episodes(
        lambda: DrivingVectorEnv(empty, 1, image_size=16, autoreset="disabled"), straight, episodes=1, seed=0
    )
    env = DrivingVectorEnv(empty, 1, image_size=16)
    env.reset(seed=[0])
    speeds = [env.step([[0.0, 0.5]])[4]["ego"][0, 0] for _ in range(120)]
    assert episode.distance_m == pytest.approx(sum(speeds) * empty.dt_s, rel=1e-4)
    assert episode.episode_return == pytest.approx(episode.distance_m, rel=1e-5)
    assert episode.frames == 120
