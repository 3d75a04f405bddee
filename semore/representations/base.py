"""The seam between the one learner and its many representations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from semore.batch import Draws, TensorBatch
from semore.networks import Heads, TrunkSpec, map_side
from semore.ops import FrameStore, InputSpec, Ops


@dataclass(frozen=True, kw_only=True, slots=True)
class ObservationSpec:
    """What an environment gives and takes."""

    image_size: int
    """Side of the square picture, pixels."""
    stack: int = 3
    """Frames in an observation."""
    n_step: int = 1
    """Steps between an observation and the one it bootstraps from."""
    action_dim: int = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderConfig:
    """What every method of a comparison shares."""

    trunk: TrunkSpec
    feature_dim: int
    """d, the size of one head's output."""
    input_offset: float
    """Subtracted from x/255; 0.5 centres the input."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """What the streams eat; absent parts are None."""

    stack: Tensor
    """[B, 3K, H, W]."""
    residual: Tensor | None = None
    """[B, 3(K-1), H, W]."""
    masked: Tensor | None = None
    """[B, 3K, H, W], the stack under the guidance mask."""
    has_mask: Tensor | None = None
    """bool [B]."""

    def rows(self, which: slice) -> Inputs:
        """Those of some samples."""
        parts = (self.stack, self.residual, self.masked, self.has_mask)
        stack, residual, masked, has_mask = (None if part is None else part[which] for part in parts)
        assert stack is not None
        return Inputs(stack=stack, residual=residual, masked=masked, has_mask=has_mask)


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoded:
    """What an observation becomes."""

    maps: tuple[Tensor, ...]
    """Feature maps [B, C, h, w] that heads read; the actor reads them detached."""
    feature: Tensor
    """[B, feature_dim of the representation], what critic and auxiliary heads read."""
    extras: Mapping[str, Tensor] = field(default_factory=dict)
    """Whatever this representation's auxiliary losses need again, each [B, ...]."""

    def rows(self, which: slice) -> Encoded:
        """Those of some samples."""
        extras = {name: extra[which] for name, extra in self.extras.items()}
        return Encoded(maps=tuple(m[which] for m in self.maps), feature=self.feature[which], extras=extras)


@dataclass(frozen=True, kw_only=True, slots=True)
class UpdateContext:
    """Everything one update has computed when the auxiliary losses are due."""

    batch: TensorBatch
    draws: Draws
    observation: Encoded
    """Online encoding with gradients."""
    following: Encoded | None
    """Online encoding of the next observation (one step on) without gradients, for `needs_following`."""
    target: Representation
    """The slowly moving copy."""
    extra_views: tuple[Inputs, ...] = ()
    """The observation under shifts of their own, for `extra_views` many."""


class Representation(nn.Module):
    """Turns frames into feature maps and features, and says what else should shape them."""

    maps: int = 1
    needs_following: bool = False
    observation_views: int = 1
    bootstrap_views: int = 1
    extra_views: int = 0
    kept: float = 1.0
    """Side of the middle of the (shifted) picture that is encoded, as a share of the picture's."""

    def __init__(self, config: EncoderConfig, spec: ObservationSpec, ops: Ops) -> None:
        super().__init__()
        self.config = config
        self.spec = spec
        self.ops = ops
        self.channels = config.trunk.channels[-1]
        self.margin = round(spec.image_size * (1 - self.kept) / 2)
        self.side = map_side(config.trunk, spec.image_size - 2 * self.margin)

    @property
    def feature_dim(self) -> int:
        """Width of `Encoded.feature`."""
        return self.config.feature_dim * self.maps

    def make_heads(self) -> Heads:
        """Fresh heads over this representation's maps: one set for the critic, one for the actor."""
        return Heads(self.channels, self.side, self.config.feature_dim, self.maps)

    residual: Literal["none", "signed", "absolute"] = "none"
    uses_masks: bool = False

    def shift_reach(self, configured: int) -> int:
        """How many pixels each way training pictures are shifted, given what every method is configured to."""
        return configured

    def prepare(
        self,
        store: FrameStore,
        slots: Tensor,
        dtype: torch.dtype,
        shift: Tensor | None = None,
        has_mask: Tensor | None = None,
    ) -> Inputs:
        """Turns the frames at slots [B, K], oldest first, into inputs.

        Args:
            store: where frames and masks are.
            slots: int64 [B, K].
            dtype: of the inputs.
            shift: int64 random shift [B, 2], or None.
            has_mask: bool [B], which newest frames have a mask; None leaves guidance out.
        """
        has_mask = has_mask if self.uses_masks else None
        spec = InputSpec(
            offset=self.config.input_offset, residual=self.residual, masked=has_mask is not None, dtype=dtype
        )
        stack, residual, masked = self.ops.encoder_inputs(store, slots, shift, spec)
        if self.margin:
            stack = self._middle(stack)
            residual, masked = (None if x is None else self._middle(x) for x in (residual, masked))
        return Inputs(stack=stack, residual=residual, masked=masked, has_mask=has_mask)

    def _middle(self, x: Tensor) -> Tensor:
        kept = slice(self.margin, self.spec.image_size - self.margin)
        return x[:, :, kept, kept]

    def encode(self, inputs: Inputs, target: Representation | None = None) -> Encoded:
        """Encodes; `target` is the slowly moving copy, given while training on the observation."""
        raise NotImplementedError("encode(inputs, target) -> Encoded")

    def auxiliary_losses(self, context: UpdateContext) -> dict[str, Tensor]:
        """Weighted losses to add to the critic's, by name."""
        return {}

    def intrinsic_reward(self, context: UpdateContext) -> Tensor | None:
        """Reward [B] to add to the environment's, without gradient."""
        return None

    def after_update(self) -> None:
        """Called once after every update, for a representation that keeps its own averages."""

    def attention(self, inputs: Inputs) -> Tensor | None:
        """Where this representation looks, [B, h, w], for pictures; None if it has no such notion."""
        return None
