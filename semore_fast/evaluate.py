"""Measure a trained run again: `python -m semore_fast.evaluate RUN`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from semore_fast.carla_config import CarlaConfig
from semore_fast.errors import UserError, run_cli


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateConfig:
    """What to measure."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run directory, written by train."""
    episodes: int = 60
    """Episodes, each driven twice: seen, and with people and vehicles not drawn."""
    seed: int = 2_000_000
    """Of the first episode; the others follow."""
    drivers: bool = True
    """Also drive the four reference drivers."""
    videos: int = 0
    """Episodes to film into RUN/videos."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to run the policy."""
    json: bool = False
    """Print the figures as JSON."""
    carla: CarlaConfig = field(default_factory=CarlaConfig)
    """For a run on CARLA: other servers than those it was trained on."""


def main(argv: Sequence[str]) -> int:
    """Loads the newest checkpoint that is whole, drives, prints."""
    config = tyro.cli(EvaluateConfig, args=list(argv), description=__doc__, prog="python -m semore_fast.evaluate")
    if config.episodes < 1:
        raise UserError(f"--episodes must be at least 1, got {config.episodes}")
    from semore_fast.evaluation import evaluate_run  # torch takes seconds: only now

    summary = evaluate_run(
        config.run,
        episodes=config.episodes,
        seed=config.seed,
        drivers=config.drivers,
        videos=config.videos,
        device=config.device,
        carla=config.carla,
    )
    if config.json:
        print(json.dumps(summary, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(run_cli(lambda: main(sys.argv[1:])))
