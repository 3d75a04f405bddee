"""Words, then masks: an annotator and judge with a segmenter behind it, as one `FrameModel`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semore.guidance.qwen import QwenGuide
from semore.guidance.qwen_errors import GuidanceModelError
from semore_fast.guidance.model import ModelError, Phrases

Result = TypeVar("Result")


class Words(Protocol):
    """What `ChatServer` and `LocalWords` have in common."""

    revision: str

    def annotate_batch(self, frames: NDArray[np.uint8]) -> list[Phrases]: ...  # noqa: D102

    def judge_batch(self, frames: NDArray[np.uint8], actions: NDArray[np.float32]) -> Sequence[bool]: ...  # noqa: D102

    def close(self) -> None: ...  # noqa: D102


class TextSegmenter(Protocol):
    """What CRIS and CLIPSeg have in common (`semore.guidance.phrase_segmenter`)."""

    revision: str

    def segment_batch(self, frames: Tensor, phrases: Sequence[Phrases]) -> Tensor: ...  # noqa: D102


class Portions:
    """Runs a batch in portions that fit into memory: each time one does not, they become half as large for good.

    Args:
        say: told in one line when that happens.
        what: whose portions.
    """

    def __init__(self, say: Callable[[str], None], what: str) -> None:
        self._say, self._what = say, what
        self._most: int | None = None

    def run(self, count: int, work: Callable[[slice], Sequence[Result]]) -> list[Result]:
        """Results of `work` on all rows 0 to `count`.

        Raises:
            ModelError: not even one row fits.
        """
        found: list[Result] = []
        while len(found) < count:
            begin = len(found)
            size = min(count - begin, self._most or count)
            try:
                found += work(slice(begin, begin + size))
            except torch.OutOfMemoryError as error:
                if size == 1:
                    raise ModelError(f"{self._what}: one frame does not fit into GPU memory") from error
                self._most = size // 2
                self._say(f"{self._what}: {size} frames do not fit into GPU memory, {self._most} from now on")
            if torch.cuda.is_available() and len(found) == begin:
                torch.cuda.empty_cache()  # gives back what the failed attempt held
        return found


class LocalWords:
    """A `QwenGuide` on this machine, given frames as the service holds them."""

    def __init__(self, guide: QwenGuide, scenario: str, device: torch.device, say: Callable[[str], None]) -> None:
        self.revision = f"{guide.revision}-{scenario}"
        self._guide, self._scenario, self._device = guide, scenario, device
        self._portions = Portions(say, "guidance model")

    def annotate_batch(self, frames: NDArray[np.uint8]) -> list[Phrases]:
        """Phrases for each frame, uint8 [B, 3, H, W]."""
        pixels = torch.from_numpy(frames).to(self._device)
        return self._run(len(frames), lambda rows: self._guide.annotate_batch(pixels[rows], self._scenario))

    def judge_batch(self, frames: NDArray[np.uint8], actions: NDArray[np.float32]) -> Sequence[bool]:
        """Whether each action float32 [B, 2] is reasonable in its frame."""
        pixels = torch.from_numpy(frames).to(self._device)
        return self._run(len(frames), lambda rows: self._guide.judge_batch(pixels[rows], actions[rows]).tolist())

    def close(self) -> None:
        """Free the weights."""
        del self._guide

    def _run(self, count: int, work: Callable[[slice], Sequence[Result]]) -> list[Result]:
        try:
            return self._portions.run(count, work)
        except GuidanceModelError as error:
            raise ModelError(str(error)) from error


class Pipeline:
    """The `FrameModel` of a run: words by one model, masks of those words by another (paper eqs 2-4)."""

    def __init__(
        self, words: Words, segmenter: TextSegmenter, device: torch.device, say: Callable[[str], None]
    ) -> None:
        self.revision = f"{words.revision}+{segmenter.revision}"
        self._words, self._segmenter, self._device = words, segmenter, device
        self._portions = Portions(say, "segmenter")

    def masks(self, frames: NDArray[np.uint8]) -> tuple[list[Phrases], NDArray[np.float32]]:
        """See `FrameModel.masks`."""
        phrases = self._words.annotate_batch(frames)
        pixels = torch.from_numpy(frames).to(self._device)

        def segment(rows: slice) -> list[NDArray[np.float32]]:
            return list(self._segmenter.segment_batch(pixels[rows], phrases[rows]).cpu().numpy())

        return phrases, np.stack(self._portions.run(len(frames), segment))

    def verdicts(self, frames: NDArray[np.uint8], actions: NDArray[np.float32]) -> Sequence[bool]:
        """See `FrameModel.verdicts`."""
        return self._words.judge_batch(frames, actions)

    def close(self) -> None:
        """See `FrameModel.close`."""
        self._words.close()
