"""CURL: two crops of one observation recognise each other."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semore.ops import Ops
from semore.representations.base import EncoderConfig, ObservationSpec, UpdateContext
from semore.representations.pixel import PixelRepresentation

KEPT = 0.84  # side of a crop as a share of the picture's: 84 of 100 pixels in Laskin et al. 2020


class CurlRepresentation(PixelRepresentation):
    """Pixel SAC on random crops, with the InfoNCE loss between two crops of an observation (Laskin et al. 2020).

    As the public code: similarity z_query W z_key with a uniform W, no temperature, weight 1; the key comes from the
    slow encoder without gradient; the policy acts on the crop in the middle. Crops take the place of the shifts that
    other methods may get. The public code steps the encoder twice, once for each of its losses; here one step has both.
    """

    extra_views = 1
    kept = KEPT

    def __init__(self, config: EncoderConfig, spec: ObservationSpec, ops: Ops) -> None:
        super().__init__(config, spec, ops)
        self.similarity = nn.Parameter(torch.rand(config.feature_dim, config.feature_dim))

    def shift_reach(self, configured: int) -> int:
        """As far as a crop stays within the picture: the middle of a shifted picture is a crop anywhere in it."""
        return self.margin

    def auxiliary_losses(self, context: UpdateContext) -> dict[str, Tensor]:
        """InfoNCE: among the keys of the batch, each query must find its own."""
        with torch.no_grad():
            key = context.target.encode(context.extra_views[0]).feature
        return {"contrast": info_nce(context.observation.feature, self.similarity, key)}


def info_nce(query: Tensor, similarity: Tensor, key: Tensor) -> Tensor:
    """Cross-entropy of query W key^T [B, B] with the diagonal as the right answers. query, key: [B, d].

    In float32 whatever surrounds it: with a W above zero logits are large and close to each other.
    """
    with torch.autocast(query.device.type, enabled=False):
        logits = query.float() @ (similarity.float() @ key.float().mT)
    return F.cross_entropy(logits, torch.arange(len(query), device=query.device))
