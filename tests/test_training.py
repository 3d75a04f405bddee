"""The training loop as a whole: learns on real frames, resumes bit for bit, leaves what it promises."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from semore.agents import Agent
from semore.batch import TensorBatch
from semore_fast import checkpoint
from semore_fast.building import build
from semore_fast.config import RunConfig, to_dict
from semore_fast.errors import UserError
from semore_fast.evaluation import evaluate_run
from semore_fast.feed import Feed
from semore_fast.guidance.service import OUTCOMES
from semore_fast.presets import PRESETS
from semore_fast.progress import Progress
from semore_fast.replay import CppReplayBuffer
from semore_fast.rundir import RunDirectory
from semore_fast.session import _start_or_restore, run_session
from semore_fast.trainer import Parts, Trainer


def tiny(out: Path, **changes: object) -> RunConfig:
    """The laptop preset, shrunk until a run takes seconds."""
    base = PRESETS["laptop"]
    config = dataclasses.replace(
        base,
        frames=400,
        envs=1,
        out=out,
        threads=1,
        checkpoint_every_frames=200,
        log_every_frames=100,
        tensorboard=False,
        env=dataclasses.replace(base.env, image_size=36, supersample=1, max_episode_frames=80),
        sampling=dataclasses.replace(base.sampling, batch_size=8, random_frames=100, updates_per_step=1.0),
        learner=dataclasses.replace(base.learner, hidden_dim=32, precision="float32"),
        evaluation=dataclasses.replace(
            base.evaluation, every_frames=200, episodes=2, final_episodes=2, envs=2, driver_episodes=1, videos=1
        ),
    )
    return dataclasses.replace(config, **changes)  # type: ignore[arg-type]


def train(config: RunConfig, stop_at: int | None = None) -> tuple[Parts, Trainer]:
    """Trains without the final evaluation, and stops at a frame as Ctrl-C would."""
    torch.manual_seed(config.seed)
    assert config.out is not None
    with ExitStack() as stack:
        run = stack.enter_context(RunDirectory.open(config.out, to_dict(config)))
        progress = stack.enter_context(Progress("test", config.frames))
        parts = build(config, run, torch.device("cpu"), progress, stack)
        trainer = Trainer(parts)
        _start_or_restore(trainer, parts, run)
        if stop_at is not None:
            step = trainer._step

            def step_and_stop() -> None:
                step()
                trainer.stop = parts.collector.frame >= stop_at

            trainer._step = step_and_stop  # type: ignore[method-assign]
        trainer.run()
    return parts, trainer


def newest(config: RunConfig) -> checkpoint.Checkpoint:
    assert config.out is not None
    saved = checkpoint.load_latest(config.out / "checkpoints")
    assert saved is not None
    return saved


@pytest.mark.parametrize("agent", ["semore", "sac"])
def test_stopped_and_resumed_equals_uninterrupted(tmp_path: Path, agent: str) -> None:
    whole = tiny(tmp_path / "whole", agent=agent)
    halved = tiny(tmp_path / "halved", agent=agent)
    train(whole)
    train(halved, stop_at=270)
    assert newest(halved).step < 400
    train(halved)
    one, two = newest(whole), newest(halved)
    assert one.step == two.step
    assert one.meta["counters"] == two.meta["counters"]
    for group in one.tensors:
        assert one.tensors[group].keys() == two.tensors[group].keys()
        for name, value in one.tensors[group].items():
            assert np.array_equal(np.asarray(value), np.asarray(two.tensors[group][name])), f"{group}/{name}"


def test_metrics_hold_no_line_from_the_lost_future(tmp_path: Path) -> None:
    config = tiny(tmp_path / "run")
    train(config, stop_at=270)
    assert config.out is not None
    lines = (config.out / "metrics.jsonl").read_text().splitlines()
    future = json.dumps({"kind": "train", "frame": 399, "step": 0, "time_s": 0})
    (config.out / "metrics.jsonl").write_text("\n".join([*lines, future]) + "\n")
    train(config)
    frames = [json.loads(line)["frame"] for line in (config.out / "metrics.jsonl").read_text().splitlines()]
    assert frames == sorted(frames)


@pytest.mark.parametrize("ratio", [1.0, 1 / 3])
def test_overlap_and_environment_count_keep_the_update_ratio(tmp_path: Path, ratio: float) -> None:
    sampling = dataclasses.replace(tiny(tmp_path).sampling, updates_per_step=ratio)
    one, first = train(tiny(tmp_path / "one", sampling=sampling))
    four, second = train(tiny(tmp_path / "four", sampling=sampling, envs=4))
    assert one.collector.frame >= 400
    assert four.collector.frame >= 400
    assert first.updates == pytest.approx(ratio * (one.collector.frame - 100) / 4, abs=3)
    assert second.updates == pytest.approx(ratio * (four.collector.frame - 100) / 4, abs=3 * 4 * ratio + 1)


def test_a_whole_session_leaves_what_it_promises(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tiny(tmp_path / "run", tensorboard=True)
    assert run_session(config) == 0
    out = config.out
    assert out is not None
    summary = json.loads((out / "summary.json").read_text())
    for metric in ("episode_return", "distance_m", "crash_intensity_ns", "steer_percent", "brake_percent"):
        assert np.isfinite(summary["seen"][metric])
        assert np.isfinite(summary["not_drawn"][metric])
    assert set(summary["drivers"]) == {"do_nothing", "full_throttle", "weave", "privileged"}
    expected = summary["seen"]["episode_return"] - summary["not_drawn"]["episode_return"]
    assert summary["gap"]["mean"] == pytest.approx(expected)
    assert (out / "curve.png").stat().st_size > 5_000
    assert (out / "videos" / "episode-0.mp4").stat().st_size > 1_000
    assert (out / "videos" / "episode-0.jpg").stat().st_size > 5_000
    assert np.mean(summary["episode_returns"]["seen"]) == pytest.approx(summary["seen"]["episode_return"])
    assert list((out / "tensorboard").iterdir())
    manifest = json.loads((out / "manifest.json").read_text())
    assert {"system", "kernels", "replay", "guidance", "scenario"} <= manifest.keys()
    kinds = {json.loads(line)["kind"] for line in (out / "metrics.jsonl").read_text().splitlines()}
    assert {"train", "episode", "evaluation"} <= kinds
    assert run_session(config) == 0
    assert "finished" in capsys.readouterr().out
    again = evaluate_run(out, episodes=2, seed=2_000_000, drivers=False, videos=0, device="cpu")
    assert again["seen"] == summary["seen"]
    assert "has changed" not in capsys.readouterr().out
    manifest["scenario"]["road"]["pavement_width_m"] += 1
    (out / "manifest.json").write_text(json.dumps(manifest))
    evaluate_run(out, episodes=1, seed=2_000_000, drivers=False, videos=0, device="cpu")
    assert "the scenario has changed since this run began: road.pavement_width_m: saved" in capsys.readouterr().out


@pytest.mark.parametrize("scenario", ["hb", "hw"])
def test_the_other_scenarios_train_too(tmp_path: Path, scenario: str) -> None:
    parts, trainer = train(tiny(tmp_path / "run", scenario=scenario, frames=200, agent="semore"))
    assert trainer.updates > 0
    assert parts.collector.guidance.stats()["answered"] > 0


def test_no_frame_is_stored_while_a_minibatch_is_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its frames are read in the ring, also by the actor's and the target's passes of one update."""
    in_use, stored = False, 0
    sample, update = Feed.sample, Agent.update

    def sampled(self: Feed) -> TensorBatch:
        nonlocal in_use
        in_use = True
        return sample(self)

    def updated(self: Agent, *args: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
        nonlocal in_use
        metrics = update(self, *args, **kwargs)
        in_use = False
        return metrics

    def watched(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            nonlocal stored
            assert not in_use
            stored += 1
            return method(*args)

        return call

    monkeypatch.setattr(Feed, "sample", sampled)
    monkeypatch.setattr(Agent, "update", updated)
    for name in ("begin", "add", "set_masks", "withdraw", "load_state_arrays"):
        monkeypatch.setattr(CppReplayBuffer, name, watched(getattr(CppReplayBuffer, name)))
    _, trainer = train(tiny(tmp_path / "run", envs=2))
    assert trainer.updates > 50
    assert stored > 50


def test_guided_run_stores_masks_and_screens(tmp_path: Path) -> None:
    parts, _ = train(tiny(tmp_path / "run", agent="semore"))
    stats = parts.collector.guidance.stats()
    assert stats["requested"] > 0
    assert stats["requested"] == sum(stats[name] for name in OUTCOMES)
    assert stats["judged"] == parts.collector.admission.stats()["screened"]
    assert parts.collector.admission.stats()["screened"] > 0


def test_unguided_methods_ask_for_nothing(tmp_path: Path) -> None:
    parts, _ = train(tiny(tmp_path / "run", agent="sac"))
    assert not any(parts.collector.guidance.stats().values())
    assert parts.collector.replay.spec.masks is False


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    train(tiny(tmp_path / "run"), stop_at=120)
    with pytest.raises(UserError, match="seed"):
        train(tiny(tmp_path / "run", seed=9))


def test_divergence_stops_the_run_and_keeps_what_was_saved(tmp_path: Path) -> None:
    config = tiny(tmp_path / "run")
    train(config, stop_at=210)
    before = newest(config).step
    bad = dataclasses.replace(config, learner=dataclasses.replace(config.learner, learning_rate=1e12))
    assert config.out is not None
    (config.out / "config.json").write_text(json.dumps(to_dict(bad)))
    with pytest.raises(UserError, match="not finite"):
        train(bad)
    assert newest(config).step == before
