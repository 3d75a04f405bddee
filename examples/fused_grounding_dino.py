"""GroundingDINO with fused attention between picture and text: `fuse(model)`, weights and checkpoints unchanged.

    model = fuse(GroundingDinoForObjectDetection.from_pretrained(...).cuda())

transformers computes the scores of both directions once, writes them to memory (256 x 13294 for one picture and head)
and reads them back several times; here they never leave the chip. What differs from the module as it was:

- It subtracts the batch's largest score and clamps the rest at -50000. Ours is equal as long as no score lies further
  than that below the largest: its clamp guards half precision, and here scores are float32.
- Positions that are padding get no attention, that is the output projection's bias; the module computes something for
  them. Nothing in the model reads it: every later layer masks them, and so must a loss.
- A sample that is nothing but padding gets the same, where the module gives NaN.
- Attention weights are never there to return: None stands in their place.
- Attention dropout is not supported: `fusion_dropout` must be 0 (the default) for training.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers.models.grounding_dino.modeling_grounding_dino import GroundingDinoBiMultiHeadAttention

from semore_fast.kernels.interaction import interaction

Result = tuple[Tensor, None]


class FusedBiAttention(GroundingDinoBiMultiHeadAttention):
    """The module's projections around the fused attention. N is the picture's side, M the text's."""

    def forward(
        self,
        vision_features: Tensor,
        text_features: Tensor,
        vision_attention_mask: Tensor | None = None,
        text_attention_mask: Tensor | None = None,
    ) -> tuple[Result, Result]:
        """As the module it stands for.

        Args:
            vision_features: [B, N, channels].
            text_features: [B, M, channels].
            vision_attention_mask: bool [B, N], True for padding, or None.
            text_attention_mask: bool [B, M], likewise.

        Returns:
            (picture's side [B, N, channels], None), (text's side [B, M, channels], None).

        Raises:
            NotImplementedError: attention dropout in training.
        """
        if self.training and self.dropout:
            raise NotImplementedError(f"fusion_dropout must be 0 to train fused attention, is {self.dropout}")
        gathered = interaction(
            self._heads(self.vision_proj(vision_features)),
            self._heads(self.text_proj(text_features)),
            self._heads(self.values_text_proj(text_features)),
            self._heads(self.values_vision_proj(vision_features)),
            scale=self.scale,
            n_mask=_taking_part(vision_attention_mask),
            m_mask=_taking_part(text_attention_mask),
        )
        to_vision, to_text = (x.transpose(1, 2).flatten(2) for x in gathered)
        return (self.out_vision_proj(to_vision), None), (self.out_text_proj(to_text), None)

    def _heads(self, x: Tensor) -> Tensor:
        """[B, positions, heads x D] as [B, heads, positions, D], without a copy."""
        return x.unflatten(2, (self.num_heads, self.head_dim)).transpose(1, 2)


def _taking_part(padding: Tensor | None) -> Tensor | None:
    return None if padding is None else ~padding.to(torch.bool)


def fuse(model: nn.Module) -> nn.Module:
    """Makes every bi-attention of `model`, or `model` itself, compute by the fused kernel; returns `model`.

    Modules change their class and nothing else: parameters, state dict, hooks and optimizers stay as they are.

    Raises:
        ValueError: there is none.
    """
    found = [module for module in model.modules() if type(module) is GroundingDinoBiMultiHeadAttention]
    if not found:
        raise ValueError(f"model must contain a GroundingDinoBiMultiHeadAttention, {type(model).__name__} does not")
    for module in found:
        module.__class__ = FusedBiAttention
    return model
