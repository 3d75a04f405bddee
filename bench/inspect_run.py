"""What guidance does inside a trained run: `python bench/inspect_run.py RUN... > bench/results/learning/inside.json`.

Reads the newest checkpoint of each run, replay buffer included, and measures on its own minibatches: how far attention
steered by the knowledge map leads away from attention as when acting, whether the semantic stream still depends on the
picture, how evenly attention is spread, and which losses move the semantic trunk.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import tempfile
from collections import defaultdict
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from semore.agents import Agent
from semore.batch import TensorBatch
from semore.representations import SemoreRepresentation, UpdateContext
from semore.representations.semore import positions
from semore_fast.building import build
from semore_fast.config import from_dict, to_dict
from semore_fast.feed import Feed
from semore_fast.progress import Progress
from semore_fast.rundir import RunDirectory
from semore_fast.trainer import Trainer

MINIBATCHES = 20
DEAD = 1e-4
"""A channel whose standard deviation is below this says nothing about the picture."""


def measure(agent: Agent, feed: Feed) -> dict[str, float]:
    """Means over minibatches of every figure."""
    representation = agent.representation
    assert isinstance(representation, SemoreRepresentation)
    sums: dict[str, float] = defaultdict(float)
    generator = torch.Generator().manual_seed(0)
    for _ in range(MINIBATCHES):
        batch = feed.sample()
        for name, value in one_minibatch(agent, representation, batch, generator).items():
            sums[name] += float(torch.as_tensor(value).detach()) / MINIBATCHES
    return {name: float(f"{value:.4g}") for name, value in sums.items()}


def one_minibatch(
    agent: Agent, representation: SemoreRepresentation, batch: TensorBatch, generator: torch.Generator
) -> dict[str, Tensor | float]:
    """Every figure on one minibatch."""
    draws = agent.draw(len(batch.slots), generator)
    inputs = agent._views(batch, draws)
    own = representation.semore
    representation.semore = dataclasses.replace(own, steered_fraction=1.0)
    with agent._autocast():
        steered = representation.encode(inputs, agent.target_representation)
        representation.semore = own
        acting = representation.encode(
            agent._prepare(batch.store, batch.slots[:, : agent.spec.stack], draws.observation_shift[0])
        )
        target, following = agent._bootstrap(batch, draws, follow=True)
        silent = torch.zeros_like(batch.action)
        actions = [agent.actor(tuple(m.detach() for m in e.maps), silent).mean for e in (steered, acting)]
        values = [agent.critic(e.feature, batch.action) for e in (steered, acting)]
        motion = representation.motion_trunk(inputs.residual)
    context = UpdateContext(
        batch=batch, draws=draws, observation=steered, following=following, target=agent.target_representation
    )
    with agent._autocast():
        losses = {"critic": (values[0] - target).square().mean(1).sum(), **representation.auxiliary_losses(context)}
    semantic = acting.extras["semantic"].detach().float()
    figures: dict[str, Tensor | float] = {
        "throttle/steered_minus_acting": (actions[0] - actions[1])[:, 0].abs().mean(),
        "throttle/std": actions[1][:, 0].std(),
        "q/steered_minus_acting_rms": (values[0] - values[1]).square().mean().sqrt(),
        "q/std": values[1].std(),
        "semantic_map/std_over_samples": semantic.std(0).mean(),
        "semantic_map/live_channels": live_channels(semantic),
        "motion_map/live_channels": live_channels(motion),
        "attention/entropy_of_uniform": attention_entropy(representation, semantic, motion.float()),
    }
    weights = list(representation.semantic_trunk.parameters())
    for name, loss in losses.items():
        parts = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
        figures[f"gradient_on_semantic_trunk/{name}"] = math.hypot(*(float(p.norm()) for p in parts if p is not None))
    return figures


def live_channels(maps: Tensor) -> float:
    """Share of the channels that differ over samples or positions."""
    return float((maps.float().std((0, 2, 3)) > DEAD).float().mean())


def attention_entropy(representation: SemoreRepresentation, semantic: Tensor, motion: Tensor) -> Tensor:
    """Mean entropy of the rows of softmax(S) as a share of uniform attention's: 1 is uniform, 0 is one position."""
    exchange = representation.exchange
    query, key = positions(exchange.query(semantic)), positions(exchange.key(motion))
    weights = (query @ key.mT * query.shape[-1] ** -0.5).softmax(2)
    return torch.special.entr(weights).sum(2).mean() / math.log(weights.shape[2])


def inspect(run: Path) -> dict[str, Any]:
    """Opens a copy of the run's state, so that the run itself stays as it is."""
    config = dataclasses.replace(from_dict(json.loads((run / "config.json").read_text())), tensorboard=False)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "run"
        directory = stack.enter_context(RunDirectory.open(scratch, to_dict(config)))
        (scratch / "checkpoints").symlink_to((run / "checkpoints").resolve())
        progress = stack.enter_context(Progress("inspect", config.frames))
        parts = build(config, directory, torch.device("cpu"), progress, stack)
        assert parts.saved is not None, f"{run} has no checkpoint"
        Trainer(parts).restore(parts.saved)
        return {
            "agent": config.agent,
            "seed": config.seed,
            "frame": parts.saved.step,
            "semore": dataclasses.asdict(config.semore),
            **measure(parts.agent, parts.feed),
        }


if __name__ == "__main__":
    with redirect_stdout(sys.stderr):
        figures = {Path(run).name: inspect(Path(run)) for run in sys.argv[1:]}
    print(json.dumps(figures, indent=1))
