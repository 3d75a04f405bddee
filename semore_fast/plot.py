"""Learning curves with the reference drivers as lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Curve = NDArray[np.float64]
"""[points, 3]: frame, evaluation return, standard error over episodes."""

DRIVER_STYLES = {
    "privileged": ("#222222", "-"),
    "weave": ("#999999", "-."),
    "full_throttle": ("#999999", "--"),
    "do_nothing": ("#cccccc", ":"),
}


def read_curve(metrics: Iterable[Mapping[str, Any]]) -> Curve:
    """The evaluations of a run, from the lines of its metrics (`logging.read_metrics`)."""
    points = [
        (line["frame"], line["episode_return"], _number(line["episode_return/standard_error"]))
        for line in metrics
        if line["kind"] == "evaluation"
    ]
    return np.array(points, np.float64).reshape(-1, 3)


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def plot_curves(
    methods: Mapping[str, Sequence[Curve]],
    drivers: Mapping[str, Mapping[str, float]],
    path: Path,
    xlabel: str = "simulator frames",
) -> None:
    """Draws one line a method: the mean over its runs, with a band of one standard error.

    Args:
        methods: label to its runs' curves; with one run the band is the episodes' standard error, with several the
            runs'.
        drivers: reference drivers' summaries.
        path: of the PNG.
        xlabel: what the curves' first column counts.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.5, 4.5), layout="constrained")
    for name, (colour, style) in DRIVER_STYLES.items():
        if name in drivers:
            value = drivers[name]["episode_return"]
            axes.axhline(value, color=colour, linestyle=style, linewidth=1)
            axes.annotate(
                f"{name.replace('_', ' ')} {value:.0f}", (1.005, value), xycoords=("axes fraction", "data"),
                va="center", fontsize=8, color="#555555", annotation_clip=False,
            )  # fmt: skip
    for label, runs in methods.items():
        frames, mean, error = _band(runs)
        (line,) = axes.plot(frames, mean, marker="o", markersize=3, label=label)
        axes.fill_between(frames, mean - error, mean + error, color=line.get_color(), alpha=0.2, linewidth=0)
    if not any(len(run) for runs in methods.values() for run in runs):
        why = "no evaluation before the end: lower --evaluation.every-frames"
        axes.annotate(why, (0.5, 0.5), xycoords="axes fraction", ha="center", color="#555555")
    axes.set(xlabel=xlabel, ylabel="evaluation return")
    axes.grid(alpha=0.25)
    axes.legend(loc="lower right", fontsize=9)
    partial = path.with_name(f".{path.name}")
    figure.savefig(partial, dpi=130, format="png")
    pyplot.close(figure)
    partial.replace(path)


def _band(runs: Sequence[Curve]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    if len(runs) == 1:
        return runs[0][:, 0], runs[0][:, 1], np.nan_to_num(runs[0][:, 2])
    points = min(len(run) for run in runs)
    returns = np.stack([run[:points, 1] for run in runs])
    error = returns.std(0, ddof=1) / np.sqrt(len(runs))
    return np.mean([run[:points, 0] for run in runs], 0), returns.mean(0), error
