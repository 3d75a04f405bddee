"""Two seeds at once: in two processes, in two threads of one process, and batched with torch.func.

    python bench/seeds_together.py FRAMES

The first two train `sac` (preset laptop, one thread each) for FRAMES frames through the real commands. The third is the
convolutional trunk alone, forward and backward, both seeds' weights stacked under vmap against one after the other.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import torch
from torch.func import functional_call, stack_module_state, vmap

from semore.networks import TRUNKS, Trunk
from semore_fast.presets import PRESETS
from semore_fast.system import describe_system

QUICK = ["--preset", "laptop", "--device", "cpu", "--threads", "1", "--no-tensorboard", "--evaluation.videos", "0"]
QUICK += [
    "--evaluation.driver-episodes",
    "0",
    "--evaluation.final-episodes",
    "1",
    "--evaluation.every-frames",
    "1000000",
]
ROUNDS = 3


def wall_s(seeds_per_process: int, frames: int) -> float:
    """Of a sweep of two seeds."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "semore_fast.sweep", "--agents", "sac", "--seeds", "2", "--no-estimate"]
        command += ["--jobs", "2", "--seeds-per-process", str(seeds_per_process), "--out", folder]
        begin = time.perf_counter()
        subprocess.run([*command, "--", *QUICK, "--frames", str(frames)], check=True, capture_output=True)
        return time.perf_counter() - begin


def trunk_ms() -> dict[str, float]:
    """Forward and backward of two seeds' trunks, milliseconds."""
    torch.set_num_threads(1)
    settings = PRESETS["laptop"]
    trunks = [Trunk(TRUNKS[settings.learner.trunk], 9) for _ in range(2)]
    pictures = torch.randn(2, settings.sampling.batch_size, 9, settings.env.image_size, settings.env.image_size)
    stacked, buffers = stack_module_state(trunks)

    def one(parameters: dict[str, torch.Tensor], held: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        return functional_call(trunks[0], (parameters, held), (x,)).square().mean()

    def batched() -> None:
        vmap(one)(stacked, buffers, pictures).sum().backward()

    def in_turn() -> None:
        for trunk, x in zip(trunks, pictures, strict=True):
            trunk(x).square().mean().backward()

    found = {}
    for name, call in (("one after the other", in_turn), ("batched by vmap", batched)):
        spent = []
        for _ in range(12):
            begin = time.perf_counter()
            call()
            spent.append(1e3 * (time.perf_counter() - begin))
        found[name] = median(spent[2:])
    return found


def main(frames: int) -> None:
    """Takes turns, so that what else the machine does meets all alike."""
    trunk = trunk_ms()
    spent: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(ROUNDS):
        for seeds in spent:
            spent[seeds].append(wall_s(seeds, frames))
    figures = {
        "frames": frames,
        "two processes, s": spent[1],
        "two threads of one process, s": spent[2],
        "trunk, ms": trunk,
        "system": describe_system(),
    }
    path = Path(__file__).parent / "results" / "seeds-together-cpu.json"
    path.write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main(int(sys.argv[1]))
