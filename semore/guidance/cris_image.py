"""CLIP's convolutional image encoder as CRIS uses it: three levels, the deepest through an attention pool.

Radford et al. 2021, section 2.4, on He et al. 2019's ResNet-D: a stem of three convolutions, average pooling before
every strided convolution, attention in place of the last pooling. The names of parameters are those of CLIP's weights.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semore.guidance.cris_config import POOL_HEAD_DIM, STRIDES, CrisConfig

Levels = tuple[Tensor, Tensor, Tensor]
EXPANSION = 4


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut; a stride is an average pool after the 3x3."""

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        out_channels = EXPANSION * channels
        self.stride = stride
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.downsample: nn.Sequential | None = None
        if stride > 1 or in_channels != out_channels:
            project = nn.Conv2d(in_channels, out_channels, 1, bias=False)
            self.downsample = nn.Sequential(project, nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_channels, H, W] to [B, 4 * channels, H / stride, W / stride]."""
        inner = F.relu(self.bn1(self.conv1(x)))
        inner = F.relu(self.bn2(self.conv2(inner)))
        inner = self.bn3(self.conv3(self._pool(inner)))
        shortcut = x if self.downsample is None else self.downsample(self._pool(x))
        return F.relu(inner + shortcut)

    def _pool(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, self.stride) if self.stride > 1 else x


class AttentionPool(nn.Module):
    """Self-attention over all positions of a map, which it keeps: CLIP's pool without its class token.

    CRIS adds a residual branch (`connect`) that CLIP's weights lack. Positions were learnt on a grid of
    `grid_side`^2 and are resized to the map's by bicubic interpolation; the first row of `positional_embedding`
    belongs to the class token and is not used.
    """

    def __init__(self, grid_side: int, channels: int, out_channels: int) -> None:
        super().__init__()
        self.grid_side = grid_side
        self.heads = channels // POOL_HEAD_DIM
        self.positional_embedding = nn.Parameter(torch.randn(grid_side**2 + 1, channels) / channels**0.5)
        self.q_proj = nn.Linear(channels, channels)
        self.k_proj = nn.Linear(channels, channels)
        self.v_proj = nn.Linear(channels, channels)
        self.c_proj = nn.Linear(channels, out_channels)
        self.connect = nn.Sequential(nn.Conv2d(channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels))

    def positions(self, height: int, width: int) -> Tensor:
        """The learnt positions for a map of this size: [1, channels, height, width]."""
        grid = self.positional_embedding[1:].T.unflatten(1, (self.grid_side, self.grid_side))
        return F.interpolate(grid[None], (height, width), mode="bicubic", align_corners=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, h, w] to [B, out_channels, h, w], not negative."""
        height, width = x.shape[-2:]
        residual: Tensor = self.connect(x)
        tokens = (x + self.positions(height, width)).flatten(2).transpose(1, 2)
        queries, keys, values = (self._split(linear(tokens)) for linear in (self.q_proj, self.k_proj, self.v_proj))
        gathered = F.scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(2)
        pooled: Tensor = self.c_proj(gathered)
        return F.relu(pooled.transpose(1, 2).reshape(residual.shape) + residual)

    def _split(self, tokens: Tensor) -> Tensor:
        """[B, N, C] to [B, heads, N, C / heads]."""
        batch, length, channels = tokens.shape
        return tokens.view(batch, length, self.heads, channels // self.heads).transpose(1, 2)


class ImageEncoder(nn.Module):
    """Pictures [B, 3, H, W], normalised as CLIP's, to levels at 1/8, 1/16 and 1/32 of their sides."""

    def __init__(self, config: CrisConfig) -> None:
        super().__init__()
        width, half = config.vision_width, config.vision_width // 2
        self.conv1 = nn.Conv2d(3, half, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(half)
        self.conv2 = nn.Conv2d(half, half, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = nn.Conv2d(half, width, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        one, two, three, four = config.vision_layers
        self.layer1 = _stage(width, width, one, stride=1)
        self.layer2 = _stage(4 * width, 2 * width, two, stride=2)
        self.layer3 = _stage(8 * width, 4 * width, three, stride=2)
        self.layer4 = _stage(16 * width, 8 * width, four, stride=2)
        grid_side = config.pretrained_side // STRIDES[-1]
        self.attnpool = AttentionPool(grid_side, config.pool_channels, config.embed_dim)

    def forward(self, pictures: Tensor) -> Levels:
        """Returns three maps with `CrisConfig.level_channels` channels, finest first."""
        x = F.relu(self.bn1(self.conv1(pictures)))
        x = F.relu(self.bn2(self.conv2(x)))
        x = F.avg_pool2d(F.relu(self.bn3(self.conv3(x))), 2)
        eighth: Tensor = self.layer2(self.layer1(x))
        sixteenth: Tensor = self.layer3(eighth)
        pooled: Tensor = self.attnpool(self.layer4(sixteenth))
        return eighth, sixteenth, pooled


def _stage(in_channels: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
    first = Bottleneck(in_channels, channels, stride)
    return nn.Sequential(first, *(Bottleneck(EXPANSION * channels, channels) for _ in range(blocks - 1)))
