"""A backend of your own: copy this file, put your kernel in, train and test it as the shipped ones are.

    python -m semore_fast.train --scenario jw --kernels examples.my_ops,auto
    python -m pytest tests/test_twins.py tests/test_swap.py --kernels examples.my_ops
    python -m pytest bench/bench_ops.py --benchmark-only --kernels examples.my_ops

A backend is a module with `unsupported_reasons(device)` and a function for each operation it replaces, under the name
and signature it has in `semore/ops.py`; operations it leaves out are done by the next name on the list. This one
computes the interaction (eqs 6-7) by PyTorch's fused attention, once in each direction. Optional: a mapping `DTYPES`
from an operation to the dtypes it takes, where not all, and a keyword `threads` for operations that run on the CPU.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def unsupported_reasons(device: torch.device) -> list[str]:
    """Why this backend cannot work on `device`, one sentence each; empty where it can."""
    return []


def interaction(q_BND: Tensor, k_BMD: Tensor, v_motion_BMD: Tensor, v_semantic_BND: Tensor) -> tuple[Tensor, Tensor]:
    """What `semore.ops.interaction` gives, from two score matrices instead of one."""
    to_semantic_BND = F.scaled_dot_product_attention(q_BND, k_BMD, v_motion_BMD)
    to_motion_BMD = F.scaled_dot_product_attention(k_BMD, q_BND, v_semantic_BND)
    return to_semantic_BND, to_motion_BMD
