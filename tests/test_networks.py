"""Trunks, heads, actor and critic."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Normal, TanhTransform, TransformedDistribution

from semore.critic import TwinCritic
from semore.networks import (
    TRUNKS,
    Actor,
    Head,
    Heads,
    Predictor,
    Trunk,
    gaussian_tanh_log_prob,
    map_side,
    mlp,
    orthogonal,
)

# trunks and heads


@pytest.mark.parametrize(
    ("name", "image", "channels", "side"), [("sacae", 128, 32, 57), ("dmr", 128, 256, 6), ("sacae-small", 64, 32, 11)]
)
def test_named_trunks_give_the_published_maps(name, image, channels, side):
    assert map_side(TRUNKS[name], image) == side
    assert Trunk(TRUNKS[name], 9)(torch.zeros(1, 9, image, image)).shape == (1, channels, side, side)


@pytest.mark.parametrize("name", TRUNKS)
def test_a_fresh_trunk_keeps_the_size_of_its_input_and_its_channels_alive(name):
    """He et al. 2015: with gain sqrt(2) and zero biases a layer's output has its input's mean square. PyTorch's own
    start leaves less than a hundredth of it."""
    torch.manual_seed(0)
    picture = torch.randn(8, 9, 84, 84)
    maps = Trunk(TRUNKS[name], 9)(picture)
    assert 0.5 < maps.square().mean() / picture.square().mean() < 2
    assert (maps.std((0, 2, 3)) > 0.05).float().mean() > 0.8


@pytest.mark.parametrize("name", TRUNKS)
@pytest.mark.parametrize("image", [48, 61, 84])
def test_map_side_is_the_side_of_the_map(name, image):
    out = Trunk(TRUNKS[name], 6)(torch.rand(1, 6, image, image))
    assert out.shape[2:] == (map_side(TRUNKS[name], image),) * 2
    assert (out >= 0).all()


def test_a_picture_too_small_is_named():
    with pytest.raises(ValueError, match=r"image size 20 is too small.*--env.image-size"):
        map_side(TRUNKS["dmr"], 20)


def test_head_normalises_in_float32():
    head = Head(channels=4, side=3, feature_dim=16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        feature = head(torch.randn(5, 4, 3, 3))
    assert feature.dtype == torch.float32
    assert torch.allclose(feature.mean(1), torch.zeros(5), atol=1e-5)
    assert torch.allclose(feature.var(1, unbiased=False), torch.ones(5), atol=1e-2)


def test_heads_put_features_side_by_side():
    heads = Heads(channels=4, side=3, feature_dim=5, maps=2)
    maps = (torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3))
    features = heads(maps)
    assert torch.equal(features[:, :5], heads.heads[0](maps[0]))
    assert torch.equal(features[:, 5:], heads.heads[1](maps[1]))


def test_predictor_is_linear_norm_relu_linear():
    layers = list(Predictor(52, 50))
    assert [type(layer) for layer in layers] == [nn.Linear, nn.LayerNorm, nn.ReLU, nn.Linear]
    assert [layers[0].in_features, layers[0].out_features, layers[3].out_features] == [52, 512, 50]


# initialisation


@pytest.mark.parametrize("sizes", [(6, 40), (40, 6)])
def test_linear_layers_start_orthogonal(sizes):
    layer = orthogonal(nn.Linear(*sizes))
    small = layer.weight if sizes[1] < sizes[0] else layer.weight.t()
    assert torch.allclose(small @ small.t(), torch.eye(6), atol=1e-5)
    assert layer.bias.eq(0).all()


def test_every_linear_of_actor_and_critic_starts_orthogonal():
    policy, critic = mlp(10, 32, 2, 4, layer_norm=False), TwinCritic(10, 32, 2, layer_norm=False)
    weights = [layer.weight for layer in policy if isinstance(layer, nn.Linear)]
    weights += [twin for layer in critic.layers if hasattr(layer, "weight") for twin in layer.weight.mT]
    assert len(weights) == 3 + 6
    for weight in weights:
        gram = weight @ weight.t() if weight.shape[0] <= weight.shape[1] else weight.t() @ weight
        assert torch.allclose(gram, torch.eye(len(gram)), atol=1e-5)


def test_twins_start_apart():
    critic = TwinCritic(5, 8, 1, layer_norm=False)
    q = critic(torch.randn(4, 3), torch.randn(4, 2))
    assert (q[0] - q[1]).abs().min() > 1e-3


# critic


def separate_q(critic: TwinCritic, twin: int, layer_norm: bool) -> nn.Sequential:
    """One of the twins as an ordinary multilayer perceptron with copied weights."""
    source = [layer for layer in critic.layers if hasattr(layer, "weight")]
    out_features = [layer.weight.shape[-1] for layer in source]
    single = mlp(source[0].weight.shape[1], out_features[0], 2, 1, layer_norm)
    copies = [layer for layer in single if not isinstance(layer, nn.ReLU)]
    for mine, theirs in zip(copies, source, strict=True):
        weight = theirs.weight[twin].detach()
        mine.weight.data = weight.t().contiguous() if isinstance(mine, nn.Linear) else weight[0].clone()
        mine.bias.data = theirs.bias[twin, 0].detach().clone()
    return single


@pytest.mark.parametrize("layer_norm", [False, True])
def test_twin_critic_equals_two_separate_networks(layer_norm):
    critic = TwinCritic(7, 16, 2, layer_norm)
    for parameter in critic.parameters():
        nn.init.normal_(parameter, std=0.4)  # biases and norms too, or a swap would go unseen
    feature, action = torch.randn(6, 5), torch.randn(6, 2)
    q = critic(feature, action)
    assert q.shape == (2, 6)
    q.square().sum().backward()
    for twin in range(2):
        single = separate_q(critic, twin, layer_norm)
        alone = single(torch.cat((feature, action), 1)).squeeze(1)
        assert torch.allclose(q[twin], alone, atol=1e-5)
        alone.square().sum().backward()
        assert torch.allclose(critic.layers[0].weight.grad[twin].t(), single[0].weight.grad, atol=1e-4)


# policy


def make_actor(mean: float, raw: float, bounds: tuple[float, float] = (-10.0, 2.0), actions: int = 2) -> Actor:
    """An actor whose policy ignores the picture."""
    policy = mlp(4, 8, 1, 2 * actions, layer_norm=False)
    nn.init.zeros_(policy[-1].weight)
    policy[-1].bias.data = torch.tensor([mean] * actions + [raw] * actions)
    return Actor(Heads(channels=3, side=2, feature_dim=4, maps=1), policy, bounds)


def sample(actor: Actor, noise: torch.Tensor):
    return actor((torch.randn(len(noise), 3, 2, 2),), noise)


@pytest.mark.parametrize("mean", [0.0, 0.7, -2.0])
@pytest.mark.parametrize("log_std", [-2.0, 0.0, 1.0])
def test_log_prob_equals_torch_distributions(mean, log_std):
    noise = torch.randn(64, 2, dtype=torch.float64)
    log_stds = torch.full_like(noise, log_std)
    pre_tanh = mean + noise * log_stds.exp()
    base = Normal(torch.full_like(noise, mean), log_stds.exp())
    # The cache keeps the value before tanh, so that torch does not lose it in atanh.
    squashed = TransformedDistribution(base, [TanhTransform(cache_size=1)])
    wanted = squashed.log_prob(squashed.transforms[0](pre_tanh)).sum(1)
    assert torch.allclose(gaussian_tanh_log_prob(noise, log_stds, pre_tanh), wanted, atol=1e-9)


@pytest.mark.parametrize("pre_tanh", [-50.0, -20.0, 20.0, 50.0])
def test_log_prob_holds_in_the_far_tails(pre_tanh):
    """1 - tanh(u)^2 = 4 exp(-2|u|) there; the direct float32 formula would give log 0."""
    noise, log_std = torch.tensor([[0.5]]), torch.tensor([[0.3]])
    u = torch.tensor([[pre_tanh]], requires_grad=True)
    log_prob = gaussian_tanh_log_prob(noise, log_std, u)
    wanted = -0.5 * (0.25 + math.log(2 * math.pi)) - 0.3 - (math.log(4) - 2 * abs(pre_tanh))
    assert log_prob.item() == pytest.approx(wanted, rel=1e-6)
    log_prob.sum().backward()
    assert u.grad.item() == pytest.approx(math.copysign(2, pre_tanh), rel=1e-5)


def test_density_integrates_to_one():
    grid = torch.linspace(-0.99999, 0.99999, 200001, dtype=torch.float64)[:, None]
    log_std, mean = torch.full_like(grid, -0.5), 0.4
    pre_tanh = torch.atanh(grid)
    density = gaussian_tanh_log_prob((pre_tanh - mean) / log_std.exp(), log_std, pre_tanh).exp()
    assert torch.trapezoid(density, grid[:, 0]).item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(("raw", "log_std"), [(-50.0, -10.0), (0.0, -4.0), (50.0, 2.0)])
def test_log_std_is_squashed_into_its_bounds(raw, log_std):
    noise = torch.ones(1, 2)
    got = sample(make_actor(0.0, raw), noise)
    wanted = gaussian_tanh_log_prob(noise, torch.full((1, 2), log_std), torch.full((1, 2), math.exp(log_std)))
    assert torch.allclose(got.log_prob, wanted, rtol=1e-5)


def test_without_noise_the_sample_is_the_mean():
    got = sample(make_actor(0.7, 0.0), torch.zeros(3, 2))
    assert torch.allclose(got.action, torch.full((3, 2), math.tanh(0.7)))
    assert torch.equal(got.action, got.mean)


def test_actions_stay_in_their_range_and_follow_the_noise():
    noise = torch.randn(256, 2) * 3
    got = sample(make_actor(0.2, 0.5), noise)
    assert got.action.abs().max() <= 1
    assert (noise.argsort(0) == got.action.argsort(0)).float().mean() > 0.9  # monotonous but for ties at the ends
    assert torch.allclose(got.mean, torch.full_like(got.mean, math.tanh(0.2)))
