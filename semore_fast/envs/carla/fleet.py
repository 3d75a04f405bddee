"""All CARLA environments of a run: their servers, their processes, and what training and evaluation drive on."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from semore_fast import _C
from semore_fast.carla_config import EMBEDDED_ROOT, CarlaConfig, addresses, start_script
from semore_fast.envs.carla.limits import Counters, Limits
from semore_fast.envs.carla.ports import Ports, PortsOf
from semore_fast.envs.carla.servers import Command, External, Own, Server, Servers
from semore_fast.envs.carla.station import Stations
from semore_fast.envs.carla.supervisor import SupervisedDrive
from semore_fast.envs.carla.vector import CarlaVectorEnv
from semore_fast.envs.scenario import Scenario

__all__ = ["DRIVE_FACTORY", "Fleet", "View", "open_fleet"]

DRIVE_FACTORY = "semore_fast.envs.carla.remote:make"
_THREADS_PER_DRIVE = 4  # a reset, a renewal, a spare and a retirement at the same time
_NUMBERS = (
    *("distance_m", "crash_intensity_ns", "new_hits", "frames", "steer_abs", "brake", "end_reason"),
    *("reward_progress", "reward_collision", "reward_brake", "reward_steer"),
)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """What every drive of a fleet shows."""

    scenario: Scenario
    image_size: int
    supersample: int = 1
    action_repeat: int = 1
    ids: bool = False

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """What an answer must hold."""
        pictures = ("class_ids", "instance_ids") if self.ids else ()
        return {
            **dict.fromkeys(_NUMBERS, ()),
            "frame": (3, self.image_size, self.image_size),
            "ego": (4,),
            "actors": (_C.ACTOR_ROWS, 8),
            **dict.fromkeys(pictures, (self.image_size, self.image_size)),
        }


class Fleet:
    """Supervised drives: as many as are trained on, then spare ones for evaluation.

    Args:
        servers: one source of servers for each drive.
        envs: how many of them are trained on.
        view: what they show.
        limits: deadlines and limits of patience.
        settings: of the drive on a server, as JSON can hold them.
        factory: "module:function", see `WorkerProcess`.
        logs: directory for what their processes print.
        say: where to tell what happened.
    """

    def __init__(
        self,
        servers: Sequence[Servers],
        envs: int,
        view: View,
        limits: Limits,
        settings: Callable[[Server], dict[str, Any]],
        factory: str,
        logs: Path,
        say: Callable[[str], None],
    ) -> None:
        self.view = view
        self.counters = Counters()
        self._envs = envs
        self._pool = ThreadPoolExecutor(_THREADS_PER_DRIVE * len(servers), thread_name_prefix="carla")
        self.drives = [
            SupervisedDrive(
                Stations(f"CARLA environment {index}", source, settings, factory, logs / f"env-{index}.log", limits),
                limits,
                self.counters,
                self._pool,
                view.shapes(),
                say,
            )
            for index, source in enumerate(servers)
        ]

    def start(self) -> None:
        """Start or connect all of them.

        Raises:
            UserError: one line that says what is missing.
        """
        starts = [self._pool.submit(drive.start) for drive in self.drives]
        wait(starts)
        for start in starts:
            start.result()

    def training_env(self) -> CarlaVectorEnv:
        """The environments to learn from."""
        return self._env(self.drives[: self._envs])

    def evaluation_env(self, most: int) -> CarlaVectorEnv:
        """At most so many environments to measure on: the spare ones, or else those of training.

        Only one client may tick a server, so without spare servers evaluation borrows: the episodes that training has
        under way are interrupted, and training goes on with new ones afterwards.
        """
        return self._env((self.drives[self._envs :] or self.drives)[:most])

    def evaluation_size(self, most: int) -> int:
        """How many environments `evaluation_env` has."""
        return len((self.drives[self._envs :] or self.drives)[:most])

    def counts(self) -> dict[str, int]:
        """What happened so far, and what the drives themselves count."""
        counts = self.counters.read()
        for drive in self.drives:
            for name, count in drive.drive_counts().items():
                counts[f"drive_{name}"] = counts.get(f"drive_{name}", 0) + count
        return counts

    def close(self) -> None:
        """Leave every server as it was found, end our processes. Calling it again does nothing."""
        for drive in self.drives:
            drive.break_off()  # here and now: what is being made may hold every thread of the pool
        closing = [self._pool.submit(drive.close) for drive in self.drives]
        wait(closing)
        self._pool.shutdown()
        drives, self.drives = self.drives, []
        for done in closing[: len(drives)]:
            done.result()

    def _env(self, drives: Sequence[SupervisedDrive]) -> CarlaVectorEnv:
        view = self.view
        return CarlaVectorEnv(
            drives,
            self._pool,
            self.counters,
            view.scenario,
            image_size=view.image_size,
            action_repeat=view.action_repeat,
            ids=view.ids,
        )


def open_fleet(config: CarlaConfig, envs: int, view: View, logs: Path, say: Callable[[str], None]) -> Fleet:
    """Starts what the flags ask for.

    Args:
        config: checked by `carla_config.check_carla`.
        envs: environments to train on.
        view: what they show.
        logs: directory for what servers and drives print; made here.
        say: where to tell what happened.

    Raises:
        UserError: something is missing, in one line.
    """
    logs.mkdir(parents=True, exist_ok=True)
    limits = limits_of(config)
    ports = Ports()
    fleet = Fleet(
        servers_of(config, envs, ports, logs),
        envs,
        view,
        limits,
        lambda server: drive_settings(config, limits, view, server),
        DRIVE_FACTORY,
        logs,
        say,
    )
    try:
        fleet.start()
    except BaseException:
        fleet.close()
        raise
    return fleet


def limits_of(config: CarlaConfig) -> Limits:
    """The deadlines that the flags ask for."""
    return Limits(
        start_s=config.start_timeout_s,
        connect_s=config.connect_timeout_s,
        reset_s=config.reset_timeout_s,
        step_s=config.step_timeout_s,
        close_s=config.close_timeout_s,
        max_failures=config.max_failures,
        recycle_episodes=config.recycle_episodes,
        recycle_growth_bytes=config.recycle_growth_mib * 2**20,
    )


def servers_of(config: CarlaConfig, envs: int, ports: Ports, logs: Path) -> list[Servers]:
    """One source of servers for each environment, and for each spare."""
    if not config.root:
        return [External(host, port, ports) for host, port in addresses(config)]
    gpus = [gpu for gpu in config.gpus.split(",") if gpu]
    own: list[Servers] = []
    for index in range(envs + config.spares):
        command = start_command(config, gpus[index % len(gpus)] if gpus else "")
        own.append(Own(command, ports, logs / f"server-{index}.log"))
    return own


def start_command(config: CarlaConfig, gpu: str) -> Command:
    """What starts a server on given ports."""
    extra = config.server_args.split()

    def command(ports: PortsOf) -> list[str]:
        if config.root == EMBEDDED_ROOT:
            return [sys.executable, "-m", "semore_fast.carla_server", "--port", str(ports.server), *extra]
        adapter = [f"-graphicsadapter={gpu}"] if gpu else []
        fixed = ["-RenderOffScreen", "-nosound", f"-carla-rpc-port={ports.server}"]
        return [str(start_script(config.root)), *fixed, *adapter, *extra]

    return command


def drive_settings(config: CarlaConfig, limits: Limits, view: View, server: Server) -> dict[str, Any]:
    """What `remote.make` makes a drive from.

    The drive's own timeouts are shorter than our deadlines, so that where it can still speak it says itself what it
    waited for, and can tidy up.
    """
    return {
        "scenario": view.scenario.to_dict(),
        "host": server.host,
        "port": server.port,
        "tm_port": server.traffic_manager_port,
        "image_size": view.image_size,
        "supersample": view.supersample,
        "action_repeat": view.action_repeat,
        "ids": view.ids,
        "allow_version_mismatch": config.allow_version_mismatch,
        "timeouts": {
            "connect_s": min(10.0, 0.4 * limits.connect_s),
            "load_map_s": 0.8 * limits.connect_s,
            "call_s": min(20.0, 0.5 * limits.step_s),
            "tick_s": min(20.0, 0.5 * limits.step_s),
            "sensor_s": min(10.0, 0.4 * limits.step_s),
            "close_s": min(5.0, 0.4 * limits.close_s),
        },
    }
