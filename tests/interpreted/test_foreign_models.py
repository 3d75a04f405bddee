"""Models of other people give what they gave, and the gradients they had, when their attention is fused.

The yardstick is the module as its authors ship it, in float64; the allowance what it errs by itself in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial

import pytest
import torch
from checks import assert_as_exact
from torch import Tensor, nn

grounding_dino = pytest.importorskip("transformers.models.grounding_dino.modeling_grounding_dino")
bidirectional = pytest.importorskip("bidirectional_cross_attention")

from fused_bidirectional_cross_attention import FusedBidirectionalCrossAttention  # noqa: E402
from fused_bidirectional_cross_attention import fuse as fuse_bidirectional  # noqa: E402
from fused_grounding_dino import FusedBiAttention  # noqa: E402
from fused_grounding_dino import fuse as fuse_dino  # noqa: E402
from transformers import (  # noqa: E402
    BertConfig,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    SwinConfig,
)

BATCH, N, M, HEADS = 2, 13, 29, 4
WIDTH = 20
"""Channels of both sides' features; heads have other sizes, no power of two among them."""

VOCABULARY = 1100

Sides = tuple[Tensor, Tensor]
Masks = tuple[Tensor | None, Tensor | None]
Run = Callable[[nn.Module, Tensor, Tensor], Sides]


def features(device: torch.device, context_width: int = WIDTH) -> Sides:
    torch.manual_seed(1)
    return tuple(torch.randn(BATCH, n, width).to(device) for n, width in ((N, WIDTH), (M, context_width)))


def taking_part(device: torch.device) -> Sides:
    """The second sample is whole, the first padded on both sides, and not only at the end."""
    kept = torch.ones(BATCH, N, dtype=torch.bool), torch.ones(BATCH, M, dtype=torch.bool)
    for side in kept:
        side[0, -5:] = side[0, ::3] = False
    return kept[0].to(device), kept[1].to(device)


def with_random_weights(make: Callable[[], nn.Module]) -> nn.Module:
    """Random everywhere: biases and scales start at 0, 1 or 1e-4, which would hide one that is lost."""
    torch.manual_seed(0)
    module = make()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return module


def outcome(module: nn.Module, sides: Sides, run: Run, dtype: torch.dtype) -> list[tuple[Tensor, ...]]:
    """Both results, and the gradients of inputs and parameters under random upstream gradients."""
    module = deepcopy(module).to(dtype)
    inputs = [side.to(dtype).clone().requires_grad_() for side in sides]
    results = run(module, *inputs)
    torch.manual_seed(2)
    upstream = [torch.randn(x.shape).to(x) for x in results]
    return [results, torch.autograd.grad(results, [*inputs, *module.parameters()], upstream)]


def assert_same(shipped: nn.Module, fused: nn.Module, sides: Sides, run: Run) -> None:
    mine, theirs = (outcome(module, sides, run, torch.float32) for module in (fused, shipped))
    exact = outcome(shipped, sides, run, torch.float64)
    for name, *three in zip(("results", "gradients"), mine, theirs, exact, strict=True):
        unit = [x.square().mean().sqrt() for x in three[-1]]
        assert all(unit)
        assert_as_exact(*(_pooled(tensors, unit) for tensors in three), name=name)


def _pooled(tensors: Sequence[Tensor], unit: Sequence[Tensor]) -> Tensor:
    """All of them, each in units of its own size. The largest of a bias's few errors alone is a matter of luck."""
    return torch.cat([(x / size.to(x)).flatten() for x, size in zip(tensors, unit, strict=True)])


# transformers' GroundingDINO


def dino_config(**changes: object) -> GroundingDinoConfig:
    """4 heads of 24 channels."""
    sizes = {"d_model": WIDTH, "encoder_ffn_dim": 2 * HEADS * 24, "encoder_attention_heads": 2 * HEADS}
    return GroundingDinoConfig(**(sizes | {"fusion_droppath": 0.0} | changes))


def dino_attention(**changes: object) -> nn.Module:
    return grounding_dino.GroundingDinoBiMultiHeadAttention(dino_config(**changes))


def dino_run(masks: Masks) -> Run:
    """Padded positions are nobody's: their results are cut out, so no gradient comes from them."""
    padding = [None if mask is None else ~mask for mask in masks]

    def run(module: nn.Module, vision: Tensor, text: Tensor) -> Sides:
        results = module(vision, text, *padding)
        kept = (x if mask is None else x * mask[..., None] for (x, _), mask in zip(results, masks, strict=True))
        return tuple(kept)

    return run


@pytest.mark.parametrize("kind", ["GroundingDinoBiMultiHeadAttention", "GroundingDinoFusionLayer"])
@pytest.mark.parametrize("masked", ["neither", "vision", "text", "both"])
def test_grounding_dino(device: torch.device, kind: str, masked: str) -> None:
    shipped = with_random_weights(lambda: getattr(grounding_dino, kind)(dino_config())).to(device)
    fused = fuse_dino(deepcopy(shipped))
    assert any(isinstance(module, FusedBiAttention) for module in fused.modules())
    vision, text = taking_part(device)
    masks = vision if masked in ("vision", "both") else None, text if masked in ("text", "both") else None
    assert_same(shipped, fused, features(device), dino_run(masks))


def test_grounding_dino_s_padding_gets_no_attention(device: torch.device) -> None:
    fused = fuse_dino(with_random_weights(dino_attention)).to(device)
    masks = taking_part(device)
    (vision, _), (text, _) = fused(*features(device), *(~mask for mask in masks))
    for result, mask, layer in ((vision, masks[0], fused.out_vision_proj), (text, masks[1], fused.out_text_proj)):
        padded = result[~mask]
        assert len(padded)
        assert torch.equal(padded, layer.bias.expand_as(padded))


def test_grounding_dino_trains_without_dropout_only(device: torch.device) -> None:
    fused = fuse_dino(dino_attention(fusion_dropout=0.1)).to(device)
    with pytest.raises(NotImplementedError, match=r"fusion_dropout must be 0 .* is 0\.1"):
        fused.train()(*features(device))
    fused.eval()(*features(device))


def whole_model() -> nn.Module:
    """Two encoder layers, so that what the first makes of padding could reach the second; no backbone of any size."""
    tiny = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 16}
    stages = {"depths": [1] * 4, "num_heads": [1] * 4, "out_features": ["stage2", "stage3", "stage4"]}
    config = dino_config(
        **{"d_model": 32, "encoder_ffn_dim": 128, "encoder_attention_heads": 4, "encoder_layers": 2},
        **{"decoder_layers": 2, "decoder_attention_heads": 2, "decoder_ffn_dim": 16, "num_queries": 5},
        text_config=BertConfig(vocab_size=VOCABULARY, **tiny),
        backbone_config=SwinConfig(image_size=64, embed_dim=8, window_size=2, **stages),
    )
    return GroundingDinoForObjectDetection(config).eval()


def two_pictures_with_captions(device: torch.device) -> dict[str, Tensor]:
    """Of the first, a part and two words are padding. 101, 102 and 1012 begin, end and part a caption's phrases."""
    torch.manual_seed(1)
    seen, words = torch.ones(2, 128, 128, dtype=torch.long), torch.randint(1020, VOCABULARY, (2, 9))
    seen[0, :, 90:] = seen[0, 100:] = 0
    words[:, 0], words[0, 5:], words[1, 7:] = 101, torch.tensor([1012, 102, 0, 0]), torch.tensor([1012, 102])
    picture = torch.randn(2, 3, 128, 128)
    given = {"pixel_values": picture, "pixel_mask": seen, "input_ids": words, "attention_mask": (words != 0).long()}
    return {name: value.to(device) for name, value in given.items()}


def test_grounding_dino_from_picture_to_boxes(device: torch.device) -> None:
    """What differs at padding reaches neither logits nor boxes."""
    shipped, given = with_random_weights(whole_model).to(device), two_pictures_with_captions(device)
    fused = fuse_dino(deepcopy(shipped))
    exact = deepcopy(shipped).double()
    with torch.no_grad():
        mine, theirs = (model(**given) for model in (fused, shipped))
        wanted = exact(**(given | {"pixel_values": given["pixel_values"].double()}))
    for name in ("logits", "pred_boxes"):
        exactly = wanted[name].double()  # the model hands its logits out in float32 whatever it computes in
        there = exactly.isfinite()  # logits of words that are not there are -inf
        assert there.any()
        assert torch.equal(mine[name].isfinite(), there)
        assert_as_exact(mine[name][there], theirs[name][there], exactly[there], name=name)


# bidirectional-cross-attention

CONTEXT_WIDTH = 12
SIZES = {"dim": WIDTH, "heads": HEADS, "dim_head": 24, "context_dim": CONTEXT_WIDTH}


def bidirectional_run(masks: Masks) -> Run:
    return lambda module, x, context: module(x, context, mask=masks[0], context_mask=masks[1])


@pytest.mark.parametrize("prenorm", [False, True])
@pytest.mark.parametrize("masked", ["neither", "x", "context", "both"])
def test_bidirectional_cross_attention(device: torch.device, prenorm: bool, masked: str) -> None:
    shipped = with_random_weights(partial(bidirectional.BidirectionalCrossAttention, **SIZES, prenorm=prenorm)).to(
        device
    )
    fused = fuse_bidirectional(deepcopy(shipped))
    assert isinstance(fused, FusedBidirectionalCrossAttention)
    x, context = taking_part(device)
    masks = x if masked in ("x", "both") else None, context if masked in ("context", "both") else None
    assert_same(shipped, fused, features(device, CONTEXT_WIDTH), bidirectional_run(masks))


@pytest.mark.parametrize("side", [0, 1])
def test_bidirectional_cross_attention_with_nothing_to_attend_to(device: torch.device, side: int) -> None:
    shipped = with_random_weights(partial(bidirectional.BidirectionalCrossAttention, **SIZES)).to(device)
    masks = taking_part(device)
    masks[side][1] = False
    fused = fuse_bidirectional(deepcopy(shipped))
    assert_same(shipped, fused, features(device, CONTEXT_WIDTH), bidirectional_run(masks))


def test_bidirectional_cross_attention_transformer(device: torch.device) -> None:
    make = partial(bidirectional.BidirectionalCrossAttentionTransformer, **SIZES, depth=2)
    shipped = with_random_weights(make).to(device)
    fused = fuse_bidirectional(deepcopy(shipped))
    assert sum(isinstance(module, FusedBidirectionalCrossAttention) for module in fused.modules()) == 2
    assert_same(shipped, fused, features(device, CONTEXT_WIDTH), bidirectional_run(taking_part(device)))


@pytest.mark.parametrize(
    ("options", "given", "message"),
    [
        ({"dropout": 0.1}, {}, "dropout must be 0 to train"),
        ({}, {"return_attn": True}, "return_attn must be False"),
        ({}, {"rel_pos_bias": torch.zeros(N, M)}, "rel_pos_bias must be None"),
    ],
)
def test_bidirectional_cross_attention_says_what_it_cannot(
    device: torch.device, options: dict[str, float], given: dict[str, object], message: str
) -> None:
    fused = fuse_bidirectional(bidirectional.BidirectionalCrossAttention(**SIZES, **options)).to(device)
    with pytest.raises(NotImplementedError, match=message):
        fused(*features(device, CONTEXT_WIDTH), **given)
    fused.eval()(*features(device, CONTEXT_WIDTH))


# both


def test_talking_heads_are_refused_and_nothing_is_changed() -> None:
    layers = nn.ModuleList(bidirectional.BidirectionalCrossAttention(**SIZES, talking_heads=t) for t in (False, True))
    with pytest.raises(ValueError, match="talking_heads must be False"):
        fuse_bidirectional(layers)
    assert not any(isinstance(layer, FusedBidirectionalCrossAttention) for layer in layers)


@pytest.mark.parametrize("fuse", [fuse_dino, fuse_bidirectional])
def test_a_model_without_such_attention_is_refused(fuse: Callable[[nn.Module], nn.Module]) -> None:
    with pytest.raises(ValueError, match=r"must contain a .*, Linear does not"):
        fuse(nn.Linear(1, 1))


def test_weights_keep_their_names_and_their_memory() -> None:
    for module, fuse in (
        (grounding_dino.GroundingDinoFusionLayer(dino_config()), fuse_dino),
        (bidirectional.BidirectionalCrossAttention(**SIZES), fuse_bidirectional),
    ):
        before = {name: value.data_ptr() for name, value in module.state_dict().items()}
        assert {name: value.data_ptr() for name, value in fuse(module).state_dict().items()} == before
