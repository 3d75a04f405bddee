import json
import math

import numpy as np
import pytest

from semore.guidance import FaultRates, Faulty, Privileged, PrivilegedMissingError, Scripted, Snapshot, macro_action
from semore.guidance.scripted import (
    BICYCLE,
    CAR,
    CROSSING,
    CYCLIST,
    LANE_MARKINGS,
    ONCOMING,
    PEDESTRIAN,
    RIDER,
    ROAD_LINE,
    STANDING,
    VEHICLE,
)
from semore.guidance.scripted_judge import time_to_collision_s
from semore_fast.errors import UserError
from semore_fast.guidance import NoGuidance, ScriptedService, make_guidance
from semore_fast.guidance.service import no_counts
from semore_fast.state_tree import flatten, unflatten

SIZE = 32


def snapshot(blocks=(), actors=(), ego=(8.0, 0.0, 0.0, 4.0)):
    """blocks: (class id, instance id, top, left, height, width); actors: rows as in `Privileged`."""
    class_ids = np.ones((SIZE, SIZE), np.uint8)
    instance_ids = np.zeros((SIZE, SIZE), np.uint8)
    for class_id, instance_id, top, left, height, width in blocks:
        class_ids[top : top + height, left : left + width] = class_id
        instance_ids[top : top + height, left : left + width] = instance_id
    rows = np.zeros((8, 8), np.float32)
    rows[: len(actors)] = np.array(actors, np.float32).reshape(-1, 8)
    privileged = Privileged(class_ids, instance_ids, np.array(ego, np.float32), rows)
    return Snapshot(np.zeros((3, SIZE, SIZE), np.uint8), privileged)


def actor(class_id, instance_id, dx, dy, vx=0.0, vy=0.0, length=0.5, width=0.5):
    return (class_id, instance_id, dx, dy, vx, vy, length, width)


def act(steer, pedal):
    return np.array([steer, pedal], np.float32)


def crowd():
    blocks = [
        (PEDESTRIAN, 1, 2, 2, 6, 2),
        (PEDESTRIAN, 2, 2, 10, 6, 2),
        (RIDER, 3, 12, 2, 3, 3),
        (BICYCLE, 3, 15, 2, 3, 3),
        (CAR, 4, 12, 10, 4, 6),
        (CAR, 5, 12, 20, 4, 6),
        (ROAD_LINE, 0, 20, 16, 12, 1),
    ]
    actors = [
        actor(PEDESTRIAN, 1, 20, 3, vy=-2),
        actor(PEDESTRIAN, 2, 20, 6),
        actor(RIDER, 3, 30, 0, vx=5),
        actor(CAR, 4, 40, 4, vx=-10),
        actor(CAR, 5, 50, 0, vx=8),
    ]
    return snapshot(blocks, actors)


def test_names_everything_a_driver_must_see():
    assert Scripted().annotate(crowd()) == (CROSSING, STANDING, CYCLIST, ONCOMING, VEHICLE, LANE_MARKINGS)


def test_names_only_what_is_visible():
    hidden = snapshot(actors=[actor(PEDESTRIAN, 1, 20, 0, vy=1)])
    assert Scripted().annotate(hidden) == ()
    speck = snapshot(blocks=[(PEDESTRIAN, 1, 5, 5, 1, 2)])
    assert Scripted().annotate(speck) == ()
    assert LANE_MARKINGS not in Scripted(lane_markings=False).annotate(crowd())


def test_actor_beyond_the_privileged_list_counts_as_standing():
    assert Scripted().annotate(snapshot(blocks=[(PEDESTRIAN, 9, 5, 5, 4, 2)])) == (STANDING,)


def test_hard_mask_is_exactly_the_named_pixels():
    scene = crowd()
    mask = Scripted(edge_sigma_px=0).segment(scene, (CROSSING, CYCLIST))
    assert mask.dtype == np.float32
    np.testing.assert_array_equal(mask, np.isin(scene.privileged.instance_ids, (1, 3)).astype(np.float32))


def test_soft_mask_equals_clamped_sum_of_the_phrases_masks():
    scene, guide = crowd(), Scripted(edge_sigma_px=1.5)
    phrases = guide.annotate(scene)
    apart = np.minimum(sum(guide.segment(scene, (phrase,)).astype(np.float64) for phrase in phrases), 1)
    np.testing.assert_allclose(guide.segment(scene, phrases), apart, atol=1e-6)


def test_soft_edge_is_a_gaussian_halo_outside_the_thing():
    mask = Scripted(edge_sigma_px=1.0).segment(snapshot([(CAR, 1, 10, 10, 4, 4)]), (VEHICLE,))
    assert (mask[10:14, 10:14] == 1).all()
    weights = np.exp(-0.5 * np.arange(-2, 3) ** 2)
    weights /= weights.sum()
    column = (np.convolve(np.isin(np.arange(SIZE), range(10, 14)), weights, "same"))[11]
    assert mask[11, 9] == pytest.approx(weights[3:].sum() * column, abs=1e-6)
    assert mask[11, 9] > mask[11, 8] > 0
    assert mask[11, 7] == 0
    assert np.count_nonzero(mask) < 8 * 8 + 1


def test_mask_at_the_image_border_does_not_wrap():
    mask = Scripted(edge_sigma_px=2.0).segment(snapshot([(CAR, 1, 0, 0, 3, 3)]), (VEHICLE,))
    assert mask[0, 0] == 1
    assert (mask[-8:] == 0).all()
    assert (mask[:, -8:] == 0).all()


def test_unknown_phrase_and_missing_privilege_are_refused():
    guide = Scripted()
    with pytest.raises(ValueError, match="a dragon"):
        guide.segment(crowd(), ("a dragon",))
    bare = Snapshot(np.zeros((3, 8, 8), np.uint8))
    for ask in (
        lambda: guide.annotate(bare),
        lambda: guide.segment(bare, (CROSSING,)),
        lambda: guide.judge(bare, act(0, 0)),
    ):
        with pytest.raises(PrivilegedMissingError, match="privileged"):
            ask()


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("class_ids", np.zeros((SIZE, SIZE), np.int64)),
        ("instance_ids", np.zeros((SIZE, SIZE + 1), np.uint8)),
        ("ego", np.zeros(3, np.float32)),
        ("actors", np.zeros((8, 8), np.float64)),
    ],
)
def test_malformed_privileged_names_the_field(field, bad):
    good = crowd().privileged
    fields = {name: getattr(good, name) for name in ("class_ids", "instance_ids", "ego", "actors")}
    with pytest.raises(ValueError, match=field):
        Privileged(**{**fields, field: bad})


def test_malformed_frame_is_refused():
    with pytest.raises(ValueError, match="frame"):
        Snapshot(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match="class_ids"):
        Snapshot(np.zeros((3, 8, 8), np.uint8), crowd().privileged)


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (act(0, 0.5), "accelerating and going straight"),
        (act(-0.4, -0.9), "braking and turning left"),
        (act(0.3, 0.05), "keeping speed and turning right"),
    ],
)
def test_macro_action_in_words(action, words):
    assert str(macro_action(action)) == words


@pytest.mark.parametrize("bad", [act(float("nan"), 0), act(0, 1.5), np.zeros(3, np.float32)])
def test_bad_action_is_refused(bad):
    with pytest.raises(ValueError, match="action"):
        macro_action(bad)


AHEAD = [actor(PEDESTRIAN, 1, 13, 0)]
ENTERING = [actor(PEDESTRIAN, 1, 14, 4, vy=-3)]
LEAVING = [actor(PEDESTRIAN, 1, 14, 4, vy=3)]
BEHIND = [actor(CAR, 1, -8, 0, vx=15, length=4, width=2)]
BESIDE = [actor(CAR, 1, 6, -3.5, vx=4, length=4, width=2)]


@pytest.mark.parametrize(
    ("ego", "actors", "action", "verdict"),
    [
        ((8, 0, 0, 4), [], act(0, 1), True),
        ((8, 0, 0, 4), AHEAD, act(0, 0.5), False),
        ((8, 0, 0, 4), AHEAD, act(0, 0), False),
        ((8, 0, 0, 4), AHEAD, act(0, -1), True),
        ((8, 0, 0, 4), ENTERING, act(0, 0.5), False),
        ((8, 0, 0, 4), LEAVING, act(0, 0.5), True),
        ((8, 0, 0, 4), BEHIND, act(0, 0.5), True),
        ((0, 0, 0, 4), [actor(PEDESTRIAN, 1, 4, 0)], act(0, 1), False),
        ((0, 0, 0, 4), [actor(PEDESTRIAN, 1, 4, 0)], act(0, -1), True),
        ((1, 0, 0, 4), [], act(0, -0.8), False),
        ((8, 0, 0, 4), [], act(0, -0.8), True),
        ((8, 0, 0, 4), [], act(0.8, 0.2), False),
        ((8, 0, 0, 4), [], act(-0.8, 0.2), False),
        ((8, 0, 0, 4), [], act(0.05, 0.2), True),
        ((0.5, 0, 0, 4), [], act(1, 0.3), True),
        ((8, 0, 0, 4), AHEAD, act(1, -0.5), True),
        ((8, 0, 0, 4), BESIDE, act(0, 0.2), True),
        ((8, 0, 0, 4), BESIDE, act(0.3, -0.2), False),
        ((8, 2.5, 0, 4), [], act(0.15, 0.2), True),
        ((8, 2.5, 0, 4), [], act(-0.15, 0.2), False),
        ((8, 0, math.pi, 4), [], act(0.5, 0.2), True),
    ],
)
def test_verdicts(ego, actors, action, verdict):
    assert Scripted().judge(snapshot(actors=actors, ego=ego), action) is verdict


def test_time_to_collision_matches_hand_calculation():
    scene = snapshot(actors=[actor(CAR, 1, 24.6, 0, vx=4, length=4.5, width=2)])
    # The gap is 24.6 - (4.5 + 4.7) / 2 = 20 m, closing at 8 - 4 m/s; longer than the 4 s horizon at 4 m/s.
    assert time_to_collision_s(scene.privileged, macro_action(act(0, 0))) == math.inf
    scene = snapshot(actors=[actor(CAR, 1, 20.6, 0, vx=-2, length=4.5, width=2)])
    # 16 m at 8 + 2 m/s: 1.6 s, seen at the next tenth.
    assert time_to_collision_s(scene.privileged, macro_action(act(0, 0))) == pytest.approx(1.65, abs=0.06)


def ask(guide, count=400):
    scene = crowd()
    answers = []
    for _ in range(count):
        phrases = guide.annotate(scene)
        answers.append((phrases, guide.segment(scene, phrases), guide.judge(scene, act(0, 0)), guide.delay_steps()))
    return answers


def test_faults_come_at_their_rates():
    clean = ask(Scripted(), 1)[0]
    rates = FaultRates(missed=0.2, false=0.1, late=0.3, late_steps=7)
    answers = ask(Faulty(Scripted(), rates, seed=1), 2000)
    named = np.mean([len(phrases) for phrases, *_ in answers]) / len(clean[0])
    assert named == pytest.approx(0.8, abs=0.02)
    assert np.mean([verdict != clean[2] for _, _, verdict, _ in answers]) == pytest.approx(0.1, abs=0.025)
    assert np.mean([delay == 7 for *_, delay in answers]) == pytest.approx(0.3, abs=0.04)
    assert {delay for *_, delay in answers} == {0, 7}


def test_false_regions_come_at_their_rate_and_stay_small():
    scene = snapshot()
    guide = Faulty(Scripted(), FaultRates(false=0.25), seed=2)
    areas = np.array([guide.segment(scene, ()).mean() for _ in range(2000)])
    assert np.mean(areas > 0) == pytest.approx(0.25, abs=0.04)
    assert areas.max() <= 0.25**2


def test_no_faults_change_nothing():
    for clean, faulty in zip(ask(Scripted(), 5), ask(Faulty(Scripted(), FaultRates(), seed=0), 5), strict=True):
        assert clean[0] == faulty[0]
        np.testing.assert_array_equal(clean[1], faulty[1])
        assert clean[2:] == faulty[2:]


def test_faults_repeat_from_the_seed_and_from_a_saved_state():
    rates = FaultRates(0.3, 0.3, 0.3)
    one, same, other = (Faulty(Scripted(), rates, seed) for seed in (5, 5, 6))
    first = ask(one, 40)
    assert digest(first) == digest(ask(same, 40))
    assert digest(first) != digest(ask(other, 40))
    saved = json.loads(json.dumps(one.state_dict()))
    rest = ask(one, 40)
    other.load_state_dict(saved)
    assert digest(rest) == digest(ask(other, 40))


def digest(answers):
    return [(phrases, mask.tobytes(), verdict, delay) for phrases, mask, verdict, delay in answers]


@pytest.mark.parametrize("bad", [{"missed": -0.1}, {"false": 1.1}, {"late": float("nan")}, {"late_steps": 0}])
def test_bad_fault_rates_are_named(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        FaultRates(**bad)


def ids(*values):
    return np.array(values, np.int64)


def test_service_answers_every_request_at_the_next_poll():
    scene, service = crowd(), ScriptedService(Scripted())
    service.submit(ids(70, 3), [scene, scene])
    frame_ids, masks = service.poll()
    np.testing.assert_array_equal(frame_ids, [70, 3])
    expected = Scripted().segment(scene, Scripted().annotate(scene))
    assert masks.dtype == np.uint8
    np.testing.assert_array_equal(masks[0], np.rint(expected * 255))
    assert service.poll()[0].size == 0
    assert service.stats()["answered"] == service.stats()["requested"] == 2


def test_service_asks_for_key_frames_only():
    service = ScriptedService(Scripted(), key_frame_interval=3)
    seen = []
    for step in range(7):
        service.submit(ids(step), [crowd()])
        seen += list(service.poll()[0])
    assert seen == [0, 3, 6]
    assert service.stats()["requested"] == 3


def test_frame_with_nothing_to_name_gets_no_mask():
    service = ScriptedService(Scripted())
    service.submit(ids(0, 1), [snapshot(), crowd()])
    assert list(service.poll()[0]) == [1]
    assert service.stats() == no_counts() | {"requested": 2, "answered": 1, "missed": 1}


def test_late_mask_comes_by_its_own_id_exactly_that_many_steps_later():
    service = ScriptedService(Faulty(Scripted(), FaultRates(late=1.0, late_steps=2), seed=0))
    arrivals = {}
    for step in range(5):
        service.submit(ids(100 + step), [crowd()])
        for frame_id in service.poll()[0]:
            arrivals[int(frame_id)] = step
    assert arrivals == {100: 2, 101: 3, 102: 4}
    service.close()
    assert service.stats() == no_counts() | {"requested": 5, "late": 3, "dropped": 2}


def test_every_request_ends_exactly_once_under_all_faults():
    rates = FaultRates(missed=0.8, false=0.2, late=0.5, late_steps=3)
    service = ScriptedService(Faulty(Scripted(), rates, seed=4), key_frame_interval=2)
    delivered = []
    for step in range(200):
        service.submit(ids(2 * step, 2 * step + 1), [crowd(), crowd()])
        delivered += list(service.poll()[0])
    service.close()
    counts = service.stats()
    assert counts.pop("requested") == sum(counts.values()) == 200
    assert min(counts[name] for name in ("answered", "late", "missed", "dropped")) > 0
    assert len(delivered) == len(set(delivered)) == counts["answered"] + counts["late"]


def test_service_continues_from_a_saved_state():
    def make(seed):
        return ScriptedService(Faulty(Scripted(), FaultRates(0.3, 0.3, 0.5, 3), seed), key_frame_interval=2)

    def run(service, start):
        polls = []
        for step in range(start, start + 9):
            service.submit(ids(step), [crowd()])
            frame_ids, masks = service.poll()
            polls.append((list(frame_ids), masks.tobytes()))
        return polls, service.stats()

    one, two = make(1), make(2)
    run(one, 0)
    leaves, skeleton = flatten(one.state_dict())
    saved = unflatten(leaves, json.loads(json.dumps(skeleton)))
    expected = run(one, 9)
    two.load_state_dict(saved)
    assert run(two, 9) == expected


def test_service_judges_a_batch():
    service = ScriptedService(Scripted())
    scenes = [snapshot(actors=AHEAD), snapshot(actors=AHEAD), snapshot()]
    verdicts = service.judge(np.arange(3), scenes, np.stack([act(0, 1), act(0, -1), act(0, 1)]))
    assert verdicts.dtype == np.bool_
    assert list(verdicts) == [False, True, True]


def test_no_guidance_has_no_masks_and_no_objections():
    service = NoGuidance()
    service.submit(ids(0), [Snapshot(np.zeros((3, 8, 8), np.uint8))])
    assert service.poll()[0].size == 0
    assert service.judge(np.zeros(1, np.int64), [snapshot(actors=AHEAD)], act(0, 1)[None]).all()
    assert set(service.stats().values()) == {0}


@pytest.mark.parametrize(
    ("kind", "wanted", "privileged", "cls", "reason"),
    [
        ("auto", True, True, ScriptedService, "privileged"),
        ("auto", False, True, NoGuidance, "without guidance"),
        ("auto", True, False, NoGuidance, "does not give"),
        ("scripted", True, True, ScriptedService, "by name"),
        ("none", True, True, NoGuidance, "by name"),
    ],
)
def test_choice_and_its_reason(kind, wanted, privileged, cls, reason):
    service, said = make_guidance(kind, wanted=wanted, privileged=privileged)
    assert type(service) is cls
    assert reason in said
    assert "\n" not in said


def test_choice_by_name_works_or_says_why_not():
    with pytest.raises(UserError, match="--guidance none"):
        make_guidance("scripted", wanted=True, privileged=False)
    with pytest.raises(UserError, match="qwen"):
        make_guidance("qwen", wanted=True, privileged=True)
    _, said = make_guidance("scripted", wanted=True, privileged=True, faults=FaultRates(missed=0.5))
    assert "missed=0.5" in said
