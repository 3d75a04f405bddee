"""The learner's objectives through torch.compile, where it is asked for."""

from __future__ import annotations

import torch
from torch import Tensor
from torch._dynamo import config as dynamo

from semore.agents import Agent
from semore_fast.errors import UserError

VERSIONS = 1024
"""Compiled versions of one function at most: every learner of a process (seeds trained together) has its own."""


def compile_learner(agent: Agent) -> None:
    """Compiles what updates minimise; the first update of each kind takes about half a minute, less from the cache.

    Raises:
        UserError: nothing can be compiled here, as where the C++ compiler is missing. Found out on one small function.
    """
    # The names that torch 2.6 knows; later ones have them as aliases.
    dynamo.cache_size_limit = dynamo.accumulated_cache_size_limit = VERSIONS
    dynamo.fail_on_cache_limit_hit = True  # the default is to go on eagerly
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
