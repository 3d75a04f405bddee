"""What an interrupted episode leaves in the replay buffer: true transitions, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from carla_fleet import World, world_in
from fake_drive import LENGTH, SIZE

from semore.admission import AdmitAll
from semore.replay import ReplayBuffer
from semore.replay_types import ReplaySpec
from semore_fast.collector import Collector
from semore_fast.envs.carla.vector import CarlaVectorEnv
from semore_fast.feed import Feed
from semore_fast.guidance import NoGuidance
from semore_fast.replay import CppReplayBuffer

DISCOUNT = 0.5


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with world_in(tmp_path, monkeypatch) as made:
        yield made


def collector_of(env: CarlaVectorEnv, n_step: int, kind: type[ReplayBuffer] | type[CppReplayBuffer]) -> Collector:
    spec = ReplaySpec(
        capacity=200,
        num_envs=env.num_envs,
        frame_shape=(3, SIZE, SIZE),
        action_dim=2,
        stack=3,
        n_step=n_step,
        discount=DISCOUNT,
        masks=False,
    )
    return Collector(env, kind(spec), NoGuidance(), AdmitAll(), stack=3, snapshots=False)


def collect(collector: Collector, steps: int) -> int:
    """Drives with actions 1, 2, 3, ... hundredths, which the fake drive gives back as rewards; episodes that ended."""
    finished = 0
    for step in range(steps):
        collector.begin_step(np.full((collector.env.num_envs, 2), (step + 1) / 100, np.float32))
        finished += len(collector.finish_step())
        collector.look()
    return finished


@pytest.mark.parametrize("kind", [ReplayBuffer, CppReplayBuffer])
@pytest.mark.parametrize("n_step", [1, 3])
def test_no_window_reaches_into_what_nobody_knows(
    world: World, n_step: int, kind: type[ReplayBuffer] | type[CppReplayBuffer]
) -> None:
    """Episodes: steps 1 to 5 whole; 6 to 8, of which the 8th is lost; 9 to 13 whole."""
    collector = collector_of(world.fleet({"step 8": "SIGKILL"}).training_env(), n_step, kind)
    collector.start(1)
    assert collect(collector, 13) == 2  # the interrupted one counts nowhere
    assert collector.frame == 12
    batch = Feed(collector.replay, 512, 0, torch.device("cpu")).sample()
    first = np.round(batch.action[:, 0].numpy() * 100).astype(int)
    ends = {1: 5, 6: 7, 9: 13}  # first and last step of what is known of each episode
    expected = {
        start: sum(DISCOUNT**i * (start + i) / 100 for i in range(n_step))
        for begin, end in ends.items()
        for start in range(begin, end - n_step + 2)
    }
    assert set(first.tolist()) == set(expected)
    for start, total in zip(first.tolist(), batch.nstep_return.tolist(), strict=True):
        assert total == pytest.approx(expected[start], abs=1e-6)
    assert (batch.bootstrap_discount.numpy() > 0).all()  # no terminal was made up
    collector.close()


def test_a_resumed_run_drops_what_was_under_way(world: World) -> None:
    fleet = world.fleet()
    one = collector_of(fleet.training_env(), 1, CppReplayBuffer)
    one.start(1)
    collect(one, LENGTH + 2)
    state, arrays = one.state_dict(), one.replay.state_arrays()
    assert json.loads(bytes(state["env"]).split(b"\n", 1)[1])["seeds"]["episodes"] == [2]
    two = collector_of(fleet.training_env(), 1, CppReplayBuffer)
    two.replay.load_state_arrays(arrays)
    two.load_state_dict(state)
    assert collect(two, 1 + LENGTH) == 1
    assert two.frame == one.frame + LENGTH
    assert len(two.replay) == 2 * LENGTH + 2
    one.close()
    two.close()
