"""A trainer on servers that keep failing: what starts them, what breaks them, what must be left over in the end."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import stat
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from semore_fast.carla_server.control import Control, ControlError

ROOT = Path(__file__).resolve().parent.parent
MARK = "SEMORE_SOAK"
"""Environment variable that everything the trainer starts inherits."""
START_FAULTS = ("version", "busy", "never", "dies")
FAULTS = ("kill server", "stop server", "kill worker", "stop worker", "black hole", "slow", "garbage", *START_FAULTS)
SMALL = {
    "env.image-size": 36,
    "env.supersample": 1,
    "env.max-episode-frames": 24,
    "learner.hidden-dim": 32,
    "sampling.batch-size": 8,
    "sampling.random-frames": 40,
    "evaluation.every-frames": 1_000_000,
    "evaluation.final-episodes": 1,
    "evaluation.videos": 0,
    "threads": 1,
    "log-every-frames": 8,
    "checkpoint-every-frames": 1_000_000,
    "carla-step-timeout-s": 3,
    "carla-reset-timeout-s": 5,
    "carla-connect-timeout-s": 10,
    "carla-start-timeout-s": 8,
    "carla-close-timeout-s": 2,
    "carla-max-failures": 60,
}

# Looks like CARLA's start script to the trainer: takes its flags, and runs the server as a child of a shell. The file
# beside it says what goes wrong with the next start.
START_SCRIPT = """#!/bin/sh
here=$(dirname "$0")
for flag in "$@"; do
  case $flag in -carla-rpc-port=*) port=${flag#-carla-rpc-port=};; esac
done
fault=$(cat "$here/next" 2>/dev/null); rm -f "$here/next"
set -- --port "$port"
case $fault in
  version) set -- "$@" --version 0.9.15;;
  busy) PYTHON -c "import socket; socket.create_server(('127.0.0.1', $port)); import time; time.sleep(3)" & sleep 1;;
  never) sleep 600;;
  dies) exit 3;;
esac
PYTHON -m semore_fast.carla_server "$@"
"""


class Soak:
    """A trainer as a user starts it, and its servers.

    Args:
        folder: for the pretended CARLA, the run and the log.
        frames: to train for.
        envs: environments.
        seed: of the order of faults.
    """

    def __init__(self, folder: Path, frames: int, *, envs: int = 1, seed: int = 0) -> None:
        self.folder, self.out = folder, folder / "run"
        self.frames = frames
        self.injected: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._mark = uuid.uuid4().hex
        self._carla = folder / "carla"
        self._carla.mkdir()
        script = self._carla / "CarlaUE4.sh"
        script.write_text(START_SCRIPT.replace("PYTHON", sys.executable))
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        flags = [part for name, value in SMALL.items() for part in (f"--{name}", str(value))]
        self.command = [
            *(sys.executable, "-m", "semore_fast.train", "--preset", "laptop", "--agent", "sac", "--scenario", "hb"),
            *("--sim", "carla", "--carla-root", str(self._carla), "--frames", str(frames), "--envs", str(envs)),
            *("--out", str(self.out), "--no-tensorboard", *flags),
        ]

    @contextmanager
    def trainer(self) -> Iterator[subprocess.Popen[bytes]]:
        """The trainer, for a `with` block; killed at its end if it still runs."""
        environment = {**os.environ, MARK: self._mark, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(self.command, cwd=self.folder, env=environment, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def last(self) -> dict[str, Any]:
        """The newest line of the metrics that training wrote."""
        path = self.out / "metrics.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        trained = [json.loads(line) for line in lines if '"kind":"train"' in line and line.endswith("}")]
        return trained[-1] if trained else {}

    def frame(self) -> int:
        """How far it has come."""
        return int(self.last().get("frame", 0))

    def log(self) -> str:
        """What it printed."""
        return (self.folder / "log").read_text()

    def inject(self, trainer: subprocess.Popen[bytes], fault: str) -> bool:
        """Breaks something of the trainer's; whether there was something to break."""
        servers, workers = self._processes(trainer.pid)
        if not servers or not workers:
            return False
        server, worker = self._random.choice(servers), self._random.choice(workers)
        with suppress(psutil.NoSuchProcess, ControlError, OSError, ValueError):
            if fault in START_FAULTS:
                (self._carla / "next").write_text(fault)
                server.kill()
            elif fault.endswith("worker"):
                worker.send_signal(signal.SIGKILL if fault == "kill worker" else signal.SIGSTOP)
            elif fault.endswith("server"):
                server.send_signal(signal.SIGKILL if fault == "kill server" else signal.SIGSTOP)
            else:
                port = int(server.cmdline()[server.cmdline().index("--port") + 1])
                with Control(port=port, timeout_s=2.0) as control:
                    if fault == "slow":
                        control.fault("delay", "tick_cue", seconds=0.2, times=10)
                    else:
                        control.fault("black_hole" if fault == "black hole" else "garbage", "*", times=None)
            self.injected[fault] += 1
            return True
        return False

    def run(self, faults: list[str], every_frames: int, limit_s: float) -> int:
        """Trains to the end while the faults strike, one each time so many frames were driven; the exit status."""
        end_s = time.monotonic() + limit_s
        self._random.shuffle(faults)
        due = every_frames
        with self.trainer() as trainer:
            while trainer.poll() is None:
                if time.monotonic() > end_s:
                    raise AssertionError(f"too slow, at frame {self.frame()}; injected {dict(self.injected)}")
                if faults and self.frame() >= due and self.inject(trainer, faults[-1]):
                    faults.pop()
                    due = self.frame() + every_frames
                time.sleep(0.05)
            return int(trainer.returncode)

    def leftovers(self) -> list[str]:
        """Command lines of processes that the trainer started, directly or not, and that still run."""
        wait_until(lambda: not self._marked(), 10.0)
        return [" ".join(process.cmdline()) for process in self._marked()]

    def _marked(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(MARK) == self._mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def _processes(self, trainer: int) -> tuple[list[psutil.Process], list[psutil.Process]]:
        servers, workers = [], []
        with suppress(psutil.NoSuchProcess):
            for process in psutil.Process(trainer).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    words = process.cmdline()
                    servers += [process] * ("semore_fast.carla_server" in words)
                    workers += [process] * ("semore_fast.envs.carla.worker" in words)
        return servers, workers


class Bystander:
    """A program of somebody else: a protocol server of their own that must be left alone."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [sys.executable, "-m", "semore_fast.carla_server", "--port", str(self.port)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)

    def close(self) -> bool:
        """Ends it; whether it still ran."""
        ran = self.process.poll() is None
        self.process.kill()
        self.process.wait()
        return ran


def wait_until(met: Callable[[], bool], limit_s: float) -> bool:
    """Whether it came true in time."""
    end_s = time.monotonic() + limit_s
    while not met():
        if time.monotonic() > end_s:
            return False
        time.sleep(0.02)
    return True
