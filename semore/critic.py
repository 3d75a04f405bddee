"""The twin critic: two Q functions in one batched product, of one number or of a histogram each."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semore.config import AgentConfig
from semore.networks import orthogonal

SPREAD = 0.75
"""Standard deviation of a target's Gaussian in bins, as Farebrother et al. (2024) recommend."""


class TwinLinear(nn.Module):
    """Two independent linear layers in one batched product: [2, B, in] to [2, B, out]."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        pair = [orthogonal(nn.Linear(in_dim, out_dim)) for _ in range(2)]
        self.weight = nn.Parameter(torch.stack([layer.weight.detach().t() for layer in pair]))
        self.bias = nn.Parameter(torch.zeros(2, 1, out_dim))

    def forward(self, x: Tensor) -> Tensor:
        """Returns [2, B, out]."""
        return torch.baddbmm(self.bias.to(x.dtype), x, self.weight.to(x.dtype))


class TwinLayerNorm(nn.Module):
    """Layer norm with one affine pair per twin."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 1, dim))
        self.bias = nn.Parameter(torch.zeros(2, 1, dim))

    def forward(self, x: Tensor) -> Tensor:
        """Returns the normalised [2, B, dim]."""
        return F.layer_norm(x, x.shape[-1:]) * self.weight + self.bias


class TwinCritic(nn.Module):
    """Two Q functions of (feature, action), fitted by their mean square error."""

    def __init__(self, in_dim: int, hidden_dim: int, hidden_layers: int, layer_norm: bool, outputs: int = 1) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(hidden_layers):
            layers.append(TwinLinear(in_dim, hidden_dim))
            layers += [TwinLayerNorm(hidden_dim)] if layer_norm else []
            layers.append(nn.ReLU(inplace=True))
            in_dim = hidden_dim
        layers.append(TwinLinear(in_dim, outputs))
        self.layers = nn.Sequential(*layers)

    def forward(self, feature: Tensor, action: Tensor) -> Tensor:
        """Returns both Q values [2, B] in float32."""
        return self.values(self.outputs(feature, action))

    def outputs(self, feature: Tensor, action: Tensor) -> Tensor:
        """What the last layer gives, float32 [2, B, outputs]."""
        x = torch.cat((feature, action), 1)
        out: Tensor = self.layers(x.expand(2, -1, -1)).float()
        return out

    def values(self, outputs: Tensor) -> Tensor:
        """Both Q values [2, B] from the last layer's outputs."""
        return outputs.squeeze(2)

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Eq 10: mean over the batch, summed over the twins, for targets [B]."""
        q = self.values(outputs)
        return F.mse_loss(q, target.expand_as(q), reduction="none").mean(1).sum()


class HistogramCritic(TwinCritic):
    """Each Q function is the mean of a histogram over [v_min, v_max], fitted by cross-entropy (HL-Gauss).

    A target becomes a Gaussian about itself, as histogram; targets outside the range count as its ends. Imani and White
    (2018); Farebrother et al. (2024, arXiv 2403.03950).
    """

    edges: Tensor
    centres: Tensor

    def __init__(
        self,
        in_dim: int,
        hidden_dim: int,
        hidden_layers: int,
        layer_norm: bool,
        *,
        bins: int,
        v_min: float,
        v_max: float,
    ) -> None:
        if bins < 2 or not v_min < v_max:
            raise ValueError(f"a histogram needs two bins or more and v_min < v_max, got {bins}, {v_min}, {v_max}")
        super().__init__(in_dim, hidden_dim, hidden_layers, layer_norm, bins)
        edges = torch.linspace(v_min, v_max, bins + 1)
        self.register_buffer("edges", edges, persistent=False)
        self.register_buffer("centres", (edges[1:] + edges[:-1]) / 2, persistent=False)
        self._scale = math.sqrt(2) * SPREAD * (v_max - v_min) / bins

    def values(self, outputs: Tensor) -> Tensor:
        """Means of the histograms [2, B]."""
        return outputs.softmax(2) @ self.centres

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy with the targets' histograms: mean over the batch, summed over the twins."""
        log_share = outputs.log_softmax(2)
        return -(self.histogram(target) * log_share).sum(2).mean(1).sum()

    def histogram(self, target: Tensor) -> Tensor:
        """Targets [B] as histograms [B, bins] that sum to 1."""
        clipped = target.clamp(self.centres[0], self.centres[-1])
        below = torch.erf((self.edges - clipped.unsqueeze(1)) / self._scale)
        return below.diff(dim=1) / (below[:, -1:] - below[:, :1])


def make_critic(config: AgentConfig, in_dim: int) -> TwinCritic:
    """The critic that the configuration asks for."""
    sizes = in_dim, config.hidden_dim, config.hidden_layers, config.layer_norm
    if config.critic_bins == 0:
        return TwinCritic(*sizes)
    return HistogramCritic(*sizes, bins=config.critic_bins, v_min=config.v_min, v_max=config.v_max)
