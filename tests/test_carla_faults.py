"""Training on servers that are killed, stopped, silenced, slow, talk nonsense, or never come up: it reaches its end."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("carla")
pytest.importorskip("msgpack")

from carla_soak import FAULTS, Bystander, Soak


def soak(folder: Path, faults: list[str], every_frames: int, *, envs: int, limit_s: float) -> None:
    # More than enough to drive between the faults: training goes on while the test looks away.
    trial = Soak(folder, frames=(len(faults) + 1) * (every_frames + 24), envs=envs, seed=len(faults))
    wanted = len(faults)
    bystander = Bystander()
    try:
        status = trial.run(faults, every_frames, limit_s)
        assert status == 0, trial.log()
        assert bystander.process.poll() is None
    finally:
        assert bystander.close()
    assert trial.leftovers() == []
    assert trial.injected.total() == wanted
    last = trial.last()
    assert last["frame"] >= trial.frames
    assert last["carla/restarts"] > 0
    # Each interruption loses the one step that was under way: the episode's steps before it are in the buffer.
    assert last["carla/steps_lost"] <= last["carla/interrupted_episodes"] <= wanted + last["carla/restarts"]
    assert (trial.out / "summary.json").exists()


@pytest.mark.slow  # test_carla_training.py kills a server in the fast suite
def test_training_survives_a_few_faults(tmp_path: Path) -> None:
    faults = ["kill server", "stop worker", "garbage", "version"]
    soak(tmp_path, faults, every_frames=32, envs=1, limit_s=200)


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_training_survives_200_faults_in_random_order(tmp_path: Path) -> None:
    faults = [FAULTS[index % len(FAULTS)] for index in range(200)]
    soak(tmp_path, faults, every_frames=40, envs=2, limit_s=5000)
