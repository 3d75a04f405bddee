"""The optimiser of every part of a learner, and how its state is saved and restored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn


class Adam(torch.optim.Adam):
    """Fused Adam with one step counter for all of its parameters; the same numbers as PyTorch's, to the bit.

    PyTorch's counts for every parameter by itself, which on a CPU takes small networks longer than the arithmetic. So a
    parameter must have a gradient at every step, or at none.

    Args:
        parameters: on one device.
        rate: the learning rate, a tensor, so that an update recorded as a graph sees it change.
        beta1: decay of the first moment; that of the second is 0.999.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], rate: Tensor, beta1: float = 0.9) -> None:
        super().__init__(parameters, lr=rate, betas=(beta1, 0.999), fused=True, capturable=rate.is_cuda)
        self._lists: tuple[list[Tensor], ...] = ()

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Moves the parameters; there is no closure.

        Raises:
            RuntimeError: other parameters have a gradient than at the first step.
        """
        (group,) = self.param_groups
        learnt = [p for p in group["params"] if p.grad is not None]
        if not self._lists:
            self._collect(learnt)
        if len(learnt) != len(self._lists[0]):
            raise RuntimeError(f"{len(learnt)} parameters have a gradient, at the first step {len(self._lists[0])} had")
        means, squares, counters = self._lists
        counters[0].add_(1)
        beta1, beta2 = group["betas"]
        gradients = [p.grad for p in learnt]
        torch._fused_adam_(
            learnt,
            gradients,
            means,
            squares,
            [],
            counters,
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            weight_decay=0.0,
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues from a state of this class or of `torch.optim.Adam`."""
        super().load_state_dict(state_dict)
        self._lists = ()

    def _collect(self, learnt: list[nn.Parameter]) -> None:
        """The moments of what is learnt, side by side, and the counter that all share, once for each."""
        for p in learnt:
            if not self.state[p]:
                zeros = {name: torch.zeros_like(p) for name in ("exp_avg", "exp_avg_sq")}
                self.state[p] = {"step": torch.zeros((), device=p.device), **zeros}
        counter = self.state[learnt[0]]["step"]
        for p in learnt:
            self.state[p]["step"] = counter
        moments = [self.state[p] for p in learnt]
        self._lists = [m["exp_avg"] for m in moments], [m["exp_avg_sq"] for m in moments], [counter] * len(learnt)


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
