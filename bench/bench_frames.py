"""The encoders' inputs from uint8 frames: straight out of the replay ring, against gathering first and torch after.

`pytest bench/bench_frames.py -s`. Equality comes before timing; everything takes turns on as many threads.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import pytest
import torch
from frames_peers import PIPELINES, REACH, SPEC, STACK, Inputs
from interleave import alternate, report
from pytest_benchmark.fixture import BenchmarkFixture
from replay_peers import StreamLimit
from torch import Tensor

from semore import ops
from semore.ops import FrameStore, InputSpec
from semore.replay import Batch, ReplaySpec, Windows
from semore_fast import ops_cpp
from semore_fast.feed import InPlace
from semore_fast.replay import CppReplayBuffer

TWINS = {"reference": ops.encoder_inputs, "cpp": ops_cpp.encoder_inputs}
SIZES = [(64, 64), (128, 128)]  # batch and image size of the presets laptop and paper
BATCH, SIDE = 128, 128
TRANSITIONS = 2000
ROUNDS = 20
ONE_STEP = 2**-8  # of a bfloat16 between 0.5 and 1: where a resampled value lies near the middle, rounding may differ


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=["bfloat16", "float32"])
@pytest.mark.parametrize(("batch", "size"), SIZES)
@pytest.mark.parametrize("twin", TWINS)
def test_encoder_inputs(benchmark: BenchmarkFixture, twin: str, batch: int, size: int, dtype: torch.dtype) -> None:
    """Stack, signed residual and masked stack under a random shift, on one thread."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    held = 6 * batch
    masks = torch.randint(0, 256, (held, size, size), dtype=torch.uint8)
    store = FrameStore(torch.randint(0, 256, (held, 3, size, size), dtype=torch.uint8), masks)
    inputs = store, torch.randint(0, held, (batch, STACK)), torch.randint(-REACH, REACH + 1, (batch, 2))
    spec = InputSpec(offset=0.5, residual="signed", masked=True, dtype=dtype)
    wanted = ops.encoder_inputs(*inputs, spec)
    made = benchmark(TWINS[twin], *inputs, spec)
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(made, wanted, strict=True))


class Sampler:
    """A full ring, and minibatches of it: by us, or gathered for the others."""

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        self.buffer = CppReplayBuffer(ReplaySpec(TRANSITIONS, 1, (3, SIDE, SIDE), 2, masks=False), threads)
        rng, env, no = np.random.default_rng(7), np.zeros(1, np.int64), np.zeros(1, np.bool_)
        for number in range(TRANSITIONS):
            frame = rng.integers(0, 256, (1, 3, SIDE, SIDE), np.uint8)
            if number % 100 == 0:
                self.buffer.begin(env, frame)
            self.buffer.add(env, np.zeros((1, 2), np.float32), np.zeros(1, np.float32), no, no, frame, ~no)
        self._in_place = InPlace(self.buffer, BATCH)
        self.gathered = Batch.empty(self.buffer.spec, BATCH)
        self._frames = torch.from_numpy(self.gathered.frames)
        self._rng, self._draws = rng, torch.Generator().manual_seed(1)

    def draw(self) -> tuple[np.ndarray, Tensor, Tensor]:
        shifts = torch.randint(-REACH, REACH + 1, (2, BATCH, 2), generator=self._draws)
        return self._rng.integers(0, len(self.buffer), BATCH), shifts[0], shifts[1]

    def ours(self, indices: np.ndarray, shift: Tensor, shift_next: Tensor) -> Inputs:
        batch = self._in_place.take(indices)
        made: Inputs = []
        for first, moved in ((0, shift), (1, shift_next)):
            slots = batch.slots[:, first : first + STACK]
            made += [x for x in ops_cpp.encoder_inputs(batch.store, slots, moved, SPEC) if x is not None]
        return made

    def theirs(self, name: str, indices: np.ndarray, shift: Tensor, shift_next: Tensor) -> Inputs:
        self.buffer.gather(indices, self.gathered)
        return PIPELINES[name](self._frames, shift, shift_next)


def check_equal(sampler: Sampler) -> Inputs:
    """All make the same; resampling only nearly. Returns what ours made."""
    drawn = sampler.draw()
    ours = sampler.ours(*drawn)
    for name in PIPELINES:
        theirs = sampler.theirs(name, *drawn)
        for mine, other in zip(ours, theirs, strict=True):
            assert mine.is_contiguous(memory_format=torch.channels_last), name
            error = (mine.float() - other.float()).abs().max().item()
            assert error <= (0 if name == "torch" else ONE_STEP), (name, error)
    return ours


@pytest.mark.parametrize("threads", [1, 2])
def test_from_ring_to_encoders(benchmark: BenchmarkFixture, tmp_path: Path, threads: int) -> None:
    """Gather, shift, residual, normalise to bfloat16, channels last: observation and next observation, no masks.

    Targets on two threads: 15 times grid_sample, 6 times compiled, 70 % of writing as many bytes past the cache.
    """
    sampler = Sampler(threads)
    outputs = check_equal(sampler)
    written, read = sum(x.nbytes for x in outputs), sampler.gathered.frames
    calls: dict[str, Callable[[], object]] = {
        name: lambda name=name: sampler.theirs(name, *sampler.draw()) for name in PIPELINES
    }
    calls["ours"] = lambda: sampler.ours(*sampler.draw())
    calls["gather_alone"] = lambda: sampler.buffer.gather(sampler.draw()[0], sampler.gathered)
    with StreamLimit(tmp_path, threads) as stream:

        def write() -> None:
            for x in outputs:
                stream.write(x.data_ptr(), x.nbytes)

        calls |= {"write_limit": write, "read_limit": partial(stream.read, read)}
        samples = alternate(calls, ROUNDS)
    seconds = {name: median(values) for name, values in samples.items()}
    ours, limit = seconds["ours"], seconds["write_limit"]
    report(
        benchmark,
        {f"{name}_ms": value * 1e3 for name, value in seconds.items()}
        | {f"{name}_fastest_ms": min(values) * 1e3 for name, values in samples.items()}
        | {f"over_{name}": seconds[name] / ours for name in PIPELINES}
        | {"share_of_write_limit": limit / ours, "share_of_limit": (limit + seconds["read_limit"]) / ours}
        | {"written_mb": written / 1e6, "read_mb": read.nbytes / 1e6},
    )
    benchmark.pedantic(calls["ours"], rounds=ROUNDS, warmup_rounds=2)


def test_locate(benchmark: BenchmarkFixture) -> None:
    """What is left of sampling where frames stay in the ring."""
    sampler = Sampler(1)
    at = Windows.empty(sampler.buffer.spec, BATCH)
    benchmark(lambda: sampler.buffer.locate(sampler.draw()[0], at))
