"""Updates and decisions recorded once as CUDA graphs and replayed: one launch instead of hundreds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from semore.agents import Agent
from semore.batch import Draws, TensorBatch
from semore.ops import FrameStore
from semore_fast.errors import UserError

Tensors = dict[str, Tensor]
Work = Callable[[], Tensors]
Record = Callable[[Work], tuple[Callable[[], object], Tensors]]
"""Takes work down without doing it; gives what does it, and the tensors that hold its results from then on."""
Update = Callable[[TensorBatch, Draws, bool, bool], Tensors]
"""`Agent.update`'s arguments in their order."""
Act = Callable[[Tensor, Tensor], Tensor]
"""`Agent.act`."""
WARM_UP = 3
"""Calls before a recording: kernels are compiled and tuned, optimisers make their state."""


class CudaRecorder:
    """CUDA graphs that share one pool of memory: what one leaves behind is read before the next is replayed."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, work: Work) -> tuple[Callable[[], object], Tensors]:
        """See `Record`. Other threads may use the device meanwhile."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            results = work()
        return graph.replay, results


class Recorded:
    """A function of named tensors that is called as it is a few times, and from then on replayed.

    Args:
        work: what to do; the shapes of its inputs never change, and it reads no value on the host.
        record: see `Record`.
        kept: tensors among the inputs that stay where they are for good; all others are copied before a replay.
    """

    def __init__(self, work: Callable[[Tensors], Tensors], record: Record, kept: frozenset[str] = frozenset()) -> None:
        self._work, self._record, self._kept = work, record, kept
        self._calls = 0
        self._inputs: Tensors = {}
        self._replay: Callable[[], object] | None = None
        self._results: Tensors = {}

    def __call__(self, inputs: Tensors) -> Tensors:
        """Results hold until the next call."""
        self._calls += 1
        if self._calls <= WARM_UP:
            return self._work(inputs)
        if self._replay is None:
            self._inputs = {name: x if name in self._kept else x.clone() for name, x in inputs.items()}
            self._replay, self._results = self._record(lambda: self._work(self._inputs))
        for name, given in inputs.items():
            if name in self._kept:
                assert given.data_ptr() == self._inputs[name].data_ptr(), f"{name} has moved"
            else:
                self._inputs[name].copy_(given)
        self._replay()
        return self._results


class RecordedUpdate:
    """`Agent.update`, recorded once for every combination of actor and target cadence.

    Args:
        agent: whose update.
        record: see `Record`.
        store_stays: whether every minibatch names frames of one store that stays where it is.
    """

    def __init__(self, agent: Agent, record: Record, store_stays: bool) -> None:
        self._agent, self._record = agent, record
        self._kept = frozenset(("frames", "masks")) if store_stays else frozenset()
        self._recorded: dict[tuple[bool, bool], Recorded] = {}

    def __call__(self, batch: TensorBatch, draws: Draws, train_actor: bool, move_targets: bool) -> Tensors:
        """See `Agent.update`; the metrics hold until the next call."""
        cadence = train_actor, move_targets
        if cadence not in self._recorded:

            def update(inputs: Tensors) -> Tensors:
                return self._agent.update(*_unpack(inputs), *cadence)

            self._recorded[cadence] = Recorded(update, self._record, self._kept)
        return self._recorded[cadence](_pack(batch, draws))


class RecordedAct:
    """`Agent.act` with noise, recorded for one number of environments."""

    def __init__(self, agent: Agent, record: Record) -> None:
        self._recorded = Recorded(lambda x: {"action": agent.act(x["frames"], x["noise"])}, record)

    def __call__(self, frames: Tensor, noise: Tensor) -> Tensor:
        """See `Agent.act`; the actions hold until the next call."""
        return self._recorded({"frames": frames, "noise": noise})["action"]


def choose_calls(graphs: Literal["auto", "on", "off"], agent: Agent, store_stays: bool) -> tuple[Update, Act, str]:
    """How the learner is called, and why.

    Raises:
        UserError: graphs were asked for without a GPU.
    """
    on_gpu = agent.device.type == "cuda"
    if graphs == "on" and not on_gpu:
        raise UserError(
            f"--graphs on: CUDA graphs need a GPU, the learner is on {agent.device.type}; use --graphs auto"
        )
    if graphs == "off":
        return agent.update, agent.act, "eager: asked for by name"
    if not on_gpu:
        return agent.update, agent.act, "eager: auto, there is no GPU"
    recorder = CudaRecorder()
    reason = "CUDA graphs: " + ("asked for by name" if graphs == "on" else "auto, the learner is on a GPU")
    return RecordedUpdate(agent, recorder, store_stays), RecordedAct(agent, recorder), reason


def _pack(batch: TensorBatch, draws: Draws) -> Tensors:
    inputs = {"frames": batch.store.frames}
    if batch.store.masks is not None:
        inputs["masks"] = batch.store.masks
    for part in (batch, draws):
        fields = (field.name for field in dataclasses.fields(part) if field.name != "store")
        inputs |= {name: getattr(part, name) for name in fields}
    return inputs


def _unpack(inputs: Tensors) -> tuple[TensorBatch, Draws]:
    store = FrameStore(inputs["frames"], inputs.get("masks"))
    rows = {field.name: inputs[field.name] for field in dataclasses.fields(TensorBatch) if field.name != "store"}
    draws = {field.name: inputs[field.name] for field in dataclasses.fields(Draws)}
    return TensorBatch(store=store, **rows), Draws(**draws)
