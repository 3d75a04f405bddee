"""Choosing a replay buffer, its memory, and its life beside threads, forks and tensors."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

import semore_fast
from semore.replay import Batch, ReplayBuffer, ReplaySpec
from semore_fast.replay import CppReplayBuffer, check_memory, make_replay, memory_available_bytes

SMALL = ReplaySpec(64, 2, (1, 2, 2), 1)


def fill_uniform(buffer: CppReplayBuffer, count: int) -> None:
    """One episode whose every frame is of one value, so that a torn frame shows."""
    spec, env, no = buffer.spec, np.zeros(1, np.int64), np.zeros(1, np.bool_)
    buffer.begin(env, np.zeros((1, *spec.frame_shape), np.uint8))
    for value in range(count):
        frame = np.full((1, *spec.frame_shape), value % 256, np.uint8)
        buffer.add(env, np.zeros((1, 1), np.float32), np.zeros(1, np.float32), no, no, frame, ~no)


@pytest.mark.parametrize(
    ("kind", "cls", "reason"),
    [
        ("reference", ReplayBuffer, "reference: asked for by name"),
        ("cpp", CppReplayBuffer, "cpp with 3 threads: asked for by name"),
        ("auto", CppReplayBuffer, "cpp with 3 threads: auto"),
    ],
)
def test_the_choice_and_its_reason(kind: str, cls: type, reason: str) -> None:
    buffer, why = make_replay(kind, SMALL, threads=3)
    assert type(buffer) is cls
    assert why.startswith(reason)


def test_without_the_extension_auto_says_why_and_cpp_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "semore_fast._C", None)
    monkeypatch.delattr(semore_fast, "_C", raising=False)
    buffer, why = make_replay("auto", SMALL)
    assert type(buffer) is ReplayBuffer
    assert "cannot be loaded" in why
    with pytest.raises(RuntimeError, match=r"--replay cpp: .*pip install -e \."):
        make_replay("cpp", SMALL)


def test_unknown_kind_and_thread_count_are_refused() -> None:
    with pytest.raises(ValueError, match="--replay must be one of auto, reference, cpp, got 'numpy'"):
        make_replay("numpy", SMALL)
    with pytest.raises(ValueError, match="threads must be at least 1, got 0"):
        make_replay("cpp", SMALL, threads=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"capacity": 7}, r"capacity must be at least .* = 8 frames .* got 7"),
        ({"capacity": 2**31}, "below 2\\*\\*31"),
        ({"num_envs": 0}, "num_envs must be at least 1, got 0"),
        ({"frame_shape": (3, 0, 2)}, "frame_shape"),
        ({"discount": 1.5}, "discount must be in"),
        ({"discount": float("nan")}, "discount must be in"),
    ],
)
def test_a_bad_spec_is_refused(change: dict[str, object], message: str) -> None:
    arguments = {"capacity": 64, "num_envs": 2, "frame_shape": (1, 2, 2), "action_dim": 1, **change}
    with pytest.raises(ValueError, match=message):
        ReplaySpec(**arguments)


def test_capacity_is_rounded_up_to_whole_rings() -> None:
    spec = ReplaySpec(100, 3, (1, 2, 2), 1)
    assert (spec.capacity, spec.frames_per_env) == (102, 34)


@pytest.mark.parametrize("masks", [False, True])
def test_bytes_needed_is_what_the_definition_allocates(masks: bool) -> None:
    spec = ReplaySpec(500, 5, (3, 8, 8), 2, masks=masks)
    arrays = [value for value in vars(ReplayBuffer(spec)).values() if isinstance(value, np.ndarray)]
    per_buffer_bytes = 6 * 8  # counters and window, whatever the capacity
    assert abs(sum(array.nbytes for array in arrays) - spec.bytes_needed) <= per_buffer_bytes


def test_frames_and_masks_are_nearly_all_of_the_memory() -> None:
    spec = ReplaySpec(110_000, 1, (3, 128, 128), 2)
    assert spec.bytes_needed <= 1.001 * 110_000 * 4 * 128 * 128


def test_a_buffer_larger_than_memory_is_refused_with_both_numbers() -> None:
    frames = memory_available_bytes() // (4 * 128 * 128)
    spec = ReplaySpec(2 * frames, 1, (3, 128, 128), 2)
    with pytest.raises(MemoryError, match=r"--sampling.capacity \d+ needs [\d.]+ GiB, [\d.]+ GiB are available"):
        make_replay("cpp", spec)
    check_memory(ReplaySpec(frames // 2, 1, (3, 128, 128), 2))


def test_a_container_limit_counts(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("700000\n")
    (tmp_path / "memory.stat").write_text("anon 500000\ninactive_file 200000\n")
    assert memory_available_bytes(tmp_path) == 500_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory_available_bytes(tmp_path) > 1_000_000


def test_views_of_the_state_outlive_the_buffer_and_cannot_be_written() -> None:
    buffer = CppReplayBuffer(SMALL)
    fill_uniform(buffer, 5)
    frames = buffer.state_arrays()["frames"]
    del buffer
    assert frames[:6, 0, 0, 0].tolist() == [0, 0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="read-only"):
        frames[0] = 1


def test_gather_fills_memory_that_torch_owns() -> None:
    buffer = CppReplayBuffer(SMALL)
    fill_uniform(buffer, 8)
    out = Batch.empty(SMALL, 3)
    tensor = torch.zeros(out.frames.shape, dtype=torch.uint8)
    out.frames = tensor.numpy()
    buffer.gather(np.array([5, 6, 7]), out)
    assert tensor[:, :, 0, 0, 0].tolist() == [[2, 3, 4, 5], [3, 4, 5, 6], [4, 5, 6, 7]]


def test_storing_while_another_thread_gathers_tears_nothing() -> None:
    # So few frames, so long a gather that the writer would come round several times were it not kept waiting.
    spec = ReplaySpec(12, 1, (3, 64, 64), 1, masks=False)
    buffer = CppReplayBuffer(spec)
    fill_uniform(buffer, 40)
    stop = threading.Event()

    def store() -> None:
        while not stop.is_set():
            fill_uniform(buffer, 100)

    writer = threading.Thread(target=store)
    writer.start()
    out = Batch.empty(spec, 480)
    indices = np.arange(480) % 8  # of 12 frames never fewer than 8 are starts
    try:
        for _ in range(40):
            buffer.gather(indices, out)
            pixels = out.frames.reshape(480, 4, -1)
            assert (pixels.min(axis=-1) == pixels.max(axis=-1)).all()
            newest = pixels[:, 2:, 0].astype(np.int64)
            assert ((newest[:, 1] - newest[:, 0]) % 256 <= 1).all()
            assert np.array_equal(out.frames[:8], out.frames[-8:])
    finally:
        stop.set()
        writer.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_gathers_with_threads_of_its_own() -> None:
    spec = ReplaySpec(80, 1, (3, 64, 64), 1, masks=False)
    buffer = CppReplayBuffer(spec, threads=2)
    fill_uniform(buffer, 60)
    out, again = Batch.empty(spec, 120), Batch.empty(spec, 120)  # large enough for gather to use its threads
    indices = np.arange(120) % len(buffer)
    buffer.gather(indices, out)
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends a child that waits for threads it does not have
        signal.alarm(20)
        buffer.gather(indices, again)
        os._exit(0 if np.array_equal(out.frames, again.frames) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
