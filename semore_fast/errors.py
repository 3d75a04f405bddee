"""Errors a user can mend, and how a command reports them."""

import os
import sys
from collections.abc import Callable

EXIT_OK = 0
EXIT_USER_ERROR = 2
EXIT_BUSY = 75  # EX_TEMPFAIL of sysexits.h: the same command may succeed later
EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE, as when `| head` has seen enough
EXIT_INTERRUPTED = 130  # 128 + SIGINT, what a shell reports for Ctrl-C


class UserError(Exception):
    """Something the user can mend. The message is one line that names the flag or file and the fix."""


class BusyError(UserError):
    """Another process has what this one needs; waiting is one way to mend it."""


def first_line(error: Exception) -> str:
    """What an error of another library says, cut to the one line that a `UserError` may have."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def run_cli(main: Callable[[], int | None]) -> int:
    """Run a command and return its exit status.

    A `UserError` becomes one line on stderr and status 2 (75 for a `BusyError`), Ctrl-C becomes status 130, a closed
    pipe 141. Every other exception is a fault of ours and propagates with its traceback.
    """
    try:
        status = main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_BUSY if isinstance(error, BusyError) else EXIT_USER_ERROR
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor shall closing stdout complain
        return EXIT_BROKEN_PIPE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    return EXIT_OK if status is None else status
