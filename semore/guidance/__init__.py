"""Guidance: what matters in a frame (annotate, segment) and whether an action is reasonable (judge)."""

from semore.guidance.faulty import FaultRates, Faulty
from semore.guidance.macro import MacroAction, macro_action
from semore.guidance.protocols import Annotator, Guide, Judge, Privileged, Segmenter, Snapshot
from semore.guidance.scripted import PrivilegedMissingError, Scripted

__all__ = [
    "Annotator",
    "FaultRates",
    "Faulty",
    "Guide",
    "Judge",
    "MacroAction",
    "Privileged",
    "PrivilegedMissingError",
    "Scripted",
    "Segmenter",
    "Snapshot",
    "macro_action",
]
