"""Replay: gather, insert and memory against cpprb, torchrl, a plain numpy buffer and the definition.

All buffers hold the same transitions; that they give the same bytes is checked before anything is timed. Peers take
turns within one run, so that a busy machine slows all alike; figures are medians, `_fastest_ms` the best of a run.
Ours returns the 4 frames that observation and next observation are views of, the peers return both stacks: fewer
bytes is part of the design, and `reference_ms` (the same design in numpy) tells it from the C++.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
from interleave import alternate, report
from pytest_benchmark.fixture import BenchmarkFixture
from replay_peers import CpprbPeer, NumpyPeer, Peer, StreamLimit, TorchrlPeer, Transition

from semore.replay import Batch, Replay, ReplayBuffer, ReplaySpec
from semore_fast.replay import CppReplayBuffer

BATCH_SIZE = 128
TRANSITIONS = 2000
EPISODE_LENGTH = 100
FRAME_SHAPE = (3, 128, 128)
STACK_SHAPE = (9, 128, 128)
ROUNDS = 40
LIBRARIES: dict[str, Callable[[int, tuple[int, ...], int], Peer]] = {
    "numpy": NumpyPeer,
    "cpprb": CpprbPeer,
    "torchrl": TorchrlPeer,
}


class Ours:
    """One of our buffers, fed one transition at a time as the peers are."""

    def __init__(self, buffer: Replay) -> None:
        self.buffer = buffer
        self._env, self._yes = np.zeros(1, np.int64), np.ones(1, np.bool_)
        self._flags = {False: np.zeros(1, np.bool_), True: np.ones(1, np.bool_)}
        self._reward, self._open = np.zeros(1, np.float32), False

    def add(self, step: Transition) -> None:
        if not self._open:
            self.buffer.begin(self._env, step.observation[None, 6:])
        self._reward[0] = step.reward
        terminated, truncated = self._flags[step.terminated], self._flags[step.truncated]
        frame, action = step.next_observation[None, 6:], step.action[None]
        self.buffer.add(self._env, action, self._reward, terminated, truncated, frame, self._yes)
        self._open = not (step.terminated or step.truncated)


def transitions(count: int) -> Iterator[Transition]:
    """Noise frames in episodes of one length, every second one ended by a terminal, the others by time."""
    rng = np.random.default_rng(7)
    for number in range(count):
        if number % EPISODE_LENGTH == 0:
            first = rng.integers(0, 256, FRAME_SHAPE, np.uint8)
            observation = np.concatenate([first] * 3)
        following = np.concatenate([observation[3:], rng.integers(0, 256, FRAME_SHAPE, np.uint8)])
        ends = number % EPISODE_LENGTH == EPISODE_LENGTH - 1
        terminal = ends and number // EPISODE_LENGTH % 2 == 0
        action = rng.standard_normal(2).astype(np.float32)
        yield Transition(observation, following, action, float(number), terminal, ends and not terminal)
        observation = following


def spec_of(frames: int, masks: bool = False) -> ReplaySpec:
    return ReplaySpec(frames, 1, FRAME_SHAPE, 2, masks=masks)


def check_equal(ours: dict[str, Replay], peers: dict[str, Peer], out: Batch) -> None:
    indices = np.random.default_rng(3).integers(0, TRANSITIONS, BATCH_SIZE)
    for name, buffer in ours.items():
        assert len(buffer) == TRANSITIONS, name
        buffer.gather(indices, out)
        observation = np.ascontiguousarray(out.frames[:, :3]).reshape(-1, *STACK_SHAPE)
        following = np.ascontiguousarray(out.frames[:, 1:]).reshape(-1, *STACK_SHAPE)
        for peer, other in peers.items():
            theirs = other.at(indices)
            assert np.array_equal(observation, theirs[0]), (name, peer)
            assert np.array_equal(following, theirs[1]), (name, peer)


def filled() -> tuple[dict[str, Replay], dict[str, Peer]]:
    spec = spec_of(TRANSITIONS + TRANSITIONS // EPISODE_LENGTH)
    ours: dict[str, Replay] = {
        "reference": ReplayBuffer(spec),
        "cpp_1": CppReplayBuffer(spec, threads=1),
        "cpp_2": CppReplayBuffer(spec, threads=2),
    }
    peers = {name: make(TRANSITIONS, STACK_SHAPE, BATCH_SIZE) for name, make in LIBRARIES.items()}
    sinks = [*(Ours(buffer) for buffer in ours.values()), *peers.values()]
    for step in transitions(TRANSITIONS):
        for sink in sinks:
            sink.add(step)
    return ours, peers


def test_gather(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """Targets: on two threads 3.5 times the best library and 70 % of the limit; on one no slower than numpy."""
    ours, peers = filled()
    out = Batch.empty(ours["cpp_2"].spec, BATCH_SIZE)
    check_equal(ours, peers, out)
    rng = np.random.default_rng(5)
    frames = ours["cpp_1"].state_arrays()["frames"].reshape(-1, *STACK_SHAPE[1:])
    rows = out.frames.reshape(-1, *STACK_SHAPE[1:])

    def gather(name: str) -> None:
        ours[name].gather(rng.integers(0, TRANSITIONS, BATCH_SIZE), out)

    def limit(stream: StreamLimit) -> None:
        first = int(rng.integers(0, len(frames) - len(rows)))
        stream.copy(out.frames, frames[first : first + len(rows)].reshape(out.frames.shape))

    with StreamLimit(tmp_path, 1) as one, StreamLimit(tmp_path, 2) as two:
        calls: dict[str, Callable[[], object]] = {name: lambda name=name: gather(name) for name in ours}
        calls |= {name: peer.sample for name, peer in peers.items()}
        calls |= {"limit_1": lambda: limit(one), "limit_2": lambda: limit(two)}
        samples = alternate(calls, ROUNDS)
    seconds = {name: median(values) for name, values in samples.items()}
    best = min(peers, key=lambda name: seconds[name])
    report(
        benchmark,
        {f"{name}_ms": value * 1e3 for name, value in seconds.items()}
        | {f"{name}_fastest_ms": min(values) * 1e3 for name, values in samples.items()}
        | {"best_library": best, "cpp_2_over_best_library": seconds[best] / seconds["cpp_2"]}
        | {"cpp_1_over_best_library": seconds[best] / seconds["cpp_1"]}
        | {"cpp_2_share_of_limit": seconds["limit_2"] / seconds["cpp_2"]}
        | {"cpp_1_share_of_limit": seconds["limit_1"] / seconds["cpp_1"]}
        | {"cpp_1_over_reference": seconds["reference"] / seconds["cpp_1"]},
    )
    benchmark.pedantic(gather, args=("cpp_2",), rounds=ROUNDS, warmup_rounds=2)


def test_insert(benchmark: BenchmarkFixture) -> None:
    """Target: 100 000 a second into a buffer that is full, one transition a call."""
    steps = list(transitions(2 * EPISODE_LENGTH))
    sinks: dict[str, Any] = {name: make(400, STACK_SHAPE, BATCH_SIZE) for name, make in LIBRARIES.items()}
    sinks |= {"reference": Ours(ReplayBuffer(spec_of(1200))), "cpp": Ours(CppReplayBuffer(spec_of(1200)))}

    def insert(name: str) -> None:
        for step in steps:
            sinks[name].add(step)

    for _ in range(1200 // len(steps)):
        insert("cpp"), insert("reference")
    samples = alternate({name: lambda name=name: insert(name) for name in sinks}, 7)
    rates = {name: len(steps) / median(values) for name, values in samples.items()}
    best = max(LIBRARIES, key=lambda name: rates[name])
    report(
        benchmark,
        {f"{name}_per_s": rate for name, rate in rates.items()}
        | {"best_library": best, "cpp_over_best_library": rates["cpp"] / rates[best]},
    )
    benchmark.pedantic(insert, args=("cpp",), rounds=7)


def test_memory(benchmark: BenchmarkFixture) -> None:
    """Target: resident memory of a full buffer at most 1.05 times one copy of its frames and masks.

    The time is that of the first fill, whose pages the system hands out one by one; `test_insert` has none of it.
    """
    spec = spec_of(4000, masks=True)
    process = psutil.Process()
    steps = list(transitions(EPISODE_LENGTH))
    mask = np.ones((1, *FRAME_SHAPE[1:]), np.uint8)
    before = process.memory_info().rss
    buffer = CppReplayBuffer(spec)
    sink = Ours(buffer)

    def fill() -> None:
        while buffer.stats()["frames"] < spec.capacity:
            for step in steps:
                sink.add(step)
        oldest = int(buffer.state_arrays()["next_sequence"][0]) - spec.capacity
        for frame_id in range(oldest, oldest + spec.capacity):
            buffer.set_masks(np.array([frame_id]), mask)

    benchmark.pedantic(fill, rounds=1)
    grown = process.memory_info().rss - before
    pixels = spec.capacity * 4 * FRAME_SHAPE[1] * FRAME_SHAPE[2]
    report(
        benchmark,
        {"resident_over_frames_and_masks": grown / pixels, "gb_per_100k_frames": grown / spec.capacity / 1e4},
    )
    assert buffer.stats()["masks"] == spec.capacity
    assert grown <= 1.05 * pixels
