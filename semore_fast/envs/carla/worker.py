"""The process of one CARLA environment: runs a `Drive` and answers the trainer's calls, one at a time.

`python -m semore_fast.envs.carla.worker CHANNEL PARENT FACTORY`: the file descriptor of a stream socket, the
trainer's process id and "module:function", which makes the drive from its settings. It dies with the trainer, however
that ends. Nothing here imports torch.

The official client can hang for ever, hold the interpreter's lock, or abort the process: so every deadline is kept by
the trainer (`supervisor.py`), and what counts is the answer, never the exit status.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from semore_fast.envs.carla.errors import CarlaError
from semore_fast.envs.carla.wire import Arrays, receive, send
from semore_fast.errors import first_line

__all__ = ["Drive", "main"]

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
Row = tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]


class Drive(Protocol):
    """One environment, blocking."""

    counters: dict[str, int]

    def reset(self, seed: int) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Start an episode: frame uint8 [3, H, W] and one row of `DrivingVectorEnv`'s info."""
        ...

    def step(self, action: tuple[float, float]) -> Row:
        """Hold steering and drive for a step: frame, reward, terminated, truncated, info."""
        ...

    def close(self) -> None:
        """Leave the server as it was found."""
        ...


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies; end now if it has died already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def load_factory(name: str) -> Callable[[Mapping[str, Any]], Drive]:
    """The function that "module:function" names."""
    module, _, function = name.partition(":")
    factory: Callable[[Mapping[str, Any]], Drive] = getattr(importlib.import_module(module), function)
    return factory


class Server:
    """Answers one call after the other, until "close" or until the trainer is gone."""

    def __init__(self, channel: socket.socket, factory: str) -> None:
        self._channel = channel
        self._factory = factory
        self._drive: Drive | None = None

    def serve(self) -> None:
        """Answer until asked to close. An error is an answer too, so that the trainer can still ask to tidy up."""
        while True:
            try:
                call, _ = receive(self._channel, None)
            except EOFError:  # the trainer let go of us
                self._close()
                return
            try:
                answer, arrays = self._do(call)
            except CarlaError as error:
                answer, arrays = _failed(error), {}
            except Exception as error:  # a fault of ours or of the client: its traceback goes to the log
                send(self._channel, {"id": call["id"], **_failed(error)})
                raise
            send(self._channel, {"id": call["id"], **answer}, arrays)
            if call["op"] == "close":
                return

    def _do(self, call: dict[str, Any]) -> tuple[dict[str, Any], Arrays]:
        op = call["op"]
        if op == "make":
            self._drive = load_factory(self._factory)(call["settings"])
            return {}, {}
        if op == "close":
            self._close()
            return {}, {}
        if self._drive is None:
            raise RuntimeError(f"{op} before make")
        if op == "reset":
            frame, info = self._drive.reset(call["seed"])
            answer, arrays = _split(info)
            return {**answer, "counters": dict(self._drive.counters)}, {**arrays, "frame": frame}
        if op == "step":
            steer, drive = call["action"]
            frame, reward, terminated, truncated, info = self._drive.step((steer, drive))
            answer, arrays = _split(info)
            answer |= {"reward": float(reward), "terminated": bool(terminated), "truncated": bool(truncated)}
            if terminated or truncated:
                answer["counters"] = dict(self._drive.counters)
            return answer, {**arrays, "frame": frame}
        raise RuntimeError(f"unknown call {op!r}")

    def _close(self) -> None:
        if self._drive is not None:
            drive, self._drive = self._drive, None
            drive.close()


def _split(info: Mapping[str, Any]) -> tuple[dict[str, Any], Arrays]:
    arrays = {name: value for name, value in info.items() if np.ndim(value) > 0}
    scalars = {name: value for name, value in info.items() if name not in arrays}
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in scalars.items()}
    return {"info": plain}, arrays


def _failed(error: Exception) -> dict[str, Any]:
    return {"error": first_line(error), "kind": type(error).__name__}


def main(argv: list[str]) -> None:
    """Serve the trainer."""
    channel, parent, factory = int(argv[0]), int(argv[1]), argv[2]
    die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the trainer's to answer
    Server(socket.socket(fileno=channel), factory).serve()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # leaving by the front door, the client's threads abort now and then


if __name__ == "__main__":
    main(sys.argv[1:])
