"""The choice behind `--guidance`: made once at the start, with its reason."""

from __future__ import annotations

from typing import Literal, get_args

from semore.guidance import FaultRates, Faulty, Guide, Scripted
from semore_fast.errors import UserError
from semore_fast.guidance.service import GuidanceService, NoGuidance, ScriptedService

Kind = Literal["auto", "scripted", "qwen", "chat", "recorded", "none"]
KINDS: tuple[str, ...] = get_args(Kind)
MODEL_KINDS = ("qwen", "chat", "recorded")
"""Those that `models.model_service` makes, for a method that wants guidance."""

NO_FAULTS = FaultRates()


class GuidanceUnavailableError(UserError):
    """The guidance asked for by name cannot work here."""


def make_guidance(
    kind: str,
    *,
    wanted: bool,
    privileged: bool,
    key_frame_interval: int = 1,
    faults: FaultRates = NO_FAULTS,
    seed: int = 0,
) -> tuple[GuidanceService, str]:
    """Build the guidance service and say in one line what was chosen and why.

    Args:
        kind: one of `KINDS`; `auto` takes the scripted one if the method wants guidance and the environment
            can feed it.
        wanted: whether the method learns from guidance at all.
        privileged: whether the environment's snapshots carry privileged information.
        key_frame_interval: steps from one requested frame to the next.
        faults: rates at which the scripted guide errs on purpose.
        seed: of the faults.

    Returns:
        The service and the reason, for the log and the manifest.

    Raises:
        UserError: for an unknown kind.
        GuidanceUnavailableError: if `scripted` was asked for by name and the environment cannot feed it.
    """
    if kind not in KINDS:
        raise UserError(f"--guidance must be one of {', '.join(KINDS)}, got {kind!r}")
    if kind == "none":
        return NoGuidance(), "none (asked for by name)"
    if kind in MODEL_KINDS:
        raise GuidanceUnavailableError(f"--guidance {kind}, but this method learns without guidance; leave it out")
    if kind == "scripted":
        if not privileged:
            raise GuidanceUnavailableError(
                "--guidance scripted is privileged and needs the simulator's ids, which this environment does not"
                " give; use --guidance none"
            )
        return _scripted(key_frame_interval, faults, seed, "asked for by name")
    if not wanted:
        return NoGuidance(), "none (auto: this method learns without guidance)"
    if not privileged:
        return NoGuidance(), "none (auto: scripted needs ids that this environment does not give)"
    return _scripted(key_frame_interval, faults, seed, "auto: the environment gives the simulator's ids")


def _scripted(key_frame_interval: int, faults: FaultRates, seed: int, reason: str) -> tuple[GuidanceService, str]:
    guide: Guide = Scripted()
    if faults.missed or faults.false or faults.late:
        guide = Faulty(guide, faults, seed)
        reason += f"; with faults on purpose: {faults}"
    return ScriptedService(guide, key_frame_interval), f"scripted, privileged ({reason})"
