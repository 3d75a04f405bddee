"""Which frames are worth a request: some at regular intervals, and those where the scene has changed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_GRID = 16
"""Scenes are compared on a grid of so many cells a side."""


class KeyFrames:
    """Wants a frame of each environment every `interval` steps, and one whose scene differs from the last wanted one.

    Args:
        interval: steps after which a frame is wanted in any case, at least 1.
        change: mean absolute difference, in grey levels of 255 on a 16 x 16 grid, that counts as a change of scene;
            0 turns that off.
        rest: steps after a wanted frame in which no change is looked for.

    Raises:
        ValueError: a value is out of range.
    """

    def __init__(self, interval: int, change: float = 0.0, rest: int = 0) -> None:
        if interval < 1:
            raise ValueError(f"key_frame_interval must be at least 1 step, got {interval}")
        if change < 0 or rest < 0:
            raise ValueError(f"key frames: change and rest must not be negative, got {change} and {rest}")
        self._interval, self._change, self._rest = interval, change, rest
        self._since: dict[int, int] = {}
        self._scenes: dict[int, NDArray[np.float32]] = {}

    def wants(self, env: int, frame: NDArray[np.uint8]) -> bool:
        """Whether this frame, uint8 [3, H, W], of an environment is a key frame. Call it once a step."""
        since = self._since.get(env, self._interval - 1) + 1
        wanted = since >= self._interval or (since > self._rest and self._differs(env, frame))
        self._since[env] = 0 if wanted else since
        if wanted and self._change:
            self._scenes[env] = thumbnail(frame)
        return wanted

    def state_dict(self) -> dict[str, Any]:
        """Steps since each environment's last key frame; scenes are looked at anew after a resume."""
        return {"since": {str(env): since for env, since in self._since.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        self._since = {int(env): int(since) for env, since in state["since"].items()}

    def _differs(self, env: int, frame: NDArray[np.uint8]) -> bool:
        if not self._change or env not in self._scenes:
            return False
        return bool(np.abs(thumbnail(frame) - self._scenes[env]).mean() > self._change)


def thumbnail(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean grey level of each cell of a 16 x 16 grid (fewer where the frame is smaller), float32 [g, g]."""
    grey = frame.mean(0, dtype=np.float32)
    rows, columns = (np.linspace(0, side, min(_GRID, side) + 1).astype(int) for side in grey.shape)
    sums = np.add.reduceat(np.add.reduceat(grey, rows[:-1], 0), columns[:-1], 1)
    cells: NDArray[np.float32] = (sums / (np.diff(rows)[:, None] * np.diff(columns)[None])).astype(np.float32)
    return cells
