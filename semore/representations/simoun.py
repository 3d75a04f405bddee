"""Simoun, as far as its abstract tells: two paths that inform each other and are curious where they disagree."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from semore.config import SemoreConfig
from semore.losses import transition_loss
from semore.networks import Predictor, Trunk
from semore.ops import Ops
from semore.representations.base import Encoded, EncoderConfig, Inputs, ObservationSpec, Representation, UpdateContext
from semore.representations.semore import Interaction

CURIOSITY = 0.1  # ours: intrinsic reward of an average disagreement at the start, in units of the reward
HALF_LIFE_UPDATES = 5_000  # ours: the curiosity halves every so many updates
SMOOTHING = 0.01  # ours: step of the running mean of the disagreement


class SimounRepresentation(Representation):
    """**Our** Simoun (Huang et al. 2023): no code is public, and only the abstract was at hand.

    It says: an appearance and a motion path over consecutive frames; a structural interactive module that explores the
    latent structures of both; an intrinsic reward from the consistency of the dynamics that both paths deduce. We take
    the stack and the frame differences as paths; Semore's exchange without guidance as the module; and let each path
    predict the next latent of both, given the action. Where the two predictions differ the reward is raised, relative
    to their average difference, and less as training goes on. Its constants are guesses, the same in every scenario.
    """

    maps = 2
    needs_following = True
    residual = "signed"
    disagreement: Tensor
    updates: Tensor

    def __init__(self, config: EncoderConfig, spec: ObservationSpec, ops: Ops, semore: SemoreConfig) -> None:
        if spec.stack < 2:
            raise ValueError(f"simoun needs at least 2 frames in a stack, got {spec.stack}")
        super().__init__(config, spec, ops)
        self.appearance_trunk = Trunk(config.trunk, 3 * spec.stack, ops)
        self.motion_trunk = Trunk(config.trunk, 3 * (spec.stack - 1), ops)
        self.exchange = Interaction(self.channels, self.side, semore, ops)
        self.heads = self.make_heads()
        self.dynamics = nn.ModuleList(
            Predictor(config.feature_dim + spec.action_dim, self.feature_dim) for _ in range(2)
        )
        self.register_buffer("disagreement", torch.zeros(()))
        self.register_buffer("updates", torch.zeros(()))

    def encode(self, inputs: Inputs, target: Representation | None = None) -> Encoded:
        """Both paths, what each adds to the other, heads."""
        assert inputs.residual is not None
        appearance, motion = self.appearance_trunk(inputs.stack), self.motion_trunk(inputs.residual)
        added = self.exchange(appearance, motion, appearance)
        maps = (appearance + added[0], motion + added[1])
        return Encoded(maps=maps, feature=self.heads(maps))

    def predictions(self, context: UpdateContext) -> list[Tensor]:
        """What the appearance and the motion path expect of the next latent, each [B, 2d]."""
        paths = context.observation.feature.chunk(2, 1)
        pairs = zip(self.dynamics, paths, strict=True)
        return [model(torch.cat((path, context.batch.action), 1)).float() for model, path in pairs]

    def auxiliary_losses(self, context: UpdateContext) -> dict[str, Tensor]:
        """Each path's transition loss (eq 8's, towards the latent of both)."""
        assert context.following is not None
        names = ("appearance", "motion")
        following = context.following.feature
        predicted = zip(names, self.predictions(context), strict=True)
        return {f"transition_{name}": transition_loss(p, following) for name, p in predicted}

    @torch.no_grad()
    def intrinsic_reward(self, context: UpdateContext) -> Tensor:
        """Where the paths disagree, [B]: CURIOSITY for an average disagreement, decaying with the updates."""
        one, other = self.predictions(context)
        apart = (one - other).square().mean(1)
        mean = apart.mean()
        self.disagreement.copy_(torch.where(self.updates == 0, mean, self.disagreement.lerp(mean, SMOOTHING)))
        decay = torch.exp2(-self.updates / HALF_LIFE_UPDATES)
        return CURIOSITY * decay * apart / self.disagreement.clamp_min(torch.finfo(torch.float32).tiny)

    def after_update(self) -> None:
        """Counts the updates, by which curiosity decays."""
        self.updates += 1

    def attention(self, inputs: Inputs) -> Tensor | None:
        """Strength of what the interaction adds to the appearance map, [B, h, w]."""
        assert inputs.residual is not None
        return self.exchange.strength(self.appearance_trunk(inputs.stack), self.motion_trunk(inputs.residual))
