"""The fused interaction equals its definition: results and all gradients, at the edges and beside them.

Shape legend: B batch, H heads, N and M positions of the two sides, D channels of a position.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from checks import PoisonedMemory, assert_as_exact, guarded
from torch import Tensor

from semore import ops
from semore_fast.kernels.interaction import interaction

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
NAMES = ("to_semantic", "to_motion", "dq", "dk", "dv_motion", "dv_semantic")

pytestmark = pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")


def draw(*shape: int, m: int, dtype: torch.dtype, size: float = 1.0) -> list[Tensor]:
    """q, k, v_motion, v_semantic for q of `shape`; entries of q and k have standard deviation `size`."""
    other = (*shape[:-2], m, shape[-1])
    each = ((shape, size), (other, size), (other, 1), (shape, 1))
    return [(torch.randn(s) * z).to(dtype) for s, z in each]


def defined(tensors: list[Tensor], n_mask: Tensor | None = None, m_mask: Tensor | None = None) -> list[Tensor]:
    """The definition; with masks, of every sample's positions that take part, and zeros elsewhere."""
    if n_mask is None and m_mask is None and tensors[0].dim() == 3:
        return list(ops.interaction(*tensors))
    heads = tensors[0].shape[1] if tensors[0].dim() == 4 else 1
    flat = [x.reshape(-1, *x.shape[-2:]) for x in tensors]
    outs = [torch.zeros_like(flat[0]), torch.zeros_like(flat[1])]
    for i in range(len(flat[0])):
        masks = (n_mask, m_mask)
        ns, ms = (
            slice(None) if mask is None else mask[i // heads].nonzero()[:, 0].to(outs[0].device) for mask in masks
        )
        parts = [x[i, at][None] for x, at in zip(flat, (ns, ms, ms, ns), strict=True)]
        if all(part.numel() for part in parts):
            for out, at, gathered in zip(outs, (ns, ms), ops.interaction(*parts), strict=True):
                out[i, at] = gathered[0]
    return [out.view(x.shape) for out, x in zip(outs, tensors[:2], strict=True)]


def with_gradients(
    function: Callable[..., object], tensors: list[Tensor], upstream: list[Tensor], **masks: Tensor | None
) -> list[Tensor]:
    leaves = [x.detach().requires_grad_() for x in tensors]
    results = list(function(*leaves, **masks))
    return [*(r.detach() for r in results), *torch.autograd.grad(results, leaves, upstream)]


def assert_equals_definition(tensors: list[Tensor], device: torch.device, **masks: Tensor | None) -> None:
    """By the rule of `checks`, with NaN beside every input and in every masked position."""
    upstream = [torch.randn(x.shape).to(x.dtype) for x in tensors[:2]]
    plain = with_gradients(lambda *x, **m: defined(list(x), **m), tensors, upstream, **masks)
    wide = [[x.double() for x in some] for some in (tensors, upstream)]
    exact = with_gradients(lambda *x, **m: defined(list(x), **m), *wide, **masks)
    buffers = [guarded(tuple(x.shape), x.dtype, device=device).holding(x) for x in (*tensors, *upstream)]
    for buffer, side in zip(buffers, "nmmnnm", strict=True):
        mask = masks.get(f"{side}_mask")
        if mask is not None:
            buffer.tensor.movedim(-2, 1)[~mask.to(device)] = torch.nan
    given = [buffer.tensor for buffer in buffers]
    there = {name: mask if mask is None else mask.to(device) for name, mask in masks.items()}
    mine = with_gradients(interaction, given[:4], given[4:], **there)
    for name, a, b, c in zip(NAMES, mine, plain, exact, strict=True):
        assert_as_exact(a.cpu(), b, c, name=name)
    for buffer in buffers:
        buffer.check()


SHAPES = [
    (2, 36, 36, 32),
    (1, 49, 49, 32),
    (4, 130, 5, 24),
    (2, 70, 150, 32),
    (1, 196, 196, 32),
    (2, 65, 33, 64),
    (1, 20, 40, 128),
    (2, 33, 17, 200),
    (1, 40, 600, 1),
]


@pytest.mark.usefixtures("poisoned_empty")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_its_definition(shape: tuple[int, int, int, int], dtype: torch.dtype, device: torch.device) -> None:
    b, n, m, d = shape
    assert_equals_definition(draw(b, n, d, m=m, dtype=dtype), device)


@pytest.mark.usefixtures("poisoned_empty")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("m", [1, 70])
def test_one_position(m: int, dtype: torch.dtype, device: torch.device) -> None:
    """A softmax over one position is 1, and its gradient 0, which PyTorch gets exactly.

    Values pass through the kernel exactly too. But it forms that zero as a difference of equal sums, rounded in
    different orders, which leaves a few units in the last place of float32.
    """
    tensors = draw(2, 1, 16, m=m, dtype=dtype)
    upstream = [torch.randn(x.shape).to(dtype) for x in tensors[:2]]
    there = [[x.to(device) for x in some] for some in (tensors, upstream)]
    mine = [x.cpu() for x in with_gradients(interaction, *there)]
    plain = with_gradients(lambda *x: defined(list(x)), tensors, upstream)
    exact = with_gradients(lambda *x: defined(list(x)), *([x.double() for x in some] for some in (tensors, upstream)))
    for i, name in enumerate(NAMES):
        if name in ("dq", "dk"):
            error, allowed = ((x[i].double() - exact[i]).abs().max() for x in (mine, plain))
            assert error <= 2 * allowed + 100 * m * torch.finfo(torch.float32).eps
        else:
            assert_as_exact(mine[i], plain[i], exact[i], name=name)


@pytest.mark.slow
@pytest.mark.usefixtures("poisoned_empty")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(2, 784, 784, 32), (1, 1500, 300, 64), (1, 256, 3249, 256)])
def test_equals_its_definition_in_large(
    shape: tuple[int, int, int, int], dtype: torch.dtype, device: torch.device
) -> None:
    b, n, m, d = shape
    assert_equals_definition(draw(b, n, d, m=m, dtype=dtype), device)


@pytest.mark.usefixtures("poisoned_empty")
@pytest.mark.parametrize("dtype", DTYPES)
def test_heads_and_masks(dtype: torch.dtype, device: torch.device) -> None:
    n_mask, m_mask = torch.rand(3, 50) < 0.6, torch.rand(3, 90) < 0.6
    m_mask[0, :70] = False
    n_mask[2] = False
    n_mask[2, 7:9] = True
    tensors = draw(3, 2, 50, 16, m=90, dtype=dtype)
    assert_equals_definition(tensors, device)
    assert_equals_definition(tensors, device, n_mask=n_mask, m_mask=m_mask)
    assert_equals_definition(tensors, device, n_mask=n_mask, m_mask=None)
    assert_equals_definition([x[:, 0] for x in tensors], device, n_mask=None, m_mask=m_mask)


@pytest.mark.usefixtures("poisoned_empty")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("m", [40, 700])
def test_a_side_with_nobody_gives_and_gets_zeros(dtype: torch.dtype, m: int, device: torch.device) -> None:
    n_mask, m_mask = torch.ones(3, 20, dtype=torch.bool), torch.ones(3, m, dtype=torch.bool)
    n_mask[0], m_mask[1] = False, False
    tensors = [x.to(device) for x in draw(3, 20, 16, m=m, dtype=dtype)]
    upstream = [torch.randn_like(x) for x in tensors[:2]]
    for result in with_gradients(interaction, tensors, upstream, n_mask=n_mask.to(device), m_mask=m_mask.to(device)):
        assert not result[:2].any()
        assert result[2].isfinite().all()
    assert_equals_definition([x.cpu() for x in tensors], device, n_mask=n_mask, m_mask=m_mask)


@pytest.mark.usefixtures("poisoned_empty")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [0.01, 3.0, 6.0])
def test_small_and_large_norms(dtype: torch.dtype, size: float, device: torch.device) -> None:
    """At the largest, scores reach several hundred: exponentials without a stabiliser overflow and vanish."""
    assert_equals_definition(draw(1, 60, 64, m=70, dtype=dtype, size=size), device)


@pytest.mark.usefixtures("poisoned_empty")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("m", [70, 530])
def test_norms_of_all_sizes_at_once(dtype: torch.dtype, m: int, device: torch.device) -> None:
    """One factor for rows and columns cannot serve rows that are all far below zero. With m = 530 two programs share
    the sample, and one of them needs a stabiliser."""
    q, k, v_motion, v_semantic = draw(2, 40, 32, m=m, dtype=dtype)
    q[:, :, 0], k[:, :, 0] = 1, 0
    k[0, -20:, 0] = -700
    q[0, 3] *= 50
    assert_equals_definition([q, k, v_motion, v_semantic], device)


@pytest.mark.parametrize("low", [False, True])
def test_stabilisers_where_they_are_needed(low: bool, device: torch.device) -> None:
    """One exponential a score until a sum leaves 2^-60..2^60; then what is subtracted is the largest product."""
    q, k = torch.ones(1, 4, 1, dtype=torch.bfloat16), torch.ones(1, 4, 1, dtype=torch.bfloat16)
    for product, safe in ((40, True), (43, False)):
        k[:] = -product if low else product
        with torch.no_grad():
            _, _, softmax_n, softmax_m = torch.ops.semore_fast.interaction(
                q.to(device), k.to(device), k.to(device), q.to(device), 1.0, None, None
            )
        wanted = torch.zeros(1, 4) if safe else torch.full((1, 4), k[0, 0, 0].item())
        assert torch.equal(softmax_n[0].cpu(), wanted)
        assert torch.equal(softmax_m[0].cpu(), wanted)


@pytest.mark.usefixtures("poisoned_empty")
def test_splits_of_one_sample_add_up(device: torch.device) -> None:
    """With masks that leave a whole split, and one row, without a partner."""
    n_mask, m_mask = torch.ones(1, 70, dtype=torch.bool), torch.ones(1, 1100, dtype=torch.bool)
    n_mask[0, 5] = False
    m_mask[0, :512] = False
    for dtype in (torch.float32, torch.bfloat16):
        tensors = draw(1, 70, 32, m=1100, dtype=dtype)
        assert_equals_definition(tensors, device)
        assert_equals_definition(tensors, device, n_mask=n_mask, m_mask=m_mask)


@pytest.mark.usefixtures("poisoned_empty")
def test_strided_inputs_are_read_where_they_are(device: torch.device) -> None:
    maps = [torch.randn(2, 16, 5, 7).to(memory_format=torch.channels_last) for _ in range(4)]
    views = [x.permute(0, 2, 3, 1).flatten(1, 2) for x in maps]
    assert views[0].data_ptr() == maps[0].data_ptr()
    wide = [torch.randn(2, 33, 3, 40)[..., 3:27].transpose(1, 2) for _ in range(4)]
    shared = [x[:1].expand(3, -1, -1) for x in views]
    for tensors in (views, wide, shared):
        given = [x.to(device) if device.type == "cuda" else x for x in tensors]
        copies = [x.contiguous() for x in given]
        upstream = [torch.randn_like(x) for x in copies[:2]]
        assert not all(x.is_contiguous() for x in given) or tensors is views
        for mine, theirs in zip(
            with_gradients(interaction, given, upstream), with_gradients(interaction, copies, upstream), strict=True
        ):
            assert torch.equal(mine, theirs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_sides_are_symmetric(dtype: torch.dtype, device: torch.device) -> None:
    q, k, v_motion, v_semantic = (x.to(device) for x in draw(1, 30, 32, m=90, dtype=dtype))
    one, other = interaction(q, k, v_motion, v_semantic), interaction(k, q, v_semantic, v_motion)
    assert torch.equal(one[0], other[1])
    assert torch.equal(one[1], other[0])


def test_the_same_again_bit_for_bit(device: torch.device) -> None:
    tensors = [x.to(device) for x in draw(1, 70, 32, m=600, dtype=torch.bfloat16)]
    upstream = [torch.randn_like(x) for x in tensors[:2]]
    runs = [with_gradients(interaction, tensors, upstream) for _ in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


def test_a_scale_of_one_s_own(device: torch.device) -> None:
    q, k, v_motion, v_semantic = (x.to(device) for x in draw(1, 20, 16, m=30, dtype=torch.float32))
    doubled = interaction(q, k, v_motion, v_semantic, scale=0.5)
    for mine, theirs in zip(doubled, interaction(2 * q, k, v_motion, v_semantic), strict=True):
        assert torch.equal(mine, theirs)


def test_one_result_alone_has_gradients(device: torch.device) -> None:
    tensors = [x.to(device).requires_grad_() for x in draw(1, 20, 16, m=30, dtype=torch.float32)]
    for index, unused in ((0, 3), (1, 2)):
        mine = torch.autograd.grad(interaction(*tensors)[index].sum(), tensors)
        theirs = torch.autograd.grad(ops.interaction(*tensors)[index].sum(), tensors, allow_unused=True)
        assert not mine[unused].any()
        for a, b in zip(mine, theirs, strict=True):
            assert b is None or torch.allclose(a, b, atol=1e-5)


def test_infinite_and_missing_numbers_come_out_as_such(device: torch.device) -> None:
    for bad in (float("nan"), float("inf")):
        q, k, v_motion, v_semantic = (x.to(device) for x in draw(2, 20, 16, m=30, dtype=torch.bfloat16))
        q[0, 3, 1] = bad
        out_n, out_m = interaction(q, k, v_motion, v_semantic)
        assert out_n[0, 3].isnan().all()
        assert out_m[0].isnan().any()
        assert out_n[1].isfinite().all()
        assert out_m[1].isfinite().all()


# the operator inside torch


@pytest.mark.parametrize("masked", [False, True])
def test_opcheck(masked: bool, device: torch.device) -> None:
    masks = [torch.ones(2, size, dtype=torch.bool, device=device) if masked else None for size in (9, 12)]
    inputs = [x.to(device).requires_grad_() for x in draw(2, 9, 16, m=12, dtype=torch.float32)]
    torch.library.opcheck(torch.ops.semore_fast.interaction.default, (*inputs, 0.25, *masks))
    with torch.no_grad():
        plain = [x.detach() for x in inputs]
        outputs = torch.ops.semore_fast.interaction(*plain, 0.25, *masks)
    given = (*plain, 0.25, *masks, *outputs, torch.randn_like(plain[0]), torch.randn_like(plain[1]))
    tests = ("test_schema", "test_faketensor")
    torch.library.opcheck(torch.ops.semore_fast.interaction_backward.default, given, test_utils=tests)


@pytest.mark.parametrize(
    "backend", ["aot_eager", pytest.param("inductor", marks=[pytest.mark.slow, pytest.mark.timeout(900)])]
)
def test_inside_a_compiled_graph(backend: str, device: torch.device) -> None:
    def loss(*tensors: Tensor) -> Tensor:
        out_n, out_m = interaction(*(x * 2 for x in tensors))
        return out_n.square().sum() + out_m.sum()

    tensors = [x.to(device).requires_grad_() for x in draw(1, 20, 16, m=30, dtype=torch.float32)]
    compiled = torch.compile(loss, fullgraph=True, backend=backend)
    results = [(value, *torch.autograd.grad(value, tensors)) for value in (loss(*tensors), compiled(*tensors))]
    for eager, graph in zip(*results, strict=True):
        assert torch.allclose(eager, graph, rtol=1e-6, atol=1e-6)


def test_no_second_derivative(device: torch.device) -> None:
    tensors = [x.to(device).requires_grad_() for x in draw(1, 5, 16, m=6, dtype=torch.float32)]
    out_n, _ = interaction(*tensors)
    (gradient,) = torch.autograd.grad(out_n.square().sum(), tensors[:1], create_graph=True)
    with pytest.raises(NotImplementedError, match="interaction has no second derivative"):
        gradient.sum().backward()


def test_memory_is_poisoned_in_these_tests(poisoned_empty: PoisonedMemory, device: torch.device) -> None:
    interaction(*(x.to(device) for x in draw(1, 5, 16, m=600, dtype=torch.bfloat16)))
    given = [buffer.tensor for buffer in poisoned_empty.given]
    assert len(given) == 4 + 3
    assert not any(x.isnan().any() for x in given[:4])


# what it cannot take

GOOD = {"q": (2, 5, 8), "k": (2, 6, 8), "v_motion": (2, 6, 8), "v_semantic": (2, 5, 8)}


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"q": torch.zeros(5, 8)},
            ValueError,
            r"q must be \[B, N, D\] or \[B, H, N, D\] and not be empty, is \[5, 8\]",
        ),
        ({"q": torch.zeros(2, 0, 8)}, ValueError, "q must be .* not be empty"),
        ({"q": torch.zeros(())}, ValueError, "q must be"),
        ({"k": torch.zeros(3, 6, 8)}, ValueError, "k must differ from q .* in the last axis but one at most"),
        ({"k": torch.zeros(2, 6, 9)}, ValueError, "k must differ from q"),
        ({"k": torch.zeros(2, 1, 6, 8)}, ValueError, "k must differ from q"),
        ({"v_motion": torch.zeros(2, 5, 8)}, ValueError, r"v_motion must have shape \[2, 6, 8\], has \[2, 5, 8\]"),
        ({"v_semantic": torch.zeros(2, 5, 4)}, ValueError, "v_semantic must have shape"),
        ({"v_semantic": torch.zeros(2, 5, 16)[..., ::2]}, ValueError, "v_semantic must have its channels together"),
        (
            {"q": torch.zeros(2, 5, 8).double()},
            TypeError,
            "q must be float32, bfloat16 or float16 .*, is torch.float64",
        ),
        ({"k": torch.zeros(2, 6, 8).half()}, TypeError, "k must be .* of q's dtype torch.float32, is torch.float16"),
        ({"k": torch.zeros(2, 6, 8, device="meta")}, TypeError, "k must be on q's device cpu, is on meta"),
        ({"n_mask": torch.ones(2, 5)}, TypeError, "n_mask must be torch.bool, is torch.float32"),
        ({"n_mask": torch.ones(2, 6, dtype=torch.bool)}, ValueError, r"n_mask must have shape \[2, 5\], has \[2, 6\]"),
        ({"m_mask": torch.ones(2, 5, dtype=torch.bool)}, ValueError, r"m_mask must have shape \[2, 6\]"),
        ({"m_mask": torch.ones(2, 6, dtype=torch.bool, device="meta")}, TypeError, "m_mask must be on q's device"),
        ({"scale": 0.0}, ValueError, "scale must be above 0 and finite, is 0.0"),
        ({"scale": float("nan")}, ValueError, "scale must be above 0 and finite, is nan"),
    ],
)
def test_what_it_cannot_take_is_named(changes: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        interaction(**({name: torch.zeros(shape) for name, shape in GOOD.items()} | changes))


def test_too_many_channels() -> None:
    wide = [torch.zeros(1, 2, 257) for _ in range(4)]
    with pytest.raises(ValueError, match="q must have at most 256 channels, has 257"):
        interaction(*wide)
