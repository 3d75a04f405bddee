"""Training through the official client against the protocol server, as a user starts it."""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from test_training import newest, tiny, train

pytest.importorskip("carla")
pytest.importorskip("msgpack")

from carla_soak import SMALL

from semore_fast.carla_config import CarlaConfig
from semore_fast.config import RunConfig, from_dict, to_dict
from semore_fast.envs import SCENARIOS
from semore_fast.envs.carla.fleet import Fleet, View, open_fleet
from semore_fast.envs.carla.servers import OwnServer
from semore_fast.errors import UserError
from semore_fast.session import run_session
from semore_fast.trainer import Trainer

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = {"connect_timeout_s": 30, "step_timeout_s": 10, "reset_timeout_s": 20, "close_timeout_s": 3}


GROWTH_BYTES = {"server": 2**20, "trainer": 2**20, "drive": 8 * 2**20}
"""In 400 episodes; one picture of 36 px leaked in each would be 2 MB. The official client keeps 1.1 kB of every actor
that it ever spawned (measured with nothing but spawn and destroy), so its process grows by 13 kB an episode."""


@pytest.fixture(autouse=True)
def _importable_from_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def on_carla(out: Path, **changes: object) -> RunConfig:
    config = tiny(out, sim="carla", carla=CarlaConfig(root="embedded", **PATIENCE), scenario="hb", frames=160)
    small = dataclasses.replace(config.evaluation, every_frames=80, episodes=1, final_episodes=1, videos=1)
    env = dataclasses.replace(config.env, max_episode_frames=24)
    return dataclasses.replace(config, evaluation=small, env=env, **changes)  # type: ignore[arg-type]


def test_a_run_loses_its_server_is_measured_stopped_and_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = on_carla(tmp_path / "run", agent="semore")
    assert from_dict(json.loads(json.dumps(to_dict(config)))) == config
    step, killed = Trainer._step, []

    def step_and_kill(trainer: Trainer) -> None:
        step(trainer)
        if trainer.parts.collector.frame >= 40 and not killed:
            (drive,) = trainer.parts.evaluator.worlds.fleet.drives  # type: ignore[attr-defined]
            server = drive.station.server
            assert isinstance(server, OwnServer)
            killed.extend(server._members())
            for process in killed:
                process.kill()

    monkeypatch.setattr(Trainer, "_step", step_and_kill)
    parts, trainer = train(config, stop_at=124)
    assert 124 <= parts.collector.frame < 160
    assert trainer.updates > 0
    assert killed
    assert parts.collector.guidance.stats()["answered"] > 0
    counts = parts.evaluator.worlds.counts()
    assert (counts["restarts"], counts["interrupted_episodes"], counts["steps_lost"]) == (1, 1, 1)
    assert counts["borrowed_episodes"] == 1
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["carla/restarts"] for line in lines if line["kind"] == "train"][-1] == 1
    assert [line["kind"] for line in lines].count("evaluation") == 1
    before = newest(config).step
    assert run_session(config) == 0
    told = capsys.readouterr().out
    assert f"resumed at frame {before}" in told
    assert "CARLA's worlds cannot be saved" in told
    assert "no gap seen - not drawn: CARLA cannot hide" in told
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["not_drawn"], summary["gap"], summary["drivers"]) == (None, None, {})
    assert "CARLA cannot hide" in summary["left_out"]
    assert np.isfinite(summary["seen"]["distance_m"])
    assert (tmp_path / "run" / "videos" / "episode-0.mp4").stat().st_size > 1_000


def test_what_is_missing_is_said_before_training(tmp_path: Path) -> None:
    nowhere = CarlaConfig(host="127.0.0.1:1", connect_timeout_s=0.2)
    with pytest.raises(UserError, match=r"no server accepts connections at 127\.0\.0\.1:1.*--carla-root"):
        train(on_carla(tmp_path / "nowhere", carla=nowhere))
    older = CarlaConfig(root="embedded", server_args="--version 0.9.15", **PATIENCE)
    config = on_carla(tmp_path / "older", carla=older)
    with pytest.raises(UserError, match=r"client 0\.9\.16 and server 0\.9\.15"):
        train(config)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "scenario", ["hb", pytest.param("jw", marks=pytest.mark.slow), pytest.param("hw", marks=pytest.mark.slow)]
)
def test_3000_frames_against_a_server_of_somebody_else(tmp_path: Path, scenario: str) -> None:
    ports = [26_000 + os.getpid() % 500 * 8 + offset for offset in (0, 4)]
    servers = [
        subprocess.Popen(
            [sys.executable, "-m", "semore_fast.carla_server", "--port", str(port)], cwd=ROOT, stdout=subprocess.PIPE
        )
        for port in ports
    ]
    try:
        for server in servers:
            assert server.stdout is not None
            server.stdout.readline()
        flags = [part for name, value in SMALL.items() for part in (f"--{name}", str(value))]
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        command = [sys.executable, "-m", "semore_fast.train", "--preset", "laptop", *flags]
        command += ["--scenario", scenario, "--sim", "carla", "--carla-host", hosts, "--envs", "2", "--frames", "3000"]
        command += ["--env.max-episode-frames", "200", "--out", "run", "--no-tensorboard"]
        command += ["--carla-recycle-episodes", "4"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=1500, check=False)
        assert done.returncode == 0, done.stderr
        again = [sys.executable, "-m", "semore_fast.evaluate", "run", "--episodes", "2", "--carla-host", hosts]
        told = subprocess.run(again, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)
        assert told.returncode == 0, told.stderr
        assert "no gap seen - not drawn: CARLA cannot hide" in told.stdout
        assert all(server.poll() is None for server in servers)
    finally:
        for server in servers:
            server.kill()
            server.wait()
            assert server.stdout is not None
            server.stdout.close()
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    last = [line for line in lines if line["kind"] == "train"][-1]
    assert last["frame"] >= 3000
    # One, not none: on a busy machine a client has been seen to answer too late once, which costs its episode.
    assert last["carla/restarts"] == last["carla/interrupted_episodes"] <= 1
    assert last["carla/recycled"] > 0
    assert not [line for line in lines if line["kind"] == "episode" and line["episode_frames"] > 200]


@pytest.mark.slow
def test_servers_of_ours_are_recycled_with_the_next_one_warm(tmp_path: Path) -> None:
    scenario = dataclasses.replace(SCENARIOS["hw"], max_episode_frames=8)
    config = CarlaConfig(root="embedded", recycle_episodes=3, **PATIENCE)
    fleet = open_fleet(config, 1, View(scenario=scenario, image_size=36), tmp_path, print)
    try:
        env = fleet.training_env()
        env.reset(seed=1)
        for _ in range(10 * 8):
            _, _, terminated, truncated, info = env.step(np.zeros((1, 2), np.float32))
            assert not info["interrupted"][0]
            if terminated[0] or truncated[0]:
                env.reset(options={"reset_mask": np.ones(1, np.bool_)})
        assert fleet.counters.read()["recycled"] == 3
        assert fleet.counters.read()["restarts"] == 0
    finally:
        fleet.close()
    names = [" ".join(process.cmdline()) for process in psutil.Process().children(recursive=True)]
    assert not [name for name in names if "carla" in name]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_500_episodes_leak_nothing_on_either_side(tmp_path: Path) -> None:
    scenario = dataclasses.replace(SCENARIOS["hb"], max_episode_frames=8)
    config = CarlaConfig(root="embedded", recycle_episodes=0, recycle_growth_mib=0, **PATIENCE)
    fleet = open_fleet(config, 1, View(scenario=scenario, image_size=36), tmp_path, print)
    try:
        env = fleet.training_env()
        env.reset(seed=1)
        sizes = [footprint(fleet)]
        for episode in range(1, 501):
            ended = False
            while not ended:
                _, _, terminated, truncated, info = env.step(np.zeros((1, 2), np.float32))
                assert not info["interrupted"][0]
                ended = bool(terminated[0] or truncated[0])
            env.reset(options={"reset_mask": np.ones(1, np.bool_)})
            if episode in (100, 500):
                gc.collect()
                sizes.append(footprint(fleet))
    finally:
        fleet.close()
    print(sizes)
    _, early, late = sizes
    for side, (rss, threads, files) in late.items():
        assert threads <= early[side][1], f"{side}: {early[side]} then {late[side]}"
        assert files <= early[side][2], f"{side}: {early[side]} then {late[side]}"
        assert rss - early[side][0] < GROWTH_BYTES[side], f"{side}: {early[side]} then {late[side]}"


def footprint(fleet: Fleet) -> dict[str, tuple[int, int, int]]:
    """Resident bytes, threads and open files of the server, the drive's process and the trainer."""
    station = fleet.drives[0].station
    assert station is not None
    assert isinstance(station.server, OwnServer)
    processes = {"server": station.server.pid, "drive": station.worker.pid, "trainer": os.getpid()}
    found = {side: psutil.Process(pid) for side, pid in processes.items()}
    return {side: (p.memory_info().rss, p.num_threads(), p.num_fds()) for side, p in found.items()}
