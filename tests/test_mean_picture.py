"""Inputs centred on the mean picture."""

from dataclasses import replace

import pytest
import torch
from small import draws, small_agent, small_batch, update, windows
from test_capture import Rerun, compare

from semore.mean_picture import GREY, SLOWEST, MeanPicture
from semore.ops import FrameStore, InputSpec, as_store, encoder_inputs, random_shift
from semore_fast.capture import RecordedUpdate


def test_it_is_the_mean_of_all_minibatches_at_first():
    picture = MeanPicture(5)
    assert (picture.picture == GREY).all()
    minibatches = torch.randint(0, 256, (40, 6, 3, 5, 5), dtype=torch.uint8)
    for frames in minibatches:
        picture.observe(frames)
    wanted = minibatches.double().mean((0, 1))
    torch.testing.assert_close(picture.mean.double(), wanted, atol=1e-3, rtol=0)
    assert torch.equal(picture.picture, picture.mean.round().to(torch.uint8))


def test_later_minibatches_weigh_a_thousandth():
    picture = MeanPicture(2)
    picture.observe(torch.full((1, 3, 2, 2), 100, dtype=torch.uint8))
    picture.count.fill_(5000)
    picture.observe(torch.full((4, 3, 2, 2), 200, dtype=torch.uint8))
    torch.testing.assert_close(picture.mean, torch.full((3, 2, 2), 100 + 100 * SLOWEST))


@pytest.mark.parametrize("shifted", [False, True])
def test_centred_inputs_are_differences_to_the_centre_which_shifts_along(shifted):
    x, mask = (torch.randint(0, 256, shape, dtype=torch.uint8) for shape in ((3, 2, 3, 6, 7), (6, 6, 7)))
    centre = torch.randint(0, 256, (3, 6, 7), dtype=torch.uint8)
    shift = torch.tensor([[1, -2], [9, 0], [-3, 3]]) if shifted else torch.zeros(3, 2, dtype=torch.int64)
    store, slots = as_store(x)
    spec = InputSpec(offset=0.5, residual="signed", masked=True, dtype=torch.float32)
    stack, residual, masked = encoder_inputs(FrameStore(store.frames, mask, centre), slots, shift, spec)
    moved = random_shift((x.double() - centre.double()).flatten(1, 2), shift) / 255
    torch.testing.assert_close(stack.double(), moved, atol=1e-6, rtol=0)
    under = random_shift(mask[slots[:, -1]].double()[:, None] / 255, shift)
    torch.testing.assert_close(masked.double(), moved * under, atol=1e-6, rtol=0)
    plain = encoder_inputs(FrameStore(store.frames, mask), slots, shift, spec)[1]
    assert torch.equal(residual, plain)


def test_the_policy_sees_what_training_saw():
    """Acting centres on the picture of the newest update, and a picture equal to the mean is all zeros to it."""
    agent = small_agent("sac", centre="picture")
    batch = small_batch()
    agent.update(batch, draws(agent), True, True)
    newest = batch.store.frames[batch.slots[:, agent.spec.stack - 1]].double().mean(0).round()
    assert torch.equal(agent.mean_picture.picture.double(), newest)
    frames = agent.mean_picture.picture.expand(2, agent.spec.stack, -1, -1, -1)
    assert agent._prepare(*as_store(frames.contiguous())).stack.eq(0).all()
    other = small_agent("sac")
    other.load_state_dict(agent.state_dict(), strict=False)
    seen = windows(batch)
    assert not torch.equal(agent.act(seen, None), other.act(seen, None))


@pytest.mark.parametrize("name", ["semore", "flare", "curl"])
def test_every_method_can_be_centred(name):
    agent = small_agent(name, centre="picture")
    before = agent.mean_picture.count.item()
    metrics = [update(agent, seed=seed) for seed in range(3)]
    assert all(torch.isfinite(value) for one in metrics for value in one.values())
    assert agent.mean_picture.count == before + 3


def test_it_can_be_recorded_as_a_graph():
    one, other = (small_agent("semore", centre="picture", critic_bins=21) for _ in range(2))
    compare(one, other, RecordedUpdate(other, Rerun(), store_stays=True), new_memory=False)


def test_a_batch_s_own_store_is_left_alone():
    agent, batch = small_agent("sac", centre="picture"), small_batch()
    kept = replace(batch, store=FrameStore(batch.store.frames.clone(), batch.store.masks.clone()))
    agent.update(batch, draws(agent), True, True)
    assert batch.store.centre is None
    assert torch.equal(batch.store.frames, kept.store.frames)
