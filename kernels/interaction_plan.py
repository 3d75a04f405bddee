"""Which tiles, warps and splits the interaction's kernels use for a shape: tables and arithmetic, nothing measured.

The M side here is the one whose groups a program owns; the caller makes it the longer of the two.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

MAX_D = 256
PROGRAMS_WANTED = 128
"""About one for each multiprocessor of a large GPU (an H100 has 132). Not asked of the device: results shall not
depend on which one it is."""
MIN_M_PER_SPLIT = 256
"""Fewer positions per split, and adding up the splits costs as much as sharing the scores saves."""
MAX_SCRATCH_BYTES = 256 * 2**20
MERGE_BLOCK = 2048
"""Elements at a time where splits are added up; at least 16 positions."""

# By dtype size and padded D: (block_n, block_m, warps, stages). Checked ahead of time to spill no register, but for the
# last row of each dtype: 256 channels need more registers than there are.
_FORWARD = {
    (2, 32): (32, 64, 8, 1),
    (2, 64): (32, 64, 8, 1),
    (2, 128): (16, 32, 8, 1),
    (2, 256): (16, 16, 8, 1),
    (4, 32): (32, 64, 4, 1),
    (4, 64): (32, 32, 8, 1),
    (4, 128): (16, 16, 8, 1),
    (4, 256): (16, 16, 8, 1),
}
_BACKWARD = {
    (2, 32): (32, 32, 8, 1),
    (2, 64): (32, 32, 8, 1),
    (2, 128): (16, 32, 8, 1),
    (2, 256): (16, 16, 8, 1),
    (4, 32): (16, 32, 8, 1),
    (4, 64): (16, 16, 4, 1),
    (4, 128): (16, 16, 16, 1),
    (4, 256): (16, 16, 8, 1),
}
# Where tensor cores read from shared memory, more registers are left, and larger tiles fit. Not for a D that is padded.
_WGMMA_FORWARD = {(2, 32): (64, 128, 8, 2), (2, 64): (64, 64, 8, 2)}
_WGMMA_BACKWARD = {(2, 32): (64, 128, 8, 1), (2, 64): (32, 64, 8, 1)}


@dataclass(frozen=True)
class Plan:
    """How one kernel is run."""

    block_n: int
    block_m: int
    block_d: int
    stabilised_block_n: int
    """For the backward kernel where each score takes two exponentials."""
    groups: int
    """Of M positions, block_m each."""
    splits: int
    """Programs that share a (batch, head)."""
    groups_per_program: int
    warps: int
    stages: int

    @property
    def merge_block_n(self) -> int:
        """Positions at a time where splits are added up."""
        return max(16, MERGE_BLOCK // self.block_d)


def plan(batch_heads: int, n: int, m: int, d: int, dtype: torch.dtype, *, backward: bool, wgmma: bool) -> Plan:
    """Chooses tiles that fit registers and shared memory, and splits that fill a GPU.

    Args:
        batch_heads: batch size times heads.
        n: positions of the side that is gone through.
        m: positions of the side that is owned, in groups.
        d: channels of a position, 1 to 256.
        dtype: float32, bfloat16 or float16.
        backward: for the backward kernel, else for the forward.
        wgmma: whether the GPU's tensor cores read from shared memory.
    """
    block_d = max(16, power_of_two(d))
    table, larger = (_BACKWARD, _WGMMA_BACKWARD) if backward else (_FORWARD, _WGMMA_FORWARD)
    if wgmma and d == block_d:
        table = table | larger
    block_n, block_m, warps, stages = table[dtype.itemsize, max(32, block_d)]
    block_n, block_m = (max(16, min(block, power_of_two(size))) for block, size in ((block_n, n), (block_m, m)))
    groups = -(-m // block_m)
    per_program = -(-groups // _splits(batch_heads, n, m, d, backward))
    splits = -(-groups // per_program)
    return Plan(block_n, block_m, block_d, max(16, block_n // 2), groups, splits, per_program, warps, stages)


def _splits(batch_heads: int, n: int, m: int, d: int, backward: bool) -> int:
    carry_bytes = batch_heads * n * d * 4 * (2 if backward else 1)
    return max(1, min(PROGRAMS_WANTED // batch_heads, m // MIN_M_PER_SPLIT, MAX_SCRATCH_BYTES // carry_bytes))


def power_of_two(size: int) -> int:
    """The next one at or above `size`."""
    return 1 << (size - 1).bit_length()
