"""How products are computed, stated rather than left to PyTorch's defaults (TF32 in convolutions, not in matrices)."""

from __future__ import annotations

import torch

from semore_fast.errors import UserError


def set_arithmetic(precision: str, device: torch.device) -> str:
    """Sets, for the process, whether float32 products on a GPU are rounded to TF32: for "tf32" alone.

    The Triton kernels compute float32 inputs in IEEE float32 always.

    Returns:
        What holds now, for the log.

    Raises:
        UserError: "tf32" without a GPU.
    """
    tf32 = precision == "tf32"
    if tf32 and device.type != "cuda":
        raise UserError(f"--learner.precision tf32 needs a GPU, but the device is {device}; give float32 or bfloat16")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    if precision == "bfloat16":
        return "bfloat16 products, float32 parameters and moments"
    return f"float32 parameters and moments, {'TF32' if tf32 else 'IEEE float32'} products"
