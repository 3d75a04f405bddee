"""The simulator's answer as guidance reads it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from semore.guidance import Privileged, Snapshot


def snapshot_of(frames: NDArray[np.uint8], info: dict[str, Any], env: int = 0) -> Snapshot:
    """One environment's newest frame, with what the simulator knows about it, where the info holds that.

    Args:
        frames: uint8 [N, 3, H, W].
        info: of an environment; one made with ids=True also gives what is privileged.
        env: which of the N.
    """
    if "class_ids" not in info:
        return Snapshot(frame=frames[env])
    privileged = Privileged(
        class_ids=info["class_ids"][env],
        instance_ids=info["instance_ids"][env],
        ego=info["ego"][env],
        actors=info["actors"][env],
    )
    return Snapshot(frame=frames[env], privileged=privileged)
