"""The encoders' inputs from uint8 frames: the C++ twin against its definition. `pytest bench/bench_frames.py`.

Both run on one thread. Equality comes first: a timing of something else would mean nothing.
"""

from __future__ import annotations

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from semore import ops
from semore.ops import InputSpec
from semore_fast import ops_cpp

TWINS = {"reference": ops.encoder_inputs, "cpp": ops_cpp.encoder_inputs}
STACK, WINDOW = 3, 6  # frames of an observation, and of the window that it is a view of
SIZES = [(64, 64), (128, 128)]  # batch and image size of the presets laptop and paper


def make_batch(batch: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    frames = torch.randint(0, 256, (batch, WINDOW, 3, size, size), dtype=torch.uint8)
    mask = torch.randint(0, 256, (batch, size, size), dtype=torch.uint8)
    return frames[:, 1 : 1 + STACK], torch.randint(-4, 5, (batch, 2)), mask


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=["bfloat16", "float32"])
@pytest.mark.parametrize(("batch", "size"), SIZES)
@pytest.mark.parametrize("twin", TWINS)
def test_encoder_inputs(benchmark: BenchmarkFixture, twin: str, batch: int, size: int, dtype: torch.dtype) -> None:
    """Stack, signed residual and masked stack under a random shift."""
    torch.set_num_threads(1)
    inputs, spec = make_batch(batch, size), InputSpec(offset=0.5, residual="signed", masked=True, dtype=dtype)
    wanted = ops.encoder_inputs(*inputs, spec)
    made = benchmark(TWINS[twin], *inputs, spec)
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(made, wanted, strict=True))
