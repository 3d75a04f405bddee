"""How the commands read their flags: presets first, then whatever the user changed."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

import tyro

from semore_fast.allocator import FLAG_OFF
from semore_fast.config import PresetName, RunConfig
from semore_fast.config_checks import check
from semore_fast.errors import UserError
from semore_fast.presets import PRESETS

PRINT_CONFIG = "--print-config"
_GPU_DEVICES = (Path("/dev/nvidia0"), Path("/dev/dxg"))  # Linux, WSL; asking torch would take seconds


def parse_run(argv: Sequence[str], description: str) -> tuple[RunConfig, str]:
    """Reads a run's configuration; the defaults shown in the help are the chosen preset's.

    Returns:
        The configuration, and one line that says which preset it starts from and why.

    Raises:
        UserError: an unknown preset or an impossible value. Other bad flags end the process with status 2.
    """
    flags = dict(zip(argv, [*argv[1:], ""], strict=True))
    flags |= dict(item.split("=", 1) for item in argv if item.startswith("--") and "=" in item)
    preset, reason = _preset(flags)
    default = PRESETS[preset]
    if flags.get("--sim") == "carla" and default.envs > 1:
        default = dataclasses.replace(default, envs=1)
        if "--envs" not in flags:
            reason += (
                f"; one environment instead of {PRESETS[preset].envs}: each --envs takes a CARLA server of its own"
            )
    rest = [flag for flag in argv if flag not in (PRINT_CONFIG, FLAG_OFF)]
    config = tyro.cli(RunConfig, args=rest, default=default, description=description, prog=_program())
    check(config)
    return config, reason


def _preset(flags: Mapping[str, str]) -> tuple[str, str]:
    if "--preset" in flags:
        name = flags["--preset"]
        if name not in PRESETS:
            raise UserError(f"--preset must be one of {', '.join(get_args(PresetName))}, got {name!r}")
        return name, f"preset {name}: asked for by name"
    if flags.get("--device") == "cpu":
        return "laptop", "preset laptop: --device cpu (use --preset paper for the paper's protocol)"
    if any(device.exists() for device in _GPU_DEVICES):
        return "paper", "preset paper: this machine has a GPU"
    return "laptop", "preset laptop: this machine has no GPU (use --preset paper for the paper's protocol)"


def _program() -> str:
    return f"python -m semore_fast.{Path(sys.argv[0]).stem}"
