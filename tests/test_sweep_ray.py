"""Sweeps on Ray: two nodes on this machine, a killed worker, Ctrl-C, who may join."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_sweep import FINISH, Scripted, finished, states, wait_until

from semore_fast.errors import UserError
from semore_fast.sweeping.cluster import Cluster
from semore_fast.sweeping.pool import Pool, State

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
SAVES = "import signal, time; signal.signal(signal.SIGINT, lambda *_: ((out / 'saved').touch(), sys.exit(130))); "
TELLS = "import os, pathlib; (out / 'worker').write_text(str(os.getppid())); "


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cluster of two nodes with one core each, joined with a token."""
    address = f"127.0.0.1:{free_port()}"
    ray = [sys.executable, "-m", "ray.scripts.scripts"]
    node = ["--num-cpus", "1", "--node-ip-address", "127.0.0.1", "--disable-usage-stats"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", "5" * 64)
        head = ["--head", "--port", address.rpartition(":")[2], "--include-dashboard", "false"]
        folder = tmp_path_factory.mktemp("ray")
        nodes = []
        for name, kind in (("head", head), ("second", ["--address", address])):
            with (folder / name).open("wb") as log:
                nodes.append(subprocess.Popen([*ray, "start", "--block", *kind, *node], stdout=log, stderr=log))
            wait_until(lambda: answers(address), 60)
        yield address
        for process in nodes[::-1]:
            process.terminate()
        for process in nodes:
            process.wait(60)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.fixture
def cluster(address: str) -> Iterator[Cluster]:
    found = Cluster(address, threads=1, gpus=1.0)
    yield found
    found.close()


def pool_of(folder: Path, cluster: Cluster, *scripts: str, show=lambda _: None) -> Pool:
    runs = [
        Scripted(scenario="jw", agent="sac", seed=seed, out=folder / f"run-{seed}", flags=(), script=script)
        for seed, script in enumerate(scripts)
    ]
    return Pool(runs, folder / "logs", cluster, retries=1, show=show)


def test_runs_go_to_both_nodes(tmp_path, cluster):
    together = "import time; end = time.time() + 60\nwhile len(list(out.parent.glob('run-*/worker'))) < 2 "
    together += "and time.time() < end: time.sleep(0.1)\n" + FINISH
    wait_until(lambda: cluster.capacity() == 2, 60)  # both at a time, though each node has one core
    pool = pool_of(tmp_path, cluster, TELLS + "\n" + together, TELLS + "\n" + together)
    assert pool.execute()
    assert len({(tmp_path / f"run-{seed}" / "worker").read_text() for seed in (0, 1)}) == 2


def test_a_run_whose_worker_is_killed_saves_and_is_taken_up_again(tmp_path, cluster):
    second = "(out / 'saved').exists() and ((out / 'summary.json').write_text('{}'), sys.exit(0)); "
    killed: list[int] = []

    def kill(jobs):
        told = tmp_path / "run-0" / "worker"
        if not killed and told.exists() and told.read_text():
            time.sleep(0.3)  # the script's handler is there by now
            killed.append(int(told.read_text()))
            os.kill(killed[0], signal.SIGKILL)

    pool = pool_of(tmp_path, cluster, SAVES + second + TELLS + "time.sleep(60)", show=kill)
    assert pool.execute()
    assert killed
    assert states(pool) == [("finished", 2)]


def test_an_interrupt_lets_runs_on_nodes_save(tmp_path, cluster):
    def interrupt(jobs):
        if (tmp_path / "run-0" / "worker").exists():
            raise KeyboardInterrupt

    pool = pool_of(tmp_path, cluster, SAVES + TELLS + "time.sleep(60)", show=interrupt)
    with pytest.raises(KeyboardInterrupt):
        pool.execute()
    assert (tmp_path / "run-0" / "saved").exists()
    assert pool.jobs[0].state == State.STOPPED


def test_a_stranger_is_refused(address):
    join = f"from semore_fast.sweeping.cluster import Cluster; Cluster({address!r}, threads=1, gpus=0.0)"
    strange = os.environ | {"PYTHONPATH": str(ROOT), "RAY_AUTH_TOKEN": "6" * 64}
    told = subprocess.run([sys.executable, "-c", join], env=strange, capture_output=True, text=True, check=False)
    assert told.returncode != 0
    assert "UserError: --ray" in told.stderr


def test_a_cluster_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "5" * 64)
    with pytest.raises(UserError, match=r"--ray 127\.0\.0\.1:1: .*refused.*; start a cluster with"):
        Cluster("127.0.0.1:1", threads=1, gpus=0.0)


def test_the_real_command_on_a_ray_of_its_own(tmp_path):
    tiny = ["--preset", "laptop", "--frames", "120", "--env.image-size", "36", "--env.supersample", "1"]
    tiny += ["--learner.hidden-dim", "32", "--sampling.batch-size", "8", "--sampling.random-frames", "80"]
    tiny += ["--env.max-episode-frames", "80", "--evaluation.final-episodes", "1", "--evaluation.driver-episodes", "0"]
    tiny += ["--evaluation.videos", "0", "--no-tensorboard"]
    command = [sys.executable, "-m", "semore_fast.sweep", "--agents", "sac", "--seeds", "2", "--no-estimate"]
    command += ["--ray", "local", "--out", str(tmp_path / "sweep"), "--", *tiny]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    environment.pop("RAY_AUTH_TOKEN", None)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(finished(tmp_path / "sweep")) == ["jw-sac-1", "jw-sac-2"]
    assert (tmp_path / ".ray" / "auth_token").is_file()
