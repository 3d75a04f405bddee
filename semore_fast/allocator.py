"""The C allocator's setting, which glibc reads only when a process starts.

glibc maps every array above 32 MB from the kernel and gives it back on release, so each is zeroed and faulted in
again, page by page: a batch of 128 stacks of 128 x 128 pixels is such an array. Kept inside the process they cost
that once; smaller arrays gain nothing. `malloc` can be told so for all threads only by the environment it starts
with, so a command starts itself once more with it. This is the only thing environment variables decide: they choose
no backend.
"""

import os
import platform
import sys
from collections.abc import Mapping, Sequence

FLAG_OFF = "--no-tuned-allocator"
_MARKER = "SEMORE_FAST_ALLOCATOR"
_TUNED = "tuned"


def allocator_environment() -> dict[str, str]:
    """Return the variables of mallopt(3): no block by mmap, no memory given back, grow by 256 MiB."""
    return {
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": str(100_000_000_000),
        "MALLOC_TOP_PAD_": str(256 << 20),
    }


def reexec_with_tuned_allocator(argv: Sequence[str]) -> str:
    """Start this Python process anew with the tuned allocator, or say why it runs as it is.

    Call it first in a command, before torch is imported. `argv` is the command's arguments:
    `--no-tuned-allocator` among them turns it off, and help needs none of it. Does not return where it
    restarts the process (same pid); the second time round it returns "tuned". Variables that the user set for
    malloc are left as they are.
    """
    if os.environ.get(_MARKER) == _TUNED:
        return _TUNED
    reason = _reason_against(argv, os.environ)
    if reason is not None:
        return f"default ({reason})"
    sys.stdout.flush()
    sys.stderr.flush()
    environment = {**os.environ, **allocator_environment(), _MARKER: _TUNED}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def _reason_against(argv: Sequence[str], environment: Mapping[str, str]) -> str | None:
    if FLAG_OFF in argv:
        return FLAG_OFF
    if "-h" in argv or "--help" in argv:
        return "only help was asked for"
    if platform.libc_ver()[0] != "glibc":
        return "the C library is not glibc"
    own = sorted(name for name in environment if name.startswith("MALLOC_"))
    if own:
        return f"{own[0]} is set already"
    if not sys.executable or sys.orig_argv[1:2] in ([], ["-"]):
        return "the program cannot be started anew"
    return None
