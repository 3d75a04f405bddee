"""CLIP as CRIS's backbone: the image encoder, a causal text transformer, and how CLIP's own weights get in.

Radford et al. 2021, section 2.4. The names of parameters are those of CLIP's weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from semore.guidance.cris_config import CrisConfig
from semore.guidance.cris_image import ImageEncoder, Levels

# Hendrycks and Gimpel 2016: x * sigmoid(1.702 x) comes close to GELU; CLIP was trained with it.
QUICK_GELU_SLOPE = 1.702
# CLIP's temperature before training, and the spread of its embeddings (Radford et al. 2021, section 2.5 and code).
INITIAL_TEMPERATURE = 0.07
TOKEN_STD, POSITION_STD = 0.02, 0.01
# What CLIP's exported weights carry besides parameters.
CLIP_SETTINGS = frozenset({"input_resolution", "context_length", "vocab_size"})


class Mlp(nn.Module):
    """Linear, quick GELU, linear; four times as wide inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] to [..., width]."""
        hidden = self.c_fc(x)
        out: Tensor = self.c_proj(hidden * torch.sigmoid(QUICK_GELU_SLOPE * hidden))
        return out


class TextBlock(nn.Module):
    """Causal self-attention and an MLP, each behind a layer norm and beside a shortcut."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(width, heads)
        self.ln_1 = nn.LayerNorm(width)
        self.mlp = Mlp(width)
        self.ln_2 = nn.LayerNorm(width)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Tokens [L, P, width] to the same; `hidden` bool [L, L] is True where a row may not see a column."""
        normed = self.ln_1(x)
        x = x + self.attn(normed, normed, normed, need_weights=False, attn_mask=hidden)[0]
        out: Tensor = x + self.mlp(self.ln_2(x))
        return out


class TextTransformer(nn.Module):
    """The text encoder's blocks."""

    def __init__(self, config: CrisConfig) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(
            TextBlock(config.text_width, config.text_heads) for _ in range(config.text_layers)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [L, P, width] to the same; each sees itself and those before it."""
        length = x.shape[0]
        future = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
        for block in self.resblocks:
            x = block(x, future)
        return x


class Clip(nn.Module):
    """Image and text encoders with a joint space."""

    def __init__(self, config: CrisConfig) -> None:
        super().__init__()
        self.visual = ImageEncoder(config)
        self.transformer = TextTransformer(config)
        self.token_embedding = nn.Embedding(config.vocab_size, config.text_width)
        self.positional_embedding = nn.Parameter(POSITION_STD * torch.randn(config.context_length, config.text_width))
        self.ln_final = nn.LayerNorm(config.text_width)
        self.text_projection = nn.Parameter(
            torch.randn(config.text_width, config.embed_dim) / math.sqrt(config.text_width)
        )
        # Unused in segmentation, but part of CLIP's weights and so of every checkpoint.
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / INITIAL_TEMPERATURE)))
        nn.init.normal_(self.token_embedding.weight, std=TOKEN_STD)

    def encode_image(self, pictures: Tensor) -> Levels:
        """Normalised pictures [B, 3, H, W] to three levels; see `ImageEncoder`."""
        levels: Levels = self.visual(pictures)
        return levels

    def encode_text(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Token ids int64 [P, L] to token features [P, L, text_width] and sentence states [P, embed_dim].

        The sentence state is read at the end token, found as the largest id of the row.
        """
        x = self.token_embedding(tokens) + self.positional_embedding[: tokens.shape[1]]
        words: Tensor = self.ln_final(self.transformer(x.transpose(0, 1)).transpose(0, 1))
        rows = torch.arange(len(tokens), device=tokens.device)
        return words, words[rows, tokens.argmax(1)] @ self.text_projection


@dataclass(frozen=True, slots=True)
class ClipReport:
    """Names that did not find a partner when CLIP's weights were copied.

    Attributes:
        missing: tensors of the backbone that the weights do not have, still as they were.
        unexpected: tensors of the weights that the backbone does not have.
    """

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]


def load_clip(backbone: Clip, weights: Mapping[str, Tensor]) -> ClipReport:
    """Copy CLIP's weights into `backbone` by name, as they are: nothing is renamed, transposed or resized.

    With OpenAI's weights only the attention pool's `connect` branch is missing, which CLIP does not have.

    Raises:
        ValueError: if a shape differs (nothing is copied then), or if no name fits at all.
    """
    own = backbone.state_dict()
    wanted = {name: tensor for name, tensor in weights.items() if name in own}
    if not wanted:
        raise ValueError(
            f"no name among {len(weights)} CLIP weights fits, the first is {next(iter(weights), None)!r}; "
            "give OpenAI's state dict (visual.*, transformer.*, ...)"
        )
    wrong = [
        f"{name} {list(tensor.shape)} instead of {list(own[name].shape)}"
        for name, tensor in wanted.items()
        if tensor.shape != own[name].shape
    ]
    if wrong:
        raise ValueError(f"CLIP weights of another size: {', '.join(wrong[:3])} ({len(wrong)} in all)")
    for name, tensor in wanted.items():
        own[name].copy_(tensor)
    unexpected = weights.keys() - own.keys() - CLIP_SETTINGS
    return ClipReport(tuple(sorted(own.keys() - wanted.keys())), tuple(sorted(unexpected)))
