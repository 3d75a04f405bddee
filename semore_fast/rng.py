"""All random states of a run, captured and restored: Python, torch (CPU and GPU), named generators."""

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

Generators = Mapping[str, np.random.Generator | torch.Generator]


def capture(generators: Generators) -> dict[str, Any]:
    """Return all random states as a tree for `semore_fast.state_tree.flatten`."""
    return {
        "python": random.getstate(),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "generators": {name: _generator_state(generator) for name, generator in generators.items()},
    }


def restore(state: Mapping[str, Any], generators: Generators) -> list[str]:
    """Set all random states; call it last, since building things draws numbers. Return notices for the log.

    ValueError if the saved generators are not these. Another number of GPUs than at the time of saving leaves
    the GPUs' random states alone and says so: the run goes on, but not with the numbers it would have drawn.
    """
    saved = state["generators"]
    if set(saved) != set(generators):
        raise ValueError(f"saved random generators are {sorted(saved)}, expected {sorted(generators)}")
    random.setstate(state["python"])
    torch.set_rng_state(state["torch"])
    for name, generator in generators.items():
        if isinstance(generator, torch.Generator):
            generator.set_state(saved[name])
        else:
            generator.bit_generator.state = saved[name]
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if len(state["cuda"]) != count:
        return [f"GPU random states not restored: saved with {len(state['cuda'])} GPUs, now {count}"]
    if count:
        torch.cuda.set_rng_state_all(state["cuda"])
    return []


def _generator_state(generator: np.random.Generator | torch.Generator) -> Any:
    if isinstance(generator, torch.Generator):
        return generator.get_state()
    return generator.bit_generator.state
