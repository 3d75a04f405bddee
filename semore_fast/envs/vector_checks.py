"""What every vector environment checks alike: which rows to reset, and whether a saved state is of its scenario."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semore_fast.envs.scenario import Scenario

__all__ = ["check_scenario", "reset_mask"]


def reset_mask(options: Mapping[str, Any] | None, num_envs: int, started: bool) -> NDArray[np.bool_]:
    """Rows that `reset(options=...)` names, bool [N]; all without "reset_mask".

    Raises:
        ValueError: another option, not such a mask, or one that leaves rows out of the first reset.
    """
    given = dict(options or {})
    mask = given.pop("reset_mask", np.ones(num_envs, np.bool_))
    if given:
        raise ValueError(f"options: only reset_mask is known, not {', '.join(sorted(given))}")
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (num_envs,):
        raise ValueError(f"options['reset_mask'] must be a numpy array of {num_envs} bools, is {mask!r}")
    if not (started or mask.all()):
        raise ValueError("options['reset_mask']: the first reset must reset every environment")
    return np.ascontiguousarray(mask)


def check_scenario(saved: Mapping[str, Any], scenario: Scenario) -> None:
    """Refuses a state of another scenario.

    Args:
        saved: `Scenario.to_dict` as JSON gave it back.
        scenario: the environment's.

    Raises:
        ValueError: names the fields that differ.
    """
    ours = json.loads(json.dumps(scenario.to_dict()))
    differing = sorted(name for name in ours if saved.get(name) != ours[name])
    if differing:
        raise ValueError(f"state: saved with another scenario; differs in {', '.join(differing)}")
