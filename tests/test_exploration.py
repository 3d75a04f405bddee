"""Bursts: how often, how long, one action alone, and the same after a checkpoint."""

import numpy as np
import pytest

from semore_fast.exploration import Bursts


def driven(bursts: Bursts, steps: int, envs: int) -> np.ndarray:
    """What becomes of a policy that always answers 2, which no burst can draw: [steps, N, A]."""
    rows = []
    for _ in range(steps):
        actions = np.full((envs, 2), 2.0, np.float32)
        bursts.disturb(actions)
        rows.append(actions)
    return np.stack(rows)


def test_one_action_is_held_for_as_long_as_a_burst_lasts():
    trace = driven(Bursts(3, 0.2, 4, np.random.default_rng(0)), 200, 3)
    held = trace != 2
    assert held.any(axis=(0, 1)).all()
    assert not held.all(axis=2).any()
    for env in range(3):
        rows = trace[:, env]
        changes = np.flatnonzero((rows[1:] != rows[:-1]).any(axis=1)) + 1
        pieces = [piece for piece in np.split(rows, changes)[1:-1] if (piece != 2).any()]
        assert len(pieces) > 10
        assert {len(piece) for piece in pieces} == {4}
        assert all(np.abs(piece[piece != 2]).max() <= 1 for piece in pieces)


def test_bursts_begin_with_their_probability():
    """A step is free or in a burst; of the free ones a share p begins a burst of 4: 4 p / (1 + 3 p) of all are held."""
    held = (driven(Bursts(50, 0.03, 4, np.random.default_rng(1)), 2000, 50) != 2).any(axis=2).mean()
    assert held == pytest.approx(4 * 0.03 / (1 + 3 * 0.03), rel=0.05)


def test_without_bursts_nothing_is_drawn():
    generator = np.random.default_rng(2)
    before = generator.bit_generator.state
    assert (driven(Bursts(2, 0.0, 4, generator), 20, 2) == 2).all()
    assert generator.bit_generator.state == before


def test_a_burst_goes_on_after_a_checkpoint():
    generator = np.random.default_rng(3)
    bursts = Bursts(4, 0.3, 5, generator)
    driven(bursts, 17, 4)
    other_generator = np.random.default_rng(9)
    other_generator.bit_generator.state = generator.bit_generator.state
    other = Bursts(4, 0.3, 5, other_generator)
    other.load_state_dict({name: value.copy() for name, value in bursts.state_dict().items()})
    assert np.array_equal(driven(bursts, 40, 4), driven(other, 40, 4))
