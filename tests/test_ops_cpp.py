"""The C++ input pipeline gives the bytes of its definition, and says what it cannot take."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from semore import ops
from semore.ops import FrameStore, InputSpec, as_store
from semore_fast import ops_cpp

SAME_SIZE_INTEGER = {torch.float32: torch.int32, torch.bfloat16: torch.int16}


def input_spec(**changes: object) -> InputSpec:
    return InputSpec(**({"offset": 0.5, "residual": "signed", "masked": True, "dtype": torch.bfloat16} | changes))


def picture(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8)


def a_store(size: int, height: int, width: int, centred: bool = False) -> FrameStore:
    centre = picture(3, height, width) if centred else None
    return FrameStore(picture(size, 3, height, width), picture(size, height, width), centre)


def slots_of(store: FrameStore, batch: int, stack: int) -> Tensor:
    return torch.randint(0, len(store.frames), (batch, stack))


def assert_same_bytes(store: FrameStore, slots: Tensor, shift: Tensor | None, spec: InputSpec) -> None:
    wanted = ops.encoder_inputs(store, slots, shift, spec)
    given_back = ops_cpp.encoder_inputs(store, slots, shift, spec)
    for mine, theirs in zip(given_back, wanted, strict=True):
        assert (mine is None) == (theirs is None)
        if mine is not None:
            assert mine.shape == theirs.shape
            assert mine.dtype == theirs.dtype
            assert mine.is_contiguous(memory_format=torch.channels_last)
            bits = SAME_SIZE_INTEGER[spec.dtype]
            assert torch.equal(mine.contiguous().view(bits), theirs.contiguous().view(bits))


@pytest.fixture
def poisoned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """New tensors hold NaN until they are written."""
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *args, **kwargs: empty(*args, **kwargs).fill_(torch.nan))


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("poisoned_memory")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("residual", ["none", "signed", "absolute"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("centred", [False, True])
def test_every_kind_of_input(dtype: torch.dtype, residual: str, masked: bool, shifted: bool, centred: bool) -> None:
    spec = input_spec(dtype=dtype, residual=residual, masked=masked)
    for stack, height, width in ((3, 64, 64), (3, 7, 33), (2, 84, 84), (1, 5, 1), (4, 1, 47)):
        shift = torch.randint(-4, 5, (5, 2)) if shifted else None
        store = a_store(9, height, width, centred)
        assert_same_bytes(store, slots_of(store, 5, stack), shift, spec)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 20), st.integers(1, 70)),
    offset=st.floats(-2, 2, width=32),
    seed=st.integers(0, 2**31),
    centred=st.booleans(),
)
def test_any_size_shift_and_offset(sizes: tuple[int, int, int, int], offset: float, seed: int, centred: bool) -> None:
    batch, stack, height, width = sizes
    torch.manual_seed(seed)
    reach = max(height, width) + 3
    shift = torch.randint(-reach, reach + 1, (batch, 2))
    store = a_store(4, height, width, centred)
    assert_same_bytes(store, slots_of(store, batch, stack), shift, input_spec(offset=offset))


@pytest.mark.usefixtures("poisoned_memory", "three_threads")
@pytest.mark.parametrize(("batch", "height", "width"), [(41, 128, 128), (150, 84, 84), (90, 77, 131)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_outputs_larger_than_the_cache(batch: int, height: int, width: int, dtype: torch.dtype) -> None:
    """They are written past it, which works in whole cache lines; the middle size has rows that end inside one."""
    for centred in (False, True):
        store, shift = a_store(20, height, width, centred), torch.randint(-4, 5, (batch, 2))
        assert_same_bytes(store, slots_of(store, batch, 3), shift, input_spec(dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_pair_of_pixel_and_mask_value(dtype: torch.dtype) -> None:
    """Also every difference of two pixels."""
    level = torch.arange(256, dtype=torch.uint8)
    frames = torch.stack((level[:, None].expand(256, 256), level.expand(256, 256)))[:, None].repeat(1, 3, 1, 1)
    mask = level.expand(2, 256, 256).contiguous()
    for offset in (0.0, 0.5, 1 / 3):
        spec = input_spec(dtype=dtype, offset=offset)
        assert_same_bytes(FrameStore(frames, mask), torch.tensor([[0, 1]]), None, spec)
    centred = FrameStore(frames, mask, frames[1])
    assert_same_bytes(centred, torch.tensor([[0, 1]]), None, input_spec(dtype=dtype))


def test_shifts_as_far_as_the_picture_and_beyond() -> None:
    reach = [-1000, -64, -63, -1, 0, 1, 63, 64, 1000]
    shift = torch.cartesian_prod(torch.tensor(reach), torch.tensor(reach))
    store = a_store(6, 64, 64)
    assert_same_bytes(store, slots_of(store, len(shift), 2), shift, input_spec())


def test_slots_that_are_views_of_a_longer_window() -> None:
    store, shift = a_store(30, 9, 40), torch.randint(-4, 5, (6, 2))
    window = slots_of(store, 6, 6)
    for first in range(4):
        assert_same_bytes(store, window[:, first : first + 3], shift, input_spec())
    assert_same_bytes(store, window[::2, ::2], shift[:3], input_spec())
    assert_same_bytes(store, window[:, :1].expand(-1, 3), shift, input_spec())


def test_a_store_that_is_the_part_of_another() -> None:
    store = a_store(9, 8, 8)
    part = FrameStore(store.frames[2:7], store.masks[2:7])
    assert_same_bytes(part, slots_of(part, 4, 3), None, input_spec())


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize("batch", [1, 2, 7, 64])
def test_threads_change_nothing(batch: int) -> None:
    store = a_store(7, 16, 16)
    assert_same_bytes(store, slots_of(store, batch, 3), torch.randint(-4, 5, (batch, 2)), input_spec())


def test_the_input_is_left_alone() -> None:
    store = a_store(6, 8, 8)
    before = store.frames.clone(), store.masks.clone()
    ops_cpp.encoder_inputs(store, slots_of(store, 2, 3), torch.ones(2, 2, dtype=torch.int64), input_spec())
    assert torch.equal(store.frames, before[0])
    assert torch.equal(store.masks, before[1])


def test_acting_s_stacks_are_a_store_too() -> None:
    store, slots = as_store(picture(4, 3, 3, 20, 20))
    assert_same_bytes(store, slots, None, input_spec(masked=False))


@pytest.mark.parametrize("slot", [-1, 6, 2**40, -(2**62)])
@pytest.mark.parametrize("place", [(0, 0), (1, 2)])
def test_a_slot_outside_the_store_is_named(slot: int, place: tuple[int, int]) -> None:
    store = a_store(6, 8, 8)
    slots = slots_of(store, 2, 3)
    slots[place] = slot
    message = rf"slots\[{place[0]}, {place[1]}\] must be in \[0, 6\), is {slot}"
    with pytest.raises(ValueError, match=message):
        ops_cpp.encoder_inputs(store, slots, None, input_spec())


FRAMES, MASKS = torch.zeros(6, 3, 8, 8, dtype=torch.uint8), torch.zeros(6, 8, 8, dtype=torch.uint8)
GOOD = {
    "frames": FRAMES,
    "masks": MASKS,
    "centre": FRAMES[0],
    "slots": torch.zeros(2, 3, dtype=torch.int64),
    "shift": torch.zeros(2, 2, dtype=torch.int64),
}


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("frames", FRAMES.float(), TypeError, "store.frames must be torch.uint8, is torch.float32"),
        ("frames", FRAMES.to("meta"), TypeError, "store.frames must be on the CPU, is on meta"),
        ("frames", FRAMES[0], ValueError, r"store.frames must have shape \[S, 3, H, W\] .*, has \[3, 8, 8\]"),
        ("frames", FRAMES[:, :2], ValueError, "store.frames must have shape"),
        ("frames", FRAMES[:0], ValueError, "not be empty"),
        ("frames", FRAMES[..., ::2], ValueError, "store.frames must be contiguous"),
        ("frames", FRAMES[::2], ValueError, "store.frames must be contiguous"),
        ("frames", FRAMES.transpose(2, 3), ValueError, "store.frames must be contiguous"),
        ("masks", None, ValueError, "masked inputs need a store with masks"),
        ("masks", MASKS.bool(), TypeError, "store.masks must be torch.uint8, is torch.bool"),
        ("masks", MASKS[:5], ValueError, r"store.masks must have shape \[6, 8, 8\], has \[5, 8, 8\]"),
        ("masks", FRAMES[:, 0], ValueError, "store.masks must be contiguous"),
        ("centre", FRAMES[0].float(), TypeError, "store.centre must be torch.uint8, is torch.float32"),
        ("centre", FRAMES[0, :1], ValueError, r"store.centre must have shape \[3, 8, 8\], has \[1, 8, 8\]"),
        ("slots", GOOD["slots"].int(), TypeError, "slots must be torch.int64, is torch.int32"),
        ("slots", GOOD["slots"][0], ValueError, r"slots must have shape \[B, K\] and not be empty, has \[3\]"),
        ("slots", GOOD["slots"][:, :0], ValueError, "slots must have shape"),
        ("shift", GOOD["shift"].int(), TypeError, "shift must be torch.int64, is torch.int32"),
        ("shift", GOOD["shift"][:1], ValueError, r"shift must have shape \[2, 2\], has \[1, 2\]"),
        ("shift", GOOD["shift"].t(), ValueError, "shift must be contiguous"),
        ("dtype", torch.float16, TypeError, "spec.dtype must be torch.float32 or torch.bfloat16"),
        ("offset", float("nan"), ValueError, "spec.offset must be finite, is nan"),
    ],
)
def test_what_it_cannot_take_is_named(name: str, value: object, error: type[Exception], message: str) -> None:
    given = {**GOOD, **({name: value} if name in GOOD else {})}
    spec = input_spec(**({} if name in GOOD else {name: value}))
    store = FrameStore(given["frames"], given["masks"], given["centre"])
    with pytest.raises(error, match=message):
        ops_cpp.encoder_inputs(store, given["slots"], given["shift"], spec)
