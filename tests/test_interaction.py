"""Semore's interaction between the streams (eqs 6-7) inside its representation."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from small import BATCH, build, changed, encoder_config, prepared, small_agent, small_batch, small_spec, windows
from torch import Tensor

from semore.config import SemoreConfig
from semore.networks import TRUNKS
from semore.ops import REFERENCE
from semore.representations import SemoreRepresentation


def attended(representation: SemoreRepresentation, semantic: Tensor, motion: Tensor, query_map: Tensor):
    """Equations 6-7 written once more, with einsum over map positions."""
    exchange, stride = representation.exchange, representation.exchange.query.stride
    assert stride == exchange.key.stride

    def reduce(conv, x):
        return F.conv2d(x, conv.weight, conv.bias, conv.stride)

    q, k = reduce(exchange.query, query_map), reduce(exchange.key, motion)
    vm, vs = reduce(exchange.value_motion, motion), reduce(exchange.value_semantic, semantic)
    scores = torch.einsum("bcij,bckl->bijkl", q, k) / q.shape[1] ** 0.5
    batch, h, w = len(q), *q.shape[2:]
    rows = scores.reshape(batch, h, w, -1).softmax(-1).view_as(scores)
    columns = scores.reshape(batch, h * w, h, w).softmax(1).view_as(scores)
    to_semantic = torch.einsum("bijkl,bckl->bcij", rows, vm)
    to_motion = torch.einsum("bijkl,bcij->bckl", columns, vs)
    out = []
    for gathered, linear in ((to_semantic, exchange.to_semantic), (to_motion, exchange.to_motion)):
        mixed = torch.einsum("oc,bcij->boij", linear.weight, gathered) + linear.bias[:, None, None]
        out.append(F.interpolate(mixed, semantic.shape[2:], mode="bilinear", align_corners=False))
    return semantic + out[0], motion + out[1]


def test_a_fresh_interaction_adds_nothing_and_its_first_gradient_opens_it():
    torch.manual_seed(1)
    fresh = SemoreRepresentation(encoder_config(), small_spec(), REFERENCE, SemoreConfig())
    maps = fresh.semantic_trunk(prepared(fresh).stack), fresh.motion_trunk(prepared(fresh).residual)
    added = fresh.exchange(*maps, maps[0])
    assert not added[0].any()
    assert not added[1].any()
    (added[0].sum() + added[1].sum()).backward()
    assert fresh.exchange.to_semantic.weight.grad.any()
    assert fresh.exchange.to_motion.weight.grad.any()


@pytest.mark.parametrize("stride", [0, 1, 2])
@pytest.mark.parametrize(("fraction", "steered"), [(0.0, 0), (0.3, 2), (0.5, 2), (0.75, 3), (1.0, BATCH)])
def test_interaction_equals_equations_6_and_7(stride, fraction, steered):
    """The knowledge map steers masked samples of the first share of the minibatch, the semantic map all others."""
    representation = build(SemoreConfig(attention_stride=stride, steered_fraction=fraction), image_size=52)
    batch = small_batch(representation.spec)
    inputs = prepared(representation, batch)
    semantic, motion = representation.semantic_trunk(inputs.stack), representation.motion_trunk(inputs.residual)
    knowledge = representation.semantic_trunk(inputs.masked)
    by_knowledge = batch.has_mask & (torch.arange(BATCH) < steered)
    query_map = torch.where(by_knowledge[:, None, None, None], knowledge, semantic)
    wanted = attended(representation, semantic, motion, query_map)
    for mine, theirs in zip(representation.encode(inputs).maps, wanted, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5)


def test_values_come_from_the_streams_only():
    """With a query that says nothing the weights are uniform, and the knowledge map leaves no trace."""
    representation, batch = build(), small_batch()
    torch.nn.init.zeros_(representation.exchange.query.weight)
    one = representation.encode(prepared(representation, batch))
    other = representation.encode(prepared(representation, changed(batch, 0)))
    assert not torch.equal(one.extras["knowledge"], other.extras["knowledge"])
    assert torch.equal(one.feature, other.feature)


def recording_ops(seen: list[tuple[int, ...]]):
    def interaction(*tensors: Tensor) -> tuple[Tensor, Tensor]:
        seen.extend(tuple(t.shape) for t in tensors)
        return REFERENCE.interaction(*tensors)

    return replace(REFERENCE, interaction=interaction)


@pytest.mark.parametrize(("trunk", "positions"), [("sacae", 28 * 28), ("dmr", 6 * 6)])
def test_attention_reduces_large_maps_and_leaves_small_ones(trunk, positions):
    seen: list[tuple[int, ...]] = []
    encoder = replace(encoder_config(), trunk=TRUNKS[trunk])
    spec = small_spec(image_size=128)
    representation = SemoreRepresentation(encoder, spec, recording_ops(seen), SemoreConfig())
    with torch.no_grad():
        representation.encode(prepared(representation, small_batch(spec, size=1)))
    assert seen == [(1, positions, 32)] * 4


def test_attention_picture_is_the_strength_of_what_is_added():
    agent = small_agent("semore")
    representation, frames = agent.representation, windows(small_batch())
    inputs = prepared(representation, guided=False)
    added = representation.encode(inputs).maps[0] - representation.semantic_trunk(inputs.stack)
    assert torch.allclose(agent.attention(frames), added.norm(dim=1), atol=1e-5)
    assert small_agent("sac").attention(frames) is None
    assert small_agent("semore-m3").attention(frames) is None
