"""Representations: what a learner sees with."""

from semore.representations.base import (
    Encoded,
    EncoderConfig,
    Inputs,
    ObservationSpec,
    Representation,
    UpdateContext,
)
from semore.representations.curl import CurlRepresentation
from semore.representations.deepmdp import DeepMDPRepresentation
from semore.representations.drq import DrQRepresentation
from semore.representations.flare import FlareRepresentation
from semore.representations.pixel import PixelRepresentation
from semore.representations.semore import SemoreRepresentation
from semore.representations.simoun import SimounRepresentation

__all__ = [
    "CurlRepresentation",
    "DeepMDPRepresentation",
    "DrQRepresentation",
    "Encoded",
    "EncoderConfig",
    "FlareRepresentation",
    "Inputs",
    "ObservationSpec",
    "PixelRepresentation",
    "Representation",
    "SemoreRepresentation",
    "SimounRepresentation",
    "UpdateContext",
]
