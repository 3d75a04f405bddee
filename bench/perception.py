"""How soon a trunk can tell who will be run into, by what its input is centred on: supervised, without any policy.

    python bench/perception.py OUT.json

A driver that mostly keeps full throttle fills 64 environments' worth of frames. A trunk, head and small network, as the
`laptop` preset's, learn from single minibatches whether the car hits somebody within 1.4 s, from stacks in which it has
not yet. Measured on environments of their own: the area under the ROC curve, after so many updates, for several seeds.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from semore.mean_picture import MeanPicture
from semore.networks import TRUNKS, Head, Trunk, map_side, mlp
from semore.ops import FrameStore, InputSpec, encoder_inputs
from semore_fast.allocator import reexec_with_tuned_allocator
from semore_fast.config import RunConfig
from semore_fast.presets import PRESETS
from semore_fast.system import describe_system
from semore_fast.worlds import open_worlds

ENVS, STEPS, STACK, SOON = 64, 400, 3, 7
HELD_OUT = ENVS // 4
BATCH, SEEDS = 64, 3
AT = (250, 500, 1000)
SIDES = {32: 4, 64: 2}
"""Pixels, and how many times larger they are drawn."""


@dataclass(frozen=True)
class Drive:
    """What was seen and what came of it; T steps of N environments."""

    frames: Tensor
    """uint8 [T N, 3, H, W], an environment's frames one after another."""
    slots: NDArray[np.int64]
    """[M, K], stacks in which nobody has been hit."""
    hit_soon: NDArray[np.bool_]
    """[M]."""
    held_out: NDArray[np.bool_]
    """[M], from environments that training does not see."""


def collect(side: int) -> Drive:
    """Drives, the same way whatever the pictures are."""
    base = PRESETS["laptop"]
    env_config = dataclasses.replace(base.env, image_size=side, supersample=SIDES[side])
    config: RunConfig = dataclasses.replace(base, envs=ENVS, env=env_config)
    rng = np.random.default_rng(5)
    frames = np.empty((ENVS, STEPS, 3, side, side), np.uint8)
    hit, episode = np.zeros((STEPS, ENVS), np.bool_), np.zeros((STEPS, ENVS), np.int64)
    sway, phase = rng.choice([0.0, 0.1, 0.25], ENVS), rng.uniform(0, 2 * np.pi, ENVS)
    braking = np.zeros(ENVS, np.int64)
    with ExitStack() as stack:
        env = open_worlds(config, ids=False, logs=Path(), say=lambda _: None, stack=stack).training_env(ids=False)
        stack.callback(env.close)
        seen, _ = env.reset(seed=5)
        for step in range(STEPS):
            frames[:, step] = seen
            braking = np.where(braking > 0, braking - 1, (rng.random(ENVS) < 0.03) * rng.integers(1, 6, ENVS))
            throttle = 1 - 0.5 * rng.random(ENVS) * (rng.random(ENVS) < 0.3)
            drive = np.where(braking > 0, -rng.random(ENVS), throttle)
            actions = np.stack([sway * np.sin(0.6 * step + phase), drive], 1).astype(np.float32)
            seen, _, terminated, truncated, info = env.step(actions)
            hit[step], ended = info["crash_intensity_ns"] > 0, terminated | truncated
            if ended.any():
                seen, _ = env.reset(options={"reset_mask": ended})
            if step + 1 < STEPS:
                episode[step + 1] = episode[step] + ended
    return Drive(torch.from_numpy(frames.reshape(-1, 3, side, side)), *labelled(hit, episode))


def labelled(hit: NDArray[np.bool_], episode: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
    """Slots of every stack without a hit, whether one follows, and whether it is held out."""
    slots, soon, held_out = [], [], []
    for step in range(STACK - 1, STEPS - SOON):
        first = step - STACK + 1
        usable = (episode[first] == episode[step]) & ~hit[first:step].any(0)
        follows = (hit[step : step + SOON] & (episode[step : step + SOON] == episode[step])).any(0)
        for env in np.flatnonzero(usable):
            slots.append(env * STEPS + np.arange(first, step + 1))
            soon.append(follows[env])
            held_out.append(env >= ENVS - HELD_OUT)
    return np.array(slots), np.array(soon), np.array(held_out)


class Watcher(nn.Module):
    """Trunk, head and a small network; centred as a learner is."""

    def __init__(self, side: int, centre: str) -> None:
        super().__init__()
        spec = TRUNKS["sacae-small"]
        self.mean_picture = MeanPicture(side) if centre == "picture" else None
        self.trunk, self.head = Trunk(spec, 3 * STACK), Head(spec.channels[-1], map_side(spec, side), 50)
        self.rest = mlp(50, 256, 1, 1, layer_norm=True)
        self.to(memory_format=torch.channels_last)

    def forward(self, frames: Tensor, slots: Tensor, shift: Tensor | None) -> Tensor:
        """Logits [B]."""
        if self.training and self.mean_picture is not None:
            self.mean_picture.observe(frames[slots[:, -1]])
        store = FrameStore(frames, centre=None if self.mean_picture is None else self.mean_picture.picture)
        spec = InputSpec(offset=0.5, residual="none", masked=False, dtype=torch.bfloat16)
        stack, _, _ = encoder_inputs(store, slots, shift, spec)
        with torch.autocast("cpu", torch.bfloat16):
            logits: Tensor = self.rest(self.head(self.trunk(stack))).float().squeeze(1)
        return logits


def area_under_roc(scores: NDArray[Any], positive: NDArray[np.bool_]) -> float:
    """Chance that a positive scores above a negative, equal scores counting half."""
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)  # bfloat16 has many equal scores
    ranks, hits = (counts.cumsum() - (counts - 1) / 2)[place], int(positive.sum())
    return float((ranks[positive].sum() - hits * (hits + 1) / 2) / (hits * (len(scores) - hits)))


def learn(drive: Drive, side: int, centre: str, seed: int) -> list[float]:
    """Areas under the curve after `AT` updates."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    watcher = Watcher(side, centre)
    optimiser = torch.optim.Adam(watcher.parameters(), 1e-3)
    train, test = np.flatnonzero(~drive.held_out), np.flatnonzero(drive.held_out)[::3]
    slots, soon = torch.from_numpy(drive.slots), torch.from_numpy(drive.hit_soon)
    areas, reach = [], max(1, side // 16)
    for update in range(1, AT[-1] + 1):
        chosen = torch.from_numpy(rng.choice(train, BATCH))
        shift = torch.from_numpy(rng.integers(-reach, reach + 1, (BATCH, 2)))
        loss = F.binary_cross_entropy_with_logits(watcher(drive.frames, slots[chosen], shift), soon[chosen].float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if update in AT:
            watcher.eval()
            with torch.no_grad():
                parts = [watcher(drive.frames, slots[part], None) for part in np.array_split(test, 10)]
            areas.append(round(area_under_roc(torch.cat(parts).numpy(), drive.hit_soon[test]), 3))
            watcher.train()
    return areas


def share_of_mean_picture(frames: Tensor) -> float:
    """Of the variance over pixels and frames, how much is the mean picture's."""
    some = frames[::10].double()
    return float(some.mean(0).var() / some.var())


def main(target: Path) -> None:
    torch.set_num_threads(1)
    rows, shares = [], {}
    for side in SIDES:
        drive = collect(side)
        shares[side] = round(share_of_mean_picture(drive.frames), 3)
        for centre in ("constant", "picture"):
            began = time.process_time()
            areas = [learn(drive, side, centre, seed) for seed in range(SEEDS)]
            seconds = (time.process_time() - began) / SEEDS
            rows.append({"side": side, "centre": centre, "area_under_roc": areas, "cpu_s": round(seconds, 1)})
            print(rows[-1], flush=True)
    settings = {"updates": AT, "batch": BATCH, "stacks": len(drive.slots), "positive": float(drive.hit_soon.mean())}
    settings["variance_share_of_mean_picture"] = shares
    result = {"system": describe_system(), "command": " ".join(sys.argv), **settings, "rows": rows}
    target.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    reexec_with_tuned_allocator(sys.argv[1:])
    main(Path(sys.argv[1]))
