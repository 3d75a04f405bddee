"""The auxiliary losses of Semore and its baselines. Each returns a scalar; shapes stand in the docstrings."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from semore.config import Similarity

STANDARDISE_EPS = 1e-5  # added to a variance, as normalisation layers do
SMALL_MAP_SIDE = 16  # below this side a 7x7 window would leave hardly a position


def ssim_window(side: int) -> int:
    """Window of the similarity loss: 7, or 3 where the map is smaller than 16, or what fits."""
    return min(7 if side >= SMALL_MAP_SIDE else 3, side)


def similarity_distance(
    kind: Similarity, ssim: Callable[[Tensor, Tensor, int], Tensor], semantic: Tensor, knowledge: Tensor
) -> Tensor:
    """Distance between the semantic and the knowledge map, per sample [B] (eq 5 and its alternatives).

    Args:
        semantic, knowledge: [B, C, h, w].
    """
    if kind == "ssim":
        return ssim(semantic, knowledge, ssim_window(min(semantic.shape[2:])))
    if kind == "cosine":
        return 1 - F.cosine_similarity(semantic.flatten(1).float(), knowledge.flatten(1).float(), dim=1)
    return (semantic.float() - knowledge.float()).square().mean((1, 2, 3))


def standardise(maps: Tensor, present: Tensor) -> Tensor:
    """Zero mean and unit variance per channel over the present samples and all positions.

    Args:
        maps: [B, C, h, w].
        present: bool [B]; the others are shifted and scaled alike but do not count.

    Returns:
        float32 [B, C, h, w].
    """
    x = maps.float()
    weight = present.to(x.dtype) / present.sum().clamp_min(1)
    mean = torch.einsum("b,bc->c", weight, x.mean((2, 3)))[:, None, None]
    variance = torch.einsum("b,bc->c", weight, (x - mean).square().mean((2, 3)))[:, None, None]
    return (x - mean) * torch.rsqrt(variance + STANDARDISE_EPS)


def mean_where(per_sample: Tensor, present: Tensor) -> Tensor:
    """Mean of [B] over the samples whose flag [B] is set; zero when none is."""
    weight = present.to(per_sample.dtype)
    return (per_sample * weight).sum() / weight.sum().clamp_min(1)


def transition_loss(predicted: Tensor, following: Tensor) -> Tensor:
    """Half the squared error to the stopped next latent, mean over batch and features (eq 8)."""
    return 0.5 * (predicted.float() - following.detach().float()).square().mean()


def reward_loss(predicted: Tensor, reward: Tensor) -> Tensor:
    """Squared error of the reward head (eq 9). predicted: [B, 1]; reward: [B]."""
    return (predicted.float().squeeze(1) - reward).square().mean()
