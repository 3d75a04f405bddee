"""Guidance in the background: batches, deadlines, late answers, failures, and that every request ends exactly once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from semore.guidance import Snapshot
from semore.replay import ReplayBuffer, ReplaySpec
from semore_fast.guidance.background import BackgroundService, ServiceLimits
from semore_fast.guidance.breaker import Breaker
from semore_fast.guidance.key_frames import KeyFrames, thumbnail
from semore_fast.guidance.model import ModelError
from semore_fast.guidance.requests import Request, RequestQueue
from semore_fast.guidance.service import OUTCOMES

SIDE = 8
NOW = ServiceLimits(batch=4, batch_deadline_s=0.01)


class Fake:
    """Answers by a frame's first pixel: a mask of that level, nothing named for 0; odd frames make actions bad."""

    revision = "fake"

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.fault: Exception | None = None
        self.closed = False

    def masks(self, frames: np.ndarray) -> tuple[list[tuple[str, ...]], np.ndarray]:
        self._begin(len(frames))
        levels = frames[:, 0, 0, 0].astype(np.float32)
        masks = np.broadcast_to(levels[:, None, None] / 255, (len(frames), SIDE, SIDE)).astype(np.float32)
        return [("a person",) if level else () for level in levels], masks

    def verdicts(self, frames: np.ndarray, actions: np.ndarray) -> Sequence[bool]:
        self._begin(len(frames))
        return [level % 2 == 0 for level in frames[:, 0, 0, 0]]

    def _begin(self, size: int) -> None:
        self.batches.append(size)
        assert self.gate.wait(20)
        if self.fault is not None:
            raise self.fault

    def close(self) -> None:
        self.closed = True


def snapshots(*levels: int) -> list[Snapshot]:
    return [Snapshot(np.full((3, SIDE, SIDE), level, np.uint8)) for level in levels]


def wait_for(true: Any, timeout_s: float = 10.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def settled(service: BackgroundService) -> dict[str, int]:
    """Counts once nothing is under way but what `poll` has to fetch."""
    stats = service.stats()
    assert stats["requested"] == sum(stats[name] for name in OUTCOMES)
    return {name: count for name, count in stats.items() if count}


@pytest.fixture
def model() -> Fake:
    return Fake()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def service(model: Fake, said: list[str]) -> Iterator[BackgroundService]:
    found = BackgroundService(model, KeyFrames(1), NOW, said.append)
    yield found
    model.gate.set()
    found.close()


def fetch(service: BackgroundService, count: int) -> dict[int, int]:
    """Frame id -> level of its mask."""
    found: dict[int, int] = {}

    def more() -> bool:
        ids, masks = service.poll()
        found.update(zip(ids.tolist(), masks[:, 0, 0].tolist() if len(ids) else [], strict=True))
        return len(found) >= count

    wait_for(more)
    return found


def test_masks_join_their_frames_and_what_is_empty_is_missed(service: BackgroundService) -> None:
    service.submit(np.array([7, 8, 9]), snapshots(50, 0, 200))
    assert fetch(service, 2) == {7: 50, 9: 200}
    assert settled(service) == {"requested": 3, "answered": 2, "missed": 1}


def test_training_does_not_wait_for_a_model_that_hangs(service: BackgroundService, model: Fake) -> None:
    model.gate.clear()
    begin_s = time.monotonic()
    for step in range(100):
        service.submit(np.array([step]), snapshots(9))
        service.poll()
        assert service.judge(np.array([step]), snapshots(9), np.zeros((1, 2), np.float32)).all()
    assert time.monotonic() - begin_s < 5
    model.gate.set()
    assert len(fetch(service, 100)) == 100
    wait_for(lambda: service.stats()["judged"] == 100)
    assert settled(service)["late"] >= 96


def test_a_snapshot_may_be_overwritten_after_submit(service: BackgroundService, model: Fake) -> None:
    model.gate.clear()
    seen = snapshots(40)
    service.submit(np.array([1]), seen)
    seen[0].frame[:] = 99
    model.gate.set()
    assert fetch(service, 1) == {1: 40}


def test_batches_are_filled_or_sent_at_their_deadline(model: Fake) -> None:
    service = BackgroundService(model, KeyFrames(1), ServiceLimits(batch=4, batch_deadline_s=0.3), print)
    service.submit(np.arange(4), snapshots(1, 2, 3, 4))
    begin_s = time.monotonic()
    fetch(service, 4)
    assert time.monotonic() - begin_s < 0.25  # full: sent at once
    service.submit(np.arange(4, 6), snapshots(1, 2))
    begin_s = time.monotonic()
    fetch(service, 2)
    assert time.monotonic() - begin_s > 0.2
    assert model.batches == [4, 2]
    service.close()


def test_unreasonable_pairs_are_withdrawn_from_the_replay_buffer(service: BackgroundService) -> None:
    buffer = ReplayBuffer(ReplaySpec(20, 1, (3, SIDE, SIDE), 2, stack=1, n_step=1))
    env, no, yes = np.zeros(1, np.int64), np.zeros(1, np.bool_), np.ones(1, np.bool_)
    ids = buffer.begin(env, np.zeros((1, 3, SIDE, SIDE), np.uint8))
    for level in (2, 3, 4, 5):
        action = np.zeros((1, 2), np.float32)
        assert service.judge(ids, snapshots(level), action).all()
        ids = buffer.add(env, action, np.zeros(1, np.float32), no, no, np.zeros((1, 3, SIDE, SIDE), np.uint8), yes)
    wait_for(lambda: service.stats()["judged"] == 4)
    assert len(buffer) == 4
    assert buffer.withdraw(service.unreasonable()) == 2
    assert len(buffer) == 2
    assert len(service.unreasonable()) == 0
    assert settled(service) == {"requested": 4, "answered": 4, "judged": 4, "unreasonable": 2}


def test_a_full_queue_drops_the_oldest(model: Fake) -> None:
    model.gate.clear()
    service = BackgroundService(model, KeyFrames(1), ServiceLimits(queue=3, batch=1, batch_deadline_s=0.0), print)
    service.submit(np.array([0]), snapshots(10))
    wait_for(lambda: model.batches == [1])
    for frame in range(1, 6):
        service.submit(np.array([frame]), snapshots(10 + frame))
    model.gate.set()
    assert fetch(service, 4) == {0: 10, 3: 13, 4: 14, 5: 15}
    assert settled(service)["dropped"] == 2
    service.close()


def test_requests_that_are_too_old_are_given_up(model: Fake) -> None:
    model.gate.clear()
    limits = ServiceLimits(batch=1, batch_deadline_s=0.0, timeout_s=0.2)
    service = BackgroundService(model, KeyFrames(1), limits, print)
    service.submit(np.array([0, 1, 2]), snapshots(1, 2, 3))
    wait_for(lambda: model.batches == [1])
    time.sleep(0.3)
    model.gate.set()
    assert fetch(service, 1) == {0: 1}
    wait_for(lambda: service.stats()["timed_out"] == 2)
    settled(service)
    service.close()


def test_failures_open_the_breaker_and_an_answer_closes_it(model: Fake, said: list[str]) -> None:
    now = [0.0]
    limits = ServiceLimits(batch=1, batch_deadline_s=0.0, timeout_s=1e9)
    service = BackgroundService(model, KeyFrames(1), limits, said.append, lambda: now[0])
    model.fault = ModelError("connection refused")
    service.submit(np.arange(8), snapshots(*[1] * 8))
    wait_for(lambda: service.stats()["dropped"] == 5)
    assert len(model.batches) == 3  # then nothing is asked any more
    assert said == ["training goes on without guidance: connection refused; it is tried again in 5 s"]
    model.fault = None
    now[0] = 5.0
    service.submit(np.array([8]), snapshots(77))
    assert fetch(service, 1) == {8: 77}
    assert said[1:] == ["guidance is back"]
    found = settled(service)
    assert (found["requested"], found["failed"], found["dropped"]) == (9, 3, 5)
    service.close()


def test_a_fault_of_ours_is_not_hidden(model: Fake) -> None:
    raised: list[BaseException | None] = []
    service = BackgroundService(model, KeyFrames(1), NOW, print)
    model.fault = ZeroDivisionError("a bug")
    service.submit(np.array([0]), snapshots(1))

    def broken() -> bool:
        try:
            service.poll()
        except RuntimeError as error:
            raised.append(error.__cause__)
        return bool(raised)

    wait_for(broken)
    assert isinstance(raised[0], ZeroDivisionError)
    service.close()


def test_closing_drops_what_is_pending_and_closes_the_model(model: Fake) -> None:
    model.gate.clear()
    service = BackgroundService(model, KeyFrames(1), ServiceLimits(batch=1, batch_deadline_s=0.0), print)
    service.submit(np.arange(5), snapshots(1, 2, 3, 4, 5))
    service.judge(np.array([0]), snapshots(1), np.zeros((1, 2), np.float32))
    wait_for(lambda: model.batches == [1])
    threading.Timer(0.1, model.gate.set).start()
    service.close()
    assert model.closed
    assert settled(service) == {"requested": 6, "dropped": 6}


def test_a_resumed_run_counts_what_was_pending_as_dropped(model: Fake, service: BackgroundService) -> None:
    model.gate.clear()
    service.submit(np.arange(3), snapshots(1, 2, 3))
    saved = service.state_dict()
    again = BackgroundService(Fake(), KeyFrames(1), NOW, print)
    again.load_state_dict(saved)
    assert settled(again) == {"requested": 3, "dropped": 3}
    again.close()


def test_a_day_of_requests_leaves_nothing_behind(service: BackgroundService, model: Fake) -> None:
    """As many as a day of training asks for, without the waiting: nothing piles up."""
    total = 20_000
    for step in range(total):
        service.submit(np.array([step]), snapshots(step % 255 + 1))
        if step % 64 == 0:
            service.poll()
        if step % 200 == 0:
            wait_for(lambda step=step: service.stats()["requested"] - sum_of(service) < 250)
    wait_for(lambda: (service.poll(), sum_of(service))[1] == total)
    settled(service)
    assert all(len(held) == 0 for held in vars(service).values() if isinstance(held, list))


def sum_of(service: BackgroundService) -> int:
    service.poll()
    return sum(service.stats()[name] for name in OUTCOMES)


def test_key_frames_come_by_interval_for_each_environment() -> None:
    keys, frame = KeyFrames(3), np.zeros((3, 8, 8), np.uint8)
    assert [keys.wants(0, frame) for _ in range(7)] == [True, False, False, True, False, False, True]
    assert keys.wants(1, frame)
    again = KeyFrames(3)
    again.load_state_dict(keys.state_dict())
    assert [again.wants(0, frame) for _ in range(3)] == [False, False, True]


def test_a_change_of_scene_is_a_key_frame_after_a_rest() -> None:
    keys = KeyFrames(100, change=10.0, rest=2)
    dark, light = np.zeros((3, 20, 20), np.uint8), np.full((3, 20, 20), 60, np.uint8)
    found = [keys.wants(0, frame) for frame in (dark, light, light, light, light, light, light, dark)]
    assert found == [True, False, False, True, False, False, False, True]


def test_a_thumbnail_holds_the_means_of_its_cells() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (3, 32, 48), np.uint8)
    cells = thumbnail(frame)
    assert cells.shape == (16, 16)
    assert cells[3, 5] == pytest.approx(frame[:, 6:8, 15:18].mean(), rel=1e-5)
    assert thumbnail(frame[:, :5, :5]).shape == (5, 5)


@pytest.mark.parametrize(
    ("arguments", "named"), [((0,), "key_frame_interval"), ((1, -1.0), "change"), ((1, 0, -1), "rest")]
)
def test_bad_key_frames_are_refused(arguments: tuple[Any, ...], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        KeyFrames(*arguments)


def test_the_breakers_pause_doubles_up_to_its_limit() -> None:
    now, said = [0.0], []
    breaker = Breaker(said.append, lambda: now[0], failures=1)
    pauses = []
    for _ in range(9):
        breaker.failed("no")
        begin = now[0]
        while not breaker.allows():
            now[0] += 1.0
        pauses.append(now[0] - begin)
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    assert len(said) == 1  # once, not at every try


def test_a_queue_gives_batches_of_one_kind_in_order() -> None:
    queue = RequestQueue(10, lambda: 100.0)
    frame, action = np.zeros((3, 2, 2), np.uint8), np.zeros(2, np.float32)
    for number, kind in enumerate((None, action, None, action)):
        assert queue.put(Request(number, frame, kind, 0.0, 0)) is None
    assert [request.frame_id for request in queue.take(8, 1.0)] == [0, 2]
    assert [request.frame_id for request in queue.take(8, 1.0)] == [1, 3]
    assert queue.close() == []
    assert queue.take(8, 1.0) == []


def test_it_is_busy_while_the_model_has_a_batch(service: BackgroundService, model: Fake) -> None:
    assert not service.busy
    model.gate.clear()
    service.submit(np.array([1]), snapshots(1))
    wait_for(lambda: service.busy)
    model.fault = ModelError("gone")
    model.gate.set()
    wait_for(lambda: not service.busy)
