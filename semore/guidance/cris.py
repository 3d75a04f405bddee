"""CRIS (Wang et al. 2022): a picture and a phrase to a mask, in our own implementation of the public model.

Names and shapes of all parameters are the public model's, so its weights fit. This is the network for use, not for
training it: no dropout, and batch norm is meant to stay in eval mode.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from semore.guidance.cris_clip import Clip
from semore.guidance.cris_config import CrisConfig
from semore.guidance.cris_decoder import Decoder, Projector
from semore.guidance.cris_image import Levels
from semore.guidance.cris_neck import Neck
from semore.guidance.phrase_segmenter import Features, PhraseSegmenter, PictureFormat

# Radford et al. 2021: mean and deviation of CLIP's training pictures, R, G, B.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
# CRIS pads phrases with this id and does not read it, a real "!" (CLIP's token 0) included.
PADDING = 0

Tokenize = Callable[[Sequence[str]], Tensor]
"""Phrases to token ids int64 [P, text_length], padded with `PADDING`; see `cris_tokens`."""


class Cris(nn.Module):
    """Pictures and phrases to logits at a quarter of the picture's side."""

    def __init__(self, config: CrisConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = Clip(config)
        self.neck = Neck(config)
        self.decoder = Decoder(config)
        self.proj = Projector(config)

    def decode(self, levels: Levels, tokens: Tensor, words: Tensor, state: Tensor) -> Tensor:
        """Logits [P, H / 4, W / 4] of P pairs.

        Args:
            levels: the pictures' levels, each [P, ...], from `backbone.encode_image`.
            tokens: token ids int64 [P, L]; those equal to `PADDING` are not read.
            words: token features [P, L, text_width], from `backbone.encode_text`.
            state: sentence states [P, embed_dim], likewise.
        """
        read = self.decoder(self.neck(levels, state), words, tokens == PADDING)
        logits: Tensor = self.proj(read, state)
        return logits

    def forward(self, pictures: Tensor, tokens: Tensor) -> Tensor:
        """Normalised pictures [P, 3, H, W], sides multiples of 32, and ids int64 [P, L] to logits [P, H / 4, W / 4]."""
        words, state = self.backbone.encode_text(tokens)
        return self.decode(self.backbone.encode_image(pictures), tokens, words, state)


class CrisSegmenter(PhraseSegmenter):
    """CRIS as a segmenter.

    Args:
        model: the network, with its weights.
        tokenize: turns phrases into ids; `cris_tokens.load_clip_tokenizer` makes one.
        revision: names the weights: their SHA-256 or a name.
        max_batch: frames, phrases or pairs in the network at once.
        side: side in pixels to which frames are resized, a multiple of 32; None for the side it was trained on.

    Raises:
        ValueError: for a bad `max_batch`, `revision` or `side`.
    """

    def __init__(
        self, model: Cris, tokenize: Tokenize, *, revision: str, max_batch: int = 16, side: int | None = None
    ) -> None:
        side = model.config.side if side is None else side
        if side < 32 or side % 32:
            raise ValueError(f"side must be a multiple of 32 pixels, got {side}")
        pictures = PictureFormat(side=side, mean=CLIP_MEAN, std=CLIP_STD)
        # align_corners as in the public model's own evaluation.
        super().__init__(model, pictures, revision=revision, max_batch=max_batch, align_corners=True)
        self._model = model
        self._tokenize = tokenize

    def _encode_pictures(self, pictures: Tensor) -> Features:
        return self._model.backbone.encode_image(pictures)

    def _encode_phrases(self, phrases: Sequence[str]) -> Features:
        tokens = self._tokenize(phrases).to(self.device)
        return tokens, *self._model.backbone.encode_text(tokens)

    def _logits(self, pictures: Features, phrases: Features) -> Tensor:
        eighth, sixteenth, deepest = pictures
        return self._model.decode((eighth, sixteenth, deepest), *phrases)
