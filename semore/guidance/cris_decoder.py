"""CRIS's decoder, in which every position of the map reads the phrase's tokens, and its dynamic projector.

Wang et al. 2022, sections 3.3 and 3.4.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semore.guidance.cris_config import CrisConfig
from semore.guidance.cris_neck import conv_norm, double

# Vaswani et al. 2017, section 3.5.
LONGEST_WAVE = 10_000.0
# Side of the filter that the projector makes of a sentence.
FILTER_SIDE = 3


def sine_positions(length: int, channels: int, device: torch.device | str = "cpu") -> Tensor:
    """Float32 [length, channels]: sine in even channels, cosine in odd ones (Vaswani et al. 2017, section 3.5)."""
    rates = torch.exp(torch.arange(0, channels, 2, device=device) * (-math.log(LONGEST_WAVE) / channels))
    angles = torch.arange(length, device=device)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], 2).flatten(1)


def map_positions(height: int, width: int, channels: int, device: torch.device | str = "cpu") -> Tensor:
    """Float32 [height * width, channels], row by row: half the channels for the column, then half for the row."""
    column = sine_positions(width, channels // 2, device).expand(height, width, -1)
    row = sine_positions(height, channels // 2, device)[:, None].expand(height, width, -1)
    return torch.cat([column, row], 2).flatten(0, 1)


class DecoderLayer(nn.Module):
    """Self-attention over the map, attention to the tokens, feed-forward; norms before and after."""

    def __init__(self, config: CrisConfig) -> None:
        super().__init__()
        width, hidden = config.text_width, config.ffn_width
        self.self_attn = nn.MultiheadAttention(width, config.decoder_heads)
        self.multihead_attn = nn.MultiheadAttention(width, config.decoder_heads)
        self.self_attn_norm = nn.LayerNorm(width)
        self.cross_attn_norm = nn.LayerNorm(width)
        # Weights are stored with index 2 for dropout in training, which has no weights.
        self.ffn = nn.Sequential(
            nn.Linear(width, hidden),
            nn.ReLU(inplace=True),
            nn.Identity(),
            nn.LayerNorm(hidden),
            nn.Linear(hidden, width),
        )
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.norm3 = nn.LayerNorm(width)

    def forward(self, x: Tensor, words: Tensor, x_positions: Tensor, word_keys: Tensor, padding: Tensor) -> Tensor:
        """One layer, sequence first.

        Args:
            x: map [N, P, C].
            words: token features [L, P, C].
            x_positions: [N, 1, C].
            word_keys: `words` with their positions added, [L, P, C].
            padding: bool [P, L], True at tokens that nobody may read.

        Returns:
            [N, P, C].
        """
        values = self.norm1(x)
        queries = values + x_positions
        x = x + self.self_attn_norm(self.self_attn(queries, queries, values, need_weights=False)[0])
        queries = self.norm2(x) + x_positions
        read = self.multihead_attn(queries, word_keys, words, key_padding_mask=padding, need_weights=False)[0]
        x = x + self.cross_attn_norm(read)
        out: Tensor = x + self.ffn(self.norm3(x))
        return out


class Decoder(nn.Module):
    """The neck's map reads a phrase's tokens."""

    def __init__(self, config: CrisConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.norm = nn.LayerNorm(config.text_width)

    def forward(self, fused: Tensor, words: Tensor, padding: Tensor) -> Tensor:
        """Map [P, C, h, w], tokens [P, L, C] and padding bool [P, L] (True: not read) to a map [P, C, h, w]."""
        channels, height, width = fused.shape[1:]
        positions = map_positions(height, width, channels, fused.device)[:, None].to(fused.dtype)
        text = words.transpose(0, 1)
        keys = text + sine_positions(len(text), channels, text.device)[:, None].to(text.dtype)
        x = fused.flatten(2).permute(2, 0, 1)
        for layer in self.layers:
            x = layer(x, text, positions, keys, padding)
        read: Tensor = self.norm(x)
        return read.permute(1, 2, 0).reshape(fused.shape)


class Projector(nn.Module):
    """The map, four times as large, convolved with a filter made of the sentence: one logit a position."""

    def __init__(self, config: CrisConfig) -> None:
        super().__init__()
        wide, self.channels = config.text_width, config.text_width // 2
        # Weights are stored with indices 0 and 2 for upsampling, which has no weights.
        self.vis = nn.Sequential(
            _Double(),
            conv_norm(wide, wide, 3),
            _Double(),
            conv_norm(wide, self.channels, 3),
            nn.Conv2d(self.channels, self.channels, 1),
        )
        self.txt = nn.Linear(config.embed_dim, self.channels * FILTER_SIDE**2 + 1)

    def forward(self, x: Tensor, state: Tensor) -> Tensor:
        """Map [P, C, h, w] and sentence states [P, embed_dim] to logits [P, 4 h, 4 w]."""
        x = self.vis(x)
        made = self.txt(state)
        filters = made[:, :-1].unflatten(1, (self.channels, FILTER_SIDE, FILTER_SIDE))
        # One group a pair: each map meets its own filter alone.
        return F.conv2d(x.flatten(0, 1), filters, made[:, -1], padding=FILTER_SIDE // 2, groups=len(x))


class _Double(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return double(x)
