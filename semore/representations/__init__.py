"""Representations: what a learner sees with."""

from semore.representations.base import (
    Encoded,
    EncoderConfig,
    Inputs,
    ObservationSpec,
    Representation,
    UpdateContext,
)
from semore.representations.pixel import PixelRepresentation
from semore.representations.semore import (
    SemoreRepresentation,
)

__all__ = [
    "Encoded",
    "EncoderConfig",
    "Inputs",
    "ObservationSpec",
    "PixelRepresentation",
    "Representation",
    "SemoreRepresentation",
    "UpdateContext",
]
