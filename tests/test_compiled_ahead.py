"""Every kernel configuration that is shipped compiles for sm_80 and sm_90 and fits.

Registers are spilled by the interaction at 256 channels alone: it works there, slowly.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
from compile_ahead import REGISTERS_PER_SM, SHARED_LIMIT_BYTES, Compiled, compile_ahead

KERNELS = Path(__file__).resolve().parent.parent / "kernels"
MODULES = sorted(path.stem for path in KERNELS.glob("*.py") if "\nSHIPPED" in path.read_text())

pytestmark = [
    pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed (Linux only)"),
    pytest.mark.timeout(1200),
]


@cache
def compiled(module: str, arch: int) -> list[Compiled]:
    return compile_ahead([module], arch)


def test_there_are_kernels() -> None:
    assert MODULES


@pytest.mark.parametrize("arch", [pytest.param(80, marks=pytest.mark.slow), 90])
@pytest.mark.parametrize("module", MODULES)
def test_every_shipped_configuration_fits(module: str, arch: int) -> None:
    kernels = compiled(module, arch)
    assert kernels
    for kernel in kernels:
        assert kernel.spill_bytes == 0 or "D=256" in kernel.name, kernel
        assert kernel.shared_bytes <= SHARED_LIMIT_BYTES[arch], kernel
        assert kernel.registers * 32 * kernel.num_warps <= REGISTERS_PER_SM, kernel
        assert kernel.blocks_per_sm >= 1, kernel
        if kernel.dots and "float32" not in kernel.name:
            assert kernel.mma >= kernel.dots, kernel


def test_compiled_kernels_refuse_cpu_tensors() -> None:
    import torch

    from semore_fast.kernels.interaction import interaction

    with pytest.raises(TypeError, match="q must be on a CUDA device, is on cpu; use --kernels auto"):
        interaction(*(torch.zeros(1, 2, 8) for _ in range(4)))
