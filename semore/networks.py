"""Trunks, heads, actor and critic. Sizes are computed from the input, never typed in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semore.ops import REFERENCE, Ops

LayerT = TypeVar("LayerT", nn.Linear, nn.Conv2d)
RELU_GAIN = math.sqrt(2)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrunkSpec:
    """Four convolutions without padding, ReLU after each."""

    kernels: tuple[int, ...]
    strides: tuple[int, ...]
    channels: tuple[int, ...]


TRUNKS: dict[str, TrunkSpec] = {
    # SAC-AE's trunk (Yarats et al. 2019): 57x57x32 at 128 px. The paper speaks of one kernel size.
    "sacae": TrunkSpec(kernels=(3, 3, 3, 3), strides=(2, 1, 1, 1), channels=(32, 32, 32, 32)),
    # The same with one more stride, for small pictures on a CPU: 11x11x32 at 64 px.
    "sacae-small": TrunkSpec(kernels=(3, 3, 3, 3), strides=(2, 2, 1, 1), channels=(32, 32, 32, 32)),
    # DMR's trunk: 6x6x256 at 128 px.
    "dmr": TrunkSpec(kernels=(5, 3, 3, 3), strides=(2, 2, 2, 2), channels=(64, 128, 256, 256)),
}


def map_side(spec: TrunkSpec, image_size: int) -> int:
    """Side of the trunk's feature map.

    Raises:
        ValueError: the picture is too small for the trunk.
    """
    side = image_size
    for kernel, stride in zip(spec.kernels, spec.strides, strict=True):
        side = (side - kernel) // stride + 1
        if side < 1:
            raise ValueError(f"image size {image_size} is too small for this trunk; use a larger --env.image-size")
    return side


class Trunk(nn.Sequential):
    """Picture [B, in_channels, H, W] to feature map [B, C, h, w].

    Orthogonal weights that keep the signal's size from layer to layer, as DrQ-v2 (Yarats et al. 2021). PyTorch's own
    start passes on about a sixth of its input's mean square in every layer (docs/learning.md). One operation of `ops`
    runs all layers.
    """

    def __init__(self, spec: TrunkSpec, in_channels: int, ops: Ops = REFERENCE) -> None:
        layers: list[nn.Module] = []
        for kernel, stride, channels in zip(spec.kernels, spec.strides, spec.channels, strict=True):
            layers += [orthogonal(nn.Conv2d(in_channels, channels, kernel, stride), RELU_GAIN), nn.ReLU(inplace=True)]
            in_channels = channels
        super().__init__(*layers)
        self.ops = ops
        self.strides = spec.strides

    def forward(self, x: Tensor) -> Tensor:
        """Returns the feature map."""
        convolutions = [layer for layer in self if isinstance(layer, nn.Conv2d)]
        biases = [layer.bias for layer in convolutions if layer.bias is not None]
        return self.ops.trunk(x, [layer.weight for layer in convolutions], biases, self.strides)


class Head(nn.Module):
    """Feature map [B, C, h, w] to feature [B, d]: flatten, linear, layer norm."""

    def __init__(self, channels: int, side: int, feature_dim: int) -> None:
        super().__init__()
        self.linear = orthogonal(nn.Linear(channels * side * side, feature_dim))
        self.norm = nn.LayerNorm(feature_dim)

    def forward(self, feature_map: Tensor) -> Tensor:
        """Returns [B, d] in float32."""
        feature: Tensor = self.norm(self.linear(feature_map.flatten(1)).float())
        return feature


class Heads(nn.Module):
    """One head per feature map; the features side by side [B, d * maps]."""

    def __init__(self, channels: int, side: int, feature_dim: int, maps: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(Head(channels, side, feature_dim) for _ in range(maps))

    def forward(self, maps: tuple[Tensor, ...]) -> Tensor:
        """Returns [B, d * maps]."""
        return torch.cat([head(m) for head, m in zip(self.heads, maps, strict=True)], 1)


def orthogonal(layer: LayerT, gain: float = 1.0) -> LayerT:
    """Orthogonal weights, zero bias, as pixel SAC does."""
    nn.init.orthogonal_(layer.weight, gain)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def zero(layer: nn.Linear) -> nn.Linear:
    """Zero weights and bias."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def mlp(in_dim: int, hidden_dim: int, hidden_layers: int, out_dim: int, layer_norm: bool) -> nn.Sequential:
    """Linear, optional layer norm and ReLU, repeated; a last linear layer."""
    layers: list[nn.Module] = []
    for _ in range(hidden_layers):
        layers.append(orthogonal(nn.Linear(in_dim, hidden_dim)))
        layers += [nn.LayerNorm(hidden_dim)] if layer_norm else []
        layers.append(nn.ReLU(inplace=True))
        in_dim = hidden_dim
    layers.append(orthogonal(nn.Linear(in_dim, out_dim)))
    return nn.Sequential(*layers)


class Predictor(nn.Sequential):
    """DeepMDP's head: Linear(in, 512), layer norm, ReLU, Linear(512, out)."""

    def __init__(self, in_dim: int, out_dim: int, hidden_dim: int = 512) -> None:
        super().__init__(*mlp(in_dim, hidden_dim, 1, out_dim, layer_norm=True))


@dataclass(frozen=True, slots=True)
class PolicySample:
    """Actions [B, A], their log-probability [B] and the tanh of the mean [B, A]."""

    action: Tensor
    log_prob: Tensor
    mean: Tensor


class Actor(nn.Module):
    """Tanh-Gaussian policy on its own heads over (detached) feature maps."""

    def __init__(self, heads: Heads, policy: nn.Sequential, log_std_bounds: tuple[float, float]) -> None:
        super().__init__()
        self.heads = heads
        self.policy = policy
        self.log_std_bounds = log_std_bounds

    def forward(self, maps: tuple[Tensor, ...], noise: Tensor) -> PolicySample:
        """Samples with the given standard-normal noise [B, A]."""
        mean, raw = self.policy(self.heads(maps)).float().chunk(2, 1)
        low, high = self.log_std_bounds
        log_std = low + 0.5 * (high - low) * (torch.tanh(raw) + 1)
        pre_tanh = mean + noise * log_std.exp()
        return PolicySample(torch.tanh(pre_tanh), gaussian_tanh_log_prob(noise, log_std, pre_tanh), torch.tanh(mean))


def gaussian_tanh_log_prob(noise: Tensor, log_std: Tensor, pre_tanh: Tensor) -> Tensor:
    """log N(noise; 0, 1) - log std - log(1 - tanh(u)^2), summed over actions; the last in its stable form."""
    normal = -0.5 * (noise.square() + math.log(2 * math.pi)) - log_std
    squash = 2 * (math.log(2) - pre_tanh - F.softplus(-2 * pre_tanh))
    return (normal - squash).sum(1)
