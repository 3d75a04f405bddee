"""Measures a saved run: what `evaluate` does once its flags are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from semore.agents import Agent
from semore_fast import checkpoint, state_tree
from semore_fast.backend import choose_device, choose_ops
from semore_fast.building import build_agent
from semore_fast.config import from_dict
from semore_fast.errors import UserError
from semore_fast.evaluator import Evaluator, sight_dict
from semore_fast.filming import film_episode
from semore_fast.results import reference_drivers, show_summary
from semore_fast.rundir import RunDirectory


def load_agent(run: RunDirectory, device: str) -> tuple[Agent, Evaluator, int]:
    """The newest whole checkpoint's learner, the run's evaluator, and the frame it was saved at.

    Raises:
        UserError: the run's configuration does not fit this version, or it has no checkpoint.
    """
    try:
        config = from_dict(run.config)
    except (TypeError, KeyError) as error:
        raise UserError(f"{run.path}/config.json was written by another version of semore-fast: {error}") from error
    saved = checkpoint.load_latest(run.checkpoints) if run.checkpoints.is_dir() else None
    if saved is None:
        raise UserError(f"{run.path} holds no checkpoint yet; let the run save one first")
    for notice in saved.notices:
        print(notice)
    target = choose_device(device)
    ops, _ = choose_ops("auto", target)
    agent = build_agent(config, target, ops)
    agent.load_state_dict(state_tree.unflatten(saved.tensors["agent"], saved.meta["skeletons"]["agent"]))
    return agent, Evaluator(config), saved.step


def evaluate_run(path: Path, *, episodes: int, seed: int, drivers: bool, videos: int, device: str) -> dict[str, Any]:
    """Drives the episodes and prints the table.

    Returns:
        The figures, JSON-able.
    """
    run = RunDirectory.read(path)
    agent, evaluator, frame = load_agent(run, device)
    print(f"{path}: checkpoint of frame {frame}, {episodes} episodes from seed {seed}, seen and not drawn", flush=True)
    summary = {
        "frames": frame,
        "seed": seed,
        **sight_dict(evaluator.sight(agent, episodes, seed)),
        "drivers": {},
    }
    if drivers:
        named = reference_drivers(evaluator, episodes, seed)
        summary["drivers"] = {name: figures.to_dict() for name, figures in named.items()}
    show_summary(summary)
    for index in range(videos):
        run.videos.mkdir(exist_ok=True)
        film_episode(evaluator, agent, seed + index, run.videos / f"evaluate-{index}.mp4")
    return summary
