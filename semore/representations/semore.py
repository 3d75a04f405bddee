"""Semore: a semantic and a motion stream, guided by the knowledge map (eqs 5-9), and its ablations M1-M3."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semore.config import SemoreConfig
from semore.losses import (
    SMALL_MAP_SIDE,
    mean_where,
    reward_loss,
    similarity_distance,
    standardise,
    transition_loss,
)
from semore.networks import Predictor, Trunk, zero
from semore.ops import Ops
from semore.representations.base import (
    Encoded,
    EncoderConfig,
    Inputs,
    ObservationSpec,
    Representation,
    UpdateContext,
)


def reduction(channels: int, out_channels: int, stride: int) -> nn.Conv2d:
    """The convolution that reduces spatial complexity before attention (text under eq 6)."""
    if stride == 0:
        return nn.Conv2d(channels, out_channels, 1)
    return nn.Conv2d(channels, out_channels, 3, stride)


class Interaction(nn.Module):
    """Lets the streams exchange information through one score matrix (eqs 6-7).

    The query decides the weights; the values always come from the streams. It starts by adding nothing: what a random
    layer adds is many times larger than a fresh stream, and the same for every picture (docs/learning.md).
    """

    def __init__(self, channels: int, side: int, config: SemoreConfig, ops: Ops) -> None:
        super().__init__()
        width, stride = config.attention_channels, config.attention_stride
        if stride is None:
            stride = 0 if side < SMALL_MAP_SIDE else 2
        self.ops = ops
        self.query = reduction(channels, width, stride)
        self.key = reduction(channels, width, stride)
        self.value_motion = reduction(channels, width, stride)
        self.value_semantic = reduction(channels, width, stride)
        self.to_semantic = zero(nn.Linear(width, channels))
        self.to_motion = zero(nn.Linear(width, channels))

    def forward(self, semantic: Tensor, motion: Tensor, query_map: Tensor) -> tuple[Tensor, Tensor]:
        """Returns what to add to the semantic and to the motion map, both [B, C, h, w].

        Args:
            semantic, motion: [B, C, h, w].
            query_map: the knowledge map where a mask is known, else the semantic map, [B, C, h, w].
        """
        query, side = reduced(self.query, query_map)
        gathered = self.ops.interaction(
            query,
            reduced(self.key, motion)[0],
            reduced(self.value_motion, motion)[0],
            reduced(self.value_semantic, semantic)[0],
        )
        size = semantic.shape[2:]
        return (
            upsample(self.to_semantic(gathered[0]), side, size),
            upsample(self.to_motion(gathered[1]), side, size),
        )

    def strength(self, semantic: Tensor, motion: Tensor) -> Tensor:
        """Norm of what is added to the semantic map where it steers itself, [B, h, w]."""
        added, _ = self(semantic, motion, semantic)
        strength: Tensor = added.float().norm(dim=1)
        return strength


def reduced(layer: nn.Conv2d, feature_map: Tensor) -> tuple[Tensor, torch.Size]:
    """A reduction's result by position [B, h w, C], and its sides (h, w).

    A 1x1 convolution is taken as the matrix product that it is: on small maps a convolution's call costs several times
    its work.
    """
    if layer.kernel_size == (1, 1):
        return F.linear(positions(feature_map), layer.weight.flatten(1), layer.bias), feature_map.shape[2:]
    out: Tensor = layer(feature_map)
    return positions(out), out.shape[2:]


def positions(feature_map: Tensor) -> Tensor:
    """[B, C, h, w] to [B, h w, C]; free for channels_last."""
    return feature_map.permute(0, 2, 3, 1).flatten(1, 2)


def upsample(x: Tensor, side: torch.Size, size: torch.Size) -> Tensor:
    """[B, N, C] back to a map [B, C, h, w], bilinear."""
    grid: Tensor = x.unflatten(1, (side[0], side[1])).permute(0, 3, 1, 2)
    if side == size:
        return grid
    return F.interpolate(grid, size=(size[0], size[1]), mode="bilinear", align_corners=False)


class SemoreRepresentation(Representation):
    """Two trunks with separate weights, interaction, heads, and the losses that shape them."""

    def __init__(self, config: EncoderConfig, spec: ObservationSpec, ops: Ops, semore: SemoreConfig) -> None:
        if semore.interaction and not semore.motion_stream:
            raise ValueError("interaction needs the motion stream")
        if semore.transition_weight and not semore.motion_stream:
            raise ValueError("the transition loss needs the motion stream")
        if spec.stack < 2 and semore.motion_stream:
            raise ValueError(f"the motion stream needs at least 2 frames in a stack, got {spec.stack}")
        super().__init__(config, spec, ops)
        self.semore = semore
        self.maps = 2 if semore.motion_stream else 1
        self.needs_following = semore.transition_weight > 0
        steered = semore.interaction and semore.steered_fraction > 0
        self.uses_masks = steered or semore.similarity_weight > 0
        if semore.motion_stream:
            self.residual = "absolute" if semore.absolute_residual else "signed"
        self.semantic_trunk = Trunk(config.trunk, 3 * spec.stack, ops)
        self.heads = self.make_heads()
        if semore.motion_stream:
            self.motion_trunk = Trunk(config.trunk, 3 * (spec.stack - 1), ops)
        if semore.interaction:
            self.exchange = Interaction(self.channels, self.side, semore, ops)
        if semore.transition_weight:
            self.transition = Predictor(config.feature_dim + spec.action_dim, config.feature_dim)
        if semore.reward_weight:
            self.reward = Predictor(self.feature_dim + spec.action_dim, 1)

    def encode(self, inputs: Inputs, target: Representation | None = None) -> Encoded:
        """Streams, knowledge map, interaction, heads.

        Samples without a mask use the semantic map in place of the knowledge map in attention.
        """
        semantic = self.semantic_trunk(inputs.stack)
        extras = {"semantic": semantic}
        if inputs.masked is not None and inputs.has_mask is not None:
            extras["knowledge"] = self._knowledge_map(inputs.masked, target)
            extras["has_mask"] = inputs.has_mask
        if inputs.residual is None:
            maps: tuple[Tensor, ...] = (semantic,)
        else:
            maps = (semantic, self.motion_trunk(inputs.residual))
            if self.semore.interaction:
                added = self.exchange(*maps, self._query_map(extras))
                maps = (maps[0] + added[0], maps[1] + added[1])
        return Encoded(maps=maps, feature=self.heads(maps), extras=extras)

    def _knowledge_map(self, masked: Tensor, target: Representation | None) -> Tensor:
        """F_k: the masked stack through the semantic trunk, stopped unless asked otherwise."""
        if self.semore.knowledge == "gradient":
            online: Tensor = self.semantic_trunk(masked)
            return online
        source = target if self.semore.knowledge == "target" and target is not None else self
        assert isinstance(source, SemoreRepresentation)
        with torch.no_grad():
            stopped: Tensor = source.semantic_trunk(masked)
            return stopped

    def _query_map(self, extras: dict[str, Tensor]) -> Tensor:
        """The knowledge map for the steered share of the samples that have one, else the semantic map.

        Minibatches come in random order, so their first samples are as good a share as any.
        """
        if "knowledge" not in extras:
            return extras["semantic"]
        steered = extras["has_mask"].clone()
        steered[math.ceil(self.semore.steered_fraction * len(steered)) :] = False
        return torch.where(steered[:, None, None, None], extras["knowledge"], extras["semantic"])

    def auxiliary_losses(self, context: UpdateContext) -> dict[str, Tensor]:
        """Similarity, transition and reward losses with their weights (eqs 5, 8, 9, 12)."""
        losses: dict[str, Tensor] = {}
        encoded, batch = context.observation, context.batch
        if self.semore.similarity_weight and "knowledge" in encoded.extras:
            losses["similarity"] = self.semore.similarity_weight * self._similarity_loss(encoded.extras)
        if self.semore.transition_weight:
            assert context.following is not None
            predicted = self.transition(torch.cat((self.motion_feature(encoded), batch.action), 1))
            following = self.motion_feature(context.following)
            losses["transition"] = self.semore.transition_weight * transition_loss(predicted, following)
        if self.semore.reward_weight:
            predicted = self.reward(torch.cat((encoded.feature, batch.action), 1))
            losses["reward"] = self.semore.reward_weight * reward_loss(predicted, batch.reward)
        return losses

    def _similarity_loss(self, extras: Mapping[str, Tensor]) -> Tensor:
        """Eq 5 over the samples that have a mask."""
        semantic, knowledge, present = extras["semantic"], extras["knowledge"], extras["has_mask"]
        if self.semore.similarity_standardised:
            semantic, knowledge = standardise(semantic, present), standardise(knowledge, present)
        distance = similarity_distance(self.semore.similarity, self.ops.ssim_distance, semantic, knowledge)
        return mean_where(distance, present)

    def motion_feature(self, encoded: Encoded) -> Tensor:
        """z_m, the second head's output [B, d]."""
        return encoded.feature[:, self.config.feature_dim :]

    def attention(self, inputs: Inputs) -> Tensor | None:
        """Strength of what the interaction adds to the semantic map (the paper's Fig. 8), [B, h, w]."""
        if not self.semore.interaction or inputs.residual is None:
            return None
        return self.exchange.strength(self.semantic_trunk(inputs.stack), self.motion_trunk(inputs.residual))
