"""Saving and restoring the optimisers of a learner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def optimiser_state(optimisers: Mapping[str, torch.optim.Optimizer]) -> dict[str, Any]:
    """Every optimiser's state by name."""
    return {name: optimiser.state_dict() for name, optimiser in optimisers.items()}


def load_optimiser_state(optimisers: Mapping[str, torch.optim.Optimizer], state: Mapping[str, Any]) -> None:
    """Continues from `optimiser_state`.

    A saved moment comes back contiguous while its parameter may be channels_last; fused Adam pairs elements by
    position in memory, so each moment takes its parameter's layout again.
    """
    for name, optimiser in optimisers.items():
        rates = [group["lr"] for group in optimiser.param_groups]
        optimiser.load_state_dict(state[name])
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate.fill_(group["lr"])
        for parameter, moments in optimiser.state.items():
            for key, value in moments.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    moments[key] = torch.empty_like(parameter).copy_(value)
