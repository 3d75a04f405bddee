"""How the kernels of this folder are started, and how the ahead-of-time check finds what is shipped."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
import triton
from torch import Tensor


@triton.jit
def _probe() -> None:
    pass


INTERPRETED = not isinstance(_probe, triton.JITFunction)
"""Whether Triton interprets: kernels then take CPU tensors, slowly. Decided by TRITON_INTERPRET when Triton loads."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """One kernel launch, built before it is made, so that it can be compiled without a GPU as it would be run."""

    kernel: triton.JITFunction
    grid: tuple[int, ...]
    arguments: dict[str, object]
    """Of the kernel, by name, constexprs too."""
    options: dict[str, int] = field(default_factory=dict)
    """num_warps and num_stages."""

    def run(self) -> None:
        """Starts it on the current device and stream."""
        self.kernel[self.grid](**self.arguments, **self.options)


def on(device: torch.device) -> AbstractContextManager[Any]:
    """Makes a CUDA device the current one, where launches go; the interpreter has no such notion."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def require_gpu(name: str, tensor: Tensor) -> None:
    """Refuses a tensor that no kernel can reach with a TypeError."""
    if not tensor.is_cuda and not INTERPRETED:
        raise TypeError(f"{name} must be on a CUDA device, is on {tensor.device}; use --kernels auto")
