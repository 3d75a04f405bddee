"""The entropy temperature."""

import math

import pytest
import torch

from semore.temperature import FixedTemperature, LearnedTemperature


def test_learned_value_starts_where_told_and_carries_no_gradient():
    temperature = LearnedTemperature(0.1, target_entropy=-2)
    assert temperature.value().item() == pytest.approx(0.1)
    assert not temperature.value().requires_grad


@pytest.mark.parametrize("entropy", [-5.0, 3.0])
def test_loss_is_temperature_times_surplus(entropy):
    temperature = LearnedTemperature(0.3, target_entropy=-2)
    loss = temperature.loss(torch.full((4,), -entropy))
    assert loss.item() == pytest.approx(0.3 * (entropy + 2), rel=1e-5)
    loss.backward()
    assert temperature.log_value.grad.item() == pytest.approx(0.3 * (entropy + 2), rel=1e-5)


def test_too_little_entropy_raises_the_temperature():
    for entropy, direction in ((-5.0, 1), (3.0, -1)):
        temperature = LearnedTemperature(0.1, target_entropy=-2)
        optimiser = torch.optim.Adam(temperature.parameters(), lr=1e-2)
        temperature.loss(torch.full((4,), -entropy)).backward()
        optimiser.step()
        assert math.copysign(1, temperature.value().item() - 0.1) == direction


def test_log_probabilities_get_no_gradient():
    log_prob = torch.zeros(4, requires_grad=True)
    LearnedTemperature(0.1, -2).loss(log_prob).backward()
    assert log_prob.grad is None


def test_fixed_temperature_has_nothing_to_learn_and_travels_with_the_state():
    temperature = FixedTemperature(0.2)
    assert list(temperature.parameters()) == []
    assert temperature.value().item() == pytest.approx(0.2)
    assert temperature.loss(torch.ones(3)).item() == 0
    other = FixedTemperature(0.7)
    other.load_state_dict(temperature.state_dict())
    assert other.value().item() == pytest.approx(0.2)


def test_a_temperature_must_start_positive():
    with pytest.raises(ValueError, match="must be positive, got 0"):
        LearnedTemperature(0, -2)
