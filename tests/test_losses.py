"""The auxiliary losses against their formulas."""

import pytest
import torch

from semore.losses import mean_where, reward_loss, similarity_distance, ssim_window, standardise, transition_loss
from semore.ops import ssim_distance


@pytest.mark.parametrize(("side", "window"), [(57, 7), (16, 7), (15, 3), (6, 3), (3, 3), (2, 2), (1, 1)])
def test_window_fits_the_map(side, window):
    assert ssim_window(side) == window


def test_ssim_similarity_uses_the_given_operation_and_window():
    seen = []

    def spy(x, y, window):
        seen.append((x, y, window))
        return ssim_distance(x, y, window)

    semantic, knowledge = torch.rand(2, 3, 6, 6), torch.rand(2, 3, 6, 6)
    distance = similarity_distance("ssim", spy, semantic, knowledge)
    assert seen[0][0] is semantic
    assert seen[0][1] is knowledge
    assert seen[0][2] == 3
    assert torch.equal(distance, ssim_distance(semantic, knowledge, 3))


def test_cosine_similarity():
    x, y = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    wanted = torch.stack([1 - (a * b).sum() / (a.norm() * b.norm()) for a, b in zip(x, y, strict=True)])
    assert torch.allclose(similarity_distance("cosine", ssim_distance, x, y), wanted, atol=1e-6)
    assert torch.allclose(similarity_distance("cosine", ssim_distance, x, 7 * x), torch.zeros(2), atol=1e-6)


def test_mse_similarity():
    x, y = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    wanted = torch.stack([((a - b) ** 2).mean() for a, b in zip(x, y, strict=True)])
    assert torch.allclose(similarity_distance("mse", ssim_distance, x, y), wanted)


def test_standardised_maps_have_zero_mean_and_unit_variance_over_the_present():
    maps, present = 5 + 3 * torch.randn(6, 4, 5, 7), torch.tensor([True, False, True, True, False, True])
    out = standardise(maps, present)[present]
    assert torch.allclose(out.mean((0, 2, 3)), torch.zeros(4), atol=1e-5)
    assert torch.allclose(out.square().mean((0, 2, 3)), torch.ones(4), atol=1e-4)
    kept = maps[present]
    wanted = torch.nn.functional.batch_norm(kept, None, None, training=True)
    assert torch.allclose(out, wanted, atol=1e-5)


def test_standardised_similarity_gains_nothing_from_smaller_features():
    """Scale and offset of a channel drop out, so the gradient has no part along either."""
    semantic = torch.randn(4, 3, 8, 8, requires_grad=True)
    knowledge, present = torch.randn(4, 3, 8, 8), torch.ones(4, dtype=torch.bool)

    def loss(x):
        return similarity_distance("ssim", ssim_distance, standardise(x, present), standardise(knowledge, present))

    (gradient,) = torch.autograd.grad(loss(semantic).sum(), semantic)
    size = gradient.abs().mean()
    assert size > 0
    assert gradient.sum((0, 2, 3)).abs().max() < 1e-3 * size * gradient[:, 0].numel()
    assert (gradient * semantic).sum((0, 2, 3)).abs().max() < 1e-3 * size * gradient[:, 0].numel()


def test_standardising_a_flat_or_an_absent_map_is_finite():
    flat = torch.full((2, 3, 4, 4), 7.0)
    assert torch.equal(standardise(flat, torch.tensor([True, True])), torch.zeros(2, 3, 4, 4))
    assert standardise(torch.randn(2, 3, 4, 4), torch.tensor([False, False])).isfinite().all()


def test_mean_where_counts_only_what_is_present():
    values = torch.tensor([1.0, 10.0, 3.0, 100.0], requires_grad=True)
    mean = mean_where(values, torch.tensor([True, False, True, False]))
    assert mean.item() == 2
    mean.backward()
    assert values.grad.tolist() == [0.5, 0, 0.5, 0]
    assert mean_where(values, torch.zeros(4, dtype=torch.bool)).item() == 0


def test_transition_loss_is_half_the_mean_square_to_a_stopped_target():
    predicted = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    following = torch.tensor([[0.0, 2.0], [1.0, 1.0]], requires_grad=True)
    loss = transition_loss(predicted, following)
    assert loss.item() == pytest.approx(0.5 * (1 + 0 + 4 + 9) / 4)
    loss.backward()
    assert following.grad is None
    assert predicted.grad.tolist() == [[0.25, 0], [0.5, 0.75]]


def test_reward_loss_pairs_samples():
    predicted, reward = torch.tensor([[1.0], [5.0]]), torch.tensor([0.0, 3.0])
    assert reward_loss(predicted, reward).item() == pytest.approx((1 + 4) / 2)
