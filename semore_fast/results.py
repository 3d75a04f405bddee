"""What a finished run leaves: summary.json, a learning curve, films."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from semore_fast.envs.metrics import Summary
from semore_fast.evaluator import FINAL_SEED, Evaluator, sight_dict
from semore_fast.logging import read_metrics
from semore_fast.plot import plot_curves, read_curve
from semore_fast.rundir import SUMMARY
from semore_fast.trainer import Parts

METRICS = {
    "episode_return": "return",
    "distance_m": "distance m",
    "crash_intensity_ns": "crash N s",
    "steer_percent": "steer %",
    "brake_percent": "brake %",
}
"""The paper's five, in its order."""


def measure(parts: Parts) -> dict[str, Any]:
    """The final evaluation: seen, not drawn, reference drivers."""
    settings = parts.config.evaluation
    without = parts.evaluator.worlds.without_controls
    then = f"left out: {without}" if without else "then the same with nobody drawn"
    parts.progress.note(f"final evaluation: {settings.final_episodes} episodes; {then}")
    sight = parts.evaluator.sight(parts.agent, settings.final_episodes)
    drivers = reference_drivers(parts.evaluator, settings.driver_episodes, FINAL_SEED, parts.progress.note)
    return {
        "scenario": parts.config.scenario,
        "agent": parts.config.agent,
        "preset": parts.config.preset,
        "seed": parts.config.seed,
        "frames": parts.collector.frame,
        **sight_dict(sight),
        "drivers": {name: summary.to_dict() for name, summary in drivers.items()},
    }


def reference_drivers(
    evaluator: Evaluator, episodes: int, seed: int, note: Callable[[str], None] = print
) -> dict[str, Summary]:
    """The reference drivers' metrics over the same episodes, or nothing for 0 episodes."""
    return evaluator.reference_drivers(episodes, seed, note) if episodes else {}


def finish_run(parts: Parts) -> None:
    """Measures, films, plots, and writes the summary last: its presence says that the run is finished."""
    summary = measure(parts)
    run = parts.run
    _film(parts)
    curve = read_curve(read_metrics(run.metrics))
    title = f"{summary['scenario']} {summary['agent']} seed {summary['seed']}"
    plot_curves({title: [curve]}, summary["drivers"], run.path / "curve.png")
    run.write_json(SUMMARY, summary)
    parts.progress.close()
    show_summary(summary)
    print(f"run directory: {run.path} (curve.png, videos/, metrics.jsonl, summary.json)")


def _film(parts: Parts) -> None:
    from semore_fast.filming import (
        film_episode,
    )  # brings Matplotlib and FFmpeg: half a second that training can do without
    from semore_fast.video import VideoError

    parts.run.videos.mkdir(exist_ok=True)
    for index in range(parts.config.evaluation.videos):
        try:
            film_episode(parts.evaluator, parts.agent, FINAL_SEED + index, parts.run.videos / f"episode-{index}.mp4")
        except VideoError as error:
            parts.progress.note(f"no video: {error}")


def show_summary(summary: dict[str, Any]) -> None:
    """Prints the five metrics, the control and the reference drivers as a table, and what was left out."""
    rows = {"seen": summary["seen"], "not drawn": summary["not_drawn"], **summary["drivers"]}
    rows = {name: row for name, row in rows.items() if row is not None}
    print(f"{'':>16}" + "".join(f"{label:>20}" for label in METRICS.values()))
    for name, row in rows.items():
        print(f"{name.replace('_', ' '):>16}" + "".join(f"{_cell(row, metric):>20}" for metric in METRICS))
    gap = summary["gap"]
    if gap is None:
        print(f"no gap seen - not drawn: {summary['left_out']}. So nothing here shows that the policy sees.")
        return
    error = "unknown" if gap["standard_error"] is None else f"{gap['standard_error']:.1f}"
    print(
        f"gap seen - not drawn: {gap['mean']:.1f} ± {error} (s.e., {gap['episodes']} episodes). "
        "Only this gap shows sight; a return above the blind drivers does not."
    )


def _cell(row: dict[str, float], metric: str) -> str:
    spread = row.get(f"{metric}/std")
    return f"{row[metric]:.1f}" if spread is None else f"{row[metric]:.1f} ± {spread:.1f}"
