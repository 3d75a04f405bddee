"""The sizes of CRIS (Wang et al. 2022, "CRIS: CLIP-Driven Referring Image Segmentation")."""

from __future__ import annotations

from dataclasses import dataclass

# How much smaller than the picture each of the image encoder's levels is.
STRIDES = (8, 16, 32)
# CLIP's attention heads over the image are 64 channels wide (Radford et al. 2021).
POOL_HEAD_DIM = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class CrisConfig:
    """Sizes of every part. The defaults are the public model's with CLIP RN50.

    Attributes:
        vision_layers: bottlenecks in each of the image encoder's four stages.
        vision_width: channels behind the stem; the stages have 4, 8, 16 and 32 times as many.
        embed_dim: size of CLIP's joint space, of the deepest image level and of the sentence state.
        pretrained_side: side in pixels of the pictures CLIP was trained on; a 32nd of it is the grid of positions.
        vocab_size: tokens CLIP knows; the last one ends a sentence.
        context_length: token positions CLIP has learnt.
        text_width: channels of a token, in the text encoder and in the decoder.
        text_heads: attention heads of the text encoder.
        text_layers: blocks of the text encoder.
        side: side in pixels of the pictures CRIS was trained on.
        text_length: tokens of a phrase, start and end included.
        neck_channels: channels in the neck for the levels at 1/8, 1/16 and 1/32 of the picture's side; the second is
            the decoder's width too.
        decoder_layers: layers of the decoder.
        decoder_heads: attention heads of the decoder.
        ffn_width: hidden channels of the decoder's feed-forward parts.

    Raises:
        ValueError: for sizes that do not fit each other.
    """

    vision_layers: tuple[int, int, int, int] = (3, 4, 6, 3)
    vision_width: int = 64
    embed_dim: int = 1024
    pretrained_side: int = 224
    vocab_size: int = 49408
    context_length: int = 77
    text_width: int = 512
    text_heads: int = 8
    text_layers: int = 12
    side: int = 416
    text_length: int = 17
    neck_channels: tuple[int, int, int] = (256, 512, 1024)
    decoder_layers: int = 3
    decoder_heads: int = 8
    ffn_width: int = 2048

    @classmethod
    def rn50(cls) -> CrisConfig:
        """The public model on CLIP RN50: 146.8 million parameters."""
        return cls()

    @classmethod
    def rn101(cls) -> CrisConfig:
        """The public model on CLIP RN101: 161.3 million parameters."""
        return cls(vision_layers=(3, 4, 23, 3), embed_dim=512)

    @property
    def pool_channels(self) -> int:
        """Channels of the image encoder's last stage, which the attention pool reads."""
        return 32 * self.vision_width

    @property
    def level_channels(self) -> tuple[int, int, int]:
        """Channels of the image levels at 1/8, 1/16 and 1/32 of the picture's side."""
        return 8 * self.vision_width, 16 * self.vision_width, self.embed_dim

    def __post_init__(self) -> None:
        for name, count in (("text_heads", self.text_heads), ("decoder_heads", self.decoder_heads)):
            if self.text_width % count:
                raise ValueError(f"text_width {self.text_width} must be divisible by {name} {count}")
        for name, pixels in (("side", self.side), ("pretrained_side", self.pretrained_side)):
            if pixels < STRIDES[-1] or pixels % STRIDES[-1]:
                raise ValueError(f"{name} must be a multiple of {STRIDES[-1]} pixels, got {pixels}")
        if self.pool_channels % POOL_HEAD_DIM:
            raise ValueError(f"vision_width must be even, got {self.vision_width}")
        if not 2 <= self.text_length <= self.context_length:
            raise ValueError(f"text_length must be between 2 and {self.context_length}, got {self.text_length}")
        if self.neck_channels[1] != self.text_width or self.text_width % 4:
            raise ValueError(
                f"neck_channels[1] {self.neck_channels[1]} must equal text_width {self.text_width}, a multiple of 4"
            )
