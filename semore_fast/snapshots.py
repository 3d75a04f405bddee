"""The simulator's answer as guidance reads it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from semore.guidance import Privileged, Snapshot


def snapshot_of(frames: NDArray[np.uint8], info: dict[str, Any], env: int = 0) -> Snapshot:
    """One environment's newest frame, with what the simulator knows about it.

    Args:
        frames: uint8 [N, 3, H, W].
        info: of an environment made with ids=True.
        env: which of the N.
    """
    privileged = Privileged(
        class_ids=info["class_ids"][env],
        instance_ids=info["instance_ids"][env],
        ego=info["ego"][env],
        actors=info["actors"][env],
    )
    return Snapshot(frame=frames[env], privileged=privileged)
