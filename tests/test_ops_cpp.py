"""The C++ input pipeline gives the bytes of its definition, and says what it cannot take."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from semore import ops
from semore.ops import InputSpec
from semore_fast import ops_cpp

SAME_SIZE_INTEGER = {torch.float32: torch.int32, torch.bfloat16: torch.int16}


def input_spec(**changes: object) -> InputSpec:
    return InputSpec(**({"offset": 0.5, "residual": "signed", "masked": True, "dtype": torch.bfloat16} | changes))


def picture(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8)


def assert_same_bytes(frames: Tensor, shift: Tensor | None, mask: Tensor | None, spec: InputSpec) -> None:
    wanted = ops.encoder_inputs(frames, shift, mask, spec)
    given_back = ops_cpp.encoder_inputs(frames, shift, mask, spec)
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
def test_every_kind_of_input(dtype: torch.dtype, residual: str, masked: bool, shifted: bool) -> None:
    spec = input_spec(dtype=dtype, residual=residual, masked=masked)
    for stack, height, width in ((3, 64, 64), (3, 7, 33), (2, 84, 84), (1, 5, 1), (4, 1, 47)):
        shift = torch.randint(-4, 5, (5, 2)) if shifted else None
        assert_same_bytes(picture(5, stack, 3, height, width), shift, picture(5, height, width), spec)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 20), st.integers(1, 70)),
    offset=st.floats(-2, 2, width=32),
    seed=st.integers(0, 2**31),
)
def test_any_size_shift_and_offset(sizes: tuple[int, int, int, int], offset: float, seed: int) -> None:
    batch, stack, height, width = sizes
    torch.manual_seed(seed)
    reach = max(height, width) + 3
    shift = torch.randint(-reach, reach + 1, (batch, 2))
    assert_same_bytes(
        picture(batch, stack, 3, height, width), shift, picture(batch, height, width), input_spec(offset=offset)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_pair_of_pixel_and_mask_value(dtype: torch.dtype) -> None:
    """Also every difference of two pixels."""
    level = torch.arange(256, dtype=torch.uint8)
    frames = torch.stack((level[:, None].expand(256, 256), level.expand(256, 256)))[None, :, None].repeat(1, 1, 3, 1, 1)
    for offset in (0.0, 0.5, 1 / 3):
        assert_same_bytes(frames, None, level.expand(1, 256, 256).contiguous(), input_spec(dtype=dtype, offset=offset))


def test_shifts_as_far_as_the_picture_and_beyond() -> None:
    reach = [-1000, -64, -63, -1, 0, 1, 63, 64, 1000]
    shift = torch.cartesian_prod(torch.tensor(reach), torch.tensor(reach))
    count = len(shift)
    assert_same_bytes(picture(count, 2, 3, 64, 64), shift, picture(count, 64, 64), input_spec())


def test_views_of_a_longer_window() -> None:
    window = picture(6, 6, 3, 9, 40)
    mask, shift = picture(6, 9, 40), torch.randint(-4, 5, (6, 2))
    for first in range(4):
        assert_same_bytes(window[:, first : first + 3], shift, mask, input_spec())
    assert_same_bytes(window[::2, ::2], shift[:3], mask[:3], input_spec())
    assert_same_bytes(window[:, :1].expand(-1, 3, -1, -1, -1), shift, mask, input_spec())


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize("batch", [1, 2, 7, 64])
def test_threads_change_nothing(batch: int) -> None:
    assert_same_bytes(
        picture(batch, 3, 3, 16, 16), torch.randint(-4, 5, (batch, 2)), picture(batch, 16, 16), input_spec()
    )


def test_the_input_is_left_alone() -> None:
    frames, mask = picture(2, 3, 3, 8, 8), picture(2, 8, 8)
    before = frames.clone(), mask.clone()
    ops_cpp.encoder_inputs(frames, torch.ones(2, 2, dtype=torch.int64), mask, input_spec())
    assert torch.equal(frames, before[0])
    assert torch.equal(mask, before[1])


FRAMES, SHIFT, MASK = torch.zeros(2, 3, 3, 8, 8, dtype=torch.uint8), torch.zeros(2, 2, dtype=torch.int64), None


@pytest.mark.parametrize(
    ("frames", "shift", "mask", "changes", "error", "message"),
    [
        (FRAMES.float(), SHIFT, MASK, {}, TypeError, "frames must be torch.uint8, is torch.float32"),
        (FRAMES.to("meta"), SHIFT, MASK, {}, TypeError, "frames must be on the CPU, is on meta"),
        (FRAMES[0], SHIFT, MASK, {}, ValueError, r"frames must have shape \[B, K, 3, H, W\] .*, has \[3, 3, 8, 8\]"),
        (FRAMES[:, :, :2], SHIFT, MASK, {}, ValueError, "frames must have shape"),
        (FRAMES[:, :0], SHIFT, MASK, {}, ValueError, "not be empty"),
        (FRAMES[..., ::2], SHIFT, MASK, {}, ValueError, r"frames must be contiguous in \[3, H, W\]"),
        (FRAMES.transpose(3, 4), SHIFT, MASK, {}, ValueError, r"frames must be contiguous in \[3, H, W\]"),
        (FRAMES, SHIFT.int(), MASK, {}, TypeError, "shift must be torch.int64, is torch.int32"),
        (FRAMES, SHIFT[:1], MASK, {}, ValueError, r"shift must have shape \[2, 2\], has \[1, 2\]"),
        (FRAMES, SHIFT.t(), MASK, {}, ValueError, "shift must be contiguous"),
        (FRAMES, SHIFT, MASK, {"masked": True}, ValueError, "masked inputs need a mask"),
        (FRAMES, SHIFT, FRAMES[:, 0, 0].bool(), {}, TypeError, "mask must be torch.uint8, is torch.bool"),
        (FRAMES, SHIFT, FRAMES[:, 0, 0], {}, ValueError, "mask must be contiguous"),
        (FRAMES, SHIFT, FRAMES[:, 0], {}, ValueError, r"mask must have shape \[2, 8, 8\], has \[2, 3, 8, 8\]"),
        (
            FRAMES,
            SHIFT,
            MASK,
            {"dtype": torch.float16},
            TypeError,
            "spec.dtype must be torch.float32 or torch.bfloat16",
        ),
        (FRAMES, SHIFT, MASK, {"offset": float("nan")}, ValueError, "spec.offset must be finite, is nan"),
    ],
)
def test_what_it_cannot_take_is_named(
    frames: Tensor, shift: Tensor, mask: Tensor | None, changes: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ops_cpp.encoder_inputs(frames, shift, mask, input_spec(**({"masked": False} | changes)))
