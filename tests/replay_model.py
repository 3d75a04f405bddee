"""What a replay buffer must hold, the slow and obvious way: every episode as a list of dicts, nothing overwritten."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from semore.replay import Batch, ReplaySpec


@dataclass
class Model:
    spec: ReplaySpec
    episodes: list[list[dict[str, Any]]] = field(default_factory=list)  # an episode is its frames with what follows
    current: dict[int, list[dict[str, Any]]] = field(default_factory=dict)  # open episode of each environment
    issued: dict[int, dict[str, Any]] = field(default_factory=dict)  # frame id -> frame
    pushed: dict[int, int] = field(default_factory=dict)  # frames so far of each environment

    def _frame(self, env: int, pixels: np.ndarray, frame_id: int) -> dict[str, Any]:
        number = self.pushed.get(env, 0)
        self.pushed[env] = number + 1
        frame = {"env": env, "number": number, "pixels": pixels, "mask": None, "next": None}
        assert frame_id not in self.issued
        self.issued[frame_id] = frame
        return frame

    def begin(self, env: int, pixels: np.ndarray, frame_id: int) -> None:
        self.current[env] = [self._frame(env, pixels, frame_id)]
        self.episodes.append(self.current[env])

    def add(self, env: int, transition: dict[str, Any], pixels: np.ndarray, frame_id: int) -> None:
        episode = self.current[env]
        episode[-1]["next"] = transition
        episode.append(self._frame(env, pixels, frame_id))
        if transition["terminated"] or transition["truncated"]:
            del self.current[env]

    def withdraw(self, frame_id: int) -> bool:
        frame = self.issued[frame_id]
        if not self.live(frame) or not frame["next"] or not frame["next"]["admit"]:
            return False
        frame["next"]["admit"] = False
        return True

    def live(self, frame: dict[str, Any]) -> bool:
        return frame["number"] >= self.pushed[frame["env"]] - self.spec.frames_per_env

    def sampleable(self) -> dict[bytes, dict[str, Any]]:
        """Expected rows, by the bytes of the observation's newest frame (tests make every frame distinct)."""
        rows = {}
        for episode in self.episodes:
            for start in range(len(episode) - 1):
                row = self._row(episode, start)
                if row is not None:
                    rows[episode[start]["pixels"].tobytes()] = row
        return rows

    def _row(self, episode: list[dict[str, Any]], start: int) -> dict[str, Any] | None:
        spec = self.spec
        if not episode[start]["next"]["admit"]:
            return None
        steps = [frame["next"] for frame in episode[start : start + spec.n_step] if frame["next"]]
        terminal = steps[-1]["terminated"]  # only an episode's last transition can be
        if len(steps) < spec.n_step and not terminal:
            return None
        last = start + len(steps)
        order = range(start - spec.stack + 1, start + spec.n_step + 1)
        window = [episode[min(max(i, 0), last)] for i in order]
        if not all(self.live(frame) for frame in window):
            return None
        masked = window[spec.stack - 1 :]
        blank = np.zeros(spec.frame_shape[1:], np.uint8)
        masks = [blank if frame["mask"] is None else frame["mask"] for frame in masked]
        return {
            "frames": np.stack([frame["pixels"] for frame in window]),
            "masks": np.stack(masks) if spec.masks else np.zeros((0, *spec.frame_shape[1:]), np.uint8),
            "has_mask": np.array([frame["mask"] is not None for frame in masked if spec.masks], np.bool_),
            "action": steps[0]["action"],
            "reward": steps[0]["reward"],
            "nstep_return": sum(spec.discount**i * float(step["reward"]) for i, step in enumerate(steps)),
            "bootstrap_discount": 0.0 if terminal else spec.discount**spec.n_step,
        }

    def check(self, length: int, batch: Batch) -> None:
        """`batch` must hold the sampleable transitions, all of them, each once and exact."""
        expected = self.sampleable()
        assert length == len(expected)
        for row in range(length):
            want = expected.pop(batch.frames[row, self.spec.stack - 1].tobytes())
            for name in ("frames", "masks", "has_mask", "action", "reward"):
                np.testing.assert_array_equal(getattr(batch, name)[row], want[name], err_msg=name)
            for name in ("nstep_return", "bootstrap_discount"):
                np.testing.assert_allclose(getattr(batch, name)[row], want[name], rtol=1e-6, atol=1e-6)
