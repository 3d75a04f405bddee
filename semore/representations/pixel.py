"""Pixel SAC: one trunk over the stacked frames, shaped by the critic alone."""

from __future__ import annotations

from semore.networks import Trunk
from semore.ops import Ops
from semore.representations.base import Encoded, EncoderConfig, Inputs, ObservationSpec, Representation


class PixelRepresentation(Representation):
    """The 9-channel stack through one trunk (Yarats et al. 2019, without the decoder)."""

    def __init__(self, config: EncoderConfig, spec: ObservationSpec, ops: Ops) -> None:
        super().__init__(config, spec, ops)
        self.trunk = Trunk(config.trunk, 3 * spec.stack, ops)
        self.heads = self.make_heads()

    def encode(self, inputs: Inputs, target: Representation | None = None) -> Encoded:
        """Trunk, then head."""
        maps = (self.trunk(inputs.stack),)
        return Encoded(maps=maps, feature=self.heads(maps))
