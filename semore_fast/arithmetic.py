"""How products are computed: chosen by what the processor can do, and stated rather than left to PyTorch's defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from semore_fast.errors import UserError

Precision = Literal["float32", "tf32", "bfloat16"]

CPUINFO = Path("/proc/cpuinfo")
STATED: dict[Precision, str] = {
    "bfloat16": "bfloat16 products, float32 parameters and moments",
    "tf32": "TF32 products, float32 parameters and moments",
    "float32": "IEEE float32",
}


def choose_arithmetic(asked: str, device: torch.device) -> tuple[Precision, str]:
    """Settles `--learner.precision`. auto: bfloat16 where the device has instructions for it, else float32.

    Without them a CPU emulates bfloat16, and an update takes 1.8 times as long as in float32 with AVX-512, 6 times with
    AVX2 (docs/performance.md).

    Returns:
        The precision, and one line that says it and why.

    Raises:
        UserError: "tf32" without a GPU.
    """
    if asked == "tf32" and device.type != "cuda":
        raise UserError(f"--learner.precision tf32 needs a GPU, but the device is {device}; give float32 or bfloat16")
    if asked != "auto":
        precision: Precision = asked  # type: ignore[assignment]  # the command line takes no other
        return precision, f"{STATED[precision]}: asked for"
    if computes_bfloat16(device):
        return "bfloat16", f"{STATED['bfloat16']}: this {device.type} computes bfloat16"
    return "float32", f"{STATED['float32']}: this {device.type} has no bfloat16 instructions"


def dtype_of(precision: Precision) -> torch.dtype:
    """What products are computed in, as a type of tensors: TF32 is a way to multiply float32."""
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def computes_bfloat16(device: torch.device) -> bool:
    """Whether products of bfloat16 numbers are instructions of the device."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return CPUINFO.exists() and any("bf16" in word for word in CPUINFO.read_text().split())


def set_tf32(precision: Precision, device: torch.device) -> None:
    """Lets this process round float32 products on a GPU to TF32, or not.

    PyTorch by itself rounds in convolutions and not in matrix products. The Triton kernels never do.
    """
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
