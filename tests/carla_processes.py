"""A protocol server in a process of its own, and scripts with the official client in another.

Never both in one: `carla.Client.get_world` keeps Python's lock while it waits.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}


def free_port() -> int:
    """A port P such that P to P + 3 were free a moment ago; below those that the system hands out itself."""
    for port in range(20000 + os.getpid() % 1000 * 8, 32000, 8):
        sockets = [socket.socket() for _ in range(4)]
        try:
            for offset, one in enumerate(sockets):
                one.bind(("127.0.0.1", port + offset))
        except OSError:
            continue
        else:
            return port
        finally:
            for one in sockets:
                one.close()
    raise RuntimeError("no four free ports in a row")


class ServerProcess:
    """`python -m semore_fast.carla_server` on free ports."""

    def __init__(self, *flags: str):
        self.port = free_port()
        command = [sys.executable, "-m", "semore_fast.carla_server", "--port", str(self.port), *flags]
        self.process = subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.first_line = self.process.stdout.readline()
        if not self.first_line:
            raise RuntimeError(f"the server ended with status {self.process.wait()}")

    def stop(self) -> int:
        """Ends it, if it still runs; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return self.process.wait()

    def ended_within(self, seconds: float) -> int | None:
        """Its exit status, or None if it still runs then."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        return self.process.poll()


@contextmanager
def server(*flags: str) -> Iterator[ServerProcess]:
    """A server for a `with` block."""
    process = ServerProcess(*flags)
    try:
        yield process
    finally:
        process.stop()


def client_version(python: str) -> str:
    """Version of the official client that an interpreter has."""
    ask = "import carla; print(carla.Client('127.0.0.1', 1).get_client_version())"
    done = subprocess.run([python, "-c", ask], env=ENVIRONMENT, capture_output=True, text=True, timeout=30)
    return done.stdout.strip()


def run_client(script: Path, *arguments: str, python: str = sys.executable, timeout_s: float = 60.0) -> dict[str, Any]:
    """Runs a client script in a process of its own; its last line of output is a JSON object.

    What it printed is all that counts: a client's process may end badly after its work is done.
    """
    done = subprocess.run(
        [python, str(script), *arguments],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        raise AssertionError(f"the client ended with status {done.returncode}: {done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(lines[-1])
    return found
