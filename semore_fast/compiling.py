"""The learner's objectives through torch.compile, where it is asked for."""

from __future__ import annotations

import torch
from torch import Tensor
from torch._dynamo import config as dynamo

from semore.agents import Agent
from semore_fast.errors import UserError

LEAST_TORCH = (2, 11)
"""The oldest it was tried with but for 2.6, which compiles anew at every update where an operation is not traced."""
VERSIONS = 1024
"""Compiled versions of one function at most: every learner of a process (seeds trained together) has its own."""


def compile_learner(agent: Agent) -> None:
    """Compiles what updates minimise; the first update of each kind takes about half a minute, less from the cache.

    Raises:
        UserError: torch is too old, or nothing can be compiled here, as where the C++ compiler is missing: found out on
            one small function.
    """
    if tuple(map(int, torch.__version__.split(".")[:2])) < LEAST_TORCH:
        needs = ".".join(map(str, LEAST_TORCH))
        raise UserError(f"--compile needs torch {needs} or newer, this is {torch.__version__}; leave --compile out")
    dynamo.recompile_limit = dynamo.accumulated_recompile_limit = VERSIONS
    dynamo.fail_on_recompile_limit_hit = True  # the default is to go on eagerly
    try:
        torch.compile(_try)(torch.ones(8, device=agent.device))
    except RuntimeError as error:
        cause = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise UserError(
            f"--compile: PyTorch cannot compile for {agent.device.type} here ({cause.strip()}); leave "
            "--compile out, or mend that (a CPU needs a C++ compiler, named by CXX; a GPU needs Triton)"
        ) from error
    agent.compile_objectives()


def _try(x: Tensor) -> Tensor:
    return 2 * x + 1
