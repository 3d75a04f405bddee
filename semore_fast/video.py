"""Evaluation episodes as mp4: the camera beside what guidance marked and where the agent attends (cf. Fig. 8)."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from semore_fast.overlays import DIMMED, attention_overlay, mask_overlay, text_strip, upscale

# H.264 plays everywhere; builds of FFmpeg without an H.264 encoder still have MPEG-4 Part 2.
CODECS = ("libx264", "libopenh264", "mpeg4")
_OPTIONS = {"libx264": {"preset": "superfast", "crf": "20"}, "libopenh264": {}, "mpeg4": {"qscale": "3"}}


class VideoError(Exception):
    """A video could not be written. Training can go on without it; the caller logs this."""


class VideoWriter:
    """Writes one mp4. Use as a context manager; the file appears under its name when the block ends well.

    The first frame fixes the layout: camera, and a panel for the mask and for the attention if it has them.

    Args:
        path: of the video; its folder must exist.
        fps: frames a second, at which the video plays.

    Attributes:
        codec: name of the encoder in use, known after the first frame.

    Raises:
        VideoError: from any method, if encoding or writing fails or frames do not fit together. The unfinished
            file is removed when the block ends.
    """

    def __init__(self, path: Path, fps: float) -> None:
        if not 0 < fps <= 1000:
            raise VideoError(f"fps must be positive and at most 1000, got {fps}")
        self.codec = ""
        self._path = path
        self._partial = path.with_name(f".{path.name}.partial")
        self._rate = Fraction(fps).limit_denominator(1000)
        self._layout: tuple[Any, ...] | None = None
        self._container: Any = None
        self._stream: Any = None

    def __enter__(self) -> VideoWriter:
        try:
            self._container = av.open(str(self._partial), "w", format="mp4")
        except (av.FFmpegError, OSError) as error:
            raise VideoError(f"cannot write {self._path}: {error}") from error
        return self

    def add(
        self,
        frame: NDArray[np.uint8],
        mask: NDArray[np.generic] | None = None,
        attention: NDArray[np.generic] | None = None,
        caption: str = "",
    ) -> None:
        """Append one picture.

        Args:
            frame: uint8 `[3, H, W]`, RGB.
            mask: `[h, w]`, uint8 (255 is 1) or floating point in [0, 1]; None leaves its panel dark.
            attention: floating point `[h, w]`, on any scale; None leaves its panel dark.
            caption: one line of text below.
        """
        if self._layout is None:
            self._layout = (frame.shape, mask is not None, attention is not None)
        shape, with_mask, with_attention = self._layout
        if frame.shape != shape or (mask is not None) > with_mask or (attention is not None) > with_attention:
            raise VideoError(f"{self._path.name}: every frame must have the size and panels of the first")
        _check(frame, mask, attention)
        panel = upscale(frame)
        panels = [_titled("camera", panel)]
        if with_mask:
            panels.append(_titled("mask", _dimmed(panel) if mask is None else mask_overlay(panel, mask)))
        if with_attention:
            heat = _dimmed(panel) if attention is None else attention_overlay(panel, attention)
            panels.append(_titled("attention", heat))
        picture = np.concatenate(panels, axis=1)
        self._encode(np.concatenate([picture, text_strip(f" {caption}", picture.shape[1])]))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._finish(complete=kind is None)
        except (av.FFmpegError, OSError) as failure:
            if kind is None:
                raise VideoError(f"cannot write {self._path}: {failure}") from failure
        finally:
            self._partial.unlink(missing_ok=True)

    def _finish(self, complete: bool) -> None:
        if complete and self._stream is None:
            self._container.close()
            raise VideoError(f"{self._path.name}: no frame was added")
        try:
            if complete:
                self._container.mux(self._stream.encode())
        finally:
            self._container.close()
        if complete:
            self._partial.replace(self._path)

    def _encode(self, picture: NDArray[np.uint8]) -> None:
        # yuv420p halves the resolution of colour, so both sides must be even.
        even = np.ascontiguousarray(picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2])
        try:
            if self._stream is None:
                self._stream = self._open_stream(even.shape[0], even.shape[1])
            self._container.mux(self._stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        except (av.FFmpegError, OSError) as error:
            raise VideoError(f"cannot write {self._path}: {error}") from error

    def _open_stream(self, height_px: int, width_px: int) -> Any:
        self.codec = next((name for name in CODECS if name in av.codecs_available), "")
        if not self.codec:
            raise VideoError(f"this build of PyAV has none of the encoders {', '.join(CODECS)}")
        stream: Any = self._container.add_stream(self.codec, rate=self._rate, options=_OPTIONS[self.codec])
        stream.height, stream.width, stream.pix_fmt = height_px, width_px, "yuv420p"
        return stream


def _check(frame: NDArray[np.uint8], mask: NDArray[np.generic] | None, attention: NDArray[np.generic] | None) -> None:
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[0] != 3:
        raise VideoError(f"frame must be uint8 [3, H, W], got {frame.dtype} {list(frame.shape)}")
    for name, overlay in (("mask", mask), ("attention", attention)):
        if overlay is not None and (overlay.ndim != 2 or not np.isfinite(overlay.astype(np.float32)).all()):
            raise VideoError(f"{name} must be [h, w] and finite, got {overlay.dtype} {list(overlay.shape)}")


def _titled(title: str, panel: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.concatenate([text_strip(f" {title}", panel.shape[1]), panel])


def _dimmed(panel: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return (panel * np.float32(DIMMED)).astype(np.uint8)
