"""How the interaction's work is divided: everything once, within scratch, and enough of it for a large GPU."""

from __future__ import annotations

import itertools

import pytest
import torch

from semore_fast.kernels.interaction_plan import MAX_D, MAX_SCRATCH_BYTES, MIN_M_PER_SPLIT, Plan, plan

SIZES = [(n, m) for n, m in itertools.product((1, 16, 36, 196, 256, 784, 3249, 20000), repeat=2) if n <= m]
EVERY = list(
    itertools.product((1, 4, 100, 1000), SIZES, (1, 24, 32, 64, 128, MAX_D), (torch.float32, torch.bfloat16), (0, 1))
)


def plans() -> list[tuple[int, int, int, int, bool, Plan]]:
    return [
        (bh, n, m, d, bool(back), plan(bh, n, m, d, dtype, backward=bool(back), wgmma=wgmma))
        for (bh, (n, m), d, dtype, back), wgmma in itertools.product(EVERY, (False, True))
    ]


def test_programs_cover_every_group_once() -> None:
    for _, _, m, _, _, chosen in plans():
        assert (chosen.groups - 1) * chosen.block_m < m <= chosen.groups * chosen.block_m
        assert (chosen.splits - 1) * chosen.groups_per_program < chosen.groups
        assert chosen.groups <= chosen.splits * chosen.groups_per_program


def test_tiles_are_powers_of_two_that_tensor_cores_take() -> None:
    for _, _, _, d, _, chosen in plans():
        for block in (chosen.block_n, chosen.block_m, chosen.block_d, chosen.stabilised_block_n):
            assert block >= 16
            assert block & (block - 1) == 0
        assert chosen.block_d >= d
        assert chosen.block_d < 2 * max(d, 16)


def test_splits_stay_within_scratch_and_are_worth_their_sum() -> None:
    for bh, n, m, d, backward, chosen in plans():
        if chosen.splits > 1:
            assert bh * chosen.splits * n * d * 4 * (1 + backward) <= MAX_SCRATCH_BYTES
            assert m >= chosen.splits * MIN_M_PER_SPLIT


@pytest.mark.parametrize(
    ("batch_heads", "n", "m", "groups", "splits"),
    [
        (128, 36, 36, 1, 1),
        (128, 196, 196, 2, 1),
        (128, 784, 784, 7, 1),
        (16, 256, 13294, 104, 8),
        (4, 3249, 3249, 26, 9),
        (1, 64, 64, 1, 1),
    ],
)
def test_the_trainer_s_and_a_detector_s_shapes(batch_heads: int, n: int, m: int, groups: int, splits: int) -> None:
    """One launch and no scratch where a group holds all; one launch where there are samples enough to fill a GPU."""
    chosen = plan(batch_heads, n, m, 32, torch.bfloat16, backward=False, wgmma=True)
    assert (chosen.groups, chosen.splits) == (groups, splits)
