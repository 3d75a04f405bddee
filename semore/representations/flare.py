"""Flare: frames encoded one by one, and the differences of their latents."""

from __future__ import annotations

import torch

from semore.networks import Trunk
from semore.ops import Ops
from semore.representations.base import Encoded, EncoderConfig, Inputs, ObservationSpec, Representation


class FlareRepresentation(Representation):
    """Latent flow (Shang et al. 2021): maps of frames 2 to K beside their differences from the frame before.

    As the public code: one trunk for every frame, no gradient into the earlier frame of a difference. Its wide random
    translation of the pictures is left out: augmentation is the same for every method.
    """

    def __init__(self, config: EncoderConfig, spec: ObservationSpec, ops: Ops) -> None:
        if spec.stack < 2:
            raise ValueError(f"flare needs at least 2 frames in a stack, got {spec.stack}")
        super().__init__(config, spec, ops)
        self.trunk = Trunk(config.trunk, 3, ops)
        self.channels = 2 * (spec.stack - 1) * config.trunk.channels[-1]
        self.heads = self.make_heads()

    def encode(self, inputs: Inputs, target: Representation | None = None) -> Encoded:
        """One map [B, 2 (K - 1) C, h, w]: newer frames first all their maps, then all their differences."""
        frames = inputs.stack.unflatten(1, (self.spec.stack, 3))
        maps = self.trunk(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        newer, older = maps[:, 1:], maps[:, :-1]
        flow = torch.cat((newer, newer - older.detach()), 1).flatten(1, 2)
        return Encoded(maps=(flow,), feature=self.heads((flow,)))
