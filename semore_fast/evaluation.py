"""Measures a saved run: what `evaluate` does once its flags are read."""

from __future__ import annotations

import dataclasses
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from semore.agents import Agent
from semore_fast import checkpoint, state_tree
from semore_fast.backend import choose_device
from semore_fast.building import build_agent, build_ops
from semore_fast.carla_config import CarlaConfig, check_carla, require_carla
from semore_fast.config import RunConfig, from_dict
from semore_fast.errors import UserError
from semore_fast.evaluator import Evaluator, sight_dict
from semore_fast.filming import film_episode
from semore_fast.results import reference_drivers, show_summary
from semore_fast.rundir import RunDirectory
from semore_fast.worlds import open_worlds


def load_config(run: RunDirectory) -> RunConfig:
    """The run's configuration.

    Raises:
        UserError: it does not fit this version.
    """
    try:
        return from_dict(run.config)
    except (TypeError, KeyError) as error:
        raise UserError(f"{run.path}/config.json was written by another version of semore-fast: {error}") from error


def load_agent(run: RunDirectory, config: RunConfig, device: str) -> tuple[Agent, int]:
    """The newest whole checkpoint's learner, and the frame it was saved at.

    Raises:
        UserError: there is none.
    """
    saved = checkpoint.load_latest(run.checkpoints) if run.checkpoints.is_dir() else None
    if saved is None:
        raise UserError(f"{run.path} holds no checkpoint yet; let the run save one first")
    for notice in saved.notices:
        print(notice)
    target = choose_device(device)
    if target.type == "cpu" and config.learner.precision == "tf32":  # learnt on a GPU
        config = dataclasses.replace(config, learner=dataclasses.replace(config.learner, precision="float32"))
    ops, _ = build_ops(dataclasses.replace(config, kernels="auto", threads=0), target)
    agent = build_agent(config, target, ops)
    agent.load_state_dict(state_tree.unflatten(saved.tensors["agent"], saved.meta["skeletons"]["agent"]))
    return agent, saved.step


def open_evaluator(config: RunConfig, run: RunDirectory, carla: CarlaConfig, stack: ExitStack) -> Evaluator:
    """The run's evaluator; on CARLA, on the servers that `carla` names, or else on those the run was trained on.

    Raises:
        UserError: a server is missing.
    """
    if config.sim == "carla":
        config = dataclasses.replace(config, envs=1, carla=config.carla if carla == CarlaConfig() else carla)
        require_carla(config.carla)
    check_carla(config.carla if config.sim == "carla" else carla, used=config.sim == "carla", envs=config.envs)
    worlds = open_worlds(config, ids=False, logs=run.path / "carla-evaluate", say=print, stack=stack)
    return Evaluator(config, worlds)


def evaluate_run(
    path: Path,
    *,
    episodes: int,
    seed: int,
    drivers: bool,
    videos: int,
    device: str,
    carla: CarlaConfig | None = None,
) -> dict[str, Any]:
    """Drives the episodes and prints the table.

    Returns:
        The figures, JSON-able.
    """
    run = RunDirectory.read(path)
    config = load_config(run)
    agent, frame = load_agent(run, config, device)
    with ExitStack() as stack:
        evaluator = open_evaluator(config, run, carla or CarlaConfig(), stack)
        for change in run.scenario_changes(dataclasses.asdict(evaluator.worlds.scenario)):
            print(change)
        control = "seen" if evaluator.worlds.without_controls else "seen and not drawn"
        print(f"{path}: checkpoint of frame {frame}, {episodes} episodes from seed {seed}, {control}", flush=True)
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
