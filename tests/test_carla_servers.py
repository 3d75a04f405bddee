"""Servers as processes: ports, guards, waiting for one that is slow, and nothing that outlives the trainer."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from carla_fleet import runs

from semore_fast.envs.carla.ports import Ports, PortsOf, is_free
from semore_fast.envs.carla.process import Failure
from semore_fast.envs.carla.servers import External, Own, OwnServer

ROOT = Path(__file__).parents[1]
NEVER = threading.Event()
LISTEN = (
    "import socket, sys, time\n"
    "listener = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
    "print('listening', flush=True)\n"
    "time.sleep(600)\n"
)


def wait_until(met: Callable[[], bool], limit_s: float = 10.0) -> None:
    end_s = time.monotonic() + limit_s
    while not met():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def under_a_shell(script: str) -> Callable[[PortsOf], Sequence[str]]:
    """As CARLA's start script does it: the server is a child of a shell that stays."""
    return lambda ports: ["sh", "-c", f'{sys.executable} -c "$0" "$1"; true', script, str(ports.server)]


def own(script: str, log: Path) -> Own:
    return Own(under_a_shell(script), Ports(), log)


def opened(servers: Own) -> tuple[OwnServer, list[int]]:
    server = servers.open(20, NEVER)
    assert isinstance(server, OwnServer)
    return server, [process.pid for process in server._members()]


@pytest.mark.parametrize("kindly", [True, False])
def test_a_server_is_started_seen_and_ended_whole(tmp_path: Path, kindly: bool) -> None:
    server, members = opened(own(LISTEN, tmp_path / "log"))
    assert len(members) == 2  # the shell and the server under it
    assert server.alive()
    assert server.memory_bytes() > 2**20  # type: ignore[operator]
    assert (tmp_path / "log").read_text() == "listening\n"
    server.stop(kindly=kindly)
    server.stop(kindly=kindly)
    assert not server.alive()
    assert not [pid for pid in members if runs(pid)]
    assert is_free(server.port)


def test_a_stopped_server_is_killed(tmp_path: Path) -> None:
    server, members = opened(own(LISTEN, tmp_path / "log"))
    for pid in members:
        os.kill(pid, signal.SIGSTOP)
    server.stop(kindly=False)
    assert not [pid for pid in members if runs(pid)]


def test_a_server_that_ends_is_noticed_and_so_is_its_guard_s_death(tmp_path: Path) -> None:
    server, members = opened(own(LISTEN, tmp_path / "log"))
    for pid in members:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not server.alive())
    server.stop(kindly=True)
    server, members = opened(own(LISTEN, tmp_path / "log"))
    server._guard.kill()
    wait_until(lambda: not server.alive())
    server.stop(kindly=True)
    wait_until(lambda: not any(map(runs, members)))


def test_servers_that_do_not_come_up_say_why(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(Failure, match=r"ended with status 3 before it listened.*log"):
        Own(lambda _: ["sh", "-c", "exit 3"], Ports(), log).open(20, NEVER)
    with pytest.raises(Failure, match="was killed by SIGSEGV before it listened"):
        Own(lambda _: ["sh", "-c", "kill -SEGV $$"], Ports(), log).open(20, NEVER)
    with pytest.raises(Failure, match=r"waited 0\.3 s for the server to listen on port") as failed:
        own("import time; time.sleep(600)", log).open(0.3, NEVER)
    assert failed.value.fault == "timeout"
    with pytest.raises(Failure, match="cannot be started: No such file"):
        Own(lambda _: [str(tmp_path / "none")], Ports(), log).open(20, NEVER)


def test_a_port_that_another_program_took_is_not_our_server(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as bystander:
        port = bystander.getsockname()[1]
        taken = Own(lambda _: ["sleep", "600"], Ports(), tmp_path / "log")
        taken._ports.take = lambda: PortsOf(port, port + 3)  # type: ignore[method-assign]
        with pytest.raises(Failure, match="waited"):
            taken.open(0.3, NEVER)


def test_closing_breaks_off_the_wait(tmp_path: Path) -> None:
    stopping = threading.Event()
    threading.Timer(0.2, stopping.set).start()
    started_s = time.monotonic()
    with pytest.raises(Failure, match="closing"):
        own("import time; time.sleep(600)", tmp_path / "log").open(600, stopping)
    assert time.monotonic() - started_s < 10


def test_nothing_outlives_a_killed_trainer(tmp_path: Path) -> None:
    script = (
        "import sys, threading, time, pathlib\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from test_carla_servers import LISTEN, opened, own\n"
        "server, members = opened(own(LISTEN, pathlib.Path(sys.argv[1])))\n"
        "print(*members, server._guard.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "log"), str(Path(__file__).parent)]
    bystander = subprocess.Popen(["sleep", "600"])
    try:
        trainer = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert trainer.stdout is not None
        pids = [int(word) for word in trainer.stdout.readline().split()]
        assert len(pids) == 3
        trainer.kill()
        trainer.wait()
        trainer.stdout.close()
        wait_until(lambda: not any(map(runs, pids)))
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_ports_are_free_in_a_row_and_held(tmp_path: Path) -> None:
    ports = Ports()
    held = [ports.take() for _ in range(50)]
    numbers = [base.server + offset for base in held for offset in range(4)]
    assert len(set(numbers)) == 200
    assert all(base.traffic_manager == base.server + 3 for base in held)
    ports._random.randrange = lambda *_: held[0].server  # type: ignore[method-assign]
    with pytest.raises(OSError, match="no 4 free ports in a row"):
        ports.take()
    ports.give_back(held[0])
    assert ports.take() == held[0]
    with socket.create_server(("", held[1].server + 2)):
        ports.give_back(held[1])
        ports._random.randrange = lambda *_: held[1].server  # type: ignore[method-assign]
        with pytest.raises(OSError, match="no 4 free ports"):
            ports.take()


def test_external_servers_are_connected_to_and_never_ended() -> None:
    ports = Ports()
    with socket.create_server(("127.0.0.1", 0)) as theirs:
        port = theirs.getsockname()[1]
        server = External("127.0.0.1", port, ports).open(5, NEVER)
        assert (server.host, server.port) == ("127.0.0.1", port)
        assert server.alive()
        assert server.memory_bytes() is None
        server.stop(kindly=True)
        assert server.alive()
    with pytest.raises(Failure, match=rf"no server accepts connections at 127\.0\.0\.1:{port} \(Connection refused\)"):
        External("127.0.0.1", port, ports).open(0.2, NEVER)
    with pytest.raises(Failure, match="no-such-host:2000"):
        External("no-such-host", 2000, ports).open(0.2, NEVER)
