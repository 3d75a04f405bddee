"""What segmenters conditioned on text share: pictures in, phrases in, one mask a frame (paper eq 4)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from semore.guidance.protocols import Snapshot

Features = tuple[Tensor, ...]
"""What an encoder makes of N pictures or phrases: tensors with N as their first axis."""
Interpolation = Literal["bilinear", "bicubic"]
ItemT = TypeVar("ItemT")


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureFormat:
    """How a model wants its pictures.

    Attributes:
        side: in pixels.
        mean: of each channel, R, G, B, in [0, 1].
        std: standard deviation of each channel.
        interpolation: how frames are brought to that side.
    """

    side: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Interpolation = "bicubic"

    def prepare(self, frames: Tensor) -> Tensor:
        """Frames uint8 [N, 3, S, S] to normalised pictures float32 [N, 3, side, side], on the frames' device.

        A frame that is made smaller is smoothed, as by Pillow.
        """
        pictures = frames.float() / 255
        if frames.shape[-1] != self.side:
            size = (self.side, self.side)
            pictures = F.interpolate(pictures, size, mode=self.interpolation, antialias=True).clamp_(0, 1)
        mean, std = (torch.tensor(three, device=frames.device)[:, None, None] for three in (self.mean, self.std))
        return (pictures - mean) / std


class PhraseSegmenter(ABC):
    """A segmenter (`protocols.Segmenter`) over a network that encodes pictures and phrases apart.

    A picture is encoded once, whatever the number of its phrases, and a phrase once, whatever the number of frames
    that name it. The network is put into eval mode and learns nothing.

    Args:
        network: holds the weights; its parameters say where and in which precision the work is done.
        pictures: the format of its pictures.
        revision: names the weights, so that a cache can tell masks of other weights apart.
        max_batch: frames, phrases or frame-phrase pairs in the network at once.
        align_corners: how the network's maps lie on the picture when they are resized.

    Raises:
        ValueError: if `max_batch` is below 1 or `revision` is empty.
    """

    def __init__(
        self, network: nn.Module, pictures: PictureFormat, *, revision: str, max_batch: int, align_corners: bool
    ) -> None:
        if max_batch < 1:
            raise ValueError(f"max_batch must be at least 1, got {max_batch}")
        if not revision:
            raise ValueError("revision must name the weights; give a hash or a name of your own")
        self.revision = revision
        self._pictures = pictures
        self._max_batch = max_batch
        self._align_corners = align_corners
        self._network = network.eval().requires_grad_(False)

    @abstractmethod
    def _encode_pictures(self, pictures: Tensor) -> Features:
        """Encode normalised pictures [N, 3, side, side]."""

    @abstractmethod
    def _encode_phrases(self, phrases: Sequence[str]) -> Features:
        """Encode phrases, none of them blank."""

    @abstractmethod
    def _logits(self, pictures: Features, phrases: Features) -> Tensor:
        """Logits [P, h, w] of P pairs of an encoded picture and an encoded phrase."""

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self._network.parameters()).device

    def segment(self, snapshot: Snapshot, phrases: Sequence[str]) -> NDArray[np.float32]:
        """Mask `[H, W]` of one frame. See `protocols.Segmenter.segment` and `segment_batch`."""
        if isinstance(phrases, str):
            raise ValueError(f"phrases must be a sequence of strings, got the string {phrases!r}")
        frame = torch.tensor(snapshot.frame, device=self.device)[None]
        mask: NDArray[np.float32] = self.segment_batch(frame, [tuple(phrases)])[0].cpu().numpy()
        return mask

    def segment_batch(self, frames: Tensor, phrases: Sequence[tuple[str, ...]]) -> Tensor:
        """Masks of many frames: for each the sum over its phrases of sigmoid(logits), clamped to 1 (paper eq 4).

        Args:
            frames: uint8 `[B, 3, S, S]`, RGB, square, on any device; prepared there.
            phrases: B tuples; an empty one asks for nothing.

        Returns:
            Float32 `[B, S, S]` in [0, 1] on the frames' device; zeros where a frame has no phrases. A mask depends on
            its own frame and phrases alone, up to rounding.

        Raises:
            ValueError: for frames of another kind, a number of tuples other than B, or a blank phrase.
        """
        _check(frames, phrases)
        masks = torch.zeros(len(frames), *frames.shape[2:], device=frames.device)
        with torch.no_grad():
            words = list(dict.fromkeys(phrase for named in phrases for phrase in named))
            if words:
                encoded = [self._encode_phrases(chunk) for chunk in self._chunks(words)]
                texts = tuple(torch.cat(parts) for parts in zip(*encoded, strict=True))
                rows = {word: row for row, word in enumerate(words)}
                for chunk in self._chunks([index for index, named in enumerate(phrases) if named]):
                    pairs = [(n, index, rows[word]) for n, index in enumerate(chunk) for word in phrases[index]]
                    self._add(masks, frames[chunk], pairs, texts)
        return masks.clamp_(max=1)

    def _add(self, masks: Tensor, frames: Tensor, pairs: list[tuple[int, int, int]], texts: Features) -> None:
        """Add the pairs' masks to `masks`; a pair is a row of `frames`, a row of `masks` and a row of `texts`."""
        dtype = next(self._network.parameters()).dtype
        maps = self._encode_pictures(self._pictures.prepare(frames).to(self.device, dtype))
        for chunk in self._chunks(pairs):
            picture, mask, text = (list(column) for column in zip(*chunk, strict=True))
            logits = self._logits(tuple(m[picture] for m in maps), tuple(t[text] for t in texts))
            found = self._fit(logits, frames.shape[-1]).to(masks.device)
            # One by one, so that a frame's phrases are always added in their order: the sum repeats bit for bit.
            for row, one in zip(mask, found, strict=True):
                masks[row] += one

    def _fit(self, logits: Tensor, side: int) -> Tensor:
        """Sigmoid of logits [P, h, w], resized to [P, side, side]; bicubic may leave [0, 1], so it is clamped."""
        found = logits.float().sigmoid()[:, None]
        size = (side, side)
        if found.shape[2:] != size:
            found = F.interpolate(found, size, mode="bicubic", align_corners=self._align_corners)
        return found.clamp(0, 1)[:, 0]

    def _chunks(self, items: Sequence[ItemT]) -> Iterator[list[ItemT]]:
        for first in range(0, len(items), self._max_batch):
            yield list(items[first : first + self._max_batch])


def _check(frames: Tensor, phrases: Sequence[tuple[str, ...]]) -> None:
    square = frames.ndim == 4 and frames.shape[1] == 3 and frames.shape[2] == frames.shape[3] > 0
    if frames.dtype != torch.uint8 or not square:
        raise ValueError(f"frames must be square, uint8 [B, 3, S, S], got {frames.dtype} {list(frames.shape)}")
    if len(phrases) != len(frames):
        raise ValueError(f"{len(frames)} frames but {len(phrases)} tuples of phrases")
    for named in phrases:
        if isinstance(named, str):
            raise ValueError(f"each frame needs a tuple of phrases, got the string {named!r}")
        if not all(phrase.strip() for phrase in named):
            raise ValueError(f"a phrase is blank in {named}; leave it out")
