"""What each setting of a preset is worth: runs that differ from it in one, against runs of the preset, same seeds.

    python bench/effects.py BASE VARIANT...     folders under bench/results/learning, kept by `learning.py keep`

Prints a line for each: the return over the second half of a run's evaluations, which is less noisy than its last, and
what it differs from the preset's by, with the standard error over seeds and a permutation test's p; the final returns
and gaps; the seeds that see (gap beyond two of its standard errors, as reports count them); updates a second, which are
rough where machines were shared.
"""

from __future__ import annotations

import sys
from statistics import median
from typing import Any

import numpy as np
from learning import kept
from numpy.typing import NDArray

from semore_fast.reporting.statistics import permutation_p
from semore_fast.reporting.study import sees

COLUMNS = ("setting", "second half", "difference", "p", "final returns", "gaps", "see", "updates/s")


def second_half(lines: list[Any]) -> float:
    """Mean return of the later half of a run's evaluations."""
    returns = [line["episode_return"] for line in lines if line["kind"] == "evaluation"]
    return float(np.mean(returns[len(returns) // 2 :]))


def rate(lines: list[Any]) -> float:
    """Updates a second, median over the lines logged."""
    return median(line["updates_per_s"] for line in lines if line["kind"] == "train" and line["updates"])


def row(name: str, scores: NDArray[np.float64], base: NDArray[np.float64], runs: list[Any]) -> str:
    """A setting's line."""
    gaps = [summary["gap"] for _, summary, _ in runs]
    apart = f"{scores.mean() - base.mean():+.0f} ± {np.hypot(error(scores), error(base)):.0f}"
    cells = (
        name,
        f"{scores.mean():.0f} ± {error(scores):.0f}",
        "" if scores is base else apart,
        "" if scores is base else f"{permutation_p(scores, base):.2f}",
        ", ".join(f"{summary['seen']['episode_return']:.0f}" for _, summary, _ in runs),
        ", ".join(f"{gap['mean']:.0f}" for gap in gaps),
        f"{sum(map(sees, gaps))} of {len(runs)}",
        f"{median(rate(lines) for _, _, lines in runs):.0f}",
    )
    return f"| {' | '.join(cells)} |"


def error(scores: NDArray[np.float64]) -> float:
    """Standard error of the mean over seeds."""
    return float(scores.std(ddof=1) / len(scores) ** 0.5)


def main(folders: list[str]) -> None:
    """Prints the table; the first folder is the preset's."""
    if len(folders) < 2:
        raise SystemExit(__doc__)
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    base = None
    for folder in folders:
        runs = [run for run in kept("jw", [folder]) if run[1]["agent"] == "sac"]
        scores = np.array([second_half(lines) for _, _, lines in runs])
        base = scores if base is None else base
        print(row(folder, scores, base, runs))


if __name__ == "__main__":
    main(sys.argv[1:])
