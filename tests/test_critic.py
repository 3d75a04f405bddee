"""The critic that learns a histogram of returns."""

import pytest
import torch
from small import draws, prepared, small_agent, small_batch, update
from test_agent_losses import bootstrap_by_hand

from semore.critic import HistogramCritic


def make(bins: int = 40, v_min: float = -10.0, v_max: float = 30.0) -> HistogramCritic:
    return HistogramCritic(7, 16, 2, True, bins=bins, v_min=v_min, v_max=v_max)


def test_a_histogram_sums_to_one_and_its_mean_is_the_target():
    critic, target = make(), torch.linspace(-7, 27, 69)
    histogram = critic.histogram(target)
    assert histogram.shape == (69, 40)
    assert (histogram >= 0).all()
    assert torch.allclose(histogram.sum(1), torch.ones(69), atol=1e-6)
    assert torch.allclose(histogram @ critic.centres, target, atol=2e-2)


def test_a_target_outside_the_range_counts_as_its_end():
    critic = make()
    ends = critic.histogram(critic.centres[[0, -1]])
    assert torch.equal(critic.histogram(torch.tensor([-1e6, 1e6])), ends)
    assert torch.isfinite(ends).all()


def test_the_loss_is_least_at_the_targets_histogram_and_q_is_the_target_there():
    critic, target = make(), torch.tensor([0.3, 12.7])
    best = critic.histogram(target).clamp_min(1e-12).log().expand(2, -1, -1).clone().requires_grad_()
    loss = critic.loss(best, target)
    loss.backward()
    assert best.grad.abs().max() < 1e-6
    assert torch.allclose(critic.values(best.detach()), target.expand(2, 2), atol=2e-2)
    for other in (target + 0.5, target - 3):
        assert critic.loss(best.detach(), other) > loss


def test_the_learner_s_loss_is_the_cross_entropy_with_equation_10_s_target():
    agent = small_agent("sac", critic_bins=30, v_min=-5.0, v_max=5.0)
    update(agent)
    batch, d = small_batch(), draws(agent, seed=4)
    target = bootstrap_by_hand(agent, batch, d.bootstrap_noise[0])
    with torch.no_grad():
        feature = agent.representation.encode(prepared(agent.representation, batch)).feature
        share = agent.critic.outputs(feature, batch.action).softmax(2)
        histogram = agent.critic.histogram(target)
    metrics = agent.update(batch, d, False, False)
    wanted = -(histogram * share.log()).sum(2).mean(1).sum()
    assert metrics["loss/critic"].item() == pytest.approx(wanted.item(), rel=1e-4)
    assert metrics["q/mean"].item() == pytest.approx((share @ agent.critic.centres).mean().item(), rel=1e-4)


@pytest.mark.parametrize("name", ["semore", "drq", "simoun"])
def test_other_methods_learn_with_it(name):
    agent = small_agent(name, critic_bins=21, v_min=-5.0, v_max=5.0)
    first = update(agent, seed=1)["loss/critic"].item()
    for _ in range(30):
        last = update(agent, seed=1)["loss/critic"].item()
    assert last < 0.9 * first


@pytest.mark.parametrize(("bins", "v_min", "v_max"), [(1, 0.0, 1.0), (5, 1.0, 1.0), (-3, 0.0, 1.0)])
def test_an_impossible_range_is_refused(bins, v_min, v_max):
    with pytest.raises(ValueError, match="v_min < v_max"):
        make(bins, v_min, v_max)
