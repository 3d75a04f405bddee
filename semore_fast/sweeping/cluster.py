"""Runs of a sweep as tasks on a Ray cluster, whose nodes must all see the run directories under the same path."""

from __future__ import annotations

import importlib
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from semore_fast.errors import EXIT_INTERRUPTED, UserError, first_line
from semore_fast.sweeping.local import LocalAttempt
from semore_fast.sweeping.plan import Group, Run
from semore_fast.sweeping.pool import SAVING_S

LOCAL = "local"
"""Address that starts a Ray of this sweep's own, reachable from this machine alone."""
_POLL_S = 0.5
_CONNECT_S = 10.0
_START = "start a cluster with `RAY_AUTH_MODE=token ray start --head`, or give --ray local"


def train_on_node(command: Sequence[str], log: Path) -> int:
    """Runs on a node: trains with that node's Python; a cancelled task lets its run save and end."""
    attempt = LocalAttempt([sys.executable, *command[1:]], log)
    try:
        while (status := attempt.status()) is None:
            time.sleep(_POLL_S)
        return status
    except KeyboardInterrupt:  # how Ray cancels
        attempt.interrupt()
        return attempt.finish(SAVING_S)


def _require_listener(address: str) -> None:
    """Ray itself tries for minutes to reach a cluster that is not there."""
    host, _, port = address.rpartition(":")
    if not host:
        return
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()
    except (OSError, ValueError, OverflowError) as error:
        raise UserError(f"--ray {address}: {error}; {_START}") from error


class RayAttempt:
    """A task on the cluster."""

    def __init__(self, ray: Any, reference: Any) -> None:
        self._ray, self._reference = ray, reference

    def status(self) -> int | None:
        """See `Attempt`. A lost worker or node counts as killed."""
        ready, _ = self._ray.wait([self._reference], timeout=0)
        return self._outcome() if ready else None

    def interrupt(self) -> None:
        """See `Attempt`."""
        self._ray.cancel(self._reference)

    def finish(self, timeout_s: float) -> int:
        """See `Attempt`."""
        ready, _ = self._ray.wait([self._reference], timeout=timeout_s)
        if not ready:
            self._ray.cancel(self._reference, force=True)
            return -signal.SIGKILL
        return self._outcome()

    def _outcome(self) -> int:
        errors = self._ray.exceptions
        try:
            return int(self._ray.get(self._reference))
        except errors.TaskCancelledError:  # before it began
            return EXIT_INTERRUPTED
        except (errors.WorkerCrashedError, errors.NodeDiedError, errors.ObjectLostError):
            return -signal.SIGKILL


class Cluster:
    """As many runs at a time as the cluster's cores (and GPUs) carry; it may grow and shrink meanwhile.

    Args:
        address: HOST:PORT of a cluster, `auto` for the one this machine belongs to, or `local`.
        threads: cores a run takes.
        gpus: GPUs a run takes where the cluster has any; a fraction lets several share one.

    Raises:
        UserError: Ray is not installed, or the cluster cannot be joined.
    """

    def __init__(self, address: str, *, threads: int, gpus: float) -> None:
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # a cluster without one runs anybody's code
        try:
            self._ray: Any = importlib.import_module("ray")
        except ImportError as error:
            raise UserError("--ray needs Ray: pip install 'semore-fast[ray]'") from error
        _require_listener(address)
        own = {"_node_ip_address": "127.0.0.1", "include_dashboard": False} if address == LOCAL else {}
        try:
            self._ray.init(address=address, log_to_driver=False, logging_level="ERROR", **own)
        except (ConnectionError, RuntimeError, ValueError, self._ray.exceptions.AuthenticationError) as error:
            raise UserError(f"--ray {address}: {first_line(error)}; {_START}") from error
        self._threads = max(1, threads)
        self._gpus = gpus if self._ray.cluster_resources().get("GPU") else 0.0
        self._task = self._ray.remote(num_cpus=self._threads, num_gpus=self._gpus, max_retries=0)(train_on_node)

    def capacity(self) -> int:
        """See `Launch`."""
        resources = self._ray.cluster_resources()
        cores = int(resources.get("CPU", 0)) // self._threads
        return cores if not self._gpus else min(cores, int(resources.get("GPU", 0) / self._gpus))

    def start(self, run: Run | Group, log: Path) -> RayAttempt:
        """See `Launch`."""
        return RayAttempt(self._ray, self._task.remote(run.command, log.resolve()))

    def close(self) -> None:
        """Leaves the cluster; a Ray of the sweep's own ends."""
        self._ray.shutdown()
