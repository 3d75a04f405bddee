"""The fused input kernel gives the bytes of its definition, writes nothing else, and says what it cannot take."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from semore import ops
from semore.ops import FrameStore, InputSpec
from semore_fast.kernels.frames import encoder_inputs

SAME_SIZE_INTEGER = {torch.float32: torch.int32, torch.bfloat16: torch.int16}
Outputs = tuple[Tensor, Tensor | None, Tensor | None]


def definition(
    frames: Tensor,
    masks: Tensor | None,
    slots: Tensor,
    shift: Tensor | None,
    *,
    masked_rows: int,
    centre_3HW: Tensor | None = None,
    **wish: object,
) -> Outputs:
    """The definition, asked for as the kernel is; on the CPU."""
    masks, shift, centre = (None if x is None else x.cpu() for x in (masks, shift, centre_3HW))
    store, slots = FrameStore(frames.cpu(), masks, centre), slots.cpu()
    stack, residual, masked = ops.encoder_inputs(store, slots, shift, InputSpec(**wish))
    return stack, residual, None if masked is None else masked[:masked_rows]


def wish(**changes: object) -> dict[str, object]:
    return {"offset": 0.5, "residual": "signed", "masked": True, "dtype": torch.bfloat16} | changes


def picture(*shape: int, device: torch.device) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8).to(device)


def assert_same_bits(mine: Outputs, wanted: Outputs) -> None:
    for name, got, theirs in zip(("stack", "residual", "masked"), mine, wanted, strict=True):
        assert (got is None) == (theirs is None), name
        if got is not None:
            assert got.shape == theirs.shape, name
            assert got.dtype == theirs.dtype, name
            assert got.is_contiguous(memory_format=torch.channels_last), name
            bits = SAME_SIZE_INTEGER[got.dtype]
            assert torch.equal(got.cpu().contiguous().view(bits), theirs.contiguous().view(bits)), name


def assert_as_defined(
    frames: Tensor,
    masks: Tensor | None,
    slots: Tensor,
    shift: Tensor | None,
    masked_rows: int | None = None,
    **changes: object,
) -> None:
    rows = len(slots) if masked_rows is None else masked_rows
    wanted = definition(frames, masks, slots, shift, masked_rows=rows, **wish(**changes))
    assert_same_bits(encoder_inputs(frames, masks, slots, shift, masked_rows=masked_rows, **wish(**changes)), wanted)


def random_slots(stored: int, *shape: int, device: torch.device) -> Tensor:
    return torch.randint(0, stored, shape).to(device)


@pytest.mark.usefixtures("poisoned_empty")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("residual", ["none", "signed", "absolute"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("centred", [False, True])
def test_every_kind_of_input(
    dtype: torch.dtype, residual: str, masked: bool, shifted: bool, centred: bool, device: torch.device
) -> None:
    for stack, height, width in ((3, 12, 16), (2, 7, 33), (1, 5, 1), (4, 1, 47)):
        frames, masks = picture(6, 3, height, width, device=device), picture(6, height, width, device=device)
        slots = random_slots(6, 3, stack, device=device)
        shift = torch.randint(-4, 5, (3, 2)).to(device) if shifted else None
        given_masks = masks if masked else None
        if centred and stack == 4:
            continue  # more than a thread's registers hold
        centre = picture(3, height, width, device=device) if centred else None
        wanted = {"dtype": dtype, "residual": residual, "masked": masked, "centre_3HW": centre}
        assert_as_defined(frames, given_masks, slots, shift, **wanted)


@pytest.mark.usefixtures("poisoned_empty")
@pytest.mark.parametrize("side", [45, 64])
def test_rows_of_several_tiles(side: int, device: torch.device) -> None:
    """45 x 45 x 9 elements are no multiple of four: nothing may be written in fours then."""
    frames, masks = picture(5, 3, side, side, device=device), picture(5, side, side, device=device)
    shift = torch.tensor([[-4, 3], [2, -1]], device=device)
    assert_as_defined(frames, masks, random_slots(5, 2, 3, device=device), shift)


@settings(max_examples=6, deadline=None)
@given(
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 20), st.integers(1, 40)),
    offset=st.floats(-2, 2, width=32),
    seed=st.integers(0, 2**31),
)
def test_any_size_shift_and_offset(
    sizes: tuple[int, int, int, int], offset: float, seed: int, request: pytest.FixtureRequest
) -> None:
    device = torch.device(request.config.getoption("--kernels-on"))
    rows, stack, height, width = sizes
    torch.manual_seed(seed)
    reach = max(height, width) + 3
    shift = torch.randint(-reach, reach + 1, (rows, 2)).to(device)
    frames, masks = picture(4, 3, height, width, device=device), picture(4, height, width, device=device)
    slots = random_slots(4, rows, stack, device=device)
    assert_as_defined(frames, masks, slots, shift, offset=offset, dtype=torch.float32)
    assert_as_defined(frames, masks, slots, shift, offset=offset)


@pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.bfloat16, marks=pytest.mark.slow)])
def test_every_pair_of_pixel_and_mask_value(dtype: torch.dtype, device: torch.device) -> None:
    """Also every difference of two pixels."""
    level = torch.arange(256, dtype=torch.uint8)
    frames = torch.stack((level[:, None].expand(256, 256), level.expand(256, 256)))[:, None].repeat(1, 3, 1, 1)
    masks = level.expand(2, 256, 256).contiguous()
    slots = torch.tensor([[0, 1]], device=device)
    # 1/3 shows a fused multiply-add, which rounds once where the definition rounds twice.
    assert_as_defined(frames.to(device), masks.to(device), slots, None, dtype=dtype, offset=1 / 3)


def test_shifts_as_far_as_the_picture_and_beyond(device: torch.device) -> None:
    reach = [-(2**62), -1000, -9, -8, 0, 8, 9, 1000, 2**62]
    shift = torch.cartesian_prod(torch.tensor(reach), torch.tensor([0, *reach[::4]])).to(device)
    frames, masks = picture(3, 3, 9, 9, device=device), picture(3, 9, 9, device=device)
    # The definition adds without clamping first, so it is given the nearest shift that shows the same.
    near = shift.clamp(-50, 50)
    slots = random_slots(3, len(shift), 2, device=device)
    wanted = definition(frames, masks, slots, near, masked_rows=len(shift), **wish())
    assert_same_bits(encoder_inputs(frames, masks, slots, shift, **wish()), wanted)


@pytest.mark.usefixtures("poisoned_empty")
@pytest.mark.parametrize("masked_rows", [0, 1, 3, 6])
def test_two_windows_of_a_sample_in_one_launch(masked_rows: int, device: torch.device) -> None:
    """As a learner calls it: all observations, then all next observations, the first of them under masks."""
    first = torch.tensor([0, 3, 5], device=device)[:, None] + torch.arange(3, device=device)
    slots, shift = torch.cat((first, first + 1)), torch.randint(-4, 5, (6, 2)).to(device)
    frames, masks = picture(9, 3, 8, 12, device=device), picture(9, 8, 12, device=device)
    assert_as_defined(frames, masks, slots, shift, masked_rows=masked_rows)


@pytest.mark.usefixtures("poisoned_empty")
@pytest.mark.parametrize("shifted", [False, True])
def test_crop_is_a_window_of_the_shifted_picture(shifted: bool, device: torch.device) -> None:
    height, width, out_height, out_width = 11, 14, 9, 5
    crop = torch.tensor([[0, 0], [2, 9], [1, 4], [2, 0]], device=device)
    shift = torch.randint(-4, 5, (4, 2)).to(device) if shifted else None
    frames, masks = picture(7, 3, height, width, device=device), picture(7, height, width, device=device)
    slots = random_slots(7, 4, 3, device=device)
    whole = definition(frames, masks, slots, shift, masked_rows=4, **wish())

    def cut(x: Tensor) -> Tensor:
        parts = [s[:, y : y + out_height, x : x + out_width] for s, (y, x) in zip(x, crop.tolist(), strict=True)]
        return torch.stack(parts)

    wanted = tuple(None if x is None else cut(x) for x in whole)
    mine = encoder_inputs(frames, masks, slots, shift, crop_R2=crop, out_size=(out_height, out_width), **wish())
    assert_same_bits(mine, wanted)


def test_a_crop_that_reaches_outside_repeats_the_border(device: torch.device) -> None:
    frames, slots = picture(3, 3, 8, 8, device=device), torch.tensor([[0, 1, 2]], device=device)
    crop = torch.tensor([[-3, 6]], device=device)
    mine = encoder_inputs(frames, None, slots, None, crop_R2=crop, out_size=(8, 8), **wish(masked=False))
    assert_same_bits(mine, definition(frames, None, slots, crop, masked_rows=0, **wish(masked=False)))


def test_the_inputs_are_left_alone(device: torch.device) -> None:
    given = [picture(3, 3, 8, 8, device=device), picture(3, 8, 8, device=device)]
    given += [torch.tensor([[0, 1, 2]], device=device), torch.ones(1, 2, dtype=torch.int64, device=device)]
    before = [x.clone() for x in given]
    encoder_inputs(*given, **wish())
    assert all(torch.equal(x, y) for x, y in zip(given, before, strict=True))


def test_the_operator_keeps_torch_s_rules(device: torch.device) -> None:
    frames, masks = picture(3, 3, 8, 8, device=device), picture(3, 8, 8, device=device)
    slots = torch.tensor([[0, 1], [1, 2]], device=device)
    shift = torch.ones(2, 2, dtype=torch.int64, device=device)
    operator = torch.ops.semore_fast.encoder_inputs
    whole, part = ([8, 8], 0.5, "signed", 1, torch.bfloat16), ([6, 5], 0.0, "none", 0, torch.float32)
    torch.library.opcheck(operator, (frames, masks, frames[0], slots, shift, None, *whole))
    torch.library.opcheck(operator, (frames, None, None, slots, None, shift, *part))


def test_inside_a_compiled_function(device: torch.device) -> None:
    frames, masks = picture(3, 3, 8, 8, device=device), picture(3, 8, 8, device=device)
    slots, shift = torch.tensor([[0, 1]], device=device), torch.ones(1, 2, dtype=torch.int64, device=device)

    def doubled(frames: Tensor, masks: Tensor, slots: Tensor, shift: Tensor) -> list[Tensor | None]:
        return [2 * x for x in encoder_inputs(frames, masks, slots, shift, **wish())]

    compiled = torch.compile(doubled, fullgraph=True, backend="aot_eager")
    assert_same_bits(tuple(compiled(frames, masks, slots, shift)), tuple(doubled(frames, masks, slots, shift)))


FRAMES, MASKS = torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.zeros(4, 8, 8, dtype=torch.uint8)
SLOTS, SHIFT = torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, 2, dtype=torch.int64)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"frames": FRAMES.float()}, TypeError, "frames must be torch.uint8, is torch.float32"),
        ({"frames": FRAMES[:, :2]}, ValueError, r"frames must have shape \[S, 3, H, W\] .*, has \[4, 2, 8, 8\]"),
        ({"frames": FRAMES[:0]}, ValueError, "not be empty"),
        ({"frames": FRAMES[::2]}, ValueError, "frames must be contiguous"),
        ({"frames": FRAMES.transpose(2, 3)}, ValueError, "frames must be contiguous"),
        ({"frames": torch.zeros(1, 3, 1, 2**26, dtype=torch.uint8, device="meta")}, ValueError, "at most 33553920 pix"),
        ({"masks": None}, ValueError, "masked inputs need masks"),
        ({"masks": MASKS.bool()}, TypeError, "masks must be torch.uint8, is torch.bool"),
        ({"masks": MASKS[:3]}, ValueError, r"masks must have shape \[4, 8, 8\], has \[3, 8, 8\]"),
        ({"masks": MASKS.to("meta")}, TypeError, "masks must be on cpu as frames are, is on meta"),
        ({"slots": SLOTS.int()}, TypeError, "slots must be torch.int64, is torch.int32"),
        ({"slots": SLOTS[0]}, ValueError, r"slots must have shape \[R, K\] .*, has \[3\]"),
        ({"slots": torch.zeros(2, 5, dtype=torch.int64)}, ValueError, r"K from 1 to 4, has \[2, 5\]"),
        ({"slots": SLOTS.t().contiguous().t()}, ValueError, "slots must be contiguous"),
        ({"shift": SHIFT.float()}, TypeError, "shift must be torch.int64, is torch.float32"),
        ({"shift": SHIFT[:1]}, ValueError, r"shift must have shape \[2, 2\], has \[1, 2\]"),
        ({"crop_R2": SHIFT}, ValueError, "crop and out_size go together"),
        ({"out_size": (4, 4)}, ValueError, "crop and out_size go together"),
        ({"crop_R2": SHIFT, "out_size": (9, 8)}, ValueError, r"out_size must be .* to \(8, 8\), is \(9, 8\)"),
        ({"crop_R2": SHIFT, "out_size": (0, 8)}, ValueError, "out_size must be two sides from 1"),
        ({"crop_R2": SHIFT[:1], "out_size": (4, 4)}, ValueError, r"crop must have shape \[2, 2\], has \[1, 2\]"),
        ({"masked_rows": 3}, ValueError, "masked_rows must be from 0 to 2, the rows of slots, is 3"),
        ({"residual": "squared"}, ValueError, "residual must be one of none, signed, absolute, is 'squared'"),
        ({"dtype": torch.float16}, TypeError, "dtype must be torch.float32 or torch.bfloat16, is torch.float16"),
        ({"offset": float("nan")}, ValueError, "offset must be finite, is nan"),
    ],
)
def test_what_it_cannot_take_is_named(changes: dict[str, object], error: type[Exception], message: str) -> None:
    tensors = {"frames": FRAMES, "masks": MASKS, "slots": SLOTS, "shift": SHIFT}
    positional = [changes.get(name, tensor) for name, tensor in tensors.items()]
    named = wish(**{name: value for name, value in changes.items() if name not in tensors})
    with pytest.raises(error, match=message):
        encoder_inputs(*positional, **named)
