"""The entropy temperature of SAC: learned or fixed, with one interface, so that no learner asks which."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from semore.config import AgentConfig


class Temperature(nn.Module):
    """How much entropy is worth. `value()` is a positive scalar tensor without gradient."""

    def value(self) -> Tensor:
        """Returns the temperature."""
        raise NotImplementedError("value() -> Tensor []")

    def loss(self, log_prob: Tensor) -> Tensor:
        """Returns the loss that moves the temperature, given the detached log-probabilities [B]."""
        raise NotImplementedError("loss(log_prob [B]) -> Tensor []")


class FixedTemperature(Temperature):
    """A constant."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.register_buffer("constant", torch.tensor(float(value)))

    def value(self) -> Tensor:
        """Returns the constant."""
        constant = self.get_buffer("constant")
        return constant

    def loss(self, log_prob: Tensor) -> Tensor:
        """Zero: nothing to learn."""
        return log_prob.new_zeros(())


class LearnedTemperature(Temperature):
    """Moves until the policy's entropy meets its target (Haarnoja et al. 2018b)."""

    def __init__(self, initial: float, target_entropy: float) -> None:
        super().__init__()
        if initial <= 0:
            raise ValueError(f"initial temperature must be positive, got {initial}")
        self.log_value = nn.Parameter(torch.tensor(math.log(initial)))
        self.target_entropy = target_entropy

    def value(self) -> Tensor:
        """exp(log temperature), detached."""
        return self.log_value.detach().exp()

    def loss(self, log_prob: Tensor) -> Tensor:
        """Temperature times the surplus of entropy over its target."""
        return (self.log_value.exp() * (-log_prob - self.target_entropy).detach()).mean()


def make_temperature(config: AgentConfig, action_dim: int) -> Temperature:
    """Learned towards the target entropy (default -action_dim), or fixed, as the configuration asks."""
    if config.fixed_temperature:
        return FixedTemperature(config.initial_temperature)
    target = -float(action_dim) if config.target_entropy is None else config.target_entropy
    return LearnedTemperature(config.initial_temperature, target)
