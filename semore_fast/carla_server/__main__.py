"""`python -m semore_fast.carla_server`: reads the flags and serves."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import tyro

from semore_fast.carla_server.running import run_until_asked
from semore_fast.carla_server.versions import VersionName, installed_version
from semore_fast.errors import UserError, run_cli

DESCRIPTION = """This is NOT CARLA: the embedded simulator (straight roads, own physics, own pictures) behind CARLA's
wire protocol, so that an unmodified carla.Client connects, spawns, ticks and sees. For tests, teaching and laptops;
numbers measured with it are not CARLA's.

Listens on --port for calls and on the next port for sensor streams."""


@dataclass(frozen=True)
class ServerConfig:
    """Flags of the server."""

    port: int = 2000
    """For calls; sensor streams come through the next one."""
    host: str = "127.0.0.1"
    """Address to listen on. There is no authentication: anybody who can connect can drive and stop it."""
    map: Literal["Town01", "Town04"] = "Town01"
    """Straight roads in the stead of CARLA's towns: two lanes in a town, eight lanes on a highway."""
    version: VersionName | None = None
    """Version of the protocol; by default that of the installed client, else 0.9.16."""
    seed: int = 0
    """Chooses houses and trees."""


def main(argv: Sequence[str]) -> None:
    """Serves until interrupted or terminated."""
    config = tyro.cli(ServerConfig, args=list(argv), description=DESCRIPTION, prog="python -m semore_fast.carla_server")
    if not 1 <= config.port < 65535:
        raise UserError(f"--port must be in [1, 65534], got {config.port}")
    if not 0 <= config.seed < 2**64:
        raise UserError(f"--seed must be in [0, 2^64), got {config.seed}")
    try:
        from semore_fast.carla_server.server import Server
    except ModuleNotFoundError as error:
        if error.name != "msgpack":
            raise
        raise UserError("msgpack is not installed: pip install 'semore-fast[carla]'") from error
    from semore_fast.carla_server.maps import MAPS
    from semore_fast.carla_server.versions import version_of

    server = Server(version_of(config.version or installed_version()), MAPS[config.map], config.seed)
    run_until_asked(server.serve(config.host, config.port))


if __name__ == "__main__":
    sys.exit(run_cli(lambda: main(sys.argv[1:])))
