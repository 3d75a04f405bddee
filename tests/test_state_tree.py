import json
import math
import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from semore_fast import rng
from semore_fast.checkpoint import load_latest, save
from semore_fast.state_tree import flatten, unflatten


def through_disk(tree, directory):
    leaves, skeleton = flatten(tree)
    save(directory, 1, {"state": leaves}, {"skeleton": skeleton})
    loaded = load_latest(directory)
    return unflatten(loaded.tensors["state"], loaded.meta["skeleton"])


def same(a, b):
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and np.array_equal(a, b)
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return (
            list(a) == list(b)
            and [type(key) for key in a] == [type(key) for key in b]
            and all(map(same, a.values(), b.values()))
        )
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    return a == b


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
arrays = st.integers(0, 3).map(lambda size: np.arange(size, dtype=np.int16))
tensors = st.integers(0, 3).map(lambda size: torch.arange(size) * 0.5)
trees = st.recursive(
    scalars | arrays | tensors,
    lambda inner: (
        st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.integers() | st.text(), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(trees)
def test_any_state_comes_back_exactly(tree):
    leaves, skeleton = flatten(tree)
    text = json.dumps(skeleton, allow_nan=False)
    assert same(tree, unflatten(leaves, json.loads(text)))


def test_paths_that_collide_keep_their_own_leaves():
    tree = {"a.b": np.array(1), "a": {"b": np.array(2), "b'": np.array(3)}, 1: np.array(4), "1": np.array(5)}
    leaves, skeleton = flatten(tree)
    assert len(leaves) == 5
    assert same(tree, unflatten(leaves, skeleton))


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"a": [1, {2}]}, "a.1: set cannot be saved"),
        ({"a": {(1, 2): 3}}, r"a: key \(1, 2\) is neither str nor int"),
        ({"a": {True: 3}}, "a: key True"),
        (np.float32(1), "state: float32 cannot be saved"),
    ],
)
def test_what_cannot_be_saved_is_named(tree, message):
    with pytest.raises(TypeError, match=message):
        flatten(tree)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="unknown kind 'object'"):
        unflatten({}, {"object": "os.system"})


def step(optimizer, parameter):
    parameter.grad = torch.sin(parameter.detach() * 3)
    optimizer.step()


def test_a_restored_optimiser_goes_on_bit_for_bit(tmp_path):
    parameter = torch.nn.Parameter(torch.linspace(-1, 1, 7))
    optimizer = torch.optim.AdamW([parameter], lr=0.1, betas=(0.8, 0.9), amsgrad=True)
    for _ in range(3):
        step(optimizer, parameter)
    copy = torch.nn.Parameter(parameter.detach().clone())
    other = torch.optim.AdamW([copy], lr=1.0)
    other.load_state_dict(through_disk(optimizer.state_dict(), tmp_path))
    for _ in range(3):
        step(optimizer, parameter)
        step(other, copy)
    assert torch.equal(parameter, copy)


def draws(generators):
    plain, seeded = generators["env"], generators["noise"]
    values = [random.random(), random.gauss(0, 1), torch.rand(3).tolist(), torch.randn(1).item()]
    return [
        *values,
        plain.integers(0, 9, 3, np.uint32).tolist(),
        plain.normal(),
        torch.rand(2, generator=seeded).tolist(),
    ]


@pytest.mark.parametrize("kind", [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64])
def test_restored_random_states_draw_the_same_numbers(tmp_path, kind):
    generators = {"env": np.random.Generator(kind(5)), "noise": torch.Generator().manual_seed(3)}
    draws(generators)
    state = rng.capture(generators)
    expected = draws(generators)
    assert draws(generators) != expected
    fresh = {"env": np.random.Generator(kind(6)), "noise": torch.Generator()}
    assert rng.restore(through_disk(state, tmp_path), fresh) == []
    assert draws(fresh) == expected


def test_other_generators_and_gpus_are_told():
    state = rng.capture({"env": np.random.default_rng(0)})
    with pytest.raises(ValueError, match=r"saved random generators are \['env'\], expected \['guidance'\]"):
        rng.restore(state, {"guidance": np.random.default_rng(0)})
    if not torch.cuda.is_available():
        state["cuda"] = [torch.zeros(16, dtype=torch.uint8)]
        (notice,) = rng.restore(state, {"env": np.random.default_rng(0)})
        assert notice == "GPU random states not restored: saved with 1 GPUs, now 0"
