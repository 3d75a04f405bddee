"""From the buffer to the learner: the same minibatch wherever its frames are read."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from semore.batch import TensorBatch
from semore.ops import InputSpec
from semore.replay import Replay, ReplayBuffer, ReplaySpec
from semore_fast import ops_cpp
from semore_fast.errors import UserError
from semore_fast.feed import Feed, InPlace, Moved
from semore_fast.mirror import MirroredReplay, ring_bytes, wants_mirror
from semore_fast.replay import CppReplayBuffer

SPEC = ReplaySpec(60, 2, (3, 12, 12), 2, stack=3, n_step=2)
TWINS = [ReplayBuffer, CppReplayBuffer]
CPU = torch.device("cpu")


def filled(make: Callable[[ReplaySpec], Replay], spec: ReplaySpec = SPEC, steps: int = 70) -> Replay:
    """A ring that has wrapped; every third frame has a mask."""
    buffer, rng = make(spec), np.random.default_rng(0)
    envs, yes = np.arange(2), np.ones(2, np.bool_)
    for step in range(steps):
        frames = rng.integers(0, 256, (2, *spec.frame_shape), np.uint8)
        if step % 9 == 0:
            buffer.begin(envs, frames)
        ends = yes if step % 18 == 8 else ~yes
        action, reward = rng.standard_normal((2, 2), np.float32), rng.standard_normal(2, np.float32)
        ids = buffer.add(envs, action, reward, ends, ~yes, frames[::-1].copy(), yes)
        if spec.masks and step % 3 == 0:
            buffer.set_masks(ids, np.ascontiguousarray(frames[:, 0]))
    return buffer


def pixels(batch: TensorBatch) -> dict[str, Tensor]:
    """What a batch says, wherever its frames are; absent masks say nothing."""
    said = {field.name: getattr(batch, field.name) for field in fields(TensorBatch)}
    del said["store"], said["slots"]
    said["frames"] = batch.store.frames[batch.slots]
    if batch.store.masks is not None:
        said["masks"] = batch.store.masks[batch.slots[:, 2]][batch.has_mask]
    return said


def assert_same(one: TensorBatch, other: TensorBatch) -> None:
    left, right = pixels(one), pixels(other)
    assert left.keys() == right.keys()
    for name, value in left.items():
        assert torch.equal(value, right[name]), name


@pytest.mark.parametrize("masks", [True, False])
@pytest.mark.parametrize("make", TWINS)
def test_read_in_place_or_moved_it_is_the_same_minibatch(make: Callable[[ReplaySpec], Replay], masks: bool) -> None:
    buffer = filled(make, replace(SPEC, masks=masks))
    in_place, moved = InPlace(buffer, 16), Moved(buffer, 16, CPU)
    rng = np.random.default_rng(1)
    for _ in range(5):
        indices = rng.integers(0, len(buffer), 16)
        here, there = in_place.take(indices), moved.take(indices)
        assert_same(here, there)
        assert (here.store.masks is None) == (not masks)
        assert here.has_mask.any() == masks


@pytest.mark.parametrize("masked", [True, False])
def test_the_encoders_eat_the_same_from_either(masked: bool) -> None:
    buffer = filled(CppReplayBuffer)
    spec = InputSpec(offset=0.5, residual="signed", masked=masked, dtype=torch.bfloat16)
    indices = np.arange(20)
    made = []
    for source in (InPlace(buffer, 20), Moved(buffer, 20, CPU)):
        batch = source.take(indices)
        stack, residual, under_mask = ops_cpp.encoder_inputs(batch.store, batch.slots[:, :3], None, spec)
        assert residual is not None
        made.append([stack, residual] if under_mask is None else [stack, residual, under_mask[batch.has_mask]])
    assert all(torch.equal(one, other) for one, other in zip(*made, strict=True))


@pytest.mark.parametrize("make", TWINS)
def test_on_the_cpu_no_frame_is_copied(make: Callable[[ReplaySpec], Replay]) -> None:
    buffer = filled(make)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        feed = Feed(buffer, 8, 0, CPU)
    batch = feed.sample()
    assert batch.store.frames.data_ptr() == buffer.frames.ctypes.data
    assert batch.store.masks is not None
    assert batch.store.masks.data_ptr() == buffer.masks.ctypes.data
    assert feed.reason == "frames are read in the replay ring"
    del buffer, feed  # the tensors keep the ring alive
    assert torch.equal(batch.store.frames.clone(), batch.store.frames)


def test_indices_are_drawn_from_the_seed_alone() -> None:
    buffers = [filled(make) for make in TWINS]
    feeds = [Feed(buffer, 8, 3, CPU) for buffer in buffers]
    for _ in range(3):
        assert_same(*(feed.sample() for feed in feeds))
    assert not torch.equal(feeds[0].sample().reward, Feed(buffers[0], 8, 4, CPU).sample().reward)


def test_ready_is_a_minibatch_s_worth() -> None:
    buffer = filled(ReplayBuffer, steps=8)
    count = len(buffer)
    assert Feed(buffer, count, 0, CPU).ready
    assert not Feed(buffer, count + 1, 0, CPU).ready


def mirrored(spec: ReplaySpec) -> MirroredReplay:
    return MirroredReplay(CppReplayBuffer(spec), CPU)


@pytest.mark.parametrize("masks", [True, False])
def test_a_mirror_holds_the_ring_s_bytes_and_gives_its_minibatches(masks: bool) -> None:
    spec = replace(SPEC, masks=masks)
    buffer, plain = filled(mirrored, spec), filled(CppReplayBuffer, spec)
    assert isinstance(buffer, MirroredReplay)
    check_mirror(buffer)
    feeds = Feed(buffer, 8, 3, CPU), Feed(plain, 8, 3, CPU)
    assert feeds[0].reason == "frames are read in the ring's copy on cpu"
    for _ in range(5):
        batch, other = (feed.sample() for feed in feeds)
        assert_same(batch, other)
        assert batch.store.frames.data_ptr() != buffer.frames.ctypes.data


def check_mirror(buffer: MirroredReplay) -> None:
    store = buffer.store()
    np.testing.assert_array_equal(store.frames.numpy(), buffer.frames)
    assert (store.masks is None) == (not buffer.spec.masks)
    if store.masks is not None:
        np.testing.assert_array_equal(store.masks.numpy(), buffer.masks)


def test_a_mirror_follows_late_masks_withdrawals_and_a_restored_buffer() -> None:
    buffer, fresh = filled(mirrored), mirrored(SPEC)
    assert isinstance(buffer, MirroredReplay)
    ids = np.arange(buffer.spec.capacity + 40)  # the first of them are overwritten
    held = buffer.set_masks(ids, np.full((len(ids), 12, 12), 7, np.uint8))
    assert 0 < held < len(ids)
    before = len(buffer)
    assert buffer.withdraw(ids[-2:]) + len(buffer) <= before
    check_mirror(buffer)
    fresh.load_state_arrays(buffer.state_arrays())
    check_mirror(fresh)
    assert fresh.stats() == buffer.stats()


def test_where_frames_go() -> None:
    needed = ring_bytes(SPEC)
    assert needed == 60 * 12 * 12 * 4
    assert wants_mirror("auto", needed, 2 * needed)
    assert not wants_mirror("auto", needed, 2 * needed - 1)
    assert wants_mirror("device", needed, needed)
    assert not wants_mirror("host", needed, 100 * needed)
    with pytest.raises(UserError, match=r"34\.6 kB of frames, 34\.6 kB of GPU memory are free; lower --sampling.cap"):
        wants_mirror("device", needed, needed - 1)
