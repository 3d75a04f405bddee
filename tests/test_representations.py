"""Semore's representation: ablations, stop-gradients, guidance and interaction."""

import copy
from dataclasses import replace

import pytest
import torch
from small import (
    BATCH,
    build,
    changed,
    draws,
    prepared,
    small_agent,
    small_batch,
)
from torch import Tensor

from semore.config import SemoreConfig
from semore.losses import standardise
from semore.ops import REFERENCE
from semore.representations import (
    Encoded,
    Representation,
    UpdateContext,
)

VARIANTS = {
    "semore-m1": {"losses": {"reward"}, "inputs": set(), "modules": {"semantic_trunk", "heads.heads.0", "reward"}},
    "semore-m2": {"losses": {"reward"}, "inputs": {"residual"}},
    "semore-m3": {"losses": {"reward", "similarity"}, "inputs": {"residual", "masked", "has_mask"}},
    "semore": {"losses": {"reward", "similarity", "transition"}, "inputs": {"residual", "masked", "has_mask"}},
}
BOTH_STREAMS = {"semantic_trunk", "motion_trunk", "heads.heads.0", "heads.heads.1", "reward"}
VARIANTS["semore-m2"]["modules"] = VARIANTS["semore-m3"]["modules"] = BOTH_STREAMS
VARIANTS["semore"]["modules"] = BOTH_STREAMS | {"exchange", "transition"}


def module_of(parameter: str) -> str:
    """The part of the representation that a parameter belongs to."""
    parts = parameter.split(".")
    return ".".join(parts[:3]) if parts[0] == "heads" else parts[0]


def context_of(representation: Representation, batch=None) -> UpdateContext:
    batch = batch or small_batch()
    target = copy.deepcopy(representation).requires_grad_(False)
    observation = representation.encode(prepared(representation, batch), target)
    with torch.no_grad():
        following = representation.encode(prepared(representation, batch, 1, guided=False))
    return UpdateContext(
        batch=batch,
        draws=draws(small_agent("sac")),
        observation=observation,
        following=following if representation.needs_following else None,
        target=target,
    )


def reached(loss: Tensor, representation: Representation) -> set[str]:
    """Modules in which some parameter gets a gradient that is not zero."""
    names, parameters = zip(*representation.named_parameters(), strict=True)
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True, retain_graph=True)
    touched = {name for name, g in zip(names, gradients, strict=True) if g is not None and g.abs().sum() > 0}
    return {name if name.startswith("exchange") else module_of(name) for name in touched}


# the ablations differ in exactly the stated terms


@pytest.mark.parametrize("name", VARIANTS)
def test_variant_has_exactly_its_losses_modules_and_inputs(name):
    representation, wanted = small_agent(name).representation, VARIANTS[name]
    assert set(representation.auxiliary_losses(context_of(representation))) == wanted["losses"]
    assert {module_of(n) for n, _ in representation.named_parameters()} == wanted["modules"]
    inputs = prepared(representation)
    assert {f for f in ("residual", "masked", "has_mask") if getattr(inputs, f) is not None} == wanted["inputs"]
    assert representation.feature_dim == 8 * len({m for m in wanted["modules"] if "heads" in m})


@pytest.mark.parametrize("name", VARIANTS)
def test_feature_is_one_head_per_stream(name):
    representation = small_agent(name).representation
    encoded = representation.encode(prepared(representation))
    assert len(encoded.maps) == representation.maps
    assert encoded.feature.shape == (BATCH, representation.feature_dim)
    assert torch.equal(encoded.feature, representation.heads(encoded.maps))


@pytest.mark.parametrize("name", ["semore-m2", "semore-m3"])
def test_without_interaction_maps_are_the_trunks_own(name):
    representation = small_agent(name).representation
    inputs = prepared(representation)
    maps = representation.encode(inputs).maps
    assert torch.equal(maps[0], representation.semantic_trunk(inputs.stack))
    assert torch.equal(maps[1], representation.motion_trunk(inputs.residual))


def test_m3_is_m2_plus_the_similarity_loss():
    """Same weights, same features: guidance changes nothing else."""
    m2, m3 = small_agent("semore-m2").representation, small_agent("semore-m3").representation
    m3.load_state_dict(m2.state_dict())
    with_mask, without = context_of(m3), context_of(m2)
    assert torch.equal(with_mask.observation.feature, without.observation.feature)
    assert torch.equal(m3.auxiliary_losses(with_mask)["reward"], m2.auxiliary_losses(without)["reward"])


def test_each_weight_scales_its_loss_alone():
    base = build()
    losses = base.auxiliary_losses(context_of(base))
    for name in losses:
        weight = f"{name}_weight"
        heavier = build(replace(SemoreConfig(), **{weight: 3 * getattr(SemoreConfig(), weight)}))
        for other, value in heavier.auxiliary_losses(context_of(heavier)).items():
            assert value.item() == pytest.approx((3 if other == name else 1) * losses[other].item(), rel=1e-5)


def test_absolute_residual_is_the_magnitude_of_the_signed():
    signed, absolute = prepared(build()), prepared(build(SemoreConfig(absolute_residual=True)))
    assert signed.residual.min() < 0
    assert torch.equal(absolute.residual, signed.residual.abs())


# gradients


def test_similarity_loss_reaches_only_the_semantic_trunk():
    representation = build()
    losses = representation.auxiliary_losses(context_of(representation))
    assert reached(losses["similarity"], representation) == {"semantic_trunk"}


def test_transition_loss_reaches_only_the_motion_side():
    plain = build(SemoreConfig(interaction=False))
    losses = plain.auxiliary_losses(context_of(plain))
    assert reached(losses["transition"], plain) == {"motion_trunk", "heads.heads.1", "transition"}


def test_transition_loss_reaches_the_semantic_side_through_the_exchange_alone():
    full = build()
    touched = reached(full.auxiliary_losses(context_of(full))["transition"], full)
    assert {"motion_trunk", "heads.heads.1", "transition", "semantic_trunk"} <= touched
    assert touched.isdisjoint({"heads.heads.0", "reward"})
    exchange = {name.split(".")[1] for name in touched if name.startswith("exchange")}
    assert exchange == {"query", "key", "value_semantic", "to_motion"}


def test_reward_loss_reaches_all_but_the_transition_head():
    full = build()
    touched = reached(full.auxiliary_losses(context_of(full))["reward"], full)
    assert {module_of(name) for name in touched} == {module_of(n) for n, _ in full.named_parameters()} - {"transition"}


def test_transition_target_is_stopped_even_if_it_carries_gradient():
    representation = build(SemoreConfig(interaction=False))
    context = context_of(representation)
    feature = context.following.feature.clone().requires_grad_()
    context = replace(context, following=Encoded(maps=(), feature=feature))
    loss = representation.auxiliary_losses(context)["transition"]
    assert torch.autograd.grad(loss, feature, allow_unused=True) == (None,)


def test_transition_loss_predicts_the_motion_feature():
    representation = build()
    context = context_of(representation)
    encoded, following, batch = context.observation, context.following, context.batch
    predicted = representation.transition(torch.cat((encoded.feature[:, 8:], batch.action), 1))
    wanted = 0.5 * (predicted - following.feature[:, 8:]).square().mean()
    assert torch.equal(representation.auxiliary_losses(context)["transition"], wanted)


def test_reward_loss_predicts_the_one_step_reward_from_the_whole_feature():
    representation = build()
    context = context_of(representation)
    predicted = representation.reward(torch.cat((context.observation.feature, context.batch.action), 1))
    wanted = (predicted[:, 0] - context.batch.reward).square().mean()
    assert torch.allclose(representation.auxiliary_losses(context)["reward"], wanted)


@pytest.mark.parametrize(("knowledge", "carries"), [("online", False), ("target", False), ("gradient", True)])
def test_knowledge_map_carries_gradient_only_when_asked(knowledge, carries):
    representation = build(SemoreConfig(knowledge=knowledge))
    extras = context_of(representation).observation.extras
    assert extras["knowledge"].requires_grad is carries
    assert extras["semantic"].requires_grad


@pytest.mark.parametrize("knowledge", ["online", "target", "gradient"])
def test_knowledge_map_is_the_masked_stack_through_its_encoder(knowledge):
    representation = build(SemoreConfig(knowledge=knowledge))
    target = copy.deepcopy(representation).requires_grad_(False)
    for parameter in target.parameters():
        parameter.mul_(0.5)
    inputs = prepared(representation)
    got = representation.encode(inputs, target).extras["knowledge"]
    encoder = target if knowledge == "target" else representation
    assert torch.equal(got, encoder.semantic_trunk(inputs.masked))


# guidance


def outcome(representation: Representation, batch) -> list[Tensor]:
    context = context_of(representation, batch)
    losses = list(representation.auxiliary_losses(context).values())
    gradients = torch.autograd.grad(torch.stack(losses).sum(), list(representation.parameters()), allow_unused=True)
    return [context.observation.feature, *losses, *(g for g in gradients if g is not None)]


@pytest.mark.parametrize("value", [0, 1, 255, None])
@pytest.mark.parametrize("knowledge", ["online", "gradient"])
def test_the_mask_of_an_unmasked_sample_changes_nothing(value, knowledge):
    """In the replay ring it is the mask of a frame overwritten since."""
    representation, batch = build(SemoreConfig(knowledge=knowledge)), small_batch()
    assert not batch.has_mask[1]
    other = changed(batch, 1, value)
    assert not torch.equal(other.store.masks, batch.store.masks)
    for before, after in zip(outcome(representation, batch), outcome(representation, other), strict=True):
        assert torch.equal(before, after)


def test_masks_beside_frames_that_are_not_the_newest_change_nothing():
    representation, batch = build(), small_batch()
    masks = torch.full_like(batch.store.masks, 77)
    masks[batch.slots[:, 2]] = batch.store.masks[batch.slots[:, 2]]
    other = replace(batch, store=replace(batch.store, masks=masks))
    for before, after in zip(outcome(representation, batch), outcome(representation, other), strict=True):
        assert torch.equal(before, after)


def test_a_method_that_needs_masks_refuses_a_store_without():
    batch = small_batch()
    with pytest.raises(ValueError, match="masked inputs need a store with masks"):
        prepared(build(), replace(batch, store=replace(batch.store, masks=None)))


def test_the_mask_of_a_masked_sample_changes_its_feature_and_the_loss():
    representation, batch = build(), small_batch()
    before, after = outcome(representation, batch), outcome(representation, changed(batch, 0))
    assert not torch.equal(before[0][0], after[0][0])
    assert torch.equal(before[0][1:], after[0][1:])
    assert before[1] != after[1]


@pytest.mark.parametrize("standardised", [False, True])
def test_similarity_loss_is_the_mean_over_masked_samples(standardised):
    representation, batch = build(SemoreConfig(similarity_standardised=standardised)), small_batch()
    extras = context_of(representation, batch).observation.extras
    maps = extras["semantic"], extras["knowledge"]
    if standardised:
        maps = tuple(standardise(x, batch.has_mask) for x in maps)
    distance = REFERENCE.ssim_distance(*maps, 3)
    loss = representation.auxiliary_losses(context_of(representation, batch))["similarity"]
    assert torch.allclose(loss, representation.semore.similarity_weight * distance[batch.has_mask].mean())


def test_no_masks_at_all_means_no_similarity_loss_and_acting_s_features():
    representation = build()
    batch = replace(small_batch(), has_mask=torch.zeros(BATCH, dtype=torch.bool))
    context = context_of(representation, batch)
    assert representation.auxiliary_losses(context)["similarity"].item() == 0
    acting = representation.encode(prepared(representation, batch, guided=False))
    assert torch.equal(context.observation.feature, acting.feature)


def test_guidance_is_ignored_where_no_mask_is_used():
    representation = small_agent("semore-m2").representation
    guided, free = prepared(representation), prepared(representation, guided=False)
    assert guided.masked is None
    assert torch.equal(guided.stack, free.stack)


def test_masks_follow_the_random_shift_of_their_frames():
    representation, batch = build(), small_batch()
    shift = torch.tensor([[2, -3]] * BATCH)
    slots = batch.slots[:, :3]
    moved = representation.prepare(batch.store, slots, torch.float32, shift, batch.has_mask)
    still = representation.prepare(batch.store, slots, torch.float32, None, batch.has_mask)
    assert torch.equal(moved.masked[:, :, 8:-8, 8:-8], still.masked[:, :, 10:-6, 5:-11])


# bad input


@pytest.mark.parametrize(
    ("config", "stack", "message"),
    [
        (SemoreConfig(motion_stream=False, transition_weight=0), 3, "interaction needs the motion stream"),
        (SemoreConfig(motion_stream=False, interaction=False), 3, "transition loss needs the motion stream"),
        (SemoreConfig(), 1, "at least 2 frames in a stack, got 1"),
    ],
)
def test_impossible_variants_are_refused(config, stack, message):
    with pytest.raises(ValueError, match=message):
        build(config, stack=stack)


def test_alternatives_reach_the_learner():
    agent = small_agent(semore=SemoreConfig(similarity="mse", knowledge="target"))
    metrics = agent.update(small_batch(), draws(agent), train_actor=True, move_targets=True)
    assert {"loss/similarity", "loss/transition", "loss/reward"} <= set(metrics)
    assert all(value.isfinite() for value in metrics.values())
