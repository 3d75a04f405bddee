"""Training on servers that are killed, stopped, silenced, slow, talk nonsense, or never come up: it reaches its end."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

pytest.importorskip("carla")
pytest.importorskip("msgpack")

from carla_soak import FAULTS, Bystander, Soak, wait_until


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


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("signals", "status"),
    [([signal.SIGINT], 130), ([signal.SIGTERM], 130), ([signal.SIGINT, signal.SIGTERM], None), ([signal.SIGKILL], -9)],
)
def test_nothing_outlives_a_trainer_however_it_ends(
    tmp_path: Path, signals: list[signal.Signals], status: int | None
) -> None:
    trial = Soak(tmp_path, frames=100_000, envs=2)
    with trial.trainer() as trainer:
        assert wait_until(lambda: trial.frame() >= 64, 120), trial.log()
        for number in signals:
            trainer.send_signal(number)
        ended = trainer.wait(60)
    assert status in (None, ended), trial.log()
    assert trial.leftovers() == []
    if status == 130:
        assert "saved in" in trial.log()
