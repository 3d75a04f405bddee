"""The port that updates are compared with: same losses as ours, in steps of their own."""

import pytest
import torch
from published_order import PublishedOrder, published_order
from small import draws, small_agent, small_batch, small_spec

from semore.agents import REPRESENTATIONS, Agent


def pair(name: str, n_step: int = 1, **changes: float) -> tuple[Agent, Agent]:
    """Ours and the port, alike to the bit."""
    spec = small_spec(n_step=n_step)
    with published_order():
        port = small_agent(name, spec, **changes)
    return small_agent(name, spec, **changes), port


@pytest.mark.parametrize("n_step", [1, 3])
@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_every_loss_is_ours_where_nothing_moves(name, n_step):
    ours, port = pair(name, n_step, learning_rate=0.0, temperature_learning_rate=0.0)
    assert isinstance(port, PublishedOrder)
    batch = small_batch(ours.spec)
    wanted, got = (agent.update(batch, draws(agent), True, True) for agent in (ours, port))
    assert got.keys() == wanted.keys()
    for key, value in wanted.items():
        torch.testing.assert_close(got[key], value, rtol=1e-4, atol=1e-6, msg=lambda text, key=key: f"{key}: {text}")


def test_each_loss_encodes_and_steps(monkeypatch):
    encoded = []
    ours, port = pair("semore")
    for agent in (ours, port):
        encode = agent.representation.encode
        monkeypatch.setattr(agent.representation, "encode", lambda *a, e=encode: encoded.append(a) or e(*a))
        agent.update(small_batch(), draws(agent), True, True)
        encoded.append(None)
    # the observation once, and the bootstrap observation, which is the next one; then the observation for the critic,
    # twice for the actor, for the auxiliary losses, and the two others
    assert encoded.index(None) == 2
    assert len(encoded) - encoded.index(None) - 2 == 6
    assert set(port.optimisers) == {"critic", "actor", "temperature", "auxiliary"}


def test_the_auxiliary_losses_see_a_moved_encoder():
    ours, port = pair("deepmdp", learning_rate=1e-2)
    wanted, got = (agent.update(small_batch(), draws(agent), True, True) for agent in (ours, port))
    assert got["loss/critic"].item() == pytest.approx(wanted["loss/critic"].item(), rel=1e-4)
    assert got["loss/reward"].item() != pytest.approx(wanted["loss/reward"].item(), rel=1e-4)
    assert got["loss/actor"].item() != pytest.approx(wanted["loss/actor"].item(), rel=1e-4)


def test_the_warm_up_reaches_every_step():
    _, port = pair("semore", warmup_fraction=0.5)
    port.set_progress(0.25)
    rates = {name: float(o.param_groups[0]["lr"]) for name, o in port.optimisers.items() if name != "temperature"}
    assert rates == pytest.approx(dict.fromkeys(["critic", "actor", "auxiliary"], port.config.learning_rate / 2))
