"""Figures of a report as SVG text: the same input gives the same bytes."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from semore_fast.plot import Curve
from semore_fast.reporting.statistics import F64, Interval, interval

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "semore-fast",
    "font.size": 10,
    "axes.spines.top": False,
}
_STYLE |= {"axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25}
_INK, _GREY = "#1f3a5f", "#8a94a0"
_CURVE_RESAMPLES = 500


def colours(methods: Sequence[str]) -> dict[str, Any]:
    """A colour for each method; Semore's family in blues, so that it is found among the others."""
    own = [name for name in methods if name.startswith("semore")]
    others = [name for name in methods if name not in own]
    found = {name: mpl.colormaps["Blues"](0.35 + 0.55 * (i + 1) / len(own)) for i, name in enumerate(own)}
    return found | {
        name: mpl.colormaps["tab10"](index) for name, index in zip(others, (1, 2, 3, 4, 5, 6), strict=False)
    }


def forest(values: Mapping[str, Interval], lines: Mapping[str, float], label: str) -> str:
    """A dot and its interval for each method, beside vertical lines with names (`lines`: name to position)."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        names = list(values)[::-1]
        for row, name in enumerate(names):
            value = values[name]
            axes.plot([value.low, value.high], [row, row], color=_INK, linewidth=2.5, solid_capstyle="butt")
            axes.plot(value.value, row, "o", color=_INK, markersize=6)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(-0.6, len(names) - 0.4 + (0.6 if lines else 0))
        for name, at in lines.items():
            axes.axvline(at, color=_GREY, linestyle="--", linewidth=1)
            axes.annotate(f" {name}", (at, len(names) - 0.3), fontsize=8, color="#555555", annotation_clip=False)
        axes.set_xlabel(label)
        axes.grid(visible=False, axis="y")

    return _svg((4.6, 0.9 + 0.3 * len(values)), draw)


def curve_panel(method: str, curves: Mapping[str, Sequence[Curve]], colour: Any, limits: tuple[float, float]) -> str:
    """One method's evaluation return over frames with its 95 % interval, the others' means in grey."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for name, runs in curves.items():
            if name != method:
                axes.plot(*_mean(runs), color="#c9ced6", linewidth=1)
        frames, mean = _mean(curves[method])
        if len(curves[method]) > 1:
            low, high = _band(curves[method])
            axes.fill_between(frames, low, high, color=colour, alpha=0.22, linewidth=0)
        axes.plot(frames, mean, color=colour, linewidth=2, marker="o", markersize=3)
        axes.set_title(method, fontsize=10, fontweight="bold", loc="left")
        axes.set_ylim(limits)
        axes.xaxis.set_major_formatter(lambda frame, _: f"{frame / 1000:g}k")
        axes.xaxis.set_major_locator(MaxNLocator(4))

    return _svg((2.6, 1.9), draw)


def curve_limits(curves: Mapping[str, Sequence[Curve]]) -> tuple[float, float]:
    """One scale for all panels of a scenario; the lowest 3 % of points may fall below it."""
    every = np.concatenate([run[:, 1] for runs in curves.values() for run in runs])
    low, high = float(np.percentile(every, 3)), float(every.max())
    margin = 0.08 * (high - low) + 1
    return low - margin, high + margin


def profiles(shares: Mapping[str, F64], thresholds: F64, palette: Mapping[str, Any]) -> str:
    """Share of final episodes above each return, one line a method."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for name, share in shares.items():
            width = 2.4 if name == "semore" else 1.3
            axes.plot(thresholds, 100 * share, color=palette[name], linewidth=width, label=name)
        axes.set(xlabel="return of an episode", ylabel="% of episodes above", ylim=(0, 101))
        axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))

    return _svg((6.4, 3.2), draw)


def _mean(runs: Sequence[Curve]) -> tuple[F64, F64]:
    points = min(len(run) for run in runs)
    stacked = np.stack([run[:points, :2] for run in runs])
    mean: F64 = stacked.mean(0)
    return mean[:, 0], mean[:, 1]


def _band(runs: Sequence[Curve]) -> tuple[F64, F64]:
    points = min(len(run) for run in runs)
    found = []
    for point in range(points):
        returns = np.array([[run[point, 1]] for run in runs])
        found.append(interval(lambda values: float(values.mean()), returns, resamples=_CURVE_RESAMPLES))
    return np.array([one.low for one in found]), np.array([one.high for one in found])


def _svg(size_in: tuple[float, float], draw: Callable[[Figure], None]) -> str:
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size_in, layout="constrained")
        draw(figure)
        file = io.StringIO()
        canvas: Any = FigureCanvasSVG(figure)
        canvas.print_svg(file, metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    return re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
