"""Guidance by models in real training runs: tiny random ones in this process, a server double, recorded labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from chat_double import chat_double
from test_training import tiny, train

from semore.guidance.qwen_errors import GuidanceModelError
from semore_fast.config import GuidanceConfig, RunConfig
from semore_fast.errors import UserError
from semore_fast.guidance import models
from semore_fast.guidance.choose import GuidanceUnavailableError
from semore_fast.guidance.model import ModelError
from semore_fast.guidance.models import model_service, require_room
from semore_fast.guidance.pipeline import Pipeline, Portions
from semore_fast.guidance.service import OUTCOMES


class Square:
    """A segmenter that marks the upper left quarter of whatever has a name."""

    revision = "square"

    def segment_batch(self, frames: torch.Tensor, phrases: list[tuple[str, ...]]) -> torch.Tensor:
        masks = torch.zeros(len(frames), *frames.shape[2:])
        for row, named in enumerate(phrases):
            if named:
                masks[row, : frames.shape[2] // 2, : frames.shape[3] // 2] = 1
        return masks


def guided(tmp_path: Path, kind: str, **guide: Any) -> RunConfig:
    config = tiny(tmp_path / kind, agent="semore")
    settings = {"key_frame_interval": 2, "selective_fraction": 1.0, "batch": 4, "timeout_s": 5.0} | guide
    return replace(config, guidance=kind, guide=replace(GuidanceConfig(), **settings))


@pytest.fixture
def square(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_segmenter", lambda *_: Square())


def check_counts(stats: dict[str, int]) -> None:
    assert stats["requested"] == sum(stats[name] for name in OUTCOMES)


@pytest.mark.usefixtures("square")
def test_a_run_behind_a_server_stores_masks_and_withdraws_pairs(tmp_path: Path) -> None:
    with chat_double() as double:
        double.text = "no, pedestrian crossing the road"
        parts, trainer = train(guided(tmp_path, "chat", url=double.url, cache=str(tmp_path / "labels")))
    parts.collector.guidance.close()
    stats, replay = parts.collector.guidance.stats(), parts.collector.replay.stats()
    check_counts(stats)
    assert trainer.updates > 0
    assert stats["judged"] > 0
    assert stats["unreasonable"] == stats["judged"]
    assert replay["masks"] > 0
    assert replay["dropped"] > 0

    again, _ = train(guided(tmp_path, "recorded", cache=str(tmp_path / "labels")))
    again.collector.guidance.close()
    check_counts(again.collector.guidance.stats())
    assert again.collector.replay.stats()["masks"] > 0


@pytest.mark.usefixtures("square")
def test_training_outlives_a_server_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts, trainer = train(guided(tmp_path, "chat", url="http://127.0.0.1:9/v1"))
    parts.collector.guidance.close()
    stats = parts.collector.guidance.stats()
    check_counts(stats)
    assert trainer.updates > 0
    assert stats["failed"] > 0
    assert stats["answered"] == stats["late"] == 0
    assert "training goes on without guidance" in capsys.readouterr().out


def test_a_batch_that_does_not_fit_is_halved_for_good() -> None:
    said: list[str] = []
    sizes: list[int] = []

    def work(rows: slice) -> list[int]:
        sizes.append(rows.stop - rows.start)
        if sizes[-1] > 3:
            raise torch.OutOfMemoryError("no room")
        return list(range(rows.start, rows.stop))

    portions = Portions(said.append, "model")
    assert portions.run(10, work) == list(range(10))
    assert sizes == [10, 5, 2, 2, 2, 2, 2]
    sizes.clear()
    assert portions.run(3, work) == [0, 1, 2]
    assert sizes == [2, 1]
    assert len(said) == 2


def test_one_frame_that_does_not_fit_is_a_model_error() -> None:
    def work(rows: slice) -> list[int]:
        raise torch.OutOfMemoryError("no room")

    with pytest.raises(ModelError, match="one frame does not fit"):
        Portions(lambda _: None, "model").run(2, work)


def test_a_pipeline_masks_the_words_of_each_frame() -> None:
    class TwoWords:
        revision = "two"

        def annotate_batch(self, frames: np.ndarray) -> list[tuple[str, ...]]:
            return [("a car",) if frame.any() else () for frame in frames]

        def judge_batch(self, frames: np.ndarray, actions: np.ndarray) -> list[bool]:
            return [bool(action[0] > 0) for action in actions]

        def close(self) -> None:
            pass

    pipeline = Pipeline(TwoWords(), Square(), torch.device("cpu"), print)
    frames = np.stack([np.zeros((3, 4, 4), np.uint8), np.ones((3, 4, 4), np.uint8)])
    phrases, masks = pipeline.masks(frames)
    assert phrases == [(), ("a car",)]
    assert masks.sum((1, 2)).tolist() == [0, 4]
    assert pipeline.verdicts(frames, np.array([[1, 0], [-1, 0]], np.float32)) == [True, False]
    assert pipeline.revision == "two+square"


def test_a_model_that_does_not_fit_is_refused_with_the_numbers() -> None:
    require_room(7 << 30, 20 << 30)
    with pytest.raises(GuidanceModelError, match=r"needs 17\.2 GB and the learner 6\.44 GB, but 21\.5 GB of GPU"):
        require_room(16 << 30, 20 << 30)


@pytest.mark.parametrize(
    ("kind", "guide", "message"),
    [
        ("chat", {}, "give the server with --guide.url"),
        ("chat", {"url": "ftp://x"}, "--guide.url must begin with"),
        ("recorded", {}, "give the file of labels with --guide.cache"),
        ("qwen", {"model": "/nowhere/model"}, "--guidance qwen: .*nowhere"),
        ("chat", {"url": "http://x", "prompts": "/nowhere"}, "no prompt folder /nowhere"),
        ("chat", {"url": "http://x", "segmenter": "cris"}, "cris needs --guide.segmenter-model"),
        ("chat", {"url": "http://x", "segmenter": "cris-rn101"}, "cris needs --guide.segmenter-model"),
        ("chat", {"url": "http://x", "segmenter_model": "/nowhere"}, "nowhere"),
    ],
)
def test_what_cannot_work_is_said_in_one_line(kind: str, guide: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        model_service(kind, replace(GuidanceConfig(), **guide), "jw", torch.device("cpu"), print)
    assert "\n" not in str(caught.value)


def test_a_method_without_guidance_refuses_a_model(tmp_path: Path) -> None:
    config = replace(tiny(tmp_path / "run", agent="sac"), guidance="qwen")
    with pytest.raises(GuidanceUnavailableError, match="learns without guidance"):
        train(config)


def test_the_servers_key_is_not_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, square: Callable[..., None]
) -> None:
    monkeypatch.setenv(models.KEY, "very-secret")
    with chat_double() as double:
        parts, _ = train(guided(tmp_path, "chat", url=double.url))
        parts.collector.guidance.close()
        assert double.headers[0]["Authorization"] == "Bearer very-secret"
    for file in (tmp_path / "chat").glob("*.json*"):
        assert "very-secret" not in file.read_text()


@pytest.fixture(scope="module")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of a tiny random Qwen2-VL and a tiny random CLIPSeg."""
    from qwen_tiny import save_tiny
    from test_clipseg import save

    folder = tmp_path_factory.mktemp("models")
    return save_tiny(folder / "qwen"), save(folder / "clipseg")


@pytest.mark.parametrize("quantisation", ["fp32", "nf4"])
def test_a_run_trains_beside_qwen_and_clipseg(
    tmp_path: Path, tiny_models: tuple[Path, Path], quantisation: str, capsys: pytest.CaptureFixture[str]
) -> None:
    qwen, clipseg = (str(folder) for folder in tiny_models)
    labels = tmp_path / "labels"
    settings = {"model": qwen, "segmenter_model": clipseg, "quantisation": quantisation, "cache": str(labels)}
    parts, trainer = train(guided(tmp_path, "qwen", **settings, timeout_s=60.0, queue=1000))
    parts.collector.guidance.close()
    stats = parts.collector.guidance.stats()
    check_counts(stats)
    assert trainer.updates > 0
    assert stats["failed"] == stats["timed_out"] == 0
    assert stats["judged"] + stats["answered"] + stats["late"] + stats["missed"] > 0
    assert "key frames every 2 steps" in capsys.readouterr().out
    assert labels.is_file()
