"""The report's statistics against rliable, the code of the paper they come from, and against cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from rliable import library, metrics

from semore_fast.reporting.statistics import (
    interquartile_mean,
    interval,
    performance_profile,
    permutation_p,
    probability_of_improvement,
)
from semore_fast.reporting.tables import pooled_std


def scores(runs: int, tasks: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 30, (runs, tasks)).round(1)  # rounded: some are equal


@pytest.mark.parametrize(("runs", "tasks"), [(1, 1), (3, 1), (5, 1), (5, 3), (7, 4), (10, 2)])
def test_interquartile_mean_is_rliables(runs: int, tasks: int) -> None:
    found = scores(runs, tasks, 0)
    assert interquartile_mean(found) == pytest.approx(metrics.aggregate_iqm(found), rel=1e-12)


def test_interquartile_mean_by_hand() -> None:
    assert interquartile_mean(np.array([[0.0], [1.0], [3.0], [100.0]])) == 2.0
    assert interquartile_mean(np.array([[1.0], [2.0], [6.0]])) == 3.0  # three scores: nothing is cut


@pytest.mark.parametrize(("runs", "others", "tasks"), [(3, 3, 1), (5, 4, 3), (2, 6, 2)])
def test_probability_of_improvement_is_rliables(runs: int, others: int, tasks: int) -> None:
    one, other = scores(runs, tasks, 1), scores(others, tasks, 2)
    other[0] = one[0]  # a tie in every task
    assert probability_of_improvement(one, other) == pytest.approx(metrics.probability_of_improvement(one, other))


def test_performance_profile_is_rliables() -> None:
    found, thresholds = scores(6, 3, 3), np.linspace(20, 180, 33)
    expected, _ = library.create_performance_profile({"a": found}, thresholds, reps=10)
    np.testing.assert_allclose(performance_profile(found, thresholds), expected["a"])


def test_intervals_are_rliables_within_the_noise_of_resampling() -> None:
    found = scores(8, 3, 4)
    _, ends = library.get_interval_estimates(
        {"a": found}, lambda x: np.array([metrics.aggregate_iqm(x)]), reps=4000, random_state=np.random.RandomState(0)
    )
    ours = interval(interquartile_mean, found, resamples=4000)
    width = float(ends["a"][1, 0] - ends["a"][0, 0])
    assert ours.low == pytest.approx(ends["a"][0, 0], abs=0.05 * width)
    assert ours.high == pytest.approx(ends["a"][1, 0], abs=0.05 * width)


def test_an_interval_of_two_samples_covers_the_truth_about_as_often_as_it_says() -> None:
    rng, hits, trials = np.random.default_rng(5), 0, 120
    for trial in range(trials):
        one, other = rng.normal(0, 1, (20, 1)), rng.normal(0, 1, (20, 1))
        found = interval(probability_of_improvement, one, other, resamples=300, seed=trial)
        hits += found.low <= 0.5 <= found.high
    assert 0.88 <= hits / trials <= 0.99


@pytest.mark.parametrize(("runs", "others"), [(2, 2), (3, 3), (5, 4)])
def test_permutation_p_is_scipys_exact_one(runs: int, others: int) -> None:
    one, other = scores(runs, 1, 7)[:, 0], scores(others, 1, 8)[:, 0] + 25
    expected = scipy.stats.permutation_test((one, other), lambda a, b: abs(a.mean() - b.mean()), alternative="greater")
    assert permutation_p(one, other) == pytest.approx(expected.pvalue)


def test_permutation_p_by_hand_and_by_sampling() -> None:
    apart = np.array([1.0, 2.0, 3.0]), np.array([7.0, 8.0, 9.0])
    assert permutation_p(*apart) == 2 / 20
    one, other = scores(10, 1, 9)[:, 0], scores(10, 1, 10)[:, 0] + 20
    exact = permutation_p(one, other, most=200_000)
    assert permutation_p(one, other) == pytest.approx(exact, abs=0.02)
    assert 0.005 < exact < 0.5


def test_the_same_seed_gives_the_same_interval() -> None:
    found = scores(5, 2, 6)
    assert interval(interquartile_mean, found, seed=1) == interval(interquartile_mean, found, seed=1)
    assert interval(interquartile_mean, found, seed=1) != interval(interquartile_mean, found, seed=2)


def test_pooled_spread_is_that_of_all_episodes_together() -> None:
    episodes = [np.random.default_rng(seed).normal(seed * 10, 5, 10 + seed) for seed in range(3)]
    runs = [{"episodes": len(x), "r": float(x.mean()), "r/std": float(x.std())} for x in episodes]
    assert pooled_std(runs, "r") == pytest.approx(np.concatenate(episodes).std())
