"""CRIS's cross-modal neck: the sentence modulates the deepest level, then three levels become one map.

Wang et al. 2022, section 3.2 (a feature pyramid with coordinate channels, Liu et al. 2018).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semore.guidance.cris_config import CrisConfig
from semore.guidance.cris_image import Levels


def conv_norm(in_channels: int, out_channels: int, kernel: int) -> nn.Sequential:
    """Convolution that keeps the map's size, batch norm, ReLU."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))


def double(x: Tensor) -> Tensor:
    """Twice the sides, bilinear, pixel centres kept (`align_corners=False`)."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def add_coordinates(x: Tensor) -> Tensor:
    """[B, C, h, w] to [B, C + 2, h, w]: behind the map its x and then its y, from -1 at one edge to 1 at the other."""
    batch, _, height, width = x.shape
    column = torch.linspace(-1, 1, width, device=x.device, dtype=x.dtype).expand(batch, 1, height, width)
    row = torch.linspace(-1, 1, height, device=x.device, dtype=x.dtype)[:, None].expand(batch, 1, height, width)
    return torch.cat([x, column, row], 1)


class CoordConv(nn.Module):
    """A 3x3 convolution that knows where it is (Liu et al. 2018)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = conv_norm(in_channels + 2, out_channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_channels, h, w] to [B, out_channels, h, w]."""
        out: Tensor = self.conv1(add_coordinates(x))
        return out


class Neck(nn.Module):
    """Levels at 1/8, 1/16, 1/32 and the sentence state to one map at 1/16, `text_width` channels."""

    def __init__(self, config: CrisConfig) -> None:
        super().__init__()
        in_3, in_4, in_5 = config.level_channels
        out_3, out_4, out_5 = config.neck_channels
        self.txt_proj = nn.Sequential(
            nn.Linear(config.embed_dim, out_5, bias=False), nn.BatchNorm1d(out_5), nn.ReLU(inplace=True)
        )
        self.f1_v_proj = conv_norm(in_5, out_5, 1)
        self.norm_layer = nn.Sequential(nn.BatchNorm2d(out_5), nn.ReLU(inplace=True))
        self.f2_v_proj = conv_norm(in_4, out_4, 3)
        self.f2_cat = conv_norm(out_5 + out_4, out_4, 1)
        self.f3_v_proj = conv_norm(in_3, out_3, 3)
        self.f3_cat = conv_norm(out_3 + out_4, out_4, 1)
        self.f4_proj5 = conv_norm(out_5, out_4, 3)
        self.f4_proj4 = conv_norm(out_4, out_4, 3)
        self.f4_proj3 = conv_norm(out_4, out_4, 3)
        self.aggr = conv_norm(3 * out_4, out_4, 1)
        self.coordconv = nn.Sequential(CoordConv(out_4, out_4), conv_norm(out_4, out_4, 3))

    def forward(self, levels: Levels, state: Tensor) -> Tensor:
        """`state` [P, embed_dim]; returns [P, neck_channels[1], H / 16, W / 16]."""
        eighth, sixteenth, deepest = levels
        gate = self.txt_proj(state)[:, :, None, None]
        fused_5 = self.norm_layer(self.f1_v_proj(deepest) * gate)
        fused_4 = self.f2_cat(torch.cat([self.f2_v_proj(sixteenth), double(fused_5)], 1))
        fused_3 = self.f3_cat(torch.cat([F.avg_pool2d(self.f3_v_proj(eighth), 2), fused_4], 1))
        together = [self.f4_proj3(fused_3), self.f4_proj4(fused_4), double(self.f4_proj5(fused_5))]
        fused: Tensor = self.coordconv(self.aggr(torch.cat(together, 1)))
        return fused
