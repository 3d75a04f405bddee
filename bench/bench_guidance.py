"""What a vision-language model costs beside a learner: verdicts, annotations, memory, the learner's slow-down.

    pytest bench/bench_guidance.py --benchmark-only

On a GPU a random Qwen2-VL-7B in nf4 and bf16 beside the preset paper; without one a tiny model beside the preset
laptop, whose figures say that this file runs and nothing about a real model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from gpu_timing import DEVICE, ON_GPU, OPTIONS, peak_bytes, seconds
from pytest_benchmark.fixture import BenchmarkFixture
from random_qwen import checkpoint

from semore.guidance import Snapshot
from semore.guidance.qwen import QwenGuide
from semore.guidance.qwen_load import load_qwen
from semore.guidance.qwen_options import QwenOptions
from semore_fast.guidance.background import BackgroundService, ServiceLimits
from semore_fast.guidance.key_frames import KeyFrames
from semore_fast.guidance.models import KEY_FRAME_INTERVAL
from semore_fast.guidance.pipeline import LocalWords, Pipeline
from semore_fast.presets import PRESETS
from semore_fast.sweeping.estimate import update_seconds

BATCHES = (1, 8, 16, 32) if ON_GPU else (1, 4)
PIXELS = 128
ROUNDS = OPTIONS if ON_GPU else {"min_rounds": 3, "max_time": 0.3}
GENERATED = 32
"""Tokens of the answer that a verdict is compared with."""
STEP_S = 0.02
"""One decision of one environment in training, assumed for the default key-frame rate."""


class NoSegmenter:
    """Masks of nothing: words are what is measured."""

    revision = "none"

    def segment_batch(self, frames: torch.Tensor, phrases: list[tuple[str, ...]]) -> torch.Tensor:
        return torch.zeros(len(frames), *frames.shape[2:])


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("qwen"), DEVICE)


@pytest.fixture(scope="module", params=["nf4", "bf16"])
def guide(request: pytest.FixtureRequest, folder: Path) -> Iterator[QwenGuide]:
    loaded = load_qwen(
        str(folder), quantisation=request.param, device=DEVICE, options=QwenOptions(max_batch=max(BATCHES))
    )
    yield loaded
    del loaded
    if ON_GPU:
        torch.cuda.empty_cache()


def frames_of(batch: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (batch, 3, PIXELS, PIXELS), generator=generator, dtype=torch.uint8).to(DEVICE)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.benchmark(group="guidance: verdicts", **ROUNDS)
def test_verdicts(benchmark: BenchmarkFixture, guide: QwenGuide, batch: int) -> None:
    frames, actions = frames_of(batch), np.zeros((batch, 2), np.float32)
    alone = np.concatenate([guide.judge_probability(frames[i : i + 1], actions[i : i + 1]) for i in range(batch)])
    np.testing.assert_allclose(guide.judge_probability(frames, actions), alone, atol=0.1)  # bf16 rounds
    benchmark(guide.judge_batch, frames, actions)
    info = {"batch": batch, "peak_bytes": peak_bytes(lambda: guide.judge_batch(frames, actions))}
    benchmark.extra_info.update(info, verdicts_per_s=batch / benchmark.stats.stats.median)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.benchmark(group="guidance: annotations", **ROUNDS)
def test_annotations(benchmark: BenchmarkFixture, guide: QwenGuide, batch: int) -> None:
    frames = frames_of(batch)
    benchmark(guide.annotate_batch, frames, "jw")
    info = {"batch": batch, "peak_bytes": peak_bytes(lambda: guide.annotate_batch(frames, "jw"))}
    benchmark.extra_info.update(info, annotations_per_s=batch / benchmark.stats.stats.median)


@pytest.mark.parametrize("batch", [1, 16])
@pytest.mark.benchmark(group="guidance: a verdict against an answer of 32 tokens", **ROUNDS)
def test_a_verdict_against_an_answer(benchmark: BenchmarkFixture, folder: Path, batch: int) -> None:
    options = QwenOptions(mode="free", max_new_tokens=GENERATED, max_batch=16)
    guide = load_qwen(str(folder), quantisation="nf4", device=DEVICE, options=options)
    frames, actions = frames_of(batch), np.zeros((batch, 2), np.float32)
    answer_s = seconds(lambda: guide.annotate_batch(frames, "jw"), rounds=3)
    benchmark(guide.judge_batch, frames, actions)
    benchmark.extra_info.update(batch=batch, answer_s=answer_s, times_as_fast=answer_s / benchmark.stats.stats.median)


@pytest.mark.benchmark(group="guidance: the learner beside it", **ROUNDS)
def test_the_learner_beside_a_working_model(benchmark: BenchmarkFixture, guide: QwenGuide) -> None:
    """Updates alone, then beside a service that gets frames at the default key-frame rate."""
    config = dataclasses.replace(PRESETS["paper" if ON_GPU else "laptop"], agent="semore", threads=1)
    alone_s = update_seconds(config)
    words = LocalWords(guide, "jw", DEVICE, print)
    service = BackgroundService(
        Pipeline(words, NoSegmenter(), DEVICE, print), KeyFrames(1), ServiceLimits(batch_deadline_s=0.05), print
    )
    snapshot = [Snapshot(frames_of(1)[0].cpu().numpy())]
    beside = []
    for step in range(10):  # each measurement is a few updates long; the queue is fed as training would meanwhile
        for key in range(max(1, round(7 * alone_s / (STEP_S * KEY_FRAME_INTERVAL)))):
            service.submit(np.array([100 * step + key]), snapshot)
        beside.append(update_seconds(config))
    benchmark.pedantic(lambda: None, rounds=1)
    service.close()
    stats = service.stats()
    assert stats["failed"] == 0
    info = {"alone_s": alone_s, "beside_s": float(np.median(beside)), "guidance": stats}
    benchmark.extra_info.update(info, slow_down=float(np.median(beside)) / alone_s - 1)
