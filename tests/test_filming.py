"""The film's camera: sharper than the policy's, of the same episode."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from matplotlib.image import imread

from semore.ops import REFERENCE
from semore_fast.building import build_agent
from semore_fast.config import RunConfig
from semore_fast.evaluator import Evaluator
from semore_fast.filming import film_episode
from semore_fast.presets import PRESETS
from semore_fast.worlds import EmbeddedWorlds


@pytest.fixture
def config() -> RunConfig:
    laptop = PRESETS["laptop"]
    return dataclasses.replace(laptop, env=dataclasses.replace(laptop.env, max_episode_frames=40))


def test_averaged_it_is_what_the_policy_sees(config: RunConfig) -> None:
    worlds = EmbeddedWorlds(config)
    env, sharp = worlds.evaluation_env(1, ids=True), worlds.film_env()
    side, times = config.env.image_size, config.env.supersample
    frames, large = env.reset(seed=[5])[0], sharp.reset(seed=[5])[0]
    for step in range(8):
        averaged = large.reshape(1, 3, side, times, side, times).mean((3, 5))
        assert np.abs(averaged - frames).max() <= 1
        action = np.array([[0.3 * np.sin(step), 1.0]], np.float32)
        frames, large = env.step(action)[0], sharp.step(action)[0]
    env.close()
    sharp.close()


def test_a_picture_that_is_not_averaged_is_not_drawn_twice(config: RunConfig) -> None:
    plain = dataclasses.replace(config, env=dataclasses.replace(config.env, supersample=1))
    assert EmbeddedWorlds(plain).film_env() is None


def test_an_episode_is_filmed_from_its_first_step_to_its_end(config: RunConfig, tmp_path: Path) -> None:
    agent = build_agent(config, torch.device("cpu"), REFERENCE)
    film_episode(Evaluator(config, EmbeddedWorlds(config)), agent, 5, tmp_path / "film.mp4")
    side = config.env.image_size * config.env.supersample
    with av.open(str(tmp_path / "film.mp4")) as film:
        pictures = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(pictures) == 40 / config.env.action_repeat + 1
    assert pictures[0].shape[1] == 3 * 3 * side
    assert imread(tmp_path / "film.jpg").shape[1] == 6 * 2 * side
