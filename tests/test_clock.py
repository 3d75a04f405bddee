import threading

import pytest

from semore_fast import clock
from semore_fast.clock import Every, Rate, SlowDown, TimeBudget, Until


class FakeTime:
    def __init__(self, monkeypatch):
        self.now_s = 100.0
        monkeypatch.setattr(clock, "perf_counter", lambda: self.now_s)

    def pass_(self, seconds):
        self.now_s += seconds


@pytest.fixture
def time(monkeypatch):
    return FakeTime(monkeypatch)


def test_every_is_due_once_per_multiple_passed():
    every = Every(10)
    assert [count for count in range(35) if every(count)] == [10, 20, 30]


def test_every_keeps_to_the_multiples_when_the_counter_jumps():
    every = Every(10)
    assert [count for count in range(0, 100, 7) if every(count)] == [14, 21, 35, 42, 56, 63, 70, 84, 91]
    assert Every(10)(1000)
    every = Every(10)
    assert every(1000)
    assert not every(1009)
    assert every(1010)


def test_every_counts_from_start_and_never_without_an_interval():
    every = Every(10, start=5)
    assert [count for count in range(5, 40) if every(count)] == [15, 25, 35]
    assert not any(Every(None)(count) for count in range(100))


@pytest.mark.parametrize("interval", [0, -3])
def test_every_refuses_an_interval_that_is_not_positive(interval):
    with pytest.raises(ValueError, match="interval must be positive"):
        Every(interval)


@pytest.mark.parametrize("stop", range(1, 60, 7))
def test_a_resumed_cadence_is_the_uninterrupted_one(stop):
    whole = Every(10, start=3)
    expected = [count for count in range(3, 60, 4) if whole(count)]
    first = Every(10, start=3)
    before = [count for count in range(3, 60, 4) if count <= stop and first(count)]
    second = Every(10)
    second.load_state_dict(first.state_dict())
    after = [count for count in range(3, 60, 4) if count > stop and second(count)]
    assert before + after == expected


def test_a_cadence_may_be_resumed_with_another_interval():
    first = Every(10)
    assert first(40)
    second = Every(25)
    second.load_state_dict(first.state_dict())
    assert [count for count in range(40, 110) if second(count)] == [50, 75, 100]


def test_until():
    until = Until(3)
    assert [count for count in range(6) if until(count)] == [0, 1, 2]
    assert Until(None)(10**12)
    with pytest.raises(ValueError, match="limit must not be negative"):
        Until(-1)


def test_rate_is_per_second_since_the_last_call(time):
    rate = Rate(100)
    time.pass_(2.0)
    assert rate.per_second(120) == 10.0
    time.pass_(0.5)
    assert rate.per_second(121) == 2.0
    assert rate.per_second(121) == 0.0


def test_time_budget_counts_every_moment_once(time):
    budget = TimeBudget()
    time.pass_(1.0)
    with budget("update"):
        time.pass_(2.0)
        with budget("sample"):
            time.pass_(4.0)
        time.pass_(8.0)
    with budget("update"), budget("update"):
        time.pass_(16.0)
    time.pass_(1.0)
    seconds = budget.seconds()
    assert {name: value for name, value in seconds.items() if value} == {"update": 26.0, "sample": 4.0, "other": 2.0}
    assert budget.total()["sample"] == pytest.approx(4 / 32)
    assert sum(budget.total().values()) == pytest.approx(1.0)


def test_time_budget_windows_start_anew_inside_a_section(time):
    budget = TimeBudget()
    with budget("env"):
        time.pass_(3.0)
        assert budget.window()["env"] == 1.0
        time.pass_(1.0)
    time.pass_(1.0)
    window = budget.window()
    assert (window["env"], window["other"]) == (0.5, 0.5)
    assert set(budget.window().values()) == {0.0}
    assert budget.seconds()["env"] == 4.0


def test_a_section_left_by_an_exception_is_closed(time):
    budget = TimeBudget()

    def fail():
        with budget("env"):
            time.pass_(1.0)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    time.pass_(2.0)
    assert (budget.seconds()["env"], budget.seconds()["other"]) == (1.0, 2.0)


def test_time_budget_refuses_unknown_sections_and_other_threads():
    budget = TimeBudget()
    with pytest.raises(ValueError, match="unknown section 'enf', expected one of env, act"):
        budget("enf")
    faults = []
    with budget("env"):
        pass

    def use():
        try:
            with budget("env"):
                pass
        except RuntimeError as error:
            faults.append(str(error))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert len(faults) == 1
    assert "give each thread its own" in faults[0]


def test_slow_down_compares_the_medians_of_both_kinds_of_steps():
    slow_down = SlowDown(window=5, least=3)
    for seconds in (9.0, 1.0, 1.0, 1.1, 0.9, 1.0):  # the first falls out of the window
        slow_down.add(seconds, beside=False)
    slow_down.add(1.2, beside=True)
    slow_down.add(7.0, beside=True)
    assert slow_down.read() is None
    slow_down.add(1.3, beside=True)
    assert slow_down.read() == pytest.approx(0.3)
