"""The learner's losses against equations 10-12, computed by hand."""

from dataclasses import replace

import pytest
import torch
from small import BATCH, draws, prepared, small_agent, small_batch, update
from torch import Tensor

from semore.agents import Agent
from semore.batch import TensorBatch


def bootstrap_by_hand(agent: Agent, batch: TensorBatch, noise: Tensor) -> Tensor:
    """R + discount (min Q'(z', a') - temperature log pi(a'|z'))."""
    with torch.no_grad():
        inputs = prepared(agent.representation, batch, agent.spec.n_step, guided=False)
        sample = agent.actor(agent.representation.encode(inputs).maps, noise)
        slow = agent.target_representation if agent.config.target_encoder else agent.representation
        q = agent.target_critic(slow.encode(inputs).feature, sample.action)
        value = torch.minimum(q[0], q[1]) - agent.temperature.value() * sample.log_prob
        return batch.nstep_return + batch.bootstrap_discount * value


@pytest.mark.parametrize("name", ["semore", "sac"])
@pytest.mark.parametrize("target_encoder", [True, False])
def test_critic_loss_is_equation_10(name, target_encoder):
    agent = small_agent(name, target_encoder=target_encoder, encoder_tau=0.5)
    update(agent)  # now target and online networks differ
    batch, d = small_batch(), draws(agent, seed=4)
    target = bootstrap_by_hand(agent, batch, d.bootstrap_noise[0])
    inputs = prepared(agent.representation, batch)
    with torch.no_grad():
        feature = agent.representation.encode(inputs, agent.target_representation).feature
        q = agent.critic(feature, batch.action)
    metrics = agent.update(batch, d, False, False)
    wanted = ((q[0] - target) ** 2).mean() + ((q[1] - target) ** 2).mean()
    assert metrics["loss/critic"].item() == pytest.approx(wanted.item(), rel=1e-4)
    assert metrics["q/target"].item() == pytest.approx(target.mean().item(), rel=1e-4)
    assert metrics["q/mean"].item() == pytest.approx(q.mean().item(), rel=1e-4, abs=1e-6)


def test_actor_loss_is_equation_11():
    agent = small_agent(learning_rate=0.0)  # networks stand still, so that losses can be computed afterwards
    batch, d = small_batch(), draws(agent)
    metrics = agent.update(batch, d, True, False)
    inputs = prepared(agent.representation, batch)
    with torch.no_grad():
        encoded = agent.representation.encode(inputs)
        sample = agent.actor(encoded.maps, d.actor_noise)
        q = agent.critic(encoded.feature, sample.action)
    wanted = (0.1 * sample.log_prob - torch.minimum(q[0], q[1])).mean()
    assert metrics["loss/actor"].item() == pytest.approx(wanted.item(), rel=1e-4)
    assert metrics["policy/entropy"].item() == pytest.approx(-sample.log_prob.mean().item(), rel=1e-4)
    assert metrics["policy/temperature"].item() == pytest.approx(0.1, rel=1e-4)


def test_semore_s_losses_are_those_of_equation_12():
    losses = {"loss/critic", "loss/similarity", "loss/transition", "loss/reward"}
    assert set(update(small_agent(), actor=False)) == losses | {"q/mean", "q/target"}
    assert set(update(small_agent())) == losses | {
        "q/mean",
        "q/target",
        "loss/actor",
        "policy/entropy",
        "policy/temperature",
    }


def test_a_terminal_sample_does_not_bootstrap():
    batch = replace(small_batch(), bootstrap_discount=torch.zeros(BATCH))
    metrics = update(small_agent(), batch)
    assert torch.equal(metrics["q/target"], batch.nstep_return.mean())


def test_one_terminal_sample_among_others():
    agent, batch = small_agent("sac"), small_batch()
    discount = batch.bootstrap_discount.clone()
    discount[1] = 0
    target = bootstrap_by_hand(agent, replace(batch, bootstrap_discount=discount), draws(agent).bootstrap_noise[0])
    assert target[1] == batch.nstep_return[1]
    metrics = update(agent, replace(batch, bootstrap_discount=discount))
    assert metrics["q/target"].item() == pytest.approx(target.mean().item(), rel=1e-4)
