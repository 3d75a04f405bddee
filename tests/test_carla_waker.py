"""Waking a Traffic Manager that slept through a tick."""

import threading
import time

import pytest

from semore_fast.envs.carla.waker import Waker


@pytest.fixture
def asleep():
    return threading.Event()


@pytest.fixture
def waker(asleep):
    waker = Waker(asleep.set, limit_s=0.2)
    yield waker
    waker.close()


def test_a_tick_that_hangs_is_woken_once_and_goes_on(waker, asleep):
    with waker.watching():
        assert asleep.wait(5)
        asleep.clear()
        assert not asleep.wait(0.5)
    assert waker.woken == 1
    with waker.watching():
        assert asleep.wait(5)
    assert waker.woken == 2


def test_ticks_in_time_are_left_alone(waker, asleep):
    for _ in range(20):
        with waker.watching():
            time.sleep(0.02)
    time.sleep(0.4)
    assert not asleep.is_set()
    assert waker.woken == 0


def test_a_tick_that_fails_is_not_watched_any_more(waker, asleep):
    with pytest.raises(RuntimeError), waker.watching():
        raise RuntimeError
    assert not asleep.wait(0.5)


def test_it_ends(waker):
    before = threading.active_count()
    Waker(lambda: None, limit_s=10.0).close()
    assert threading.active_count() == before
