"""DrQ: several randomly shifted views of everything."""

from __future__ import annotations

from semore.representations.pixel import PixelRepresentation

SHIFT_PIXELS = 4  # Kostrikov et al. 2020: pictures are padded by 4 pixels and cropped back


class DrQRepresentation(PixelRepresentation):
    """Pixel SAC whose targets and losses are averaged over K = M = 2 random shifts (Kostrikov et al. 2020).

    The paper shifts by 4 pixels with the border repeated; where every method is shifted further, so is this one. Each
    view of the bootstrap observation gets an action of its own. Its tanh after the head and its larger learning rate of
    the temperature are left out: heads and optimisers are the same for every method.
    """

    observation_views = 2
    bootstrap_views = 2

    def shift_reach(self, configured: int) -> int:
        """At least 4 pixels: without shifts its views would be equal."""
        return max(configured, SHIFT_PIXELS)
