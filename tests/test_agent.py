"""The learner: who owns and moves which parameter, what the losses are, and what they are not."""

from contextlib import nullcontext
from dataclasses import replace
from typing import get_args

import pytest
import torch
from small import BATCH, draws, moved, small_agent, small_batch, small_spec, update, windows
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from semore.agents import REPRESENTATIONS, Agent
from semore.config import METHOD_SUMMARIES
from semore.optimisers import load_optimiser_state, optimiser_state
from semore_fast.config import AgentName

METHODS = list(REPRESENTATIONS)
LOSSES = {"loss/critic", "loss/actor", "q/mean", "q/target", "policy/entropy", "policy/temperature"}


def snapshot(module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def same(module, before: dict[str, Tensor]) -> bool:
    return all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


# ownership and gradients


@pytest.mark.parametrize("name", METHODS)
def test_every_trained_parameter_has_exactly_one_owner(name):
    agent = small_agent(name)
    owned = [id(p) for o in agent.optimisers.values() for group in o.param_groups for p in group["params"]]
    assert len(owned) == len(set(owned))
    assert {id(p) for p in agent.parameters() if p.requires_grad} <= set(owned)
    targets = [*agent.target_representation.parameters(), *agent.target_critic.parameters()]
    assert not set(owned) & {id(p) for p in targets}
    assert not any(p.requires_grad for p in targets)


@pytest.mark.parametrize("name", METHODS)
def test_every_trained_parameter_gets_a_gradient(name):
    agent = small_agent(name)
    update(agent)
    blind = [n for n, p in agent.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert blind == []
    stray = [n for n, p in agent.named_parameters() if not p.requires_grad and p.grad is not None]
    assert stray == []


@pytest.mark.parametrize("name", METHODS)
def test_the_actor_loss_leaves_no_gradient_outside_the_actor(name):
    """Encoder, heads and critic learn from eq 12 alone: the same step with and without the actor's."""
    with_actor, without = small_agent(name), small_agent(name)
    update(with_actor, actor=True)
    update(without, actor=False)
    for part in ("representation", "critic"):
        pairs = zip(getattr(with_actor, part).parameters(), getattr(without, part).parameters(), strict=True)
        for one, other in pairs:
            assert torch.equal(one, other)
            if one.requires_grad:
                assert torch.equal(one.grad, other.grad)


@pytest.mark.parametrize("name", METHODS)
def test_without_its_turn_the_actor_stays(name):
    agent = small_agent(name)
    actor, temperature = snapshot(agent.actor), snapshot(agent.temperature)
    metrics = update(agent, actor=False)
    assert "loss/actor" not in metrics
    assert same(agent.actor, actor)
    assert same(agent.temperature, temperature)
    assert not agent.optimisers["actor"].state
    update(agent, actor=True)
    assert not same(agent.actor, actor)
    assert not same(agent.temperature, temperature)


def test_the_actor_sees_detached_maps():
    agent, seen = small_agent(), []
    agent.actor.register_forward_pre_hook(lambda _, args: seen.append([m.requires_grad for m in args[0]]))
    update(agent)
    assert seen == [[False, False]] * 2  # bootstrap, then the actor's own loss


# targets


@pytest.mark.parametrize("name", ["semore", "sac"])
def test_targets_move_by_tau_and_only_when_told(name):
    agent = small_agent(name, encoder_tau=0.3, critic_tau=0.1)
    update(agent, targets=False)
    before = [snapshot(agent.target_representation), snapshot(agent.target_critic)]
    update(agent, targets=False)
    assert same(agent.target_representation, before[0])
    assert same(agent.target_critic, before[1])
    update(agent, targets=True)
    for online, target, tau, old in (
        (agent.representation, agent.target_representation, 0.3, before[0]),
        (agent.critic, agent.target_critic, 0.1, before[1]),
    ):
        for key, now in target.state_dict().items():
            wanted = (1 - tau) * old[key] + tau * online.state_dict()[key]
            assert torch.allclose(now, wanted, atol=1e-6), key


def test_targets_start_as_copies():
    agent = small_agent()
    assert same(agent.target_representation, snapshot(agent.representation))
    assert same(agent.target_critic, snapshot(agent.critic))


# determinism and host synchronisation


@pytest.mark.parametrize("name", METHODS)
def test_update_is_decided_by_state_batch_and_draws(name):
    one, other = small_agent(name), small_agent(name)
    for seed in (3, 4):
        torch.manual_seed(seed)
        first = update(one, seed=seed)
        torch.manual_seed(seed + 100)  # the global generator must not matter
        second = update(other, seed=seed)
        assert all(torch.equal(first[key], second[key]) for key in first)
    assert same(one, snapshot(other))


def _indices(args: tuple) -> list[Tensor | None]:
    return [i for arg in args if isinstance(arg, (list, tuple)) for i in arg]


class NoHostSync(TorchDispatchMode):
    """Raises where a value would travel to the host or decide a shape."""

    forbidden = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.name().removeprefix("aten::").split(".")[0]
        by_mask = name.startswith("index") and any(i is not None and i.dtype == torch.bool for i in _indices(args))
        if name in self.forbidden or name.startswith("unique") or by_mask:
            raise AssertionError(f"update reads a value on the host: {func}")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", METHODS)
def test_update_never_waits_for_a_value(name, monkeypatch):
    agent = small_agent(name, shift_pixels=2)
    batch, d = small_batch(), draws(agent)
    agent.update(batch, d, True, True)  # optimisers make their state here

    def refuse(*_args, **_kwargs):
        raise AssertionError("update reads a value on the host")

    for method in ("item", "tolist", "numpy", "cpu", "__bool__", "__float__", "__int__", "__index__"):
        monkeypatch.setattr(Tensor, method, refuse)
    with NoHostSync():
        metrics = agent.update(batch, d, True, True)
    monkeypatch.undo()
    assert metrics.keys() >= LOSSES
    for value in metrics.values():
        assert value.shape == ()
        assert not value.requires_grad


@pytest.mark.parametrize("name", METHODS)
def test_everything_happens_on_the_learners_device(name, monkeypatch):
    """`meta` stands for a GPU: it refuses to meet tensors of the CPU, and has no values."""
    device = torch.device("meta")
    monkeypatch.setattr(Agent, "_adam", lambda self, parameters, rate, beta1=0.9: torch.optim.SGD(parameters, lr=0.1))
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    agent = small_agent(name, device=device, shift_pixels=2, centre="picture")
    batch = moved(small_batch(), device)
    metrics = agent.update(batch, draws(agent), True, True)
    action = agent.act(windows(batch), torch.zeros(BATCH, 2, device=device))
    assert {value.device for value in (*metrics.values(), action)} == {device}
    with pytest.raises(RuntimeError, match="device"):
        agent.update(moved(small_batch(), torch.device("cpu")), draws(agent), True, True)


def test_the_sync_guard_works():
    x = torch.ones(2)
    with NoHostSync(), pytest.raises(AssertionError, match="on the host"):
        x.sum().item()
    with NoHostSync(), pytest.raises(AssertionError, match="on the host"):
        x[x > 0]


# precision


@pytest.mark.parametrize("name", METHODS)
def test_bfloat16_stays_finite_and_near_float32(name):
    narrow, wide = small_agent(name, precision="bfloat16"), small_agent(name)
    first, exact = update(narrow), update(wide)
    for key in ("loss/critic", "q/target"):
        assert first[key].item() == pytest.approx(exact[key].item(), rel=0.05, abs=0.05)
    for seed in range(4, 8):
        assert all(value.isfinite() for value in update(narrow, seed=seed).values())
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in narrow.parameters())


# acting


@pytest.mark.parametrize("name", METHODS)
def test_acting(name):
    agent, frames, noise = small_agent(name), windows(small_batch()), torch.randn(BATCH, 2)
    mean, sampled = agent.act(frames, None), agent.act(frames, noise)
    assert mean.shape == sampled.shape == (BATCH, 2)
    assert mean.dtype == sampled.dtype == torch.float32
    assert torch.equal(mean, agent.act(frames, None))
    assert torch.equal(mean, agent.act(frames, torch.zeros(BATCH, 2)))
    assert torch.equal(sampled, agent.act(frames, noise))
    assert not torch.allclose(mean, sampled)
    assert sampled.abs().max() <= 1
    assert torch.allclose(agent.act(frames[:1], noise[:1]), sampled[:1], atol=1e-5)
    assert not sampled.requires_grad


def test_acting_reads_the_motion():
    """Swapping the older frames changes the action of a method with a motion stream."""
    agent, frames = small_agent(), windows(small_batch())
    assert not torch.allclose(agent.act(frames, None), agent.act(frames[:, [1, 0, 2]], None), atol=1e-4)


# settings


def test_draws_have_their_shapes_ranges_and_seed():
    agent = small_agent(shift_pixels=3)
    d = agent.draw(64, torch.Generator().manual_seed(0))
    assert d.observation_shift.shape == d.bootstrap_shift.shape == (1, 64, 2)
    assert d.bootstrap_noise.shape == (1, 64, 2)
    assert d.actor_noise.shape == (64, 2)
    assert sorted(set(d.observation_shift.flatten().tolist())) == list(range(-3, 4))
    again = agent.draw(64, torch.Generator().manual_seed(0))
    assert torch.equal(d.actor_noise, again.actor_noise)
    assert torch.equal(d.bootstrap_shift, again.bootstrap_shift)
    assert not torch.equal(d.observation_shift, d.bootstrap_shift)


def test_without_augmentation_the_shift_is_not_applied():
    agent, d = small_agent(shift_pixels=0), draws(small_agent(shift_pixels=4))
    plain = small_agent(shift_pixels=0).update(small_batch(), draws(agent), True, True)
    shifts = {"observation_shift": d.observation_shift, "bootstrap_shift": d.bootstrap_shift}
    shifted = agent.update(small_batch(), replace(draws(agent), **shifts), True, True)
    assert all(torch.equal(plain[key], shifted[key]) for key in plain)


def test_learning_rates_fall_linearly_and_the_temperatures_stays():
    agent = small_agent(final_learning_rate_fraction=0.1)
    for progress, rate in ((0.0, 1e-3), (0.5, 0.55e-3), (1.0, 1e-4)):
        agent.set_progress(progress)
        assert agent.optimisers["critic"].param_groups[0]["lr"] == pytest.approx(rate)
        assert agent.optimisers["actor"].param_groups[0]["lr"] == pytest.approx(rate)
    assert agent.optimisers["temperature"].param_groups[0]["lr"] == 1e-4
    assert agent.optimisers["temperature"].param_groups[0]["betas"] == (0.5, 0.999)


def test_learning_rates_rise_from_nothing_while_warming_up():
    agent = small_agent(warmup_fraction=0.2, final_learning_rate_fraction=0.5)
    for progress, rate in ((0.0, 0.0), (0.1, 0.95e-3 / 2), (0.2, 0.9e-3), (1.0, 0.5e-3)):
        agent.set_progress(progress)
        assert agent.optimisers["critic"].param_groups[0]["lr"] == pytest.approx(rate)
        assert agent.optimisers["actor"].param_groups[0]["lr"] == pytest.approx(rate)


def test_a_fixed_temperature_has_no_optimiser():
    agent = small_agent(fixed_temperature=True, initial_temperature=0.2)
    assert set(agent.optimisers) == {"critic", "actor"}
    update(agent)
    assert update(agent)["policy/temperature"].item() == pytest.approx(0.2)


@pytest.mark.parametrize(("given", "wanted"), [(None, -3.0), (-0.5, -0.5)])
def test_target_entropy_is_minus_the_actions_unless_told(given, wanted):
    agent = small_agent("sac", small_spec(action_dim=3), target_entropy=given)
    assert agent.temperature.target_entropy == wanted


def test_every_named_method_exists():
    assert set(METHOD_SUMMARIES) == set(REPRESENTATIONS) == set(get_args(AgentName))
    with pytest.raises(ValueError, match="unknown agent 'sax'; choose one of semore, "):
        small_agent("sax")


# saving


def as_from_a_file(state):
    """The same state, every tensor a contiguous copy: a file keeps no memory layout."""
    if isinstance(state, Tensor):
        return state.clone(memory_format=torch.contiguous_format)
    if isinstance(state, dict):
        return {key: as_from_a_file(value) for key, value in state.items()}
    return state


@pytest.mark.parametrize("changes", [{}, {"centre": "picture", "critic_bins": 21}])
@pytest.mark.parametrize("name", METHODS)
def test_a_restored_learner_continues_bit_for_bit(name, changes):
    agent, other = small_agent(name, **changes), small_agent(name, **changes)
    update(agent)
    networks, optimisers = as_from_a_file(agent.state_dict()), as_from_a_file(optimiser_state(agent.optimisers))
    for parameter in other.parameters():
        parameter.data.add_(1)
    other.load_state_dict(networks)
    load_optimiser_state(other.optimisers, optimisers)
    for seed in (5, 6):
        expected, got = update(agent, seed=seed), update(other, seed=seed)
        assert all(torch.equal(expected[key], got[key]) for key in expected)
    assert same(agent, snapshot(other))


def test_in_bfloat16_the_actor_meets_the_critic_after_its_step():
    """Autocast remembers casts: one context over the whole update would show the actor the critic before its step."""
    agent = small_agent("sac", precision="bfloat16", learning_rate=0.1)
    calls = []
    agent.critic.register_forward_hook(lambda _, inputs, q: calls.append((inputs, q.detach())))
    agent.update(small_batch(), agent.draw(BATCH, torch.Generator().manual_seed(0)), True, True)
    (feature, action), q = calls[-1]
    calls_before = len(calls)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        again = agent.critic(feature, action)
    assert calls_before == 1  # its own step takes the outputs; the target critic is another module
    assert torch.equal(q, again)
