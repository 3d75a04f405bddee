"""The trainer's end of an environment's process: every call has a deadline, and the process can always be killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Literal

from semore_fast.envs.carla.wire import Arrays, GarbageError, receive, send

__all__ = ["Failure", "Fault", "WorkerProcess", "kill_group"]

Fault = Literal["timeout", "crash", "lost", "garbage", "refused"]
"""timeout: no answer by the deadline. crash: the process ended, or raised what no drive should. lost: the drive says
that its server is gone or silent. garbage: the answer cannot be read. refused: the server can never be used."""

_FAULTS: dict[str, Fault] = {
    "CarlaTimeout": "timeout",
    "CarlaLost": "lost",
    "CarlaVersionError": "refused",
    "CarlaSetupError": "refused",
}
_REAP_S = 5.0


class Failure(Exception):  # noqa: N818 - nothing went wrong in the trainer
    """A call that got no usable answer; the message is one line that says what was waited for."""

    def __init__(self, fault: Fault, text: str) -> None:
        super().__init__(text)
        self.fault: Fault = fault


class WorkerProcess:
    """One process that runs one drive.

    It leads a process group of its own, so that killing the group reaches it and what it started, and nothing else.
    Create it on a thread that lives as long as the process shall: Linux kills it when that thread ends.

    Args:
        factory: "module:function" that makes the drive.
        log: what the process and the client print is appended here.
        name: of the environment, for messages.
    """

    def __init__(self, factory: str, log: Path, name: str) -> None:
        self.name = name
        self.log = log
        ours, theirs = socket.socketpair()
        self._channel = ours
        self._call = 0
        self._waiting: tuple[str, float, float] | None = None
        module = "semore_fast.envs.carla.worker"
        command = [sys.executable, "-m", module, str(theirs.fileno()), str(os.getpid()), factory]
        with theirs, log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id, which is its group's as well."""
        return self._process.pid

    def call(self, op: str, what: str, timeout_s: float, **values: Any) -> tuple[dict[str, Any], Arrays]:
        """`begin` and `finish` in one."""
        self.begin(op, what, timeout_s, **values)
        return self.finish()

    def begin(self, op: str, what: str, timeout_s: float, **values: Any) -> None:
        """Ask for something; `what` names it in messages. Raises `Failure` if the process is gone."""
        self._call += 1
        self._waiting = (what, time.monotonic() + timeout_s, timeout_s)
        self._channel.settimeout(timeout_s)
        try:
            send(self._channel, {"id": self._call, "op": op, **values})
        except TimeoutError as error:
            raise self._too_late() from error
        except OSError as error:
            raise self._gone() from error

    def finish(self) -> tuple[dict[str, Any], Arrays]:
        """The answer to `begin`.

        Raises:
            Failure: there is none by the deadline, or it says that the call failed.
        """
        assert self._waiting is not None, "begin comes first"
        what, deadline_s, _ = self._waiting
        try:
            answer, arrays = receive(self._channel, deadline_s)
        except TimeoutError as error:
            raise self._too_late() from error
        except (EOFError, OSError) as error:
            raise self._gone() from error
        except GarbageError as error:
            raise Failure("garbage", f"{self.name}: waited for {what}, got {error}; see {self.log}") from error
        if "error" in answer:
            fault = _FAULTS.get(str(answer.get("kind")), "crash")
            hint = f"; see {self.log}" if fault == "crash" else ""
            raise Failure(fault, f"{self.name}: {what}: {answer['error']}{hint}")
        if answer.get("id") != self._call:
            raise Failure("garbage", f"{self.name}: waited for {what}, got the answer to another call")
        return answer, arrays

    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def close(self, timeout_s: float) -> Failure | None:
        """Have the drive leave its server as it was found, then end the process; what went wrong, if anything."""
        try:
            self.call("close", "leaving the server as it was found", timeout_s)
            self._process.wait(timeout_s)
        except Failure as failure:
            return failure
        except subprocess.TimeoutExpired:
            return None  # tidied up, and too slow to end
        finally:
            self.kill()
        return None

    def kill(self) -> None:
        """End the process and its group at once, also one that is stopped. Calling it again does nothing."""
        self._channel.close()
        if self._process.poll() is None:
            kill_group(self._process.pid)
            try:
                self._process.wait(_REAP_S)
            except subprocess.TimeoutExpired:
                return  # waits for a device, which no signal ends; it dies with its system call

    def _too_late(self) -> Failure:
        assert self._waiting is not None
        what, _, timeout_s = self._waiting
        return Failure("timeout", f"{self.name}: waited {timeout_s:g} s for {what}")

    def _gone(self) -> Failure:
        assert self._waiting is not None
        try:
            status: int | None = self._process.wait(1.0)  # its end of the channel closes a moment before it ends
        except subprocess.TimeoutExpired:
            status = None
        how = "closed its channel" if status is None else ending(status)
        return Failure("crash", f"{self.name}: the process {how} during {self._waiting[0]}; see {self.log}")


def ending(status: int) -> str:
    """How a process ended, in words."""
    return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"


def kill_group(leader: int) -> None:
    """Kill a process group that this process started and has not reaped the leader of."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return
