"""PyPI's bidirectional-cross-attention with its attention fused: `fuse(module)`, weights and checkpoints unchanged.

    layer = fuse(BidirectionalCrossAttention(dim=512, heads=8, dim_head=64, context_dim=386).cuda())

Takes single layers, prenorm or not, and whole transformers of them, and gives what they gave, masked positions
included. Options that need the attention matrix itself are refused in one line: talking heads, a bias on the scores,
returned attention, and dropout in training.
"""

from __future__ import annotations

from bidirectional_cross_attention import BidirectionalCrossAttention
from torch import Tensor, nn

from semore_fast.kernels.interaction import interaction


class FusedBidirectionalCrossAttention(BidirectionalCrossAttention):
    """The module's norms and projections around the fused attention."""

    def forward(
        self,
        x: Tensor,
        context: Tensor,
        mask: Tensor | None = None,
        context_mask: Tensor | None = None,
        return_attn: bool = False,
        rel_pos_bias: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """As the module it stands for.

        Args:
            x: [B, N, dim].
            context: [B, M, context_dim].
            mask: bool [B, N], True for positions that take part, or None.
            context_mask: bool [B, M], likewise.
            return_attn: must be False.
            rel_pos_bias: must be None.

        Returns:
            What x gathered [B, N, dim], what the context gathered [B, M, context_dim].

        Raises:
            NotImplementedError: an argument that must not be given, or dropout in training.
        """
        self._check(return_attn, rel_pos_bias)
        x, context = self.norm(x), self.context_norm(context)
        v_x, v_context = self._heads(self.to_v(x)), self._heads(self.context_to_v(context))
        to_x, to_context = interaction(
            self._heads(self.to_qk(x)),
            self._heads(self.context_to_qk(context)),
            v_context,
            v_x,
            scale=self.scale,
            n_mask=mask,
            m_mask=context_mask,
        )
        to_x = _averaged_where_masked(to_x, v_context, mask, context_mask)
        to_context = _averaged_where_masked(to_context, v_x, context_mask, mask)
        to_x, to_context = (side.transpose(1, 2).flatten(2) for side in (to_x, to_context))
        return self.to_out(to_x), self.context_to_out(to_context)

    def _heads(self, x: Tensor) -> Tensor:
        """[B, positions, heads x D] as [B, heads, positions, D], without a copy."""
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)

    def _check(self, return_attn: bool, rel_pos_bias: Tensor | None) -> None:
        if return_attn:
            raise NotImplementedError("return_attn must be False: fused attention never writes its weights")
        if rel_pos_bias is not None:
            raise NotImplementedError("rel_pos_bias must be None: fused attention takes no bias on the scores")
        if self.training and (self.dropout.p or self.context_dropout.p):
            raise NotImplementedError(f"dropout must be 0 to train fused attention, is {self.dropout.p}")


def _averaged_where_masked(gathered: Tensor, values: Tensor, mask: Tensor | None, other: Tensor | None) -> Tensor:
    """The module fills masked scores with one number, so a row of nothing else averages all values; ours gets zeros."""
    kept = [] if mask is None else [mask]
    kept += [] if other is None else [other.any(1, keepdim=True)]
    for rows in kept:
        gathered = gathered.where(rows[:, None, :, None], values.mean(2, keepdim=True))
    return gathered


def fuse(module: nn.Module) -> nn.Module:
    """Makes every cross-attention in `module`, or `module` itself, compute by the fused kernel; returns `module`.

    Modules change their class and nothing else: parameters, state dict, hooks and optimizers stay as they are.

    Raises:
        ValueError: there is none, or one has talking heads; then nothing is changed.
    """
    found = [layer for layer in module.modules() if type(layer) is BidirectionalCrossAttention]
    if not found:
        raise ValueError(f"module must contain a BidirectionalCrossAttention, {type(module).__name__} does not")
    if not all(isinstance(layer.talking_heads, nn.Identity) for layer in found):
        raise ValueError("talking_heads must be False: fused attention mixes no heads")
    for layer in found:
        layer.__class__ = FusedBidirectionalCrossAttention
    return module
