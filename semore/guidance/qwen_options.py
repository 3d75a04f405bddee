"""What a user can choose about a Qwen guide, apart from which model it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from semore.guidance.phrases import MAX_PHRASES
from semore.guidance.qwen_pixels import MAX_PIXELS, MIN_PIXELS


@dataclass(frozen=True)
class QwenOptions:
    """Choices that change the answers, and `max_batch`, which does not. Our defaults, except the pixel limits.

    Attributes:
        scenario: whose vocabulary the single-frame `annotate` uses.
        mode: `vocabulary` holds decoding to the scenario's phrases; `free` lets the model write and parses it.
        max_phrases: at most so many phrases for one frame.
        max_new_tokens: limit of a free answer; a vocabulary's own limit follows from its phrases.
        answers: the words that mean reasonable and unreasonable, each one token of the model. The paper's own
            words are not promised to be, so the question is put for yes or no.
        threshold: an action is reasonable if its probability is at least this.
        min_pixels: smaller frames (by area) are enlarged before the model sees them (Qwen2-VL's default).
        max_pixels: larger frames (by area) are reduced; fewer pixels are fewer tokens (Qwen2-VL's default).
        max_batch: frames in one forward pass; longer batches are split.
    """

    scenario: str = "jw"
    mode: Literal["vocabulary", "free"] = "vocabulary"
    max_phrases: int = MAX_PHRASES
    max_new_tokens: int = 48
    answers: tuple[str, str] = ("Yes", "No")
    threshold: float = 0.5
    min_pixels: int = MIN_PIXELS
    max_pixels: int = MAX_PIXELS
    max_batch: int = 16

    def __post_init__(self) -> None:
        if self.mode not in ("vocabulary", "free"):
            raise ValueError(f"mode must be 'vocabulary' or 'free', got {self.mode!r}")
        for name in ("max_phrases", "max_new_tokens", "max_batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0.0 < self.threshold < 1.0:
            raise ValueError(f"threshold must be between 0 and 1, got {self.threshold}")
