"""Keeps one server and sees to it that nothing of it outlives the trainer. Run by path: the bare interpreter will do.

    python -I -S guard.py LOG COMMAND...

CARLA's start script leaves its server as a child of a shell, so that no death signal of the kernel reaches it. This
process stands between: it starts the command in a session of its own, says "started PID" (or "failed WHY"), and ends
the whole process group when its standard input says so or closes, which it also does when the trainer is killed.
Then it says "ended STATUS".

Standard input: "t" asks the group to end (SIGTERM) and kills it after a few seconds; "k", or the end of the input,
kills it at once.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time

GRACE_S = 5.0
POLL_S = 0.1
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_guard() -> None:
    """In the child, before it becomes the server: the kernel kills it if this process is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def signal_group(leader: int, number: int) -> None:
    """Signal the group, whose leader is not reaped yet, so that its number belongs to nobody else."""
    try:
        os.killpg(leader, number)
    except ProcessLookupError:
        return


def ended(leader: int) -> bool:
    """Whether the leader has ended; it stays unreaped."""
    return os.waitid(os.P_PID, leader, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def keep(leader: int) -> None:
    """Wait until the server ends or has to; then end all of its group."""
    deadline_s: float | None = None
    while not ended(leader):
        if deadline_s is not None and time.monotonic() > deadline_s:
            break
        readable, _, _ = select.select([0] if deadline_s is None else [], [], [], POLL_S)
        if readable:
            if os.read(0, 1) != b"t":
                break
            signal_group(leader, signal.SIGTERM)
            deadline_s = time.monotonic() + GRACE_S
    signal_group(leader, signal.SIGKILL)


def main(argv: list[str]) -> None:
    """Start the command and keep it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with open(argv[0], "ab") as log:
        try:
            server = subprocess.Popen(
                argv[1:],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_guard,
            )
        except OSError as error:
            print(f"failed {error.strerror or error}", flush=True)
            return
    try:
        print(f"started {server.pid}", flush=True)
        keep(server.pid)
        print(f"ended {server.wait()}", flush=True)
    except BrokenPipeError:  # the trainer is gone
        signal_group(server.pid, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
