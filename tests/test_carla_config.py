"""The `--carla-…` flags: what is refused, what is saved, what starts a server."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from semore_fast.carla_config import CarlaConfig, addresses, require_carla
from semore_fast.cli import parse_run
from semore_fast.config import RunConfig, from_dict, to_dict
from semore_fast.envs.carla.fleet import View, drive_settings, limits_of, servers_of, start_command
from semore_fast.envs.carla.ports import Ports, PortsOf
from semore_fast.envs.carla.servers import ExternalServer, Own
from semore_fast.envs.presets import JW
from semore_fast.errors import UserError
from semore_fast.presets import PRESETS
from semore_fast.rundir import RunDirectory
from semore_fast.session import MAY_DIFFER


def parse(*flags: str) -> RunConfig:
    return parse_run(["--preset", "laptop", *flags], "")[0]


@pytest.mark.parametrize(
    ("flags", "envs", "told"),
    [
        ("--sim carla", 1, True),
        ("--sim=carla", 1, True),
        ("--sim carla --envs 2 --carla-host a,b", 2, False),
        ("--sim embedded", PRESETS["fast"].envs, False),
    ],
)
def test_a_preset_s_many_environments_are_not_for_carla(flags: str, envs: int, told: bool) -> None:
    config, reason = parse_run(["--preset", "fast", *flags.split()], "")
    assert config.envs == envs
    assert ("one environment instead of" in reason) == told


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "CarlaUE4.sh").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--carla-host x", "add --sim carla"),
        ("--sim carla --envs 2", "--envs 2 needs as many servers, --carla-host names 1"),
        ("--sim carla --carla-host a:2000,a:2000 --envs 2", "names a server twice"),
        ("--sim carla --carla-host a:b", "--carla-host: 'a:b' is no HOST:PORT"),
        ("--sim carla --carla-host :2000", "--carla-host"),
        ("--sim carla --carla-port 65535", "--carla-port"),
        ("--sim carla --carla-root /nowhere", "holds no CarlaUE4.sh"),
        ("--sim carla --carla-root embedded --carla-host a", "exclude each other"),
        ("--sim carla --carla-root embedded --carla-gpus 0,x", "--carla-gpus"),
        ("--sim carla --carla-gpus 0", "add --carla-root"),
        ("--sim carla --carla-spares 1", "--carla-spares"),
        ("--sim carla --carla-root embedded --carla-spares -1", "--carla-spares must not be negative"),
        ("--sim carla --carla-step-timeout-s 0", "--carla-step-timeout-s must be above 0"),
        ("--sim carla --carla-max-failures 0", "--carla-max-failures must be at least 1"),
        ("--sim carla --carla-recycle-episodes -1", "--carla-recycle-episodes"),
    ],
)
def test_impossible_flags_say_what_to_mend(flags: str, said: str) -> None:
    with pytest.raises(UserError) as refused:
        parse(*flags.split())
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_addresses_take_the_port_where_none_is_named() -> None:
    assert addresses(CarlaConfig()) == [("127.0.0.1", 2000)]
    assert addresses(CarlaConfig(host="a, b:7", port=3000)) == [("a", 3000), ("b", 7)]
    config = parse("--sim", "carla", "--carla-host", "a,b,c", "--envs", "2")
    assert len(servers_of(config.carla, config.envs, Ports(), Path())) == 3  # the third is spare


def test_servers_are_started_with_the_flags_of_carla(root: Path) -> None:
    config = CarlaConfig(root=str(root), gpus="0,3", server_args="-quality-level=Low -fps=20", spares=1)
    servers = servers_of(config, 2, Ports(), root)
    commands = [server._command(PortsOf(2000, 2003)) for server in servers if isinstance(server, Own)]
    fixed = [str(root / "CarlaUE4.sh"), "-RenderOffScreen", "-nosound", "-carla-rpc-port=2000"]
    extra = ["-quality-level=Low", "-fps=20"]
    assert commands == [[*fixed, f"-graphicsadapter={gpu}", *extra] for gpu in (0, 3, 0)]
    embedded = start_command(CarlaConfig(root="embedded"), "")(PortsOf(2000, 2003))
    assert embedded == [sys.executable, "-m", "semore_fast.carla_server", "--port", "2000"]


def test_what_a_drive_is_told_is_json_and_fits_its_settings() -> None:
    from semore_fast.envs.carla.settings import DriveSettings, Timeouts

    config = CarlaConfig(step_timeout_s=6.0)
    view = View(scenario=JW, image_size=64, ids=True)
    server = ExternalServer("host", 2000, Ports())
    told = json.loads(json.dumps(drive_settings(config, limits_of(config), view, server)))
    fields = set(DriveSettings.__dataclass_fields__)
    assert told.keys() <= fields
    assert told["timeouts"].keys() <= set(Timeouts.__dataclass_fields__)
    assert told["timeouts"]["tick_s"] < limits_of(config).step_s
    assert told["tm_port"] not in range(2000, 2003)


def test_runs_of_before_go_on(tmp_path: Path) -> None:
    """A run's configuration of a version that knew neither CARLA nor histograms is what it was."""
    config, before = parse("--frames", "100"), to_dict(RunConfig())
    saved = {name: value for name, value in to_dict(config).items() if name not in ("sim", "carla")}
    del saved["learner"]["critic_bins"]
    assert from_dict(saved) == config
    RunDirectory.open(tmp_path / "old", saved).close()
    with RunDirectory.open(tmp_path / "old", to_dict(config), defaults=before) as run:
        assert not run.notices
    changed = parse("--frames", "100", "--learner.critic-bins", "11")
    with pytest.raises(UserError, match=r"learner\.critic_bins: saved 0, given 11"):
        RunDirectory.open(tmp_path / "old", to_dict(changed), defaults=before)


def test_another_server_may_take_a_run_over_but_no_other_simulator(tmp_path: Path) -> None:
    on_carla = parse("--sim", "carla", "--carla-host", "a")
    RunDirectory.open(tmp_path / "run", to_dict(on_carla)).close()
    elsewhere = parse("--sim", "carla", "--carla-host", "b", "--carla-step-timeout-s", "9")
    with RunDirectory.open(tmp_path / "run", to_dict(elsewhere), may_differ=MAY_DIFFER) as run:
        assert any("carla.host" in notice for notice in run.notices)
    with pytest.raises(UserError, match=r"other settings: .*sim: saved"):
        RunDirectory.open(tmp_path / "run", to_dict(parse()), may_differ=MAY_DIFFER)


@pytest.mark.parametrize(
    ("missing", "version", "config", "said"),
    [
        ("carla", (3, 12), CarlaConfig(), r"pip install 'semore-fast\[carla\]'"),
        ("carla", (3, 13), CarlaConfig(), r"no wheel for Python 3\.13: use Python 3\.11 or 3\.12"),
        ("msgpack", (3, 12), CarlaConfig(root="embedded"), r"msgpack"),
    ],
)
def test_missing_packages_are_named(
    monkeypatch: pytest.MonkeyPatch, missing: str, version: tuple[int, int], config: CarlaConfig, said: str
) -> None:
    class Version(tuple):  # type: ignore[type-arg]
        major, minor = version

    def find(name: str) -> Any:
        return None if name == missing else object()

    monkeypatch.setattr(importlib.util, "find_spec", find)
    monkeypatch.setattr(sys, "version_info", Version(version))
    with pytest.raises(UserError, match=said):
        require_carla(config)
