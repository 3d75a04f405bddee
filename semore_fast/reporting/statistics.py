"""Statistics over seeds and scenarios, as recommended for few runs by Agarwal et al. 2021 (rliable is their code).

Shape legend: R runs (seeds), T tasks (scenarios). Scores are float64 [R, T]; higher is better.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
RESAMPLES = 2000
MOST_SPLITS = 20_000
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with the ends of its confidence interval."""

    value: float
    low: float
    high: float


def interquartile_mean(scores_RT: F64) -> float:
    """Mean of the middle half of all scores: a quarter of them, rounded down, is cut off at either end."""
    ordered = np.sort(scores_RT, axis=None)
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def probability_of_improvement(scores_RT: F64, other_QT: F64) -> float:
    """Chance that a run of the first beats one of the second on the same task, ties counting half, mean over tasks."""
    beats = scores_RT[:, None] > other_QT[None]
    ties = scores_RT[:, None] == other_QT[None]
    return float((beats + 0.5 * ties).mean())


def performance_profile(scores_RT: F64, thresholds: F64) -> F64:
    """Share of runs with more than each threshold, mean over tasks."""
    shares: F64 = (scores_RT[..., None] > thresholds).mean((0, 1))
    return shares


def permutation_p(scores_R: F64, other_Q: F64, *, most: int = MOST_SPLITS, seed: int = 0) -> float:
    """Two-sided p-value of the difference of two means, were the labels meaningless.

    Exact over all ways to split the pooled runs, unless there are more than `most`: then over so many random ones.
    """
    pooled, size = np.concatenate([scores_R, other_Q]), len(scores_R)
    if math.comb(len(pooled), size) <= most:
        chosen = np.array(list(combinations(range(len(pooled)), size)))
    else:
        rng = np.random.default_rng(seed)
        chosen = np.argsort(rng.random((most, len(pooled))), axis=1)[:, :size]
    sums = pooled[chosen].sum(1)
    differences = np.abs(sums / size - (pooled.sum() - sums) / len(other_Q))
    found = abs(float(scores_R.mean() - other_Q.mean()))
    return float((differences >= found * (1 - 1e-12) - 1e-12).mean())


def interval(
    statistic: Callable[..., float],
    *samples: F64,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Interval:
    """A statistic of one or more [R, T] with its percentile interval from a stratified bootstrap.

    Runs are drawn again with replacement, within each task by themselves.
    """
    rng = np.random.default_rng(seed)
    drawn = [statistic(*(_again(scores, rng) for scores in samples)) for _ in range(resamples)]
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(statistic(*samples), float(low), float(high))


def _again(scores_RT: F64, rng: np.random.Generator) -> F64:
    rows = rng.integers(0, len(scores_RT), scores_RT.shape)
    return np.take_along_axis(scores_RT, rows, axis=0)
