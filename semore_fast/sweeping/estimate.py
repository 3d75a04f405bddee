"""What a sweep will cost, measured here: a few updates of every method on frames of noise."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median

import torch

from semore.batch import TensorBatch
from semore.ops import FrameStore
from semore_fast.backend import choose_device
from semore_fast.building import STACK, build_agent, build_ops
from semore_fast.config import RunConfig

WARM_UP, MEASURED = 2, 5


def update_seconds(config: RunConfig) -> float:
    """Median wall time of an update of this run's learner on its device, alone on the machine, seconds."""
    torch.set_num_threads(config.torch_threads or max(1, config.threads))
    device = choose_device(config.device)
    agent = build_agent(config, device, build_ops(config, device)[0])
    generator = torch.Generator().manual_seed(0)
    batch = noise_batch(config, generator, device)
    spent_s = []
    for number in range(WARM_UP + MEASURED):
        draws = agent.draw(config.sampling.batch_size, generator)
        begin_s = time.perf_counter()
        agent.update(batch, draws, number % 2 == 0, number % 2 == 0)
        if device.type == "cuda":
            torch.cuda.synchronize()
        spent_s.append(time.perf_counter() - begin_s)
    return median(spent_s[WARM_UP:])


def run_seconds(config: RunConfig, update_s: float) -> float:
    """Of a whole run: its updates; the simulator and evaluation come to little beside them."""
    steps = (config.frames - config.sampling.random_frames) / config.env.action_repeat
    return max(0.0, steps * config.sampling.updates_per_step) * update_s


def sweep_seconds(run_s: Sequence[float], jobs: int) -> float:
    """Of all runs with `jobs` at a time, each as fast as alone: the best that can be hoped for."""
    return max(sum(run_s) / jobs, max(run_s, default=0.0))


def noise_batch(config: RunConfig, generator: torch.Generator, device: torch.device) -> TensorBatch:
    """A minibatch of noise for this run's learner, of the shapes and places of a real one."""
    size, window = config.sampling.batch_size, STACK + config.sampling.n_step
    side, held = config.env.image_size, 4 * size + window
    frames = torch.randint(0, 256, (held, 3, side, side), generator=generator, dtype=torch.uint8)
    masks = torch.randint(0, 256, (held, side, side), generator=generator, dtype=torch.uint8)
    first = torch.randint(0, held - window, (size, 1), generator=generator)
    normal = torch.randn(4, size, generator=generator).to(device)
    return TensorBatch(
        store=FrameStore(frames.to(device), masks.to(device)),
        slots=(first + torch.arange(window)).to(device),
        has_mask=torch.ones(size, dtype=torch.bool, device=device),
        action=normal[:2].T.tanh().contiguous(),
        reward=normal[2],
        nstep_return=normal[3],
        bootstrap_discount=torch.full((size,), config.sampling.discount, device=device),
    )
