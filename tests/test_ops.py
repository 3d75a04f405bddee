"""The reference operations against independent definitions written as loops and numpy."""

import numpy as np
import pytest
import torch
from torch import Tensor

from semore.ops import (
    REFERENCE,
    FrameStore,
    InputSpec,
    Ops,
    as_store,
    encoder_inputs,
    interaction,
    random_shift,
    ssim_distance,
    trunk,
)


def input_spec(**changes) -> InputSpec:
    return InputSpec(**({"offset": 0.5, "residual": "signed", "masked": False, "dtype": torch.float32} | changes))


def frames(batch: int = 3, stack: int = 3, height: int = 10, width: int = 12) -> Tensor:
    return torch.randint(0, 256, (batch, stack, 3, height, width), dtype=torch.uint8)


def inputs_of(x: Tensor, shift: Tensor | None, mask: Tensor | None, spec: InputSpec):
    """`encoder_inputs` of stacks [B, K, 3, H, W] and their newest frames' masks, all in a store in reverse order."""
    store, slots = as_store(x)
    masks = None
    if mask is not None:
        masks = torch.randint(0, 256, (len(store.frames), *mask.shape[1:]), dtype=torch.uint8)
        masks[slots[:, -1]] = mask
        masks = masks.flip(0)
    return encoder_inputs(FrameStore(store.frames.flip(0), masks), slots.flip(0, 1), shift, spec)


# random_shift


def shifted_by_loop(x: np.ndarray, shift: np.ndarray) -> np.ndarray:
    out = np.empty_like(x)
    height, width = x.shape[2:]
    for b in range(len(x)):
        for row in range(height):
            for col in range(width):
                source_row = min(max(row + shift[b, 0], 0), height - 1)
                source_col = min(max(col + shift[b, 1], 0), width - 1)
                out[b, :, row, col] = x[b, :, source_row, source_col]
    return out


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_random_shift_equals_a_loop(dtype):
    x = torch.randint(0, 256, (5, 2, 7, 9)).to(dtype)
    shift = torch.tensor([[0, 0], [3, -2], [-4, 4], [20, 0], [0, -20]])
    np.testing.assert_array_equal(random_shift(x, shift).numpy(), shifted_by_loop(x.numpy(), shift.numpy()))


def test_random_shift_is_dr_q_s_pad_and_crop():
    x, reach = torch.rand(6, 3, 8, 8), 4
    shift = torch.randint(-reach, reach + 1, (6, 2))
    padded = torch.nn.functional.pad(x, (reach,) * 4, mode="replicate")
    for b, (dy, dx) in enumerate(shift.tolist()):
        crop = padded[b, :, reach + dy : reach + dy + 8, reach + dx : reach + dx + 8]
        assert torch.equal(random_shift(x, shift)[b], crop)


# encoder_inputs


def inputs_by_hand(x: np.ndarray, shift, mask, offset: float, absolute: bool):
    """float64 stack, residual and masked stack, one sample and frame at a time."""
    stack = x.shape[1]
    if shift is not None:
        x = np.stack([shifted_by_loop(x[:, k], shift) for k in range(stack)], 1)
        mask = mask if mask is None else shifted_by_loop(mask[:, None], shift)[:, 0]
    x = x.astype(np.float64)
    stacked = np.concatenate([x[:, k] for k in range(stack)], 1) / 255 - offset
    newest_first = [(x[:, k] - x[:, k - 1]) / 255 for k in range(stack - 1, 0, -1)]
    residual = np.concatenate(newest_first, 1)
    masked = None
    if mask is not None:
        masked = np.concatenate([x[:, k] / 255 * (mask[:, None] / 255) for k in range(stack)], 1) - offset
    return stacked, np.abs(residual) if absolute else residual, masked


@pytest.mark.parametrize("stack", [2, 3, 4])
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("residual", ["signed", "absolute"])
def test_encoder_inputs_equal_numpy(stack, shifted, residual):
    x = frames(stack=stack)
    mask = torch.randint(0, 256, (3, 10, 12), dtype=torch.uint8)
    shift = torch.tensor([[1, -2], [0, 3], [-4, 0]]) if shifted else None
    got = inputs_of(x, shift, mask, input_spec(residual=residual, masked=True))
    wanted = inputs_by_hand(
        x.numpy(), None if shift is None else shift.numpy(), mask.numpy(), 0.5, residual == "absolute"
    )
    for mine, theirs in zip(got, wanted, strict=True):
        assert mine.shape == theirs.shape
        np.testing.assert_allclose(mine.double().numpy(), theirs, atol=1.5e-7, rtol=0)


def test_residual_order_is_newest_first():
    x = torch.zeros(1, 3, 3, 4, 4, dtype=torch.uint8)
    x[:, 1], x[:, 2] = 51, 255
    residual = inputs_of(x, None, None, input_spec())[1]
    assert torch.allclose(residual[0, :3], torch.tensor(204 / 255))
    assert torch.allclose(residual[0, 3:], torch.tensor(51 / 255))


def test_negative_differences_do_not_wrap():
    x = torch.zeros(1, 2, 3, 4, 4, dtype=torch.uint8)
    x[:, 0] = 255
    assert inputs_of(x, None, None, input_spec())[1].eq(-1).all()
    assert inputs_of(x, None, None, input_spec(residual="absolute"))[1].eq(1).all()


def test_repeated_first_frame_has_zero_residual():
    x = frames(stack=1).expand(-1, 3, -1, -1, -1)
    assert inputs_of(x, None, None, input_spec())[1].eq(0).all()


def test_mask_extremes():
    x = frames()
    full, empty = torch.full((3, 10, 12), 255, dtype=torch.uint8), torch.zeros(3, 10, 12, dtype=torch.uint8)
    stack, _, masked = inputs_of(x, None, full, input_spec(masked=True))
    assert torch.allclose(stack, masked, atol=1e-7)
    assert inputs_of(x, None, empty, input_spec(masked=True))[2].eq(-0.5).all()


def test_only_what_is_wanted_is_made():
    mask = torch.zeros(3, 10, 12, dtype=torch.uint8)
    stack, residual, masked = inputs_of(frames(), None, mask, input_spec(residual="none"))
    assert stack is not None
    assert residual is None
    assert masked is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_inputs_are_channels_last_in_the_wanted_type(dtype):
    x, mask = frames(), torch.randint(0, 256, (3, 10, 12), dtype=torch.uint8)
    exact = inputs_of(x, None, mask, input_spec(masked=True))
    for mine, wide in zip(inputs_of(x, None, mask, input_spec(masked=True, dtype=dtype)), exact, strict=True):
        assert mine.dtype == dtype
        assert mine.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(mine, wide.to(dtype))  # rounded once, at the end


def test_inputs_leave_the_frames_alone():
    x = frames()
    before = x.clone()
    encoder_inputs(*as_store(x), torch.ones(3, 2, dtype=torch.int64), input_spec())
    assert torch.equal(x, before)


def test_masked_inputs_need_masks():
    with pytest.raises(ValueError, match="need a store with masks"):
        inputs_of(frames(), None, None, input_spec(masked=True))


def test_slots_name_frames_in_any_order_and_more_than_once():
    store = FrameStore(frames(4, 1)[:, 0], torch.randint(0, 256, (4, 10, 12), dtype=torch.uint8))
    slots, spec = torch.tensor([[3, 3, 1], [0, 1, 3]]), input_spec(masked=True)
    gathered, _ = as_store(store.frames[slots])
    masks = torch.zeros(6, 10, 12, dtype=torch.uint8)
    masks[[2, 5]] = store.masks[[1, 3]]
    wanted = encoder_inputs(FrameStore(gathered.frames, masks), torch.arange(6).view(2, 3), None, spec)
    for mine, theirs in zip(encoder_inputs(store, slots, None, spec), wanted, strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("slot", [-1, 9])
def test_a_slot_outside_the_store_is_refused(slot):
    store, slots = as_store(frames())
    slots[1, 2] = slot
    with pytest.raises((IndexError, RuntimeError), match="out of"):
        encoder_inputs(store, slots, None, input_spec())


def test_a_store_of_stacks_gives_them_back():
    x = frames()
    store, slots = as_store(x)
    assert torch.equal(store.frames[slots], x)
    assert store.masks is None
    assert store.frames.data_ptr() == x.data_ptr()


# interaction


def interaction_by_loop(q, k, v_motion, v_semantic):
    """Equations 6-7, one position at a time."""
    batch, n, d = q.shape
    m = k.shape[1]
    to_semantic, to_motion = np.zeros((batch, n, d)), np.zeros((batch, m, d))
    for b in range(batch):
        scores = np.array([[q[b, i] @ k[b, j] / np.sqrt(d) for j in range(m)] for i in range(n)])
        for i in range(n):
            weight = np.exp(scores[i]) / np.exp(scores[i]).sum()
            to_semantic[b, i] = sum(weight[j] * v_motion[b, j] for j in range(m))
        for j in range(m):
            weight = np.exp(scores[:, j]) / np.exp(scores[:, j]).sum()
            to_motion[b, j] = sum(weight[i] * v_semantic[b, i] for i in range(n))
    return to_semantic, to_motion


def attention_tensors(n: int, m: int, d: int = 4, batch: int = 2) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    shapes = ((batch, n, d), (batch, m, d), (batch, m, d), (batch, n, d))
    q, k, v_motion, v_semantic = (torch.randn(shape, dtype=torch.float64) for shape in shapes)
    return q, k, v_motion, v_semantic


@pytest.mark.parametrize(("n", "m"), [(5, 5), (3, 7), (7, 3), (1, 1)])
def test_interaction_equals_loops(n, m):
    tensors = attention_tensors(n, m)
    wanted = interaction_by_loop(*(t.numpy() for t in tensors))
    for mine, theirs in zip(interaction(*tensors), wanted, strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs, atol=1e-13)


def test_interaction_is_permutation_equivariant():
    q, k, v_motion, v_semantic = attention_tensors(5, 7)
    semantic_order, motion_order = torch.randperm(5), torch.randperm(7)
    to_semantic, to_motion = interaction(q, k, v_motion, v_semantic)
    permuted = interaction(
        q[:, semantic_order], k[:, motion_order], v_motion[:, motion_order], v_semantic[:, semantic_order]
    )
    assert torch.allclose(permuted[0], to_semantic[:, semantic_order], atol=1e-12)
    assert torch.allclose(permuted[1], to_motion[:, motion_order], atol=1e-12)


def test_interaction_gradients():
    tensors = [t.requires_grad_() for t in attention_tensors(3, 4, d=3)]
    assert torch.autograd.gradcheck(interaction, tensors)


def test_interaction_survives_large_scores():
    q, k, v_motion, v_semantic = attention_tensors(3, 3)
    for out in interaction(q * 1e4, k * 1e4, v_motion, v_semantic):
        assert out.isfinite().all()


# ssim_distance


def ssim_by_windows(x: np.ndarray, y: np.ndarray, window: int) -> np.ndarray:
    """1 - mean SSIM per sample in float64: Wang et al. 2004's formula, one window after another."""
    out = []
    for a, b in zip(x.astype(np.float64), y.astype(np.float64), strict=True):
        value_range = max(b.max() - b.min(), 1e-2)
        c1, c2 = (0.01 * value_range) ** 2, (0.03 * value_range) ** 2
        values = []
        for channel in range(a.shape[0]):
            for row in range(a.shape[1] - window + 1):
                for col in range(a.shape[2] - window + 1):
                    p = a[channel, row : row + window, col : col + window]
                    r = b[channel, row : row + window, col : col + window]
                    covariance = ((p - p.mean()) * (r - r.mean())).mean()
                    luminance = (2 * p.mean() * r.mean() + c1) / (p.mean() ** 2 + r.mean() ** 2 + c1)
                    values.append(luminance * (2 * covariance + c2) / (p.var() + r.var() + c2))
        out.append(1 - np.mean(values))
    return np.array(out)


def feature_maps(batch: int = 3, channels: int = 4, side: int = 9) -> Tensor:
    return torch.randn(batch, channels, side, side).relu()


@pytest.mark.parametrize("window", [3, 7])
@pytest.mark.parametrize("likeness", [0.0, 0.9])
def test_ssim_equals_windows(window, likeness):
    x = feature_maps()
    y = likeness * x + (1 - likeness) * feature_maps()
    wanted = ssim_by_windows(x.numpy(), y.numpy(), window)
    np.testing.assert_allclose(ssim_distance(x, y, window).numpy(), wanted, atol=2e-6)


def test_ssim_of_equal_maps_is_zero():
    x = feature_maps()
    assert ssim_distance(x, x.clone(), 3).abs().max() < 1e-6


def test_ssim_ignores_scale_common_to_both_maps():
    x, y = feature_maps(), feature_maps()
    assert torch.allclose(ssim_distance(50 * x, 50 * y, 3), ssim_distance(x, y, 3), atol=1e-5)


def test_ssim_takes_its_range_from_the_second_map_per_sample():
    x, y = feature_maps(batch=1), feature_maps(batch=1)
    assert not torch.allclose(ssim_distance(x, 0.1 * y, 3), ssim_distance(0.1 * y, x, 3), atol=1e-4)
    pair = ssim_distance(torch.cat((x, x)), torch.cat((y, 100 * y)), 3)
    assert torch.allclose(pair[:1], ssim_distance(x, y, 3), atol=1e-6)


@pytest.mark.parametrize("level", [0.0, 1.0, 30.0])
def test_flat_knowledge_map_stays_finite(level):
    x = feature_maps().requires_grad_()
    distance = ssim_distance(x, torch.full_like(x, level), 3)
    distance.sum().backward()
    assert distance.isfinite().all()
    assert x.grad.isfinite().all()


def test_ssim_gradients_against_float64_differences():
    """It computes in float32, so central differences are taken of the float64 definition."""
    x, y = feature_maps(batch=1, channels=2, side=5) + 0.1, feature_maps(batch=1, channels=2, side=5)
    x.requires_grad_()
    ssim_distance(x, y, 3).sum().backward()
    step, base = 1e-5, x.detach().double().numpy()
    for index in np.ndindex(base.shape):
        up, down = base.copy(), base.copy()
        up[index] += step
        down[index] -= step
        slope = (ssim_by_windows(up, y.numpy(), 3) - ssim_by_windows(down, y.numpy(), 3))[0] / (2 * step)
        assert x.grad[index].item() == pytest.approx(slope, abs=5e-5)


def test_ssim_reaches_both_maps_and_answers_in_float32():
    x, y = feature_maps().bfloat16().requires_grad_(), feature_maps().bfloat16().requires_grad_()
    distance = ssim_distance(x, y, 3)
    assert distance.dtype == torch.float32
    distance.sum().backward()
    assert x.grad.abs().sum() > 0
    assert y.grad.abs().sum() > 0


def test_reference_gathers_the_definitions():
    made = Ops(encoder_inputs=encoder_inputs, trunk=trunk, interaction=interaction, ssim_distance=ssim_distance)
    assert made == REFERENCE
