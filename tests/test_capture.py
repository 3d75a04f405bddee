"""Recorded updates: the same numbers as eager ones, whatever is recorded, and when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product

import pytest
import torch
from drifting import assert_rounding_apart, trained
from small import draws, small_agent, small_batch, windows

from semore.agents import REPRESENTATIONS, Agent
from semore.batch import TensorBatch
from semore.ops import FrameStore
from semore_fast import capture
from semore_fast.backend import choose_ops
from semore_fast.capture import CudaRecorder, RecordedAct, RecordedUpdate, Tensors, Work, choose_calls
from semore_fast.compiling import compile_learner
from semore_fast.errors import UserError
from semore_fast.streams import learner_stream

METHODS = list(REPRESENTATIONS)
UPDATES = 30


class Rerun:
    """Records as a graph does: nothing happens while recording, a replay reads the recorded inputs where they are."""

    def __init__(self) -> None:
        self.recordings = 0

    def __call__(self, work: Work) -> tuple[Callable[[], object], Tensors]:
        self.recordings += 1
        results: Tensors = {}

        def replay() -> None:
            for name, value in work().items():
                results[name] = results[name].copy_(value) if name in results else value.clone()

        return replay, results


def fresh(batch: TensorBatch) -> TensorBatch:
    """The same minibatch in new memory, as gathered ones come."""
    masks = None if batch.store.masks is None else batch.store.masks.clone()
    return replace(batch, store=FrameStore(batch.store.frames.clone(), masks), slots=batch.slots.clone())


def compare(one: Agent, other: Agent, update: RecordedUpdate, new_memory: bool) -> None:
    store = small_batch().store
    for step in range(UPDATES):
        batch = small_batch(seed=step)
        batch = fresh(batch) if new_memory else replace(batch, store=store)
        d = draws(one, seed=step)
        for agent in (one, other):
            agent.set_progress(step / UPDATES)
        wanted = one.update(batch, d, step % 2 == 0, step % 3 == 0)
        got = update(batch, d, step % 2 == 0, step % 3 == 0)
        assert wanted.keys() == got.keys()
        for name, value in wanted.items():
            assert torch.equal(got[name], value), name
    for (name, mine), theirs in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(theirs, mine), name


@pytest.mark.parametrize("new_memory", [True, False])
@pytest.mark.parametrize("name", METHODS)
def test_recorded_updates_are_the_eager_ones(name: str, new_memory: bool) -> None:
    settings = {"warmup_fraction": 0.3, "final_learning_rate_fraction": 0.1}
    one, other = small_agent(name, **settings), small_agent(name, **settings)
    record = Rerun()
    compare(one, other, RecordedUpdate(other, record, store_stays=not new_memory), new_memory)
    assert record.recordings == 4  # each combination of the two cadences


def test_a_store_that_should_stay_must_stay() -> None:
    agent = small_agent("sac")
    update = RecordedUpdate(agent, Rerun(), store_stays=True)
    batch = small_batch()
    for _ in range(capture.WARM_UP + 1):
        update(batch, draws(agent), True, True)
    with pytest.raises(AssertionError, match="frames has moved"):
        update(fresh(batch), draws(agent), True, True)


def test_recorded_actions_follow_the_policy() -> None:
    agent, record = small_agent(), Rerun()
    act = RecordedAct(agent, record)
    for seed in range(capture.WARM_UP + 4):
        frames, noise = windows(small_batch(seed=seed)), torch.randn(4, 2)[: len(windows(small_batch()))]
        noise = torch.randn(len(frames), 2, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(act(frames, noise), agent.act(frames, noise))
        agent.update(small_batch(seed=seed), draws(agent, seed=seed), True, True)
    assert record.recordings == 1


def test_the_choice_says_why() -> None:
    agent = small_agent("sac")
    for graphs, reason in (("auto", "eager: auto, there is no GPU"), ("off", "eager: asked for by name")):
        update, act, why = choose_calls(graphs, agent, True)  # type: ignore[arg-type]
        assert (update, act, why) == (agent.update, agent.act, reason)
    with pytest.raises(UserError, match="--graphs on: CUDA graphs need a GPU, the learner is on cpu"):
        choose_calls("on", agent, True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(
    ("name", "precision", "compiled"),
    [*product(METHODS, ("float32", "bfloat16"), (False,)), *product(("sac", "semore"), ("bfloat16",), (True,))],
)
def test_cuda_graphs_drift_as_rounding_does(name: str, precision: str, compiled: bool) -> None:
    """Over 200 updates. The kernels are the eager ones in the same order, but sum in any order; compiled ones fuse."""
    device = torch.device("cuda")
    ops, _ = choose_ops("auto", device)
    make = partial(small_agent, name, ops=ops, device=device, precision=precision)
    agent = make()
    if compiled:
        compile_learner(agent)
    with learner_stream(device):  # as in training
        logged = trained(agent, 200, RecordedUpdate(agent, CudaRecorder(), store_stays=False))
    assert_rounding_apart(logged, make)
