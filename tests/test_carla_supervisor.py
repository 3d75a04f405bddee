"""Supervision of environments, with a drive that fails as scripted: every failure ends an episode and nothing else."""

from __future__ import annotations

import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from carla_fleet import PretendServers, World, runs, world_in
from fake_drive import FACTORY, LENGTH, SIZE

from semore_fast.envs.carla.process import WorkerProcess
from semore_fast.envs.carla.vector import CarlaVectorEnv
from semore_fast.envs.metrics import EpisodeMetrics, run_episodes
from semore_fast.errors import UserError


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with world_in(tmp_path, monkeypatch) as made:
        yield made


def drive_on(env: CarlaVectorEnv, steps: int) -> list[dict[str, Any]]:
    """Steps with resets where needed; every step's results."""
    log = []
    actions = np.full((env.num_envs, 2), 0.25, np.float32)
    for _ in range(steps):
        frames, rewards, terminated, truncated, info = env.step(actions)
        log.append({**info, "rewards": rewards, "terminated": terminated, "truncated": truncated, "frame": frames})
        if truncated.any():
            env.reset(options={"reset_mask": truncated})
    return log


def test_episodes_end_and_begin(world: World) -> None:
    env = world.fleet(drives=2, envs=2, ids=True).training_env()
    frames, info = env.reset(seed=3)
    assert frames.shape == (2, 3, SIZE, SIZE)
    assert info["class_ids"].shape == (2, SIZE, SIZE)
    log = drive_on(env, 2 * LENGTH)
    ends = [step["truncated"].tolist() for step in log]
    assert ends == ([[False] * 2] * (LENGTH - 1) + [[True] * 2]) * 2
    assert not any(step["interrupted"].any() or step["terminated"].any() for step in log)
    assert all(step["rewards"].tolist() == [0.25, 0.25] for step in log)
    assert not any(world.fleets[0].counters.read().values())
    seeds = [line[1] for line in world.calls("reset")]
    assert len(set(seeds)) == 6  # two rows, three episodes each


FAULTS = {
    "hang": "timeouts",
    "hold": "timeouts",
    "SIGSTOP": "timeouts",
    "timeout": "timeouts",
    "SIGKILL": "crashes",
    "SIGABRT": "crashes",
    "exit": "crashes",
    "raise": "crashes",
    "lost": "crashes",
    "version": "crashes",
    "garbage": "crashes",
    "nan": "crashes",
    "shape": "crashes",
    "missing": "crashes",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_step_interrupts_that_episode_alone(world: World, fault: str) -> None:
    fleet = world.fleet({"step 3": fault})
    env = fleet.training_env()
    env.reset(seed=1)
    log = drive_on(env, 3 + LENGTH)
    assert [step["interrupted"][0] for step in log] == [False, False, True] + [False] * LENGTH
    broken = log[2]
    assert (broken["truncated"][0], broken["terminated"][0]) == (True, False)
    assert (broken["rewards"][0], broken["frames"][0], broken["distance_m"][0]) == (0, 0, 0)
    assert np.array_equal(broken["frame"], log[1]["frame"])
    counts = fleet.counters.read()
    assert counts[FAULTS[fault]] == 1
    assert counts["timeouts"] + counts["crashes"] == 1
    assert (counts["interrupted_episodes"], counts["steps_lost"], counts["restarts"]) == (1, 1, 1)
    assert len(world.processes()) == 2
    assert world.servers[0].opened[0].stopped
    assert "CARLA environment 0" in world.said[0]


@pytest.mark.parametrize("fault", ["hang", "SIGKILL", "lost"])
def test_a_fault_in_a_reset_costs_no_episode(world: World, fault: str) -> None:
    fleet = world.fleet({"reset 2": fault})
    env = fleet.training_env()
    env.reset(seed=1)
    log = drive_on(env, 2 * LENGTH)
    assert not any(step["interrupted"][0] for step in log)
    assert fleet.counters.read()["interrupted_episodes"] == 0
    assert fleet.counters.read()["restarts"] == 1
    second, again = world.calls("reset")[1:3]
    assert second[1] == again[1]  # the same seed, in another process
    assert second[0] != again[0]


def test_a_slow_step_is_no_fault(world: World) -> None:
    env = world.fleet({"step": "slow"}).training_env()
    env.reset(seed=1)
    assert not any(step["interrupted"][0] for step in drive_on(env, 2))


def test_one_row_s_fault_leaves_the_others_alone(world: World) -> None:
    env = world.fleet({"step 4": "SIGKILL"}, drives=2, envs=2).training_env()
    env.reset(seed=1)
    log = drive_on(env, LENGTH)
    assert sum(int(step["interrupted"].sum()) for step in log) == 1
    whole = [row for row in (0, 1) if not any(step["interrupted"][row] for step in log)]
    assert len(whole) == 1
    assert log[-1]["truncated"][whole[0]]


def test_too_many_failures_in_a_row_are_one_clear_error(world: World) -> None:
    env = world.fleet({"step": "SIGKILL"}, max_failures=4).training_env()
    env.reset(seed=1)
    with pytest.raises(UserError, match=r"failed 4 times without one whole episode.*killed by SIGKILL.*resume"):
        drive_on(env, 100)
    assert len(world.calls("step")) == 4


def test_whole_episodes_renew_patience(world: World) -> None:
    faults = {f"step {3 + n * (LENGTH + 3)}": "exit" for n in range(6)}
    fleet = world.fleet(faults, max_failures=2)
    fleet.training_env().reset(seed=1)
    env = fleet.training_env()
    env.reset(seed=1)
    drive_on(env, 6 * (LENGTH + 3))
    assert fleet.counters.read()["crashes"] == 6


def test_the_first_start_says_in_one_line_what_is_missing(world: World) -> None:
    with pytest.raises(UserError, match=r"^--sim carla: .*client 0\.9\.16, server 0\.9\.15"):
        world.fleet({"make": "version"})
    assert len(world.calls("make")) == 1  # trying again is no use
    with pytest.raises(UserError, match="no server accepts connections"):
        world.fleet(servers=lambda: PretendServers(several=False, missing={1}))


def test_a_server_of_ours_that_does_not_start_is_tried_again(world: World) -> None:
    fleet = world.fleet({"make 2": "hang"}, connect_s=3.0, servers=lambda: PretendServers(missing={1}))
    assert world.said == ["CARLA environment 0: no server accepts connections at nowhere:1; trying again"]
    assert fleet.drives[0].station is not None


@pytest.mark.parametrize("several", [True, False])
def test_stations_are_recycled_between_episodes(world: World, several: bool) -> None:
    fleet = world.fleet(servers=lambda: PretendServers(several=several), recycle_episodes=2)
    env = fleet.training_env()
    env.reset(seed=1)
    log = drive_on(env, 5 * LENGTH)
    assert not any(step["interrupted"][0] for step in log)
    counts = fleet.counters.read()
    assert counts["recycled"] == 2
    assert counts["restarts"] == 0
    assert fleet.counts()["drive_frames"] == 5 * LENGTH
    by_process = [line[0] for line in world.calls("reset")]
    assert [by_process.count(pid) for pid in dict.fromkeys(by_process)] == [2, 2, 2]
    assert len(world.servers[0].opened) == (4 if several else 3)  # where two can run, the next one is warm already


def test_growing_servers_are_recycled(world: World) -> None:
    fleet = world.fleet(recycle_growth_bytes=100)
    env = fleet.training_env()
    env.reset(seed=1)
    world.servers[0].opened[0].memory = 101
    drive_on(env, 2 * LENGTH)
    assert fleet.counters.read()["recycled"] == 1


def test_evaluation_borrows_and_training_goes_on(world: World) -> None:
    fleet = world.fleet()
    env = fleet.training_env()
    env.reset(seed=1)
    drive_on(env, 2)

    def policy(frames: np.ndarray, steps: np.ndarray, env: CarlaVectorEnv) -> np.ndarray:
        return np.zeros((len(frames), 2), np.float32)

    for _ in range(2):
        results = run_episodes(lambda: fleet.evaluation_env(10), policy, 3, 100)
        assert [result.seed for result in results] == [100, 101, 102]
    log = drive_on(env, 1 + LENGTH)
    assert [step["interrupted"][0] for step in log] == [True] + [False] * LENGTH
    counts = fleet.counters.read()
    assert counts["borrowed_episodes"] == 1
    assert counts["interrupted_episodes"] == counts["steps_lost"] == counts["restarts"] == 0


def test_spare_servers_measure_without_interrupting(world: World) -> None:
    fleet = world.fleet(drives=2, envs=1)
    env = fleet.training_env()
    env.reset(seed=1)
    fleet.evaluation_env(10).reset(seed=2)
    assert not any(step["interrupted"][0] for step in drive_on(env, 2))


def test_an_interrupted_evaluation_episode_is_driven_again(world: World) -> None:
    fleet = world.fleet({"step 7": "SIGKILL"})

    def policy(frames: np.ndarray, steps: np.ndarray, env: CarlaVectorEnv) -> np.ndarray:
        return np.full((len(frames), 2), 1.0, np.float32)

    results = run_episodes(lambda: fleet.evaluation_env(1), policy, 3, 100)
    assert [result.seed for result in results] == [100, 101, 102]
    assert [result.episode_return for result in results] == [LENGTH] * 3
    seeds = [line[1] for line in world.calls("reset")]
    assert seeds[1] == seeds[2]
    assert len(set(seeds)) == 3


def test_metrics_forget_interrupted_episodes() -> None:
    metrics = EpisodeMetrics(1)
    zeros = {name: np.zeros(1) for name in ("distance_m", "crash_intensity_ns", "new_hits", "steer_abs", "brake")}
    info = {**zeros, "frames": np.ones(1), "end_reason": np.ones(1, np.uint8)}
    yes, no = np.ones(1, np.bool_), np.zeros(1, np.bool_)
    assert not metrics.update(np.full(1, 5.0), no, {**info, "interrupted": no})
    assert not metrics.update(np.zeros(1), yes, {**info, "interrupted": yes})
    ((_, result),) = metrics.update(np.full(1, 2.0), yes, {**info, "interrupted": no})
    assert result.episode_return == 2.0


def test_the_state_is_the_seed_streams(world: World) -> None:
    fleet = world.fleet()
    env = fleet.training_env()
    env.reset(seed=1)
    drive_on(env, LENGTH + 2)
    state = env.save_state()
    again = fleet.training_env()
    again.load_state(state)
    _, info = again.observe()
    assert info["ego"].shape == (1, 4)
    log = drive_on(again, 2)
    assert [step["interrupted"][0] for step in log] == [True, False]
    env.reset(seed=1)
    drive_on(env, 2 * LENGTH)
    seeds = [line[1] for line in world.calls("reset")]
    assert seeds[2] == seeds[5]  # the third episode of seed 1, from the state and from the start
    with pytest.raises(ValueError, match="not saved on CARLA"):
        env.load_state(b"semore driving state 1\n")


def test_closing_breaks_off_what_is_being_made(world: World) -> None:
    fleet = world.fleet({"step 1": "SIGKILL", "make 2": "hang"}, connect_s=60.0)
    env = fleet.training_env()
    env.reset(seed=1)
    env.step(np.zeros((1, 2), np.float32))
    while len(world.calls("make")) < 2:
        time.sleep(0.01)
    started_s = time.monotonic()
    fleet.close()
    assert time.monotonic() - started_s < 10


def test_closing_tidies_up(world: World) -> None:
    fleet = world.fleet()
    fleet.training_env().reset(seed=1)
    fleet.close()
    assert len(world.calls("close")) == 1


def test_a_worker_imports_no_torch_and_ends_with_its_trainer(world: World) -> None:
    loaded = "import sys, semore_fast.envs.carla.worker; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", loaded], text=True).strip() == "False"
    script = (
        "import sys, time, pathlib\n"
        "from semore_fast.envs.carla.process import WorkerProcess\n"
        "worker = WorkerProcess('fake_drive:make', pathlib.Path(sys.argv[1]), 'x')\n"
        "worker.call('make', 'x', 20, settings={'plan': {'step 1': 'SIGSTOP'}, 'folder': sys.argv[2]})\n"
        "worker.begin('step', 'x', 20, action=[0, 0])\n"
        "print(worker.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, str(world.folder / "log"), str(world.folder)]
    trainer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert trainer.stdout is not None
    pid = int(trainer.stdout.readline())
    time.sleep(0.2)  # it stops itself
    trainer.kill()
    trainer.wait()
    trainer.stdout.close()
    deadline_s = time.monotonic() + 10
    while runs(pid):
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def test_an_answer_that_lies_ready_counts_after_the_deadline(world: World) -> None:
    worker = WorkerProcess(FACTORY, world.folder / "log", "x")
    try:
        worker.begin("make", "x", 0.0001, settings={"plan": {}, "folder": str(world.folder)})
        assert select.select([worker._channel], [], [], 20)[0]  # as if this process had been stopped meanwhile
        worker.finish()
    finally:
        worker.kill()
