"""The lock that keeps a second writer out of a run directory."""

import fcntl
import json
import os
import socket
from pathlib import Path
from typing import Any

from semore_fast.errors import BusyError

LOCK_FILE = ".lock"


class RunLock:
    """An exclusive lock on a directory, held until `release` or until the process ends in whatever way.

    The kernel holds it (flock), so a killed process never leaves one behind, and two takers cannot race. The
    file says who holds it, for the message to the one refused; it is emptied on release, so that what a
    killed process left is known and told in `notices`. The file itself stays: removing it would let two
    processes lock two files of the same name.
    """

    def __init__(self, directory: Path) -> None:
        """Take the lock. BusyError if another process holds it, OSError if the file cannot be written."""
        self.notices: list[str] = []
        path = directory / LOCK_FILE
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            self._take(directory)
        except BaseException:
            os.close(self._descriptor)
            raise

    def release(self) -> None:
        """Give up the lock."""
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)

    def _take(self, directory: Path) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BusyError(
                f"--out {directory} is in use by {_describe(_owner(self._descriptor))}; "
                "wait for it, stop it, or give another --out"
            ) from error
        left = os.pread(self._descriptor, 4096, 0)
        if left:
            self.notices.append(f"took over from {_describe(_parse(left))}, which ended without closing the run")
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps(_self()).encode(), 0)


def _owner(descriptor: int) -> dict[str, Any]:
    return _parse(os.pread(descriptor, 4096, 0))


def _self() -> dict[str, Any]:
    pid = os.getpid()
    return {"pid": pid, "host": socket.gethostname(), "start_ticks": _start_ticks(pid)}


def _parse(content: bytes) -> dict[str, Any]:
    """Return the owner, or nothing where its holder is just writing it."""
    try:
        owner: dict[str, Any] = json.loads(content)
    except ValueError:
        return {}
    return owner


def _describe(owner: dict[str, Any]) -> str:
    if not owner:
        return "another process"
    text = f"process {owner['pid']} on {owner['host']}"
    if owner["host"] == socket.gethostname() and _start_ticks(owner["pid"]) != owner["start_ticks"]:
        return f"{text} (gone; processes it started may still hold the lock)"
    return text


def _start_ticks(pid: int) -> int | None:
    """Return when a process began, in clock ticks since boot: a reused pid differs. None if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The command's name, in parentheses, may hold spaces; the start is field 22 counted from the pid.
    return int(stat.rpartition(")")[2].split()[19])
