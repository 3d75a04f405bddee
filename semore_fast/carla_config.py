"""The `--carla-…` flags: where servers come from, how long to wait for them, when to replace them.

Imports nothing heavy: `--help` reads this file.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from semore_fast.errors import UserError

__all__ = ["EMBEDDED_ROOT", "CarlaConfig", "addresses", "check_carla", "require_carla", "start_script"]

EMBEDDED_ROOT = "embedded"
"""Word for --carla-root that starts our own protocol server."""
START_SCRIPT = "CarlaUE4.sh"
LAST_PYTHON = (3, 12)
"""The newest Python that the official client has a wheel for (carla 0.9.16)."""
_DEFAULT_HOST = "127.0.0.1"


@dataclass(frozen=True, kw_only=True, slots=True)
class CarlaConfig:
    """CARLA servers, for --sim carla."""

    host: Annotated[str, arg(name="carla-host", prefix_name=False)] = ""
    """Servers that run already: HOST, or one for each of --envs as HOST:PORT,HOST:PORT; more than --envs are used for
    evaluation. Default: this machine."""
    port: Annotated[int, arg(name="carla-port", prefix_name=False)] = 2000
    """Port of --carla-host where that names none."""
    root: Annotated[str, arg(name="carla-root", prefix_name=False)] = ""
    """Folder of an unpacked CARLA: its servers are started, supervised and ended here. `embedded` starts
    `semore_fast.carla_server` instead, which is not CARLA (docs/carla.md)."""
    gpus: Annotated[str, arg(name="carla-gpus", prefix_name=False)] = ""
    """Graphics adapters for the servers of --carla-root, in turn, separated by commas. Default: the server's choice."""
    server_args: Annotated[str, arg(name="carla-server-args", prefix_name=False)] = ""
    """More arguments for the servers of --carla-root, separated by spaces, such as -quality-level=Low."""
    spares: Annotated[int, arg(name="carla-spares", prefix_name=False)] = 0
    """Servers of --carla-root beside those of --envs, for evaluation; without, evaluation interrupts training's
    episodes."""
    start_timeout_s: Annotated[float, arg(name="carla-start-timeout-s", prefix_name=False)] = 120.0
    """Longest wait for a server of --carla-root to accept connections."""
    connect_timeout_s: Annotated[float, arg(name="carla-connect-timeout-s", prefix_name=False)] = 180.0
    """Longest wait for connecting and loading the map."""
    reset_timeout_s: Annotated[float, arg(name="carla-reset-timeout-s", prefix_name=False)] = 60.0
    """Longest wait for an episode to start."""
    step_timeout_s: Annotated[float, arg(name="carla-step-timeout-s", prefix_name=False)] = 60.0
    """Longest wait for a step."""
    close_timeout_s: Annotated[float, arg(name="carla-close-timeout-s", prefix_name=False)] = 10.0
    """Longest wait for a server to be left as it was found."""
    max_failures: Annotated[int, arg(name="carla-max-failures", prefix_name=False)] = 10
    """Failures in a row, without one whole episode of that environment between them, that end the run."""
    recycle_episodes: Annotated[int, arg(name="carla-recycle-episodes", prefix_name=False)] = 500
    """Replace a client, and its server of --carla-root, after so many episodes; 0 never does."""
    recycle_growth_mib: Annotated[int, arg(name="carla-recycle-growth-mib", prefix_name=False)] = 4096
    """Replace a server of --carla-root whose memory has grown by so much; 0 never does."""
    allow_version_mismatch: Annotated[bool, arg(name="carla-allow-version-mismatch", prefix_name=False)] = False
    """Connect to a server whose version is not the client's, as one built from source; a real mismatch crashes."""


def check_carla(config: CarlaConfig, *, used: bool, envs: int) -> None:
    """Refuses flags that no run can use.

    Args:
        config: what to check.
        used: whether --sim is carla.
        envs: environments to train on.

    Raises:
        UserError: names the flag and the fix.
    """
    if not used:
        if config != CarlaConfig():
            raise UserError("--carla-… flags are given, but --sim is embedded: add --sim carla, or leave them out")
        return
    for name in ("start", "connect", "reset", "step", "close"):
        value = getattr(config, f"{name}_timeout_s")
        if not value > 0:
            raise UserError(f"--carla-{name}-timeout-s must be above 0, got {value}")
    not_negative = {
        "--carla-recycle-episodes": config.recycle_episodes,
        "--carla-recycle-growth-mib": config.recycle_growth_mib,
        "--carla-spares": config.spares,
    }
    for flag, count in not_negative.items():
        if count < 0:
            raise UserError(f"{flag} must not be negative, got {count}")
    if config.max_failures < 1:
        raise UserError(f"--carla-max-failures must be at least 1, got {config.max_failures}")
    if config.root:
        _check_root(config)
    else:
        _check_external(config, envs)


def require_carla(config: CarlaConfig) -> None:
    """Refuses to go on without the packages that --sim carla needs; imports none of them.

    Raises:
        UserError: names the package and how to get it.
    """
    if importlib.util.find_spec("carla") is None:
        if sys.version_info[:2] > LAST_PYTHON:
            raise UserError(
                f"--sim carla needs the official carla package, which has no wheel for Python "
                f"{sys.version_info.major}.{sys.version_info.minor}: use Python 3.11 or 3.12 (docs/carla.md)"
            )
        raise UserError("--sim carla needs the carla package: pip install 'semore-fast[carla]' (docs/carla.md)")
    if config.root == EMBEDDED_ROOT and importlib.util.find_spec("msgpack") is None:
        raise UserError("--carla-root embedded needs the msgpack package: pip install 'semore-fast[carla]'")


def addresses(config: CarlaConfig) -> list[tuple[str, int]]:
    """Host and port of every server of --carla-host.

    Raises:
        UserError: a port is no port.
    """
    found = []
    for part in (config.host or _DEFAULT_HOST).split(","):
        host, colon, port = part.strip().rpartition(":")
        if not colon:
            host, port = port, str(config.port)
        if not host or not port.isdecimal() or not 0 < int(port) < 65_534:
            flag = "--carla-host" if colon else "--carla-port"
            raise UserError(f"{flag}: {part.strip() if colon else port!r} is no HOST:PORT with a port up to 65533")
        found.append((host, int(port)))
    return found


def start_script(root: str) -> Path:
    """What starts a server of this folder."""
    return Path(root).expanduser().resolve() / START_SCRIPT


def _check_root(config: CarlaConfig) -> None:
    if config.host:
        raise UserError("--carla-host and --carla-root exclude each other: connect to servers, or start them")
    if not all(gpu.isdecimal() for gpu in config.gpus.split(",") if config.gpus):
        raise UserError(f"--carla-gpus must be numbers separated by commas, got {config.gpus!r}")
    if config.root != EMBEDDED_ROOT and not start_script(config.root).is_file():
        raise UserError(
            f"--carla-root {config.root} holds no {START_SCRIPT}: give the folder of an unpacked CARLA (or "
            f"`{EMBEDDED_ROOT}` for the protocol server)"
        )


def _check_external(config: CarlaConfig, envs: int) -> None:
    for flag, value in (("--carla-gpus", config.gpus), ("--carla-server-args", config.server_args)):
        if value:
            raise UserError(f"{flag} is for servers started here: add --carla-root")
    if config.spares:
        raise UserError("--carla-spares is for servers started here; name more servers in --carla-host than --envs")
    found = addresses(config)
    if len(set(found)) < len(found):
        raise UserError(f"--carla-host names a server twice: {config.host}")
    if len(found) < envs:
        raise UserError(
            f"--envs {envs} needs as many servers, --carla-host names {len(found)}: only one client may tick a server; "
            f"name more, separated by commas, or give --envs {len(found)}"
        )
