"""The Triton twins under the signatures of `semore.ops`. Importing this module imports Triton.

Shape legend as in semore.ops: B batch, K frames in a stack, C channels, h and w map sides, N and M positions,
D channels of a position.
"""

from __future__ import annotations

import torch
from torch import Tensor

from semore.ops import FrameStore, InputSpec
from semore_fast.kernels.frames import encoder_inputs as fused_inputs
from semore_fast.kernels.interaction import interaction as fused_interaction
from semore_fast.kernels.launch import INTERPRETED
from semore_fast.kernels.similarity import ssim_distance as fused_distance

LEAST_TRITON = (3, 6)  # as pyproject.toml asks; the oldest that the kernels are tested with
LEAST_CAPABILITY = (8, 0)  # bfloat16 in the tensor cores; the kernels are compiled ahead of time for 8.0 and 9.0


def unsupported_reasons(device: torch.device) -> list[str]:
    """Why these kernels cannot work on `device`; empty where they can."""
    if device.type == "cpu" and INTERPRETED:
        return []
    if device.type != "cuda":
        return [f"Triton compiles for GPUs, and the learner is on {device.type}"]
    import triton  # by name in a function alone: the kernels are who uses it

    if tuple(map(int, triton.__version__.split(".")[:2])) < LEAST_TRITON:
        needs = ".".join(map(str, LEAST_TRITON))
        return [f"Triton is {triton.__version__}, they need {needs}; pip install 'triton>={needs}', or a newer torch"]
    if not torch.cuda.is_available():
        return ["torch sees no GPU"]
    capability = torch.cuda.get_device_capability(device)
    if capability < LEAST_CAPABILITY:
        has, needs = (".".join(map(str, version)) for version in (capability, LEAST_CAPABILITY))
        return [f"{torch.cuda.get_device_name(device)} has compute capability {has}, they need {needs}"]
    return []


def encoder_inputs(
    store: FrameStore, slots_BK: Tensor, shift_B2: Tensor | None, spec: InputSpec
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Everything the encoders eat; see `semore_fast.kernels.frames.encoder_inputs`."""
    inputs: tuple[Tensor, Tensor | None, Tensor | None] = fused_inputs(
        store.frames,
        store.masks,
        slots_BK.contiguous(),
        shift_B2,
        offset=spec.offset,
        residual=spec.residual,
        masked=spec.masked,
        dtype=spec.dtype,
        centre_3HW=store.centre,
    )
    return inputs


def interaction(q_BND: Tensor, k_BMD: Tensor, v_motion_BMD: Tensor, v_semantic_BND: Tensor) -> tuple[Tensor, Tensor]:
    """Bidirectional cross-attention; see `semore_fast.kernels.interaction.interaction`."""
    gathered: tuple[Tensor, Tensor] = fused_interaction(q_BND, k_BMD, v_motion_BMD, v_semantic_BND)
    return gathered


def ssim_distance(x_BChw: Tensor, y_BChw: Tensor, window: int) -> Tensor:
    """1 - SSIM per sample; see `semore_fast.kernels.similarity.ssim_distance`."""
    distance: Tensor = fused_distance(x_BChw, y_BChw, window)
    return distance
