"""Every method by name: one learner over different representations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch

from semore.agents.sac import Agent
from semore.config import ABLATIONS, METHOD_SUMMARIES, AgentConfig, SemoreConfig
from semore.networks import TRUNKS
from semore.ops import REFERENCE, Ops
from semore.representations import (
    CurlRepresentation,
    DeepMDPRepresentation,
    DrQRepresentation,
    EncoderConfig,
    FlareRepresentation,
    ObservationSpec,
    PixelRepresentation,
    Representation,
    SemoreRepresentation,
    SimounRepresentation,
)

MakeRepresentation = Callable[[EncoderConfig, ObservationSpec, Ops, SemoreConfig], Representation]


def _ablation(name: str) -> MakeRepresentation:
    def make(encoder: EncoderConfig, spec: ObservationSpec, ops: Ops, semore: SemoreConfig) -> Representation:
        return SemoreRepresentation(encoder, spec, ops, replace(semore, **ABLATIONS[name]))  # type: ignore[arg-type]

    return make


def _plain(kind: Callable[[EncoderConfig, ObservationSpec, Ops], Representation]) -> MakeRepresentation:
    """A method without settings of Semore's."""
    return lambda encoder, spec, ops, _: kind(encoder, spec, ops)


REPRESENTATIONS: dict[str, MakeRepresentation] = {
    **{name: _ablation(name) for name in ABLATIONS},
    "sac": _plain(PixelRepresentation),
    "curl": _plain(CurlRepresentation),
    "flare": _plain(FlareRepresentation),
    "drq": _plain(DrQRepresentation),
    "deepmdp": _plain(DeepMDPRepresentation),
    "simoun": SimounRepresentation,
}
"""How each method sees; to add one, add it here and to `METHOD_SUMMARIES`."""


def make_agent(
    name: str,
    config: AgentConfig,
    spec: ObservationSpec,
    ops: Ops = REFERENCE,
    device: torch.device | str = "cpu",
    semore: SemoreConfig | None = None,
) -> Agent:
    """Builds a learner by its method's name.

    Args:
        name: one of `METHOD_SUMMARIES`.
        config: what every method shares.
        spec: what the environment gives and takes.
        ops: the hot operations.
        device: where it learns.
        semore: Semore's own settings; the ablations take theirs out of it.

    Raises:
        ValueError: unknown name, or a picture too small for the trunk.
    """
    if name not in REPRESENTATIONS:
        raise ValueError(f"unknown agent {name!r}; choose one of {', '.join(METHOD_SUMMARIES)}")
    encoder = EncoderConfig(
        trunk=TRUNKS[config.trunk], feature_dim=config.feature_dim, input_offset=config.input_offset
    )
    make = partial(REPRESENTATIONS[name], encoder, spec, ops, semore or SemoreConfig())
    return Agent(config, spec, make, ops, torch.device(device))


__all__ = ["REPRESENTATIONS", "Agent", "AgentConfig", "SemoreConfig", "make_agent"]
