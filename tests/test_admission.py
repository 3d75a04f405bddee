import json

import numpy as np
import pytest

from semore.admission import AdmitAll, SelectiveAdmission, screening_probability


def nothing_is_reasonable(indices):
    return np.zeros(len(indices), np.bool_)


def everything_is_reasonable(indices):
    return np.ones(len(indices), np.bool_)


def never_ask(indices):
    raise AssertionError(f"judge was asked about {indices}")


def test_probability_falls_from_one_to_a_half_then_to_nothing():
    assert screening_probability(0, 100) == 1.0
    assert screening_probability(50, 100) == 0.75
    assert screening_probability(99, 100) == pytest.approx(0.505)
    assert screening_probability(100, 100) == 0.0
    assert screening_probability(0, 0) == 0.0


def test_at_first_everything_is_screened_and_the_unreasonable_dropped():
    admission = SelectiveAdmission(total_frames=1000)
    admitted = admission.admit(0, 4, lambda indices: indices % 2 == 0)
    assert list(admitted) == [True, False, True, False]
    assert admission.stats() == {"screened": 4, "dropped": 2}


def test_the_reasonable_is_never_dropped():
    admission = SelectiveAdmission(total_frames=1000)
    assert all(admission.admit(frame, 8, everything_is_reasonable).all() for frame in range(100))
    assert admission.stats()["dropped"] == 0


@pytest.mark.parametrize(("frame", "probability"), [(0, 1.0), (50, 0.75), (99, 0.505)])
def test_drop_rate_of_the_unreasonable_is_the_probability(frame, probability):
    admitted = SelectiveAdmission(total_frames=1000, seed=3).admit(frame, 20_000, nothing_is_reasonable)
    assert 1 - admitted.mean() == pytest.approx(probability, abs=0.012)


def test_judge_is_asked_about_the_screened_pairs_only():
    asked = []

    def judge(indices):
        asked.extend(indices)
        return np.zeros(len(indices), np.bool_)

    admission = SelectiveAdmission(total_frames=1000, seed=1)
    admitted = admission.admit(90, 100, judge)
    assert asked == list(np.flatnonzero(~admitted))
    assert 30 < len(asked) < 80
    assert admission.stats() == {"screened": len(asked), "dropped": len(asked)}


def test_selection_stops_for_good():
    admission = SelectiveAdmission(total_frames=1000, fraction=0.1)
    assert not admission.admit(0, 3, nothing_is_reasonable).any()
    assert admission.admit(100, 3, never_ask).all()
    assert admission.admit(0, 3, never_ask).all()
    longer = SelectiveAdmission(total_frames=100_000, fraction=0.1)
    longer.load_state_dict(admission.state_dict())
    assert longer.admit(101, 3, never_ask).all()


def test_fraction_of_zero_never_asks():
    assert SelectiveAdmission(total_frames=10, fraction=0.0).admit(0, 5, never_ask).all()


def test_continues_from_a_saved_state():
    one, two = SelectiveAdmission(1000, seed=1), SelectiveAdmission(1000, seed=2)
    one.admit(60, 50, nothing_is_reasonable)
    two.load_state_dict(json.loads(json.dumps(one.state_dict())))
    np.testing.assert_array_equal(one.admit(61, 50, nothing_is_reasonable), two.admit(61, 50, nothing_is_reasonable))
    assert one.stats() == two.stats()


@pytest.mark.parametrize(
    ("arguments", "name"),
    [({"total_frames": 0}, "total_frames"), ({"total_frames": 9, "fraction": 1.5}, "fraction")],
)
def test_bad_arguments_are_named(arguments, name):
    with pytest.raises(ValueError, match=name):
        SelectiveAdmission(**arguments)


def test_admit_all_never_asks():
    admission = AdmitAll()
    assert admission.admit(0, 3, never_ask).all()
    assert admission.stats() == {"screened": 0, "dropped": 0}
    with pytest.raises(ValueError, match="admits everything"):
        admission.load_state_dict(SelectiveAdmission(10).state_dict())
