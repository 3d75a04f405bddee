"""Which random world an episode gets: a hash of (seed, stream, episode) and of nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["EpisodeSeeds"]

_SEED_LIMIT = 2**64


def _checked(seed: int) -> int:
    if not 0 <= seed < _SEED_LIMIT:
        raise ValueError(f"seed must be in [0, 2**64), is {seed}")
    return seed


class EpisodeSeeds:
    """One seed stream an environment.

    After `reseed(int s)` environment i reads stream (s, i): its k-th episode is the same whatever the number of
    environments, threads and steps taken in between. After `reseed([s0, s1, ...])` it reads stream (s_i, 0), which is
    also what a single environment reset with s_i reads. Never seeded, a stream starts from the system's entropy.
    """

    def __init__(self, num_envs: int) -> None:
        self._seeds = [int(np.random.SeedSequence().generate_state(1, np.uint64)[0])] * num_envs
        self._streams = list(range(num_envs))
        self._episodes = [0] * num_envs

    def reseed(self, seed: int | Sequence[int | None], which: NDArray[np.bool_]) -> None:
        """Start new streams where `which` [N] is true; None in a sequence lets that stream go on."""
        count = len(self._seeds)
        if isinstance(seed, (int, np.integer)):
            pairs: list[tuple[int | None, int]] = [(int(seed), i) for i in range(count)]
        else:
            pairs = [(None if s is None else int(s), 0) for s in seed]
        if len(pairs) != count:
            raise ValueError(f"seed must be one int or {count} of them, has {len(pairs)}")
        for env in np.flatnonzero(which):
            value, stream = pairs[env]
            if value is not None:
                self._seeds[env], self._streams[env] = _checked(value), stream
                self._episodes[env] = 0

    def draw(self, which: NDArray[np.bool_]) -> NDArray[np.uint64]:
        """World seeds [N] of the next episodes; only rows where `which` [N] is true are drawn, others are 0."""
        drawn = np.zeros(len(self._seeds), np.uint64)
        for env in np.flatnonzero(which):
            key = (self._streams[env], self._episodes[env])
            drawn[env] = np.random.SeedSequence(self._seeds[env], spawn_key=key).generate_state(1, np.uint64)[0]
            self._episodes[env] += 1
        return drawn

    def to_dict(self) -> dict[str, Any]:
        """State for `load_dict`, JSON-ready."""
        return {"seeds": self._seeds, "streams": self._streams, "episodes": self._episodes}

    def load_dict(self, state: dict[str, Any]) -> None:
        """Go on where `to_dict` was called."""
        self._seeds = list(state["seeds"])
        self._streams = list(state["streams"])
        self._episodes = list(state["episodes"])
