"""DeepMDP: a latent that predicts its own next value and the reward."""

from __future__ import annotations

import torch
from torch import Tensor

from semore.losses import reward_loss, transition_loss
from semore.networks import Predictor
from semore.ops import Ops
from semore.representations.base import EncoderConfig, ObservationSpec, UpdateContext
from semore.representations.pixel import PixelRepresentation


class DeepMDPRepresentation(PixelRepresentation):
    """Pixel SAC with a deterministic latent transition model and a reward model (Gelada et al. 2019).

    As DBC's public baseline: the next latent comes from the online encoder and is stopped, both losses weigh 1. Without
    that baseline's optional reconstruction of the next frame, and with one optimiser for all.
    """

    needs_following = True

    def __init__(self, config: EncoderConfig, spec: ObservationSpec, ops: Ops) -> None:
        super().__init__(config, spec, ops)
        self.transition = Predictor(self.feature_dim + spec.action_dim, self.feature_dim)
        self.reward = Predictor(self.feature_dim + spec.action_dim, 1)

    def auxiliary_losses(self, context: UpdateContext) -> dict[str, Tensor]:
        """Transition and reward losses, as eqs 8 and 9 but of the whole latent."""
        assert context.following is not None
        pair = torch.cat((context.observation.feature, context.batch.action), 1)
        return {
            "transition": transition_loss(self.transition(pair), context.following.feature),
            "reward": reward_loss(self.reward(pair), context.batch.reward),
        }
