"""CURL, Flare, DrQ, DeepMDP and our Simoun against equations, invariances and small cases worked by hand."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from small import BATCH, draws, prepared, small_agent, small_batch, small_spec, windows

from semore.losses import reward_loss
from semore.ops import as_store
from semore.representations import UpdateContext
from semore.representations.curl import info_nce
from semore.representations.simoun import CURIOSITY, HALF_LIFE_UPDATES

KINDS = {"curl", "flare", "drq", "deepmdp", "simoun"}


def context_of(agent, batch=None, **changes):
    """What an update would have computed when the auxiliary losses are due."""
    batch, representation = batch or small_batch(), agent.representation
    return UpdateContext(
        batch=batch,
        draws=draws(agent),
        observation=representation.encode(prepared(representation, batch)),
        following=representation.encode(prepared(representation, batch, 1)) if representation.needs_following else None,
        target=agent.target_representation,
        **changes,
    )


def still(batch):
    """The batch with every frame of a window equal to its first."""
    frames = batch.store.frames.clone()
    frames[batch.slots] = frames[batch.slots[:, :1]]
    return replace(batch, store=replace(batch.store, frames=frames))


# CURL


def test_info_nce_by_hand():
    """Logits [[2, 0], [0, 1]]: minus the log softmax of the diagonal is log(1 + e^-2) and log(1 + e^-1)."""
    query, key = torch.eye(2), torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    wanted = (torch.tensor(-2.0).exp().log1p() + torch.tensor(-1.0).exp().log1p()) / 2
    assert torch.allclose(info_nce(query, torch.eye(2), key), wanted)


def test_info_nce_compares_queries_with_keys_through_w():
    query, w, key = torch.randn(5, 3), torch.randn(3, 3), torch.randn(5, 3)
    logits = torch.einsum("id,de,je->ij", query, w, key)
    assert torch.allclose(info_nce(query, w, key), F.cross_entropy(logits, torch.arange(5)), atol=1e-6)


def test_info_nce_stays_in_float32_under_autocast():
    query, w, key = torch.randn(5, 50), torch.rand(50, 50), torch.randn(5, 50)
    wanted = info_nce(query, w, key)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(info_nce(query, w, key), wanted)


def test_curl_crops_within_the_picture():
    """Every crop of a picture that holds its own coordinates is a window of it, and none shows a repeated border."""
    agent = small_agent("curl")
    representation, side = agent.representation, small_spec().image_size
    rows = torch.arange(side, dtype=torch.uint8).view(1, 1, 1, side, 1).expand(BATCH, 3, 3, side, side)
    shift = draws(agent).observation_shift[0]
    store, slots = as_store(rows)
    crop = representation.prepare(store, slots, torch.float32, shift).stack[:, 0, :, 0]
    first = representation.margin + shift[:, 0]
    wanted = first[:, None] + torch.arange(side - 2 * representation.margin)
    assert torch.allclose((crop + 0.5) * 255, wanted.float(), atol=1e-3)
    assert wanted.amin() >= 0
    assert wanted.amax() < side
    assert representation.margin == 3
    assert len(shift.unique()) > 2


def test_curl_acts_on_the_middle_of_the_picture():
    agent, frames = small_agent("curl"), windows(small_batch())
    changed = frames.clone()
    border = torch.ones(frames.shape[-2:], dtype=torch.bool)
    border[3:-3, 3:-3] = False
    changed[..., border] = 0
    assert torch.equal(agent.act(frames, None), agent.act(changed, None))
    changed[..., 3, 3:-3] = 0
    assert not torch.equal(agent.act(frames, None), agent.act(changed, None))


def test_curl_keys_come_from_the_slow_encoder_without_gradient():
    agent = small_agent("curl")
    inputs = prepared(agent.representation)
    loss = agent.representation.auxiliary_losses(context_of(agent, extra_views=(inputs,)))["contrast"]
    slow = agent.target_representation.encode(inputs).feature
    query = agent.representation.encode(inputs).feature
    assert torch.allclose(loss, info_nce(query, agent.representation.similarity, slow))
    with torch.no_grad():
        for weight in agent.target_representation.parameters():
            weight.mul_(1.5)
    other = agent.representation.auxiliary_losses(context_of(agent, extra_views=(inputs,)))["contrast"]
    assert not torch.isclose(loss, other)


def test_curl_queries_and_keys_are_crops_of_their_own():
    d = draws(small_agent("curl"))
    assert d.extra_shift.shape == d.observation_shift.shape == (1, BATCH, 2)
    assert not torch.equal(d.extra_shift, d.observation_shift)


# Flare


def test_flare_is_newer_maps_beside_differences():
    agent, batch = small_agent("flare"), small_batch()
    stack = prepared(agent.representation, batch).stack
    one, two, three = (agent.representation.trunk(stack[:, 3 * t : 3 * t + 3]) for t in range(3))
    wanted = torch.cat((two, three, two - one, three - two), 1)
    assert torch.allclose(agent.representation.encode(prepared(agent.representation, batch)).maps[0], wanted, atol=1e-5)


def test_flare_sees_no_flow_where_nothing_moves():
    agent = small_agent("flare")
    flow = agent.representation.encode(prepared(agent.representation, still(small_batch()))).maps[0]
    channels = flow.shape[1] // 2
    assert not flow[:, channels:].any()
    assert flow[:, :channels].any()


def test_flare_stops_the_earlier_frame_of_a_difference():
    """The oldest frame enters a difference alone, so nothing flows into it."""
    agent = small_agent("flare")
    inputs = prepared(agent.representation)
    stack = inputs.stack.clone().requires_grad_()
    agent.representation.encode(replace(inputs, stack=stack)).feature.square().sum().backward()
    assert not stack.grad[:, :3].any()
    assert stack.grad[:, 3:6].any()


def test_flare_needs_a_frame_before():
    with pytest.raises(ValueError, match="flare needs at least 2 frames in a stack, got 1"):
        small_agent("flare", small_spec(stack=1))


# DrQ


@pytest.mark.parametrize(("configured", "reach"), [(0, 4), (2, 4), (6, 6)])
def test_drq_shifts_two_views_by_four_pixels_at_least(configured, reach):
    agent = small_agent("drq", shift_pixels=configured)
    d = agent.draw(400, torch.Generator().manual_seed(0))
    assert d.observation_shift.shape == d.bootstrap_shift.shape == (2, 400, 2)
    assert d.observation_shift.abs().amax() == d.bootstrap_shift.abs().amax() == reach


def test_drq_averages_targets_and_losses_over_its_views():
    """Against SAC on each view alone: the seam's tests show how views are averaged; here that DrQ asks for them."""
    drq, sac, d = small_agent("drq"), small_agent("sac", shift_pixels=4), draws(small_agent("drq"))
    sac.load_state_dict(drq.state_dict())

    def one(view: int, boot: int) -> dict[str, float]:
        single = replace(
            d,
            observation_shift=d.observation_shift[view : view + 1],
            bootstrap_shift=d.bootstrap_shift[boot : boot + 1],
            bootstrap_noise=d.bootstrap_noise[boot : boot + 1],
            actor_noise=d.actor_noise[:BATCH],
        )
        return small_like(sac).update(small_batch(), single, False, False)

    def small_like(agent):
        fresh = small_agent("sac", shift_pixels=4)
        fresh.load_state_dict(agent.state_dict())
        return fresh

    target = drq.update(small_batch(), d, False, False)["q/target"].item()
    assert target == pytest.approx(sum(one(0, boot)["q/target"].item() for boot in (0, 1)) / 2, rel=1e-5)


# DeepMDP


def test_deepmdp_predicts_the_next_latent_and_the_reward():
    agent, batch = small_agent("deepmdp"), small_batch()
    context = context_of(agent, batch)
    pair = torch.cat((context.observation.feature, batch.action), 1)
    losses = agent.representation.auxiliary_losses(context)
    off = agent.representation.transition(pair) - context.following.feature
    assert torch.allclose(losses["transition"], off.square().sum() / (2 * off.numel()))
    assert torch.allclose(losses["reward"], reward_loss(agent.representation.reward(pair), batch.reward))


# Simoun


def test_simoun_paths_predict_the_latent_of_both():
    agent, batch = small_agent("simoun"), small_batch()
    context = context_of(agent, batch)
    appearance, motion = agent.representation.predictions(context)
    following = context.following.feature
    losses = agent.representation.auxiliary_losses(context)
    for name, predicted in (("appearance", appearance), ("motion", motion)):
        assert predicted.shape == following.shape
        assert torch.allclose(losses[f"transition_{name}"], (predicted - following).square().mean() / 2)


def test_simoun_motion_path_sees_only_changes():
    agent = small_agent("simoun")
    inputs = prepared(agent.representation, still(small_batch()))
    assert not inputs.residual.any()


def test_simoun_is_curious_where_its_paths_disagree():
    """CURIOSITY for an average sample at first, half of it a half-life on; others in proportion to how far apart."""
    agent = small_agent("simoun")
    representation, context = agent.representation, context_of(agent)
    reward = representation.intrinsic_reward(context)
    assert reward.shape == (BATCH,)
    assert not reward.requires_grad
    assert reward.mean().item() == pytest.approx(CURIOSITY, rel=1e-5)
    one, other = representation.predictions(context)
    apart = (one - other).square().mean(1)
    assert torch.allclose(reward / reward.mean(), apart / apart.mean(), atol=1e-5)
    representation.updates.fill_(HALF_LIFE_UPDATES)
    assert torch.allclose(representation.intrinsic_reward(context), reward / 2, rtol=1e-5)


def test_simoun_is_not_curious_where_its_paths_agree():
    agent = small_agent("simoun")
    appearance, motion = agent.representation.dynamics
    for model in (appearance, motion):
        torch.nn.init.zeros_(model[-1].weight)
    assert not agent.representation.intrinsic_reward(context_of(agent)).any()


def test_simoun_counts_its_updates_and_a_checkpoint_keeps_the_count():
    agent = small_agent("simoun")
    for seed in range(3):
        agent.update(small_batch(), draws(agent, seed=seed), True, True)
    assert agent.representation.updates == 3
    other = small_agent("simoun")
    other.load_state_dict(agent.state_dict())
    assert other.representation.updates == 3
    assert other.representation.disagreement == agent.representation.disagreement > 0


# all of them


@pytest.mark.parametrize("name", sorted(KINDS))
def test_an_update_moves_what_is_trained_and_gives_finite_losses(name):
    agent = small_agent(name, small_spec(n_step=3), shift_pixels=2)
    before = {n: p.clone() for n, p in agent.representation.named_parameters()}
    metrics = agent.update(small_batch(agent.spec), draws(agent), True, True)
    assert all(torch.isfinite(value) for value in metrics.values())
    still_there = [n for n, p in agent.representation.named_parameters() if torch.equal(p, before[n])]
    assert still_there == []


@pytest.mark.parametrize("name", sorted(KINDS))
def test_acting_does_not_depend_on_the_batch(name):
    agent, frames = small_agent(name), windows(small_batch())
    together = agent.act(frames, None)
    for index in range(BATCH):
        assert torch.allclose(agent.act(frames[index : index + 1], None), together[index : index + 1], atol=1e-5)


def test_masks_change_nothing_for_methods_without_guidance():
    for name in sorted(KINDS):
        agent, batch = small_agent(name), small_batch()
        other = replace(batch, store=replace(batch.store, masks=255 - batch.store.masks))
        first, second = (small_agent(name).update(b, draws(agent), True, True) for b in (batch, other))
        assert all(torch.equal(first[key], second[key]) for key in first)
