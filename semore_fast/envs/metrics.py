"""The paper's five metrics, as the code behind them (github.com/kyoran/DMR) computes them, plus their uncertainty.

Per episode, then averaged over episodes: return, distance (signed progress along the lane, not odometry) and crash
intensity (sum of the norms of collision impulses). Pooled over all frames of all episodes, in percent: |steer| and
brake.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from semore_fast.envs.embedded import END_REASONS

__all__ = [
    "EpisodeMetrics",
    "EpisodeResult",
    "Gap",
    "Policy",
    "Spread",
    "Summary",
    "interrupted_rows",
    "paired_gap",
    "run_episodes",
    "summarise",
]

EnvT = TypeVar("EnvT", bound=VectorEnv[Any, Any, Any])
EnvT_contra = TypeVar("EnvT_contra", bound=VectorEnv[Any, Any, Any], contravariant=True)
PerEpisode = Literal["episode_return", "distance_m", "crash_intensity_ns", "hits", "frames"]

_SUMMED = ("distance_m", "crash_intensity_ns", "frames", "new_hits")
_WEIGHTED = ("steer_abs", "brake")


class Policy(Protocol[EnvT_contra]):
    """Chooses actions for N environments.

    Called with the newest frames [N, ...], the number of steps each environment's episode has taken [N] (0 marks its
    first frame, where a frame stack starts anew) and the environment; returns float32 [N, 2].
    """

    def __call__(self, frames: NDArray[np.uint8], steps: NDArray[np.int64], env: EnvT_contra, /) -> NDArray[np.float32]:
        """Actions float32 [N, 2]."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class EpisodeResult:
    """One finished episode."""

    seed: int | None
    """What the environment was reset with, where the caller knows."""
    episode_return: float
    distance_m: float
    crash_intensity_ns: float
    frames: int
    hits: int
    """Contacts that began with a person, bike or vehicle."""
    steer_abs_sum: float
    """Over the frames; pooled with other episodes by `summarise`."""
    brake_sum: float
    end_reason: str
    """One of `END_REASONS`."""


def interrupted_rows(info: dict[str, Any], num_envs: int) -> NDArray[np.bool_]:
    """bool [N]: whose episode was cut off without a result; none where the simulator knows no such thing."""
    rows: NDArray[np.bool_] = info.get("interrupted", np.zeros(num_envs, np.bool_))
    return rows


class EpisodeMetrics:
    """Adds up steps of N environments and hands out each episode as it ends. Any autoreset mode."""

    def __init__(self, num_envs: int) -> None:
        self._sums = {name: np.zeros(num_envs) for name in ("episode_return", *_SUMMED, *_WEIGHTED)}

    def update(
        self, rewards: NDArray[Any], ended: NDArray[np.bool_], info: dict[str, Any]
    ) -> list[tuple[int, EpisodeResult]]:
        """Add one step's rewards [N] and info; `ended` [N] is terminated or truncated.

        Episodes that `info["interrupted"]` marks (see `envs/carla/vector.py`) are forgotten: they have no result.

        Returns:
            (environment, result) of every episode that ended in this step, `seed` None.
        """
        self._sums["episode_return"] += rewards
        for name in _SUMMED:
            self._sums[name] += info[name]
        for name in _WEIGHTED:
            self._sums[name] += info[name] * info["frames"]
        whole = ended & ~interrupted_rows(info, len(ended))
        finished = [(int(env), self._finish(env, info)) for env in np.flatnonzero(whole)]
        for total in self._sums.values():
            total[ended] = 0.0
        return finished

    def state_dict(self) -> dict[str, NDArray[np.float64]]:
        """The unfinished episodes' sums, to go on from."""
        return {name: total.copy() for name, total in self._sums.items()}

    def load_state_dict(self, state: dict[str, NDArray[np.float64]]) -> None:
        """Continue from `state_dict`."""
        self._sums = {name: np.array(state[name]) for name in self._sums}

    def _finish(self, env: np.intp, info: dict[str, Any]) -> EpisodeResult:
        return EpisodeResult(
            seed=None,
            episode_return=float(self._sums["episode_return"][env]),
            distance_m=float(self._sums["distance_m"][env]),
            crash_intensity_ns=float(self._sums["crash_intensity_ns"][env]),
            frames=int(self._sums["frames"][env]),
            hits=int(self._sums["new_hits"][env]),
            steer_abs_sum=float(self._sums["steer_abs"][env]),
            brake_sum=float(self._sums["brake"][env]),
            end_reason=END_REASONS[int(info["end_reason"][env])],
        )


@dataclass(frozen=True, slots=True)
class Spread:
    """Of one metric over episodes."""

    mean: float
    std: float
    """Population standard deviation, what the paper's code prints."""
    standard_error: float
    """Of the mean, from the sample standard deviation; nan with one episode."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """The five metrics of a set of episodes, and what ended them."""

    episodes: int
    episode_return: Spread
    distance_m: Spread
    crash_intensity_ns: Spread
    steer_percent: float
    """100 x mean |steer| over all frames of all episodes."""
    brake_percent: float
    hits: Spread
    frames: Spread
    collision_ends: float
    """Share of episodes ended by lasting collision, 0 to 1."""

    def to_dict(self) -> dict[str, float | None]:
        """Flat numbers for a log: "distance_m", "distance_m/std", "distance_m/standard_error" (None if unknown), ..."""
        flat: dict[str, float | None] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Spread):
                flat[field.name] = value.mean
                flat[f"{field.name}/std"] = value.std
                flat[f"{field.name}/standard_error"] = _known(value.standard_error)
            else:
                flat[field.name] = value
        return flat


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _values(results: Sequence[EpisodeResult], metric: PerEpisode) -> NDArray[np.float64]:
    return np.array([getattr(result, metric) for result in results], np.float64)


def _standard_error(values: NDArray[np.float64]) -> float:
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan


def _spread(results: Sequence[EpisodeResult], metric: PerEpisode) -> Spread:
    values = _values(results, metric)
    return Spread(float(values.mean()), float(values.std()), _standard_error(values))


def summarise(results: Sequence[EpisodeResult]) -> Summary:
    """Metrics over episodes; raises `ValueError` without any."""
    if not results:
        raise ValueError("results: no episode to summarise")
    frames = sum(result.frames for result in results)
    return Summary(
        episodes=len(results),
        episode_return=_spread(results, "episode_return"),
        distance_m=_spread(results, "distance_m"),
        crash_intensity_ns=_spread(results, "crash_intensity_ns"),
        steer_percent=100 * sum(result.steer_abs_sum for result in results) / frames,
        brake_percent=100 * sum(result.brake_sum for result in results) / frames,
        hits=_spread(results, "hits"),
        frames=_spread(results, "frames"),
        collision_ends=sum(result.end_reason == "collisions" for result in results) / len(results),
    )


@dataclass(frozen=True, slots=True)
class Gap:
    """Mean difference of one metric between two runs over the same episodes."""

    mean: float
    standard_error: float
    episodes: int

    def to_dict(self) -> dict[str, float | None]:
        """Flat numbers for a log."""
        return {"mean": self.mean, "standard_error": _known(self.standard_error), "episodes": self.episodes}


def paired_gap(
    seen: Sequence[EpisodeResult], hidden: Sequence[EpisodeResult], metric: PerEpisode = "episode_return"
) -> Gap:
    """Seen minus not drawn, episode by episode: what the policy owes to seeing people and vehicles.

    Raises:
        ValueError: the two lists do not hold the same seeds in the same order, or are empty.
    """
    seeds = [result.seed for result in seen]
    if not seeds or None in seeds or seeds != [result.seed for result in hidden]:
        raise ValueError("seen and hidden must hold the same episodes: equal, known seeds in the same order")
    differences = _values(seen, metric) - _values(hidden, metric)
    return Gap(float(differences.mean()), _standard_error(differences), len(differences))


def run_episodes(
    env_factory: Callable[[], EnvT], policy: Policy[EnvT], episodes: int, seed: int
) -> list[EpisodeResult]:
    """Drive episodes seed, seed + 1, ..., exactly `episodes` of them, and return their results in that order.

    Each environment takes the next seed when its episode ends, and every started episode counts however long it lasts:
    stopping at the first `episodes` to finish would favour short ones. Results do not depend on the number of
    environments, as long as the policy treats rows alike. An interrupted episode is driven again from its seed.

    Args:
        env_factory: makes an environment with autoreset "disabled"; closed here afterwards.
        policy: see `Policy`.
        episodes: how many, at least 1.
        seed: of the first episode.

    Raises:
        ValueError: `episodes` below 1, or an environment that resets itself.
    """
    if episodes < 1:
        raise ValueError(f"episodes must be at least 1, is {episodes}")
    env = env_factory()
    try:
        if env.metadata.get("autoreset_mode") is not AutoresetMode.DISABLED:
            raise ValueError('env_factory must make an environment with autoreset="disabled"')
        return _drive(env, policy, range(seed, seed + episodes))
    finally:
        env.close()


def _drive(env: EnvT, policy: Policy[EnvT], seeds: range) -> list[EpisodeResult]:
    metrics = EpisodeMetrics(env.num_envs)
    results: dict[int, EpisodeResult] = {}
    # Environments left without an episode of ours drive on over further seeds, and their results are dropped.
    running = list(range(seeds.start, seeds.start + env.num_envs))
    upcoming = seeds.start + env.num_envs
    frames, _ = env.reset(seed=running)  # type: ignore[arg-type]  # gymnasium annotates int, and documents lists
    steps = np.zeros(env.num_envs, np.int64)
    while True:
        frames, rewards, terminated, truncated, info = env.step(policy(frames, steps, env))
        steps += 1
        ended = terminated | truncated
        for index, result in metrics.update(rewards, ended, info):
            results[running[index]] = dataclasses.replace(result, seed=running[index])
        if all(seed in results for seed in seeds):
            return [results[seed] for seed in seeds]
        if ended.any():
            for index in np.flatnonzero(ended & ~interrupted_rows(info, env.num_envs)):
                running[index], upcoming = upcoming, upcoming + 1
            fresh = [value if new else None for value, new in zip(running, ended, strict=True)]
            frames, _ = env.reset(seed=fresh, options={"reset_mask": ended})  # type: ignore[arg-type]
            steps[ended] = 0
