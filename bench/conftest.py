"""What every benchmark shares: files named bench_*.py, the tuned allocator, and where its figures come from."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from typing import Any

import pytest

from semore_fast.allocator import reexec_with_tuned_allocator
from semore_fast.system import UNKNOWN, describe_system

_PEERS = ("cpprb", "torchrl", "tensordict", "pytest-benchmark", "bidirectional-cross-attention")
_DRIVER_TIMEOUT_S = 20
_allocator = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Starts pytest once more with the allocator that training uses; peers profit from it as much as we do."""
    config.addinivalue_line("python_files", "bench_*.py")
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        capture.suspend_global_capture(in_=True)  # a new process would inherit pytest's hidden output
    config.stash[_allocator] = reexec_with_tuned_allocator(sys.argv[1:])
    if capture is not None:
        capture.resume_global_capture()


@pytest.fixture(scope="session")
def system() -> dict[str, Any]:
    """With the GPU's driver, and the commit from the environment where a copy of the files has no history."""
    described = describe_system()
    if described["commit"] == UNKNOWN:
        described["commit"] = os.environ.get("COMMIT", UNKNOWN)
    return described | {"driver": _driver()} if described["gpus"] else described


@pytest.fixture(autouse=True)
def _provenance(request: pytest.FixtureRequest, system: dict[str, Any]) -> None:
    if "benchmark" not in request.fixturenames:
        return
    request.getfixturevalue("benchmark").extra_info.update(
        system=system,
        peers={name: metadata.version(name) for name in _PEERS if _installed(name)},
        allocator=request.config.stash[_allocator],
        load_average_1min=os.getloadavg()[0],
    )


def _driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_DRIVER_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return UNKNOWN
    return done.stdout.split("\n")[0]


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
