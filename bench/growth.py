"""How time grows: an update with batch and picture, the interaction with its positions, a decision with environments, a
minibatch with the buffer.

    python bench/growth.py OUT.json OUT.png

Preset laptop and one thread without a GPU, paper on one. Each point is the median of several; *per* divides it by what
grows, so that a flat line is growth in proportion and a falling one a fixed cost that is shared.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib
import numpy as np
import torch
from gpu_timing import DEVICE, ON_GPU, clock
from interleave import update_twice

from semore.replay_types import ReplaySpec
from semore_fast.allocator import reexec_with_tuned_allocator
from semore_fast.arithmetic import choose_arithmetic, dtype_of
from semore_fast.building import STACK, build_agent, build_ops
from semore_fast.envs import SCENARIOS, DrivingVectorEnv
from semore_fast.feed import Feed
from semore_fast.presets import PRESETS
from semore_fast.replay import CppReplayBuffer
from semore_fast.sweeping.estimate import noise_batch
from semore_fast.system import describe_system

BASE = PRESETS["paper" if ON_GPU else "laptop"]
BATCHES = (32, 64, 128, 256, 512, 1024)
SIDES = (64, 96, 128, 192, 256) if ON_GPU else (32, 64, 96, 128, 192, 256)
POSITIONS = (9, 49, 196, 400, 784)
ENVS = (1, 2, 4, 8, 16, 32, 64)
FRAMES = (1_000, 10_000, 100_000, 1_000_000)
ROUNDS = 7
FRAME = (3, 8, 8)
"""Of the buffer's test: a million of them fit anywhere, and what a sample costs beside its pixels is what may grow."""


def middle(call: Callable[[], object]) -> float:
    """Median seconds of a call."""
    spent = []
    for _ in range(ROUNDS + 2):
        begin = clock()
        call()
        spent.append(clock() - begin)
    return median(spent[2:])


def update(batch: int, side: int) -> float:
    """Both cadences of an update, the mean of the two; larger maps are reduced before attention, as is the default."""
    config = dataclasses.replace(
        BASE,
        agent="semore",
        semore=dataclasses.replace(BASE.semore, attention_stride=None),
        env=dataclasses.replace(BASE.env, image_size=side),
        sampling=dataclasses.replace(BASE.sampling, batch_size=batch),
    )
    agent = build_agent(config, DEVICE, build_ops(config, DEVICE)[0])
    generator = torch.Generator().manual_seed(0)
    sample, draws = noise_batch(config, generator, DEVICE), agent.draw(batch, generator)

    return middle(lambda: update_twice(agent.update, sample, draws)) / 2


def interaction(positions: int) -> float:
    """Forward and backward, the streams' maps having so many positions."""
    ops, batch, width = build_ops(BASE, DEVICE)[0], BASE.sampling.batch_size, BASE.semore.attention_channels
    dtype = dtype_of(choose_arithmetic(BASE.learner.precision, DEVICE)[0])
    taken = [torch.randn(batch, positions, width, device=DEVICE, dtype=dtype, requires_grad=True) for _ in range(4)]

    def both() -> None:
        semantic, motion = ops.interaction(*taken)
        torch.autograd.grad((semantic.sum() + motion.sum()), taken)

    return middle(both)


def decision(envs: int) -> float:
    """Policy and simulator, one step of every environment."""
    agent = build_agent(dataclasses.replace(BASE, agent="semore"), DEVICE, build_ops(BASE, DEVICE)[0])
    side = BASE.env.image_size
    env = DrivingVectorEnv(
        SCENARIOS["jw"], envs, image_size=side, supersample=BASE.env.supersample, action_repeat=BASE.env.action_repeat
    )
    frames, _ = env.reset(seed=0)
    noise = torch.zeros(envs, 2, device=DEVICE)

    def step() -> None:
        stacks = torch.from_numpy(np.repeat(frames[:, None], STACK, 1)).to(DEVICE)
        env.step(agent.act(stacks, noise).cpu().numpy())

    return middle(step)


def minibatch(frames: int) -> float:
    """Drawing and locating a minibatch in a full buffer."""
    buffer = CppReplayBuffer(ReplaySpec(frames, 1, FRAME, 2, stack=STACK, masks=False))
    env, no = np.zeros(1, np.int64), np.zeros(1, np.bool_)
    picture, action, reward = np.zeros((1, *FRAME), np.uint8), np.zeros((1, 2), np.float32), np.zeros(1, np.float32)
    buffer.begin(env, picture)
    for _ in range(frames - 1):
        buffer.add(env, action, reward, no, no, picture, ~no)
    feed = Feed(buffer, BASE.sampling.batch_size, 0, torch.device("cpu"))
    return middle(lambda: [feed.sample() for _ in range(20)]) / 20


def curve(points: Sequence[int], seconds: Callable[[int], float]) -> dict[str, list[float]]:
    """Milliseconds at each point."""
    return {"at": list(points), "ms": [round(1e3 * seconds(point), 4) for point in points]}


def measure() -> dict[str, Any]:
    """All curves."""
    size, side = BASE.sampling.batch_size, BASE.env.image_size
    return {
        "update, by batch": curve(BATCHES, lambda batch: update(batch, side)),
        "update, by side of the picture": curve(SIDES, lambda pixels: update(size, pixels)),
        "interaction, by positions": curve(POSITIONS, interaction),
        "decision, by environments": curve(ENVS, decision),
        "minibatch, by frames in the buffer": curve(FRAMES, minibatch),
    }


def draw(curves: dict[str, Any], path: Path) -> None:
    """A small plot each, both axes logarithmic, with a line of growth in proportion (or squared, see `power`)."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 5, figsize=(17, 3.4), layout="constrained")
    for axis, (name, made) in zip(axes, curves.items(), strict=True):
        at, spent = np.array(made["at"], float), np.array(made["ms"])
        power = 2 if "side" in name or "positions" in name else 1
        if "buffer" not in name:
            axis.plot(at, spent[-1] * (at / at[-1]) ** power, "--", color="0.6", label="in proportion")
        axis.plot(at, spent, "o-", color="tab:blue", label="measured")
        axis.set(xscale="log", yscale="log", title=name, ylabel="ms")
        axis.set_ylim(bottom=min(spent) / 3, top=max(spent) * 3)
        axis.set_xticks(at, [f"{int(x):,}" for x in at])
        axis.minorticks_off()
        axis.legend(frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    reexec_with_tuned_allocator(sys.argv[1:])
    if not ON_GPU:
        torch.set_num_threads(1)
    target, picture = map(Path, sys.argv[1:])
    begin = time.perf_counter()
    made = {"system": describe_system(), "preset": BASE.preset, "batch": BASE.sampling.batch_size, "curves": measure()}
    target.write_text(json.dumps(made, indent=1) + "\n")
    draw(made["curves"], picture)
    print(json.dumps(made["curves"], indent=1), f"{time.perf_counter() - begin:.0f} s")
