"""What the seam between learner and representation promises: frames in time, views, intrinsic reward."""

from dataclasses import replace

import pytest
import torch
from small import BATCH, encoder_config, prepared, small_batch, small_config, small_spec
from torch import Tensor

from semore.agents import Agent
from semore.batch import Draws
from semore.ops import REFERENCE
from semore.representations import PixelRepresentation, Representation, UpdateContext


def agent_over(kind: type[PixelRepresentation], n_step: int = 1, **changes) -> Agent:
    config, spec = small_config(**changes), small_spec(n_step=n_step)
    torch.manual_seed(1)
    encoder = encoder_config(config)
    return Agent(config, spec, lambda: kind(encoder, spec, REFERENCE), REFERENCE, torch.device("cpu"))


# frames in time


class Recorder(PixelRepresentation):
    """Writes down the times of the frames it is given, and whose encoding it gets back."""

    needs_following = True

    def __init__(self, *args) -> None:
        super().__init__(*args)
        self.times: list[tuple[int, ...]] = []
        self.context: UpdateContext | None = None

    def prepare(self, store, slots, dtype, shift=None, has_mask=None):
        first_of_each = slots[::BATCH]
        self.times += [tuple(store.frames[one, 0, 0, 0].tolist()) for one in first_of_each]
        return super().prepare(store, slots, dtype, shift, has_mask)

    def auxiliary_losses(self, context):
        self.context = context
        return {}


def timed_batch(n_step: int):
    """Every pixel of frame t is 10 t."""
    batch = small_batch(small_spec(n_step=n_step))
    times = (torch.arange(3 + n_step) * 10).to(torch.uint8)
    frames = batch.store.frames.clone()
    frames[batch.slots] = times[None, :, None, None, None]
    return replace(batch, store=replace(batch.store, frames=frames))


@pytest.mark.parametrize(
    ("n_step", "times"),
    [
        (1, [(0, 10, 20), (10, 20, 30)]),
        (2, [(0, 10, 20), (20, 30, 40), (10, 20, 30)]),
        (3, [(0, 10, 20), (30, 40, 50), (10, 20, 30)]),
        (5, [(0, 10, 20), (50, 60, 70), (10, 20, 30)]),
    ],
)
def test_observation_bootstrap_and_following_frames(n_step, times):
    agent, batch = agent_over(Recorder, n_step), timed_batch(n_step)
    agent.update(batch, agent.draw(BATCH, torch.Generator().manual_seed(0)), True, True)
    assert agent.representation.times == times


@pytest.mark.parametrize("n_step", [1, 3])
def test_the_context_holds_the_observation_and_the_frame_after_it(n_step):
    agent, batch = agent_over(Recorder, n_step, learning_rate=0.0), small_batch(small_spec(n_step=n_step))
    agent.update(batch, agent.draw(BATCH, torch.Generator().manual_seed(0)), False, False)
    seen, encode = agent.representation.context, agent.representation.encode
    for encoded, first in ((seen.observation, 0), (seen.following, 1)):
        inputs = prepared(agent.representation, batch, first, guided=False)
        assert torch.allclose(encoded.feature, encode(inputs).feature, atol=1e-6)
    assert seen.observation.feature.requires_grad
    assert not seen.following.feature.requires_grad
    assert seen.target is agent.target_representation


# DrQ's views


class TwoViews(PixelRepresentation):
    observation_views = 2
    bootstrap_views = 2


class TwoBootstraps(PixelRepresentation):
    bootstrap_views = 2


def one_view_draws(seed: int = 0) -> Draws:
    g = torch.Generator().manual_seed(seed)
    return Draws(
        observation_shift=torch.randint(-3, 4, (1, BATCH, 2), generator=g),
        bootstrap_shift=torch.randint(-3, 4, (1, BATCH, 2), generator=g),
        bootstrap_noise=torch.randn(1, BATCH, 2, generator=g),
        actor_noise=torch.randn(BATCH, 2, generator=g),
        extra_shift=torch.zeros(0, BATCH, 2, dtype=torch.int64),
    )


def twice(d: Draws) -> Draws:
    return Draws(
        observation_shift=d.observation_shift.repeat(2, 1, 1),
        bootstrap_shift=d.bootstrap_shift.repeat(2, 1, 1),
        bootstrap_noise=d.bootstrap_noise.repeat(2, 1, 1),
        actor_noise=d.actor_noise.repeat(2, 1),
        extra_shift=d.extra_shift,
    )


def test_equal_views_give_the_single_view_update():
    single, double = agent_over(PixelRepresentation, shift_pixels=3), agent_over(TwoViews, shift_pixels=3)
    for seed in (0, 1):
        d = one_view_draws(seed)
        one, two = single.update(small_batch(), d, True, True), double.update(small_batch(), twice(d), True, True)
        for key in one:
            assert two[key].item() == pytest.approx(one[key].item(), rel=1e-3, abs=1e-5), key


def test_targets_are_averaged_over_bootstrap_views():
    one, other = one_view_draws(0), one_view_draws(1)
    both = replace(
        one,
        bootstrap_shift=torch.cat((one.bootstrap_shift, other.bootstrap_shift)),
        bootstrap_noise=torch.cat((one.bootstrap_noise, other.bootstrap_noise)),
    )

    def target(kind: type[PixelRepresentation], d: Draws) -> float:
        return agent_over(kind, shift_pixels=3).update(small_batch(), d, False, False)["q/target"].item()

    apart = [target(PixelRepresentation, d) for d in (one, other)]
    assert abs(apart[0] - apart[1]) > 1e-3
    assert target(TwoBootstraps, both) == pytest.approx(sum(apart) / 2, rel=1e-5)


def test_losses_are_averaged_over_observation_views():
    """Two different views of one observation: the loss is the mean of the two single-view losses."""
    one, other = one_view_draws(0), one_view_draws(1)
    other = replace(other, bootstrap_shift=one.bootstrap_shift, bootstrap_noise=one.bootstrap_noise)
    both = replace(
        twice(one),
        observation_shift=torch.cat((one.observation_shift, other.observation_shift)),
        actor_noise=torch.cat((one.actor_noise, other.actor_noise)),
    )

    def loss(kind: type[PixelRepresentation], d: Draws) -> float:
        return agent_over(kind, shift_pixels=3).update(small_batch(), d, False, False)["loss/critic"].item()

    apart = [loss(PixelRepresentation, d) for d in (one, other)]
    assert abs(apart[0] - apart[1]) > 1e-4
    assert loss(TwoViews, both) == pytest.approx(sum(apart) / 2, rel=1e-4)


def test_draws_have_one_row_per_view():
    d = agent_over(TwoViews, shift_pixels=3).draw(BATCH, torch.Generator().manual_seed(0))
    assert d.observation_shift.shape == d.bootstrap_shift.shape == (2, BATCH, 2)
    assert d.bootstrap_noise.shape == (2, BATCH, 2)
    assert d.actor_noise.shape == (2 * BATCH, 2)


class TwoViewsRecorder(TwoViews):
    def auxiliary_losses(self, context):
        sizes = {"action", "reward", "nstep_return", "bootstrap_discount", "has_mask"}
        self.sizes = {len(getattr(context.batch, name)) for name in sizes} | {len(context.observation.feature)}
        return {}


def test_auxiliary_losses_see_the_batch_once_per_view():
    agent = agent_over(TwoViewsRecorder)
    agent.update(small_batch(), twice(one_view_draws()), False, False)
    assert agent.representation.sizes == {2 * BATCH}


# intrinsic reward, losses and hooks


class Curious(PixelRepresentation):
    def intrinsic_reward(self, context: UpdateContext) -> Tensor:
        return torch.full_like(context.batch.reward, 0.25)


class Loser(PixelRepresentation):
    updates = 0

    def auxiliary_losses(self, context: UpdateContext) -> dict[str, Tensor]:
        return {"size": 2.0 * context.observation.feature.square().mean()}

    def after_update(self) -> None:
        self.updates += 1


def test_intrinsic_reward_is_added_to_the_target():
    plain, curious = agent_over(PixelRepresentation), agent_over(Curious)
    without = plain.update(small_batch(), one_view_draws(), False, False)["q/target"].item()
    assert curious.update(small_batch(), one_view_draws(), False, False)["q/target"].item() == pytest.approx(
        without + 0.25, rel=1e-5
    )


def test_auxiliary_losses_join_the_critics_in_one_step():
    plain, loser = agent_over(PixelRepresentation), agent_over(Loser)
    batch, d = small_batch(), one_view_draws()
    inputs = prepared(plain.representation, batch)
    loss = 2.0 * plain.representation.encode(inputs).feature.square().mean()
    extra = torch.autograd.grad(loss, list(plain.representation.parameters()))
    plain.update(batch, d, False, False)
    metrics = loser.update(batch, d, False, False)
    assert metrics["loss/size"].item() == pytest.approx(loss.item(), rel=1e-5)
    pairs = zip(plain.representation.parameters(), loser.representation.parameters(), extra, strict=True)
    for one, other, added in pairs:
        assert torch.allclose(one.grad + added, other.grad, atol=1e-6)


def test_after_update_is_called_once_per_update():
    agent = agent_over(Loser)
    for _ in range(3):
        agent.update(small_batch(), one_view_draws(), True, True)
    assert agent.representation.updates == 3
    assert agent.target_representation.updates == 0


def test_a_representation_must_say_how_it_encodes():
    bare = Representation(encoder_config(), small_spec(), REFERENCE)
    with pytest.raises(NotImplementedError, match=r"encode\(inputs, target\) -> Encoded"):
        bare.encode(prepared(bare))
