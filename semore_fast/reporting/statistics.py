"""Statistics over seeds and scenarios, as recommended for few runs by Agarwal et al. 2021 (rliable is their code).

Shape legend: R runs (seeds), T tasks (scenarios). Scores are float64 [R, T]; higher is better.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
RESAMPLES = 2000
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
