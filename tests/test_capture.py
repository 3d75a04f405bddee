"""Recorded updates: the same numbers as eager ones, whatever is recorded, and when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from small import draws, small_agent, small_batch, windows

from semore.agents import REPRESENTATIONS, Agent
from semore.batch import TensorBatch
from semore.ops import FrameStore
from semore_fast import capture
from semore_fast.capture import CudaRecorder, Record, RecordedAct, RecordedUpdate, Tensors, Work, choose_calls
from semore_fast.errors import UserError

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


def compare(one: Agent, other: Agent, update: RecordedUpdate, new_memory: bool, tolerance: float = 0.0) -> None:
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
            torch.testing.assert_close(got[name], value, rtol=tolerance, atol=tolerance)
    for (name, mine), theirs in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(theirs, mine, rtol=tolerance, atol=tolerance, msg=name)


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
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", METHODS)
def test_cuda_graphs_give_the_eager_numbers(name: str, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """200 updates; the same kernels in the same order, so only atomics may differ."""
    monkeypatch.setattr("test_capture.UPDATES", 200)
    device = torch.device("cuda")
    one, other = (small_agent(name, device=device, precision=precision) for _ in range(2))
    recorder: Record = CudaRecorder()
    compare(one, other, RecordedUpdate(other, recorder, store_stays=False), True, tolerance=2e-2)
