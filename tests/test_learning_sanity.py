"""A learner must learn: a bandit whose best action can only be seen."""

import pytest
import torch
from small import small_agent, small_spec, stored
from torch import Tensor

from semore.batch import TensorBatch

SPEC = small_spec(image_size=24)
BEST = torch.tensor([[0.6, -0.4], [-0.5, 0.5]])
"""The best action where the bright bar lies on the left, and on the right."""


def scenes(side: Tensor) -> Tensor:
    """uint8 [B, 4, 3, 24, 24]: a dark picture with a bright bar that falls one row a frame."""
    frames = torch.full((len(side), 4, 3, 24, 24), 40, dtype=torch.uint8)
    for t in range(4):
        frames[side == 0, t, :, 4 + t : 14 + t, 2:10] = 220
        frames[side == 1, t, :, 4 + t : 14 + t, 14:22] = 220
    return frames


def bandit_batch(generator: torch.Generator, size: int = 16) -> TensorBatch:
    """Uniform actions, reward 1 - squared distance from the best, nothing after it."""
    side = torch.randint(0, 2, (size,), generator=generator)
    action = torch.rand(size, 2, generator=generator) * 2 - 1
    reward = 1 - (action - BEST[side]).square().sum(1)
    frames = scenes(side)
    store, slots = stored(frames, (frames[:, 2, 0] > 100).to(torch.uint8) * 255, SPEC.stack)
    return TensorBatch(
        store=store,
        slots=slots,
        has_mask=torch.rand(size, generator=generator) < 0.5,
        action=action,
        reward=reward,
        nstep_return=reward,
        bootstrap_discount=torch.zeros(size),
    )


@pytest.mark.parametrize("name", ["sac", "semore"])
def test_the_action_moves_to_the_optimum(name):
    agent = small_agent(
        name, SPEC, hidden_dim=64, learning_rate=2e-3, initial_temperature=0.003, fixed_temperature=True
    )
    generator, both = torch.Generator().manual_seed(0), scenes(torch.tensor([0, 1]))[:, :3]
    before = (agent.act(both, None) - BEST).abs().max().item()
    for _ in range(250):
        batch = bandit_batch(generator)
        metrics = agent.update(batch, agent.draw(16, generator), True, True)
    after = (agent.act(both, None) - BEST).abs().max().item()
    assert before > 0.4
    assert after < 0.25  # the best blind action is off by 0.55
    assert metrics["loss/critic"].item() < 0.1
