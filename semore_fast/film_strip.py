"""A few moments of an episode in one picture: camera, mask and attention, for pages and papers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from semore_fast.overlays import attention_overlay, mask_overlay, text_strip, upscale
from semore_fast.video import VideoError

MOMENTS = 6
_HEIGHT_PX = 192
_QUALITY = 85

Panels = tuple[NDArray[np.uint8], NDArray[np.generic], NDArray[np.generic] | None]


class FilmStrip:
    """Keeps an episode's pictures, and draws some of them side by side: a column a moment, a row a kind of picture."""

    def __init__(self) -> None:
        self._moments: list[tuple[Panels, str]] = []

    def add(
        self, frame: NDArray[np.uint8], mask: NDArray[np.generic], attention: NDArray[np.generic] | None, caption: str
    ) -> None:
        """Keep one moment. frame: uint8 [3, H, W]; mask [h, w]; attention [h, w] or None, the same kind every time."""
        self._moments.append(((frame.copy(), mask.copy(), attention), caption))

    def save(self, path: Path, moments: int = MOMENTS) -> None:
        """Write a JPEG of at most so many moments, evenly spread over what was added.

        Raises:
            VideoError: nothing was added, or the file cannot be written.
        """
        if not self._moments:
            raise VideoError(f"{path.name}: no frame was added")
        chosen = np.unique(np.linspace(0, len(self._moments) - 1, moments).round().astype(int))
        picture = np.concatenate([_column(*self._moments[index]) for index in chosen], axis=1)
        from matplotlib.image import imsave

        try:
            imsave(path, picture, format="jpeg", pil_kwargs={"quality": _QUALITY})
        except OSError as error:
            raise VideoError(f"cannot write {path}: {error}") from error


def _column(panels: Panels, caption: str) -> NDArray[np.uint8]:
    frame, mask, attention = panels
    camera = upscale(frame, _HEIGHT_PX)
    rows = [text_strip(caption, camera.shape[1]), camera, mask_overlay(camera, mask)]
    if attention is not None:
        rows.append(attention_overlay(camera, attention))
    return np.concatenate(rows)
