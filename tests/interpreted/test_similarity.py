"""The fused 1 - SSIM is as exact as PyTorch, forward and backward, and says what it cannot take.

Shape legend: B batch, C channels, h and w map sides.
"""

from __future__ import annotations

import pytest
import torch
from checks import assert_as_exact
from torch import Tensor

from semore import ops
from semore_fast.kernels.similarity import ssim_distance

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
# Samples enough that the largest of PyTorch's own errors is no accident.
CASES = [
    ((8, 5, 7, 9), 3, torch.float32),
    ((8, 5, 7, 9), 3, torch.bfloat16),
    ((8, 5, 7, 9), 3, torch.float16),
    ((8, 16, 1, 1), 1, torch.float32),
    ((8, 3, 5, 4), 1, torch.bfloat16),
    ((8, 6, 6, 6), 5, torch.float32),
    ((6, 4, 13, 12), 11, torch.float32),
    ((6, 2, 4, 30), 4, torch.float16),
    ((4, 70, 6, 6), 3, torch.bfloat16),
]
"""Map, window, dtype; among them one window, one row of windows, several blocks of rows, several programs a row."""
TRUNK_MAPS = [((4, 32, 57, 57), 7), ((4, 32, 11, 11), 3), ((4, 256, 6, 6), 3)]


def exact(x_BChw: Tensor, y_BChw: Tensor, window: int) -> Tensor:
    """The formula in float64, from windows taken one by one."""
    x, y = (m.unfold(2, window, 1).unfold(3, window, 1).flatten(4) for m in (x_BChw, y_BChw))
    value_range = (y_BChw.amax((1, 2, 3)) - y_BChw.amin((1, 2, 3))).detach().clamp_min(ops.SSIM_MIN_RANGE)
    c1, c2 = ((k * value_range).square()[:, None, None, None] for k in (ops.SSIM_K1, ops.SSIM_K2))
    mean_x, mean_y = x.mean(4), y.mean(4)
    covariance = (x * y).mean(4) - mean_x * mean_y
    variances = (x * x + y * y).mean(4) - mean_x.square() - mean_y.square()
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return 1 - (similarity / ((mean_x.square() + mean_y.square() + c1) * (variances + c2))).mean((1, 2, 3))


def maps(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Two maps as a trunk makes them: not negative, alike in part, channels_last."""
    base, *noise = (torch.randn(shape) for _ in range(3))
    x, y = ((base + 0.7 * n).relu().add(0.1).to(device, dtype) for n in noise)
    return x.to(memory_format=torch.channels_last), y.to(memory_format=torch.channels_last)


def results(
    function: object, x: Tensor, y: Tensor, window: int, grad_B: Tensor, for_x: bool = True, for_y: bool = True
) -> dict[str, Tensor]:
    """Distance and the gradients asked for, by name."""
    inputs = {"x": x.detach().requires_grad_(for_x), "y": y.detach().requires_grad_(for_y)}
    distance = function(inputs["x"], inputs["y"], window)
    wanted = {name: tensor for name, tensor in inputs.items() if tensor.requires_grad}
    gradients = torch.autograd.grad(distance, list(wanted.values()), grad_B.to(distance)) if wanted else ()
    return {"distance": distance.detach()} | {
        f"gradient of {name}": gradient for name, gradient in zip(wanted, gradients, strict=True)
    }


def assert_as_exact_as_torch(x: Tensor, y: Tensor, window: int) -> None:
    grad_B = torch.randn(len(x), device=x.device)
    mine = results(ssim_distance, x, y, window, grad_B)
    theirs = results(ops.ssim_distance, x, y, window, grad_B)
    truth = results(exact, x.double(), y.double(), window, grad_B)
    assert mine.keys() == {"distance", "gradient of x", "gradient of y"}
    for name, got in mine.items():
        assert_as_exact(got, theirs[name], truth[name], name=name)


@pytest.mark.usefixtures("poisoned_empty")
@pytest.mark.parametrize(("shape", "window", "dtype"), CASES)
def test_distance_and_gradients(shape: tuple[int, ...], window: int, dtype: torch.dtype, device: torch.device) -> None:
    assert_as_exact_as_torch(*maps(shape, dtype, device), window)


@pytest.mark.slow
@pytest.mark.usefixtures("poisoned_empty")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "window"), TRUNK_MAPS)
def test_maps_of_the_trunks(shape: tuple[int, ...], window: int, dtype: torch.dtype, device: torch.device) -> None:
    assert_as_exact_as_torch(*maps(shape, dtype, device), window)


@pytest.mark.usefixtures("poisoned_empty")
@pytest.mark.parametrize("offset", [-3.0, 30.0])
def test_maps_far_from_zero(offset: float, device: torch.device) -> None:
    """Variances are then small differences of large sums."""
    x, y = maps((8, 4, 9, 8), torch.float32, device)
    assert_as_exact_as_torch(x + offset, y + offset, 4)


def test_an_almost_flat_reference_has_the_smallest_range(device: torch.device) -> None:
    x, y = maps((8, 4, 6, 6), torch.float32, device)
    assert_as_exact_as_torch(x * 1e-2, y * 1e-3, 3)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_map_is_at_no_distance_from_itself(dtype: torch.dtype, device: torch.device) -> None:
    x, _ = maps((2, 3, 6, 5), dtype, device)
    assert ssim_distance(x, x, 3).abs().max() < 1e-6


def test_each_sample_has_its_own_gradient_and_range(device: torch.device) -> None:
    x, y = maps((4, 3, 6, 6), torch.float32, device)
    scale = torch.tensor([1.0, 10.0, 0.1, 3.0], device=device)[:, None, None, None]
    x, y, grad_B = x * scale, y * scale, torch.tensor([1.0, 0.0, -2.0, 5.0], device=device)
    together = results(ssim_distance, x, y, 3, grad_B)
    for i in range(4):
        alone = results(ssim_distance, x[i : i + 1], y[i : i + 1], 3, grad_B[i : i + 1])
        for name, got in together.items():
            assert torch.equal(got[i : i + 1], alone[name]), name


@pytest.mark.usefixtures("poisoned_empty")
@pytest.mark.parametrize(("for_x", "for_y"), [(False, False), (True, False), (False, True)])
def test_only_gradients_that_are_required_are_made(for_x: bool, for_y: bool, device: torch.device) -> None:
    x, y = maps((2, 3, 6, 5), torch.float32, device)
    grad_B = torch.randn(2, device=device)
    both, some = results(ssim_distance, x, y, 3, grad_B), results(ssim_distance, x, y, 3, grad_B, for_x, for_y)
    assert len(some) == 1 + for_x + for_y
    for name, got in some.items():
        assert torch.equal(got, both[name]), name
    _, slopes = torch.ops.semore_fast.ssim_distance(x, y, 3, for_x, for_y)
    assert slopes.shape[1] == (3 if for_x or for_y else 0)


def test_nothing_is_kept_where_gradients_are_off(device: torch.device) -> None:
    x, y = maps((2, 3, 6, 5), torch.float32, device)
    with torch.no_grad():
        distance = ssim_distance(x.requires_grad_(), y, 3)
    assert distance.grad_fn is None
    assert torch.equal(distance, ssim_distance(x.detach(), y, 3))


def test_other_layouts_give_the_same(device: torch.device) -> None:
    x, y = maps((3, 4, 6, 10), torch.bfloat16, device)
    grad_B = torch.randn(3, device=device)
    wanted = results(ssim_distance, x, y, 3, grad_B)
    wide = torch.zeros(3, 4, 6, 20, dtype=x.dtype, device=device)
    wide[..., ::2] = x
    for other in (x.contiguous(), wide[..., ::2]):
        for name, got in results(ssim_distance, other, y.contiguous(), 3, grad_B).items():
            assert torch.equal(got, wanted[name]), name


def test_maps_of_two_dtypes(device: torch.device) -> None:
    x, y = maps((3, 4, 6, 5), torch.bfloat16, device)
    grad_B = torch.randn(3, device=device)
    mixed = results(ssim_distance, x, y.float(), 3, grad_B)
    alike = results(ssim_distance, x, y, 3, grad_B)
    assert torch.equal(mixed["distance"], alike["distance"])
    assert torch.equal(mixed["gradient of x"], alike["gradient of x"])
    assert mixed["gradient of y"].dtype == torch.float32


def test_there_is_no_second_derivative(device: torch.device) -> None:
    x, y = maps((1, 2, 4, 4), torch.float32, device)
    (gradient,) = torch.autograd.grad(ssim_distance(x.requires_grad_(), y, 3).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="ssim_distance_backward"):
        gradient.sum().backward()


def test_the_operators_keep_torch_s_rules(device: torch.device) -> None:
    x, y = maps((2, 3, 5, 4), torch.float32, device)
    operators = torch.ops.semore_fast
    torch.library.opcheck(operators.ssim_distance, (x.clone().requires_grad_(), y, 3, True, False))
    torch.library.opcheck(operators.ssim_distance, (x, y, 3, False, False))
    _, slopes = operators.ssim_distance(x, y, 3, True, True)
    grad_B = torch.randn(2, device=device)
    torch.library.opcheck(operators.ssim_distance_backward, (grad_B, x, y, slopes, 3, True, True))


def test_inside_a_compiled_function(device: torch.device) -> None:
    x, y = maps((2, 3, 6, 5), torch.bfloat16, device)
    grad_B = torch.randn(2, device=device)

    def loss(x: Tensor, y: Tensor, window: int) -> Tensor:
        return 2 * ssim_distance(x * 2, y, window)

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    wanted = results(loss, x, y, 3, grad_B, for_y=False)
    for name, got in results(compiled, x, y, 3, grad_B, for_y=False).items():
        assert torch.equal(got, wanted[name]), name


MAP = torch.zeros(2, 3, 6, 5)


@pytest.mark.parametrize(
    ("x", "y", "window", "error", "message"),
    [
        (MAP.double(), MAP, 3, TypeError, "x must be float32, bfloat16 or float16, is torch.float64"),
        (MAP, MAP.int(), 3, TypeError, "y must be float32, bfloat16 or float16, is torch.int32"),
        (MAP, MAP.to("meta"), 3, TypeError, "y must be on cpu as x is, is on meta"),
        (MAP, MAP[:1], 3, ValueError, r"y must have the shape of x, \[2, 3, 6, 5\], has \[1, 3, 6, 5\]"),
        (MAP[0], MAP[0], 3, ValueError, r"x must have shape \[B, C, h, w\] .*, has \[3, 6, 5\]"),
        (MAP[:0], MAP[:0], 3, ValueError, "not be empty"),
        (MAP, MAP, 0, ValueError, "window must be from 1 to 5 for maps of 6 x 5, is 0"),
        (MAP, MAP, 6, ValueError, "window must be from 1 to 5 for maps of 6 x 5, is 6"),
        (MAP.repeat(1, 1, 3, 3), MAP.repeat(1, 1, 3, 3), 12, ValueError, "window must be from 1 to 11 .*, is 12"),
    ],
)
def test_what_it_cannot_take_is_named(x: Tensor, y: Tensor, window: int, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ssim_distance(x, y, window)
