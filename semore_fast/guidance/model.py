"""What a guidance model answers, many frames at a time; how a service is told that it cannot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Phrases = tuple[str, ...]


class ModelError(Exception):
    """A batch got no answer: the model is down, out of memory, or spoke nonsense. The service goes on."""


def grey_levels(masks: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Masks in [0, 1] as the replay buffer and the label cache hold them: 255 for 1."""
    levels: NDArray[np.uint8] = np.rint(masks * np.float32(255)).astype(np.uint8)
    return levels


class FrameModel(Protocol):
    """Annotator, segmenter and judge in one, over batches of frames. Called from one thread."""

    revision: str
    """Names weights, prompts and settings: answers with the same revision to the same frame are interchangeable."""

    def masks(self, frames: NDArray[np.uint8]) -> tuple[list[Phrases], NDArray[np.float32]]:
        """What matters in each frame and where (paper eqs 2-4).

        Args:
            frames: uint8 [B, 3, H, W], RGB.

        Returns:
            Phrases of each frame, none where nothing is named, and masks float32 [B, H, W] in [0, 1].

        Raises:
            ModelError: no answer for this batch.
        """
        ...

    def verdicts(self, frames: NDArray[np.uint8], actions: NDArray[np.float32]) -> Sequence[bool]:
        """Whether each action float32 [B, 2] is reasonable in its frame.

        Raises:
            ModelError: no answer for this batch.
        """
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...
