"""The C++ similarity loss beyond what tests/test_twins.py holds: layouts, who gets a gradient, threads, bad input."""

import pytest
import torch
from checks import PoisonedMemory, assert_as_exact
from op_cases import similarity_inputs
from torch import Tensor

from semore.ops import ssim_distance as reference
from semore_fast.ops_cpp import ssim_distance

CPU = torch.device("cpu")


def maps(batch: int = 3, channels: int = 5, height: int = 9, width: int = 8) -> tuple[Tensor, Tensor]:
    x, y = similarity_inputs(batch, channels, height, width, torch.float32, CPU)
    return x, y


def gradients(op, x: Tensor, y: Tensor, window: int) -> tuple[Tensor, ...]:
    leaves = x.detach().requires_grad_(), y.detach().requires_grad_()
    distance = op(*leaves, window)
    return torch.autograd.grad(distance, leaves, torch.linspace(-1, 2, len(x)).to(distance.dtype))


@pytest.mark.parametrize("window", [1, 2, 5, 8])
@pytest.mark.parametrize("sizes", [(1, 1, 8, 9), (2, 33, 8, 8), (5, 3, 11, 17)])
def test_any_window_and_size_even_in_poisoned_memory(monkeypatch, sizes, window):
    x, y = maps(*sizes)
    memory = PoisonedMemory()
    with monkeypatch.context() as patch:
        patch.setattr(torch, "empty", memory.empty)
        patch.setattr(torch, "empty_like", memory.empty_like)
        mine = (ssim_distance(x, y, window), *gradients(ssim_distance, x, y, window))
    memory.check()
    assert len(memory.given) == 4
    plain = (reference(x, y, window), *gradients(reference, x, y, window))
    exact = (reference(x.double(), y.double(), window), *gradients(reference, x.double(), y.double(), window))
    for got, torch_got, wanted in zip(mine, plain, exact, strict=True):
        if window > 1:
            assert_as_exact(got, torch_got, wanted)
        else:  # one pixel has no variance: what is left of it is rounding, in every implementation
            assert torch.allclose(got.double(), wanted, atol=1e-4)


def test_other_layouts_are_rearranged():
    x, y = maps()
    wanted = ssim_distance(x, y, 3)
    assert torch.equal(ssim_distance(x.contiguous(), y.contiguous(), 3), wanted)
    wide = torch.zeros(3, 10, 9, 8).to(memory_format=torch.channels_last)
    wide[:, ::2] = x
    assert torch.equal(ssim_distance(wide[:, ::2], y, 3), wanted)


def test_only_what_asks_for_it_gets_a_gradient():
    x, y = maps()
    both = gradients(ssim_distance, x, y, 3)
    alone = x.clone().requires_grad_()
    ssim_distance(alone, y, 3).backward(torch.linspace(-1, 2, len(x)))
    assert torch.equal(alone.grad, both[0])
    other = y.clone().requires_grad_()
    ssim_distance(x, other, 3).backward(torch.linspace(-1, 2, len(x)))
    assert torch.equal(other.grad, both[1])
    assert not ssim_distance(x, y, 3).requires_grad


def test_threads_change_nothing():
    x, y = maps(batch=21)
    alone = (ssim_distance(x, y, 3), *gradients(ssim_distance, x, y, 3))
    torch.set_num_threads(3)
    try:
        together = (ssim_distance(x, y, 3), *gradients(ssim_distance, x, y, 3))
    finally:
        torch.set_num_threads(1)
    assert all(torch.equal(one, many) for one, many in zip(alone, together, strict=True))


def test_flat_and_equal_maps():
    flat = torch.full((2, 3, 6, 6), 0.5)
    assert torch.allclose(ssim_distance(flat, flat, 3), torch.zeros(2), atol=1e-6)
    x, _ = maps()
    assert torch.allclose(ssim_distance(x, x, 3), torch.zeros(3), atol=1e-5)


@pytest.mark.parametrize(
    ("x", "y", "window", "error", "message"),
    [
        (torch.zeros(1, 2, 5, 5, dtype=torch.float64), None, 3, TypeError, "x must be torch.float32 or torch.bfloat16"),
        (torch.zeros(1, 2, 5, 5), torch.zeros(1, 2, 5, 5, dtype=torch.int32), 3, TypeError, "y must be torch.float32"),
        (torch.zeros(1, 2, 5, 5), torch.zeros(1, 2, 5, 6), 3, ValueError, r"both be \[B, C, h, w\]"),
        (torch.zeros(2, 5, 5), None, 3, ValueError, r"both be \[B, C, h, w\], are \[2, 5, 5\]"),
        (torch.zeros(1, 2, 5, 4), None, 5, ValueError, r"window must be in \[1, 4\], is 5"),
        (torch.zeros(1, 2, 5, 4), None, 0, ValueError, r"window must be in \[1, 4\], is 0"),
        (torch.zeros(0, 2, 5, 5), None, 3, ValueError, "maps must not be empty"),
        (torch.zeros(1, 2, 5, 5, device="meta"), None, 3, TypeError, "x must be on the CPU, is on meta"),
    ],
)
def test_what_it_cannot_take_is_named(x, y, window, error, message):
    with pytest.raises(error, match=message):
        ssim_distance(x, x if y is None else y, window)
