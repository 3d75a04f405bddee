"""Both replay buffers against a list-of-dicts model, and against each other byte for byte."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replay_model import Model

from semore.replay import Batch, Replay, ReplayBuffer, ReplaySpec, Windows
from semore_fast.replay import CppReplayBuffer

TWINS: list[Callable[[ReplaySpec], Replay]] = [ReplayBuffer, CppReplayBuffer]


def pixels_of(number: int, shape: tuple[int, int, int]) -> np.ndarray:
    """A frame that no other number gives: its first four bytes spell the number."""
    pixels = np.full(shape, number % 251, np.uint8).reshape(-1)
    pixels[:4] = np.frombuffer(np.uint32(number).tobytes(), np.uint8)
    return pixels.reshape(shape)


def fill(buffer: Replay, count: int, episode_length: int = 7) -> None:
    """`count` transitions in each environment, every episode ended by a terminal."""
    spec = buffer.spec
    envs = np.arange(spec.num_envs)
    rng = np.random.default_rng(1)
    for step in range(count):
        if step % episode_length == 0:
            buffer.begin(envs, rng.integers(0, 256, (len(envs), *spec.frame_shape), np.uint8))
        ends = np.full(len(envs), step % episode_length == episode_length - 1)
        frames = rng.integers(0, 256, (len(envs), *spec.frame_shape), np.uint8)
        actions = rng.standard_normal((len(envs), spec.action_dim)).astype(np.float32)
        rewards = rng.standard_normal(len(envs)).astype(np.float32)
        yes = np.ones(len(envs), np.bool_)
        ids = buffer.add(envs, actions, rewards, ends, ~yes, frames, yes)
        if spec.masks and step % 3 == 0:
            buffer.set_masks(ids, np.ascontiguousarray(frames[:, 0]))


def everything(buffer: Replay) -> Batch:
    out = Batch.empty(buffer.spec, len(buffer))
    buffer.gather(np.arange(len(buffer)), out)
    return out


def read_in_place(buffer: Replay) -> Batch:
    """The same without `gather`: located, then read in the ring; zeros where a mask is absent, as there."""
    at = Windows.empty(buffer.spec, len(buffer))
    buffer.locate(np.arange(len(buffer)), at)
    masks = np.zeros((len(buffer), 0, *buffer.spec.frame_shape[1:]), np.uint8)
    if buffer.spec.masks:
        masks = buffer.masks[at.slots[:, buffer.spec.stack - 1 :]] * at.has_mask[..., None, None]
    rows = {field.name: getattr(at, field.name) for field in fields(Windows) if field.name != "slots"}
    return Batch(frames=buffer.frames[at.slots], masks=masks, **rows)


def digest(buffer: Replay) -> str:
    hashed = hashlib.sha256()
    for name, array in sorted(buffer.state_arrays().items()):
        hashed.update(name.encode() + str((array.dtype, array.shape)).encode() + array.tobytes())
    return hashed.hexdigest()


def assert_same_batch(a: Batch, b: Batch) -> None:
    for field in fields(Batch):
        np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name), err_msg=field.name)


class Twins:
    """The model and both buffers, driven by the same operations."""

    def __init__(self, spec: ReplaySpec) -> None:
        self.spec, self.model = spec, Model(spec)
        self.buffers = [make(spec) for make in TWINS]
        self.frames_made = 0

    def _frames(self, count: int) -> np.ndarray:
        first, self.frames_made = self.frames_made, self.frames_made + count
        frames = np.empty((count, *self.spec.frame_shape), np.uint8)
        for i in range(count):
            frames[i] = pixels_of(first + i, self.spec.frame_shape)
        return frames

    def _both(self, call: Callable[[Replay], np.ndarray]) -> np.ndarray:
        results = [call(buffer) for buffer in self.buffers]
        np.testing.assert_array_equal(results[0], results[1])
        return results[0]

    def begin(self, envs: list[int]) -> None:
        frames, ids = self._frames(len(envs)), np.array(envs, np.int64)
        issued = self._both(lambda buffer: buffer.begin(ids, frames))
        for env, frame, frame_id in zip(envs, frames, issued.tolist(), strict=True):
            self.model.begin(env, frame, frame_id)

    def add(self, envs: list[int], flags: list[int]) -> None:
        count = len(envs)
        frames, bits = self._frames(count), np.array(flags, np.int64)
        number = np.arange(count) + self.frames_made
        actions = (number[:, None] + np.arange(self.spec.action_dim) / 8).astype(np.float32)
        rewards = (number % 13 - 6.3).astype(np.float32)
        terminated, truncated, admit = bits % 4 == 0, bits % 4 == 1, bits // 4 % 4 > 0
        ids = np.array(envs, np.int64)
        arguments = (ids, actions, rewards, terminated, truncated, frames, admit)
        issued = self._both(lambda buffer: buffer.add(*arguments)).tolist()
        for row, env in enumerate(envs):
            transition = {
                "action": actions[row],
                "reward": rewards[row],
                "terminated": terminated[row],
                "truncated": truncated[row],
                "admit": admit[row],
            }
            self.model.add(env, transition, frames[row], issued[row])

    def step(self, choice: int) -> None:
        """Six bits per environment: whether it takes part, how its transition ends, whether it is admitted."""
        bits = {env: choice >> (6 * env) & 63 for env in range(self.spec.num_envs)}
        taking_part = [env for env, value in bits.items() if value & 3]
        self.begin([env for env in taking_part if env not in self.model.current])
        self.add(taking_part, [bits[env] >> 2 for env in taking_part])

    def mask(self, choice: int) -> None:
        """Masks for up to three frames among all ever issued, most of them recent, some long gone."""
        issued = sorted(self.model.issued)
        if not issued or not self.spec.masks:
            return
        ids = [issued[-1 - (choice >> (6 * i) & 63) % len(issued)] for i in range(3)]
        masks = np.stack([pixels_of(choice + i, (1, *self.spec.frame_shape[1:]))[0] for i in range(3)])
        live = [self.model.live(self.model.issued[i]) for i in ids]
        for buffer in self.buffers:
            assert buffer.set_masks(np.array(ids), masks) == sum(live)
        for frame_id, mask in zip(ids, masks, strict=True):
            self.model.issued[frame_id]["mask"] = mask

    def withdraw(self, choice: int) -> None:
        """Late verdicts on up to three frames among all ever issued, as in `mask`."""
        issued = sorted(self.model.issued)
        if not issued:
            return
        ids = [issued[-1 - (choice >> (6 * i) & 63) % len(issued)] for i in range(3)]
        expected = sum(self.model.withdraw(frame_id) for frame_id in ids)
        for buffer in self.buffers:
            assert buffer.withdraw(np.array(ids)) == expected

    def exchange_states(self) -> None:
        """Each twin goes on from what the other saved, in a buffer full of something else."""
        saved = [{k: v.copy() for k, v in b.state_arrays().items()} for b in self.buffers]
        self.buffers = [make(self.spec) for make in TWINS]
        for buffer, state in zip(self.buffers, reversed(saved), strict=True):
            fill(buffer, 5, episode_length=2)
            buffer.load_state_arrays(state)

    def check(self) -> None:
        reference, cpp = self.buffers
        states = [buffer.state_arrays() for buffer in self.buffers]
        assert states[0].keys() == states[1].keys()
        for name, array in states[0].items():
            np.testing.assert_array_equal(array, states[1][name], err_msg=name, strict=True)
        assert reference.stats() == cpp.stats()
        batch = everything(reference)
        assert_same_batch(batch, everything(cpp))
        for buffer in self.buffers:
            assert_same_batch(batch, read_in_place(buffer))
        self.model.check(len(reference), batch)


@st.composite
def specs(draw: st.DrawFn) -> ReplaySpec:
    num_envs, stack, n_step = (draw(st.integers(1, top)) for top in (3, 4, 4))
    return ReplaySpec(
        capacity=num_envs * (stack + n_step + draw(st.integers(0, 9))),
        num_envs=num_envs,
        frame_shape=draw(st.sampled_from([(1, 2, 2), (3, 2, 3)])),
        action_dim=draw(st.integers(1, 2)),
        stack=stack,
        n_step=n_step,
        discount=draw(st.sampled_from([0.0, 0.9, 1.0])),
        masks=draw(st.booleans()),
    )


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["step"] * 6 + ["mask", "mask", "withdraw", "abandon", "exchange"]), st.integers(0, 2**18 - 1)
    ),
    min_size=20,
    max_size=60,
)


@settings(max_examples=80, deadline=None)
@given(specs(), OPERATIONS)
def test_any_history_gives_what_the_model_gives(spec: ReplaySpec, operations: list[tuple[str, int]]) -> None:
    twins = Twins(spec)
    for kind, choice in operations:
        if kind == "step":
            twins.step(choice)
        elif kind == "mask":
            twins.mask(choice)
        elif kind == "withdraw":
            twins.withdraw(choice)
        elif kind == "exchange":
            twins.exchange_states()
        else:
            twins.begin([choice % spec.num_envs])
        twins.check()


@pytest.mark.parametrize("episode_length", [1, 2, 3, 5])
@pytest.mark.parametrize("n_step", [1, 3])
def test_short_episodes_never_leave_an_overwritten_frame_in_a_window(episode_length: int, n_step: int) -> None:
    twins = Twins(ReplaySpec(9, 1, (1, 2, 2), 1, stack=3, n_step=n_step))
    for step in range(40):
        if step % episode_length == 0:
            twins.begin([0])
        twins.add([0], [4 if step % episode_length == episode_length - 1 else 6])
        twins.check()


@pytest.mark.parametrize("make", TWINS)
def test_a_worked_example(make: Callable[[ReplaySpec], Replay]) -> None:
    """Frames 0 1 2 3, terminal at 3, the transition from 1 not admitted; discount 0.5, two steps."""
    spec = ReplaySpec(10, 1, (1, 1, 1), 1, stack=2, n_step=2, discount=0.5)
    buffer = make(spec)
    env, no, yes = np.zeros(1, np.int64), np.zeros(1, np.bool_), np.ones(1, np.bool_)
    buffer.begin(env, np.full((1, 1, 1, 1), 0, np.uint8))
    for number in (1, 2, 3):
        admit = no if number == 2 else yes
        frame = np.full((1, 1, 1, 1), number, np.uint8)
        reward = np.full(1, 10.0 * number, np.float32)
        buffer.add(env, np.full((1, 1), -number, np.float32), reward, yes if number == 3 else no, no, frame, admit)
    assert buffer.set_masks(np.array([2]), np.full((1, 1, 1), 77, np.uint8)) == 1
    batch = everything(buffer)
    assert batch.frames[..., 0, 0, 0].tolist() == [[0, 0, 1, 2], [1, 2, 3, 3]]
    assert batch.masks[..., 0, 0].tolist() == [[0, 0, 77], [77, 0, 0]]
    assert batch.has_mask.tolist() == [[False, False, True], [True, False, False]]
    assert batch.action.tolist() == [[-1.0], [-3.0]]
    assert batch.reward.tolist() == [10.0, 30.0]
    assert batch.nstep_return.tolist() == [10.0 + 0.5 * 20.0, 30.0]
    assert batch.bootstrap_discount.tolist() == [0.25, 0.0]
    assert buffer.stats() == {"frames": 4, "admitted": 2, "dropped": 1, "masks": 1, "late_dropped": 0}


@pytest.mark.parametrize("make", TWINS)
def test_a_restored_buffer_holds_nothing_from_its_future(make: Callable[[ReplaySpec], Replay]) -> None:
    """Saved after the ring has wrapped, used on, restored: nothing written later can be sampled."""
    spec = ReplaySpec(40, 2, (1, 2, 2), 1)
    buffer = make(spec)
    fill(buffer, 60)
    saved = {name: array.copy() for name, array in buffer.state_arrays().items()}
    before, past = digest(buffer), everything(buffer)
    fill(buffer, 33)
    assert digest(buffer) != before
    buffer.load_state_arrays(saved)
    assert digest(buffer) == before
    assert_same_batch(everything(buffer), past)


@pytest.mark.parametrize("make", TWINS)
def test_the_ring_can_be_read_in_place_but_not_written(make: Callable[[ReplaySpec], Replay]) -> None:
    spec = ReplaySpec(20, 2, (3, 2, 2), 2)
    buffer = make(spec)
    frames, masks = buffer.frames, buffer.masks
    assert frames.shape == (20, 3, 2, 2)
    assert masks.shape == (20, 2, 2)
    fill(buffer, 30)  # a view taken before shows what is stored later
    np.testing.assert_array_equal(frames, buffer.state_arrays()["frames"])
    np.testing.assert_array_equal(masks, buffer.state_arrays()["masks"])
    assert np.shares_memory(frames, buffer.frames)
    for view in (frames, masks):
        with pytest.raises(ValueError, match="read-only"):
            view[0] = 1
    before = frames.copy()
    del buffer
    np.testing.assert_array_equal(frames, before)
    assert make(replace(spec, masks=False)).masks.shape == (0, 2, 2)


@pytest.mark.parametrize("make", TWINS)
def test_located_slots_keep_their_frames_until_the_next_frame_is_stored(make: Callable[[ReplaySpec], Replay]) -> None:
    spec = ReplaySpec(12, 1, (1, 2, 2), 1)
    buffer = make(spec)
    fill(buffer, 30, episode_length=100)
    at, frames = Windows.empty(spec, len(buffer)), buffer.frames
    buffer.locate(np.arange(len(buffer)), at)
    seen = frames[at.slots]
    buffer.set_masks(np.array([30]), np.ones((1, 2, 2), np.uint8))
    everything(buffer)
    np.testing.assert_array_equal(frames[at.slots], seen)
    no, frame = np.zeros(1, np.bool_), np.full((1, 1, 2, 2), 3, np.uint8)
    buffer.add(np.zeros(1, np.int64), np.zeros((1, 1), np.float32), np.zeros(1, np.float32), no, no, frame, ~no)
    assert not np.array_equal(frames[at.slots], seen)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("shape", [(3, 64, 64), (3, 61, 67), (1, 16, 16)])
@pytest.mark.parametrize("misaligned", [False, True])
def test_large_gathers_on_threads_write_the_same_bytes_and_no_others(
    threads: int, shape: tuple[int, int, int], misaligned: bool
) -> None:
    spec = ReplaySpec(240, 2, shape, 2)
    reference, cpp = ReplayBuffer(spec), CppReplayBuffer(spec, threads)
    fill(reference, 130)
    cpp.load_state_arrays(reference.state_arrays())
    rows = 5_000_000 // (spec.window * int(np.prod(shape))) + 1
    indices = np.random.default_rng(0).integers(0, len(reference), rows)
    out, expected = Batch.empty(spec, rows), Batch.empty(spec, rows)
    guard = np.full(out.frames.size + 256, 171, np.uint8)
    begin = 65 if misaligned else -guard.ctypes.data % 64
    out.frames = guard[begin : begin + out.frames.size].reshape(out.frames.shape)
    cpp.gather(indices, out)
    reference.gather(indices, expected)
    assert_same_batch(out, expected)
    assert (guard[:begin] == 171).all()
    assert (guard[begin + out.frames.size :] == 171).all()


def valid_calls(buffer: Replay) -> dict[str, dict[str, np.ndarray | Batch]]:
    """Arguments of each method that would succeed: environment 0 has an open episode, 1 has none."""
    spec = buffer.spec
    frame = np.ones((1, *spec.frame_shape), np.uint8)
    no = np.zeros(1, np.bool_)
    env = np.zeros(1, np.int64)
    buffer.begin(env, frame)
    for _ in range(4):
        buffer.add(env, np.ones((1, 2), np.float32), np.ones(1, np.float32), no, no, frame, ~no)
    return {
        "begin": {"env_ids": env, "frames": frame},
        "add": {
            "env_ids": env,
            "actions": np.ones((1, 2), np.float32),
            "rewards": np.ones(1, np.float32),
            "terminated": no,
            "truncated": no,
            "next_frames": frame,
            "admit": ~no,
        },
        "set_masks": {"frame_ids": np.array([2]), "masks": np.ones((1, *spec.frame_shape[1:]), np.uint8)},
        "withdraw": {"frame_ids": np.array([2])},
        "gather": {"indices": np.array([0, 1]), "out": Batch.empty(spec, 2)},
        "locate": {"indices": np.array([0, 1]), "out": Windows.empty(spec, 2)},
    }


def strided(array: np.ndarray) -> np.ndarray:
    """The same values and shape, every second element of a wider array."""
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    wide[..., ::2] = array
    return wide[..., ::2]


def broken(name: str, array: np.ndarray) -> list[tuple[str, object, type[Exception]]]:
    """Ways to spoil one array argument that every method must refuse."""
    other = np.float64 if array.dtype == np.float32 else np.float32
    spoiled: list[tuple[str, object, type[Exception]]] = [
        (name, array.tolist(), TypeError),
        (name, None, TypeError),
        (name, array.astype(other), TypeError),
        (name, array[None], ValueError),
    ]
    if array.dtype.itemsize > 1:
        spoiled.append((name, array.astype(array.dtype.newbyteorder()), TypeError))
    wide = strided(np.repeat(array, 3, axis=0))
    if array.ndim > 1 and array.shape[-1] > 1:
        spoiled.append((name, wide[: len(array)], ValueError))
    if array.ndim > 1:
        spoiled.append((name, array[..., :0], ValueError))
    return spoiled


def bad_values() -> list[tuple[str, str, object]]:
    """(method, argument, value): right type and shape, but not acceptable."""
    return [
        ("begin", "env_ids", np.array([2])),
        ("begin", "env_ids", np.array([-1])),
        ("add", "env_ids", np.array([1])),
        ("add", "env_ids", np.array([7])),
        ("add", "actions", np.array([[0.0, np.nan]], np.float32)),
        ("add", "actions", np.array([[np.inf, 0.0]], np.float32)),
        ("add", "rewards", np.array([-np.inf], np.float32)),
        ("set_masks", "frame_ids", np.array([1])),
        ("set_masks", "frame_ids", np.array([1000])),
        ("set_masks", "frame_ids", np.array([-2])),
        ("withdraw", "frame_ids", np.array([1000])),
        ("withdraw", "frame_ids", np.array([-2])),
        ("gather", "indices", np.array([0, 4])),
        ("gather", "indices", np.array([-1, 0])),
        ("locate", "indices", np.array([0, 4])),
        ("locate", "indices", np.array([-1, 0])),
    ]


def refusal(buffer: Replay, method: str, arguments: dict[str, object], error: type[Exception]) -> str:
    before = digest(buffer)
    with pytest.raises(error) as caught:
        getattr(buffer, method)(**arguments)
    assert digest(buffer) == before
    return str(caught.value)


def test_bad_arguments_are_refused_by_both_alike_and_change_nothing() -> None:
    buffers = [make(ReplaySpec(20, 2, (3, 2, 2), 2)) for make in TWINS]
    calls, _ = (valid_calls(buffer) for buffer in buffers)
    cases: list[tuple[str, str, object, type[Exception]]] = [
        (method, name, value, ValueError) for method, name, value in bad_values()
    ]
    for method, arguments in calls.items():
        for name, value in arguments.items():
            if isinstance(value, np.ndarray):
                cases += [(method, *case) for case in broken(name, value)]
    for method, name, value, error in cases:
        messages = {refusal(b, method, {**calls[method], name: value}, error) for b in buffers}
        assert len(messages) == 1, messages
        # A longer env_ids shows as a mismatch of what it should match.
        assert name in messages.pop(), (method, name)


@pytest.mark.parametrize(("method", "kind"), [("gather", Batch), ("locate", Windows)])
def test_a_batch_that_does_not_fit_is_refused_by_both_alike(method: str, kind: type[Batch] | type[Windows]) -> None:
    spec = ReplaySpec(20, 2, (3, 2, 2), 2)
    buffers = [make(spec) for make in TWINS]
    for buffer in buffers:
        valid_calls(buffer)
    indices = np.array([0, 1])
    good = kind.empty(spec, 2)
    cases = [case for f in fields(kind) for case in broken(f.name, getattr(good, f.name))]
    for field in fields(kind):
        frozen = getattr(good, field.name).copy()
        frozen.flags.writeable = False
        cases.append((field.name, frozen, ValueError))
    for name, value, error in cases:
        arguments = {"indices": indices, "out": replace(good, **{name: value})}
        messages = {refusal(buffer, method, arguments, error) for buffer in buffers}
        assert len(messages) == 1, messages
        assert f"out.{name}" in messages.pop()


@pytest.mark.parametrize("make", TWINS)
def test_one_environment_twice_in_a_call_is_refused(make: Callable[[ReplaySpec], Replay]) -> None:
    buffer = make(ReplaySpec(20, 2, (3, 2, 2), 2))
    twice = {"env_ids": np.array([1, 1]), "frames": np.zeros((2, 3, 2, 2), np.uint8)}
    assert "distinct, got 1 twice" in refusal(buffer, "begin", twice, ValueError)
    buffer.begin(np.array([1]), twice["frames"][:1])  # the refusal left no trace


@pytest.mark.parametrize("make", TWINS)
def test_masks_are_refused_where_none_are_kept(make: Callable[[ReplaySpec], Replay]) -> None:
    buffer = make(ReplaySpec(20, 1, (3, 2, 2), 2, masks=False))
    ids = buffer.begin(np.array([0]), np.zeros((1, 3, 2, 2), np.uint8))
    arguments = {"frame_ids": ids, "masks": np.zeros((1, 2, 2), np.uint8)}
    assert "masks=False" in refusal(buffer, "set_masks", arguments, ValueError)


@pytest.mark.parametrize("make", TWINS)
def test_a_state_of_another_buffer_is_refused(make: Callable[[ReplaySpec], Replay]) -> None:
    spec = ReplaySpec(20, 2, (1, 2, 2), 1, stack=2, n_step=2)
    buffer = make(spec)
    fill(buffer, 8)
    state = buffer.state_arrays()
    others = [replace(spec, **change) for change in ({"stack": 3, "n_step": 1}, {"capacity": 22}, {"masks": False})]
    spoiled: list[dict[str, np.ndarray]] = [make(other).state_arrays() for other in others]
    spoiled += [
        {name: array for name, array in state.items() if name != "open"},
        {**state, "extra": state["open"]},
        {**state, "reward": state["reward"].astype(np.float64)},
        {**state, "starts": np.array([3, 3], np.int32)},
        {**state, "starts": np.array([20], np.int32)},
        {**state, "offset": state["offset"] - 100},
    ]
    for arrays in spoiled:
        before = digest(buffer)
        with pytest.raises((TypeError, ValueError), match="arrays"):
            buffer.load_state_arrays(arrays)
        assert digest(buffer) == before
