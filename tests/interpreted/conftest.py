"""Triton kernels on the CPU, by Triton's interpreter; or compiled, with `--kernels-on cuda` on a machine with a GPU.

The interpreter must be chosen before Triton is imported, and a process knows one mode: hence a pytest call of its own.
"""

import os
import sys
from collections.abc import Iterator

import pytest
import torch
from checks import PoisonedMemory

NUMPY_LIMIT, FIXED_TRITON = (2, 4), (3, 8)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kernels-on", choices=("cpu", "cuda"), default="cpu", help="cpu: interpreted; cuda: compiled")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--kernels-on", "cpu") == "cuda":
        return
    if "triton" in sys.modules:
        raise pytest.UsageError("triton is imported already; give tests/interpreted a pytest process of its own")
    os.environ["TRITON_INTERPRET"] = "1"
    _check_versions()
    _compute_like_a_gpu()


def _check_versions() -> None:
    """Says in one line what the interpreter would say in a hundred."""
    import numpy
    import triton

    def version(text: str) -> tuple[int, ...]:
        return tuple(int(part) for part in text.split(".")[:2])

    if version(numpy.__version__) >= NUMPY_LIMIT and version(triton.__version__) < FIXED_TRITON:
        raise pytest.UsageError(
            f"triton {triton.__version__}'s interpreter cannot loop with numpy {numpy.__version__}; "
            "install with -c constraints.txt, or run on a GPU with --kernels-on cuda"
        )


def _compute_like_a_gpu() -> None:
    """Mends two habits of the interpreter that no GPU has.

    It cuts bits off where float32 becomes bfloat16. And it multiplies matrices by a library whose rounding depends on
    their shape, so that a backward kernel that recomputes scores in tiles of its own does not find those of the
    forward: here products are summed in float64 and rounded once. (A GPU's order of summation is its own; what it costs
    shows with `--kernels-on cuda`, where PyTorch's is no better.)
    """
    import numpy as np
    import triton.language as tl
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

    cast_as_shipped = InterpreterBuilder.cast_impl

    def cast(self: InterpreterBuilder, src: TensorHandle, dst_type: tl.dtype) -> TensorHandle:
        if src.dtype.scalar != tl.float32 or dst_type.scalar != tl.bfloat16:
            return cast_as_shipped(self, src, dst_type)
        rounded = torch.from_numpy(src.data.copy()).bfloat16().view(torch.uint16).numpy()
        return TensorHandle(rounded, tl.bfloat16)

    def dot(
        self: InterpreterBuilder, a: TensorHandle, b: TensorHandle, d: TensorHandle, *options: object
    ) -> TensorHandle:
        assert a.dtype.scalar != tl.bfloat16, "the interpreter holds bfloat16 as integers: upcast before a dot"
        product = np.matmul(a.data.astype(np.float64), b.data.astype(np.float64)) + d.data
        return TensorHandle(product.astype(d.data.dtype), d.dtype.scalar)

    for name, method in (("cast_impl", cast), ("create_fp_trunc", cast), ("create_dot", dot)):
        setattr(InterpreterBuilder, name, method)


@pytest.fixture
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.config.getoption("--kernels-on"))


@pytest.fixture
def poisoned_empty(monkeypatch: pytest.MonkeyPatch) -> Iterator[PoisonedMemory]:
    """`torch.empty` gives NaN (integers: 0xAB bytes) between canaries, which are looked at when the test ends."""
    memory = PoisonedMemory()
    monkeypatch.setattr(torch, "empty", memory.empty)
    monkeypatch.setattr(torch, "empty_like", memory.empty_like)
    yield memory
    memory.check()
