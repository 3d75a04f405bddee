"""Guidance for the trainer: a service over a guide, and the choice between them."""

from semore_fast.guidance.choose import KINDS, MODEL_KINDS, GuidanceUnavailableError, make_guidance
from semore_fast.guidance.service import GuidanceService, NoGuidance, ScriptedService

__all__ = [
    "KINDS",
    "MODEL_KINDS",
    "GuidanceService",
    "GuidanceUnavailableError",
    "NoGuidance",
    "ScriptedService",
    "make_guidance",
]
