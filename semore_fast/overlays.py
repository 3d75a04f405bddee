"""Pictures for people: a camera frame beside its mask and attention overlays, with a line of text."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from numpy.typing import NDArray

PANEL_PX = 384
TEXT_PX = 24
DIMMED = 0.35  # brightness left where a panel has nothing to show

_CELL_WIDTH_PX = 10
_FIRST_CHARACTER, _LAST_CHARACTER = 32, 126
_MASK_RGB = np.array([255, 60, 40], np.float32)


def upscale(frame: NDArray[np.uint8], height_px: int = PANEL_PX) -> NDArray[np.uint8]:
    """Enlarge uint8 `[3, H, W]` by a whole factor to about `height_px` high: uint8 `[H', W', 3]`, unsmoothed."""
    factor = max(1, round(height_px / frame.shape[1]))
    return np.ascontiguousarray(frame.transpose(1, 2, 0).repeat(factor, axis=0).repeat(factor, axis=1))


def mask_overlay(panel: NDArray[np.uint8], mask: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Show what a mask keeps: the panel `[H', W', 3]` dimmed outside it, tinted inside.

    Args:
        panel: the enlarged frame.
        mask: `[h, w]` of any size, uint8 (255 is 1) or floating point in [0, 1].
    """
    weights = mask.astype(np.float32) / np.float32(255 if mask.dtype == np.uint8 else 1)
    kept = _resize(weights, panel.shape[:2])[..., None]
    dark = panel * np.float32(DIMMED)
    tinted = panel * np.float32(0.6) + np.float32(0.4) * _MASK_RGB
    return _to_bytes(dark + kept * (tinted - dark))


def attention_overlay(panel: NDArray[np.uint8], attention: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Show where attention lies: a map `[h, w]`, normalised to its own range, as heat over `[H', W', 3]`.

    A constant map has no range and shows as cold everywhere.
    """
    heat = attention.astype(np.float32)
    span = float(heat.max() - heat.min())
    heat = (heat - heat.min()) / span if span > 0 else np.zeros_like(heat)
    levels = _to_bytes(255 * _resize(heat, panel.shape[:2]))
    return panel // 2 + _half_heat()[levels]


def text_strip(text: str, width_px: int) -> NDArray[np.uint8]:
    """One line of light text on black, uint8 `[TEXT_PX, width_px, 3]`; cut where it does not fit.

    Characters outside printable ASCII show as question marks.
    """
    fitting = text[: width_px // _CELL_WIDTH_PX].encode("ascii", "replace")
    strip = np.zeros((TEXT_PX, width_px), np.uint8)
    for column, code in enumerate(fitting):
        index = code if _FIRST_CHARACTER <= code <= _LAST_CHARACTER else ord("?")
        left = column * _CELL_WIDTH_PX
        strip[:, left : left + _CELL_WIDTH_PX] = _glyphs()[index - _FIRST_CHARACTER]
    return strip[..., None].repeat(3, axis=2)


def _resize(values: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Bilinear, pixel centres aligned, edges held."""
    for axis in (0, 1):
        count = values.shape[axis]
        position = np.clip((np.arange(shape[axis]) + 0.5) * count / shape[axis] - 0.5, 0, count - 1)
        low = np.minimum(position.astype(np.int64), max(count - 2, 0))
        fraction = (position - low).astype(np.float32).reshape((-1, 1) if axis == 0 else (1, -1))
        above = values.take(np.minimum(low + 1, count - 1), axis)
        values = values.take(low, axis) * (1 - fraction) + above * fraction
    return values


def _to_bytes(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Round levels that lie in [0, 255] but for rounding errors."""
    levels: NDArray[np.uint8] = np.clip(values + np.float32(0.5), 0, 255).astype(np.uint8)
    return levels


@cache
def _half_heat() -> NDArray[np.uint8]:
    """Colours `[256, 3]` at half their brightness, to be added to a picture at half its own."""
    colours: NDArray[np.uint8] = (mpl.colormaps["inferno"](np.arange(256))[:, :3] * 127).astype(np.uint8)
    return colours


@cache
def _glyphs() -> NDArray[np.uint8]:
    """Every printable character, drawn once by matplotlib: uint8 `[95, TEXT_PX, cell width]`."""
    count = _LAST_CHARACTER - _FIRST_CHARACTER + 1
    dpi = 72
    figure = Figure(figsize=(count * _CELL_WIDTH_PX / dpi, TEXT_PX / dpi), dpi=dpi, facecolor="black")
    canvas: Any = FigureCanvasAgg(figure)
    font = FontProperties(fname=Path(mpl.get_data_path()) / "fonts/ttf/DejaVuSansMono.ttf", size=15)
    for index in range(count):
        x = (index + 0.5) / count
        character = chr(_FIRST_CHARACTER + index)
        figure.text(x, 0.3, character, font=font, color="white", ha="center", va="baseline", parse_math=False)
    canvas.draw()
    row = np.asarray(canvas.buffer_rgba())[..., 0]
    return np.ascontiguousarray(row.reshape(TEXT_PX, count, _CELL_WIDTH_PX).transpose(1, 0, 2))
