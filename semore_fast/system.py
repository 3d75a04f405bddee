"""What a run ran on: versions, commit and hardware, for its records and for `semore_fast.info`."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

PACKAGES = ("semore-fast", "torch", "numpy", "triton", "gymnasium", "safetensors", "transformers", "carla", "ray")
UNKNOWN = "unknown"
_GIT_TIMEOUT_S = 5.0


def describe_system() -> dict[str, Any]:
    """Return versions, commit, processor, memory (bytes) and GPUs as JSON-able values.

    Packages are looked up, not imported, but for torch, which tells its build (+cu130) and the GPUs' names.
    """
    import torch  # more than a second: not for commands that only want versions

    return {
        "versions": {**versions(), "torch": str(torch.__version__)},
        "commit": commit(Path(__file__).resolve().parent),
        "platform": platform.platform(),
        "cpu": cpu_model(),
        "cores": psutil.cpu_count(logical=True) or 0,
        "cores_usable": usable_cores(),
        "memory_bytes": psutil.virtual_memory().total,
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
    }


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def versions() -> dict[str, str | None]:
    """Return the version of Python and of each package; None where it is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def commit(directory: Path) -> str:
    """Return the commit of the checkout around `directory`, with "-dirty" if files were changed since.

    "unknown" outside a checkout, without git, or for an installed copy that git does not track.
    """
    tracked = _git(directory, "ls-files", "--error-unmatch", Path(__file__).name)
    revision = _git(directory, "rev-parse", "HEAD")
    changes = _git(directory, "status", "--porcelain", "--untracked-files=no")
    if tracked is None or revision is None or changes is None:
        return UNKNOWN
    return f"{revision}-dirty" if changes else revision


def cpu_model() -> str:
    """Return the processor's name, "unknown" where the system does not tell."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or UNKNOWN
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine() or UNKNOWN


def _git(directory: Path, *arguments: str) -> str | None:
    try:
        result = subprocess.run(
            ["git", *arguments], cwd=directory, capture_output=True, text=True, timeout=_GIT_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None
