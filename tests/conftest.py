"""What every test shares: one thread, fixed seeds."""

import numpy as np
import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def fixed_seeds() -> None:
    """Seeds the global generators, so that a failure repeats."""
    torch.manual_seed(0)
    np.random.seed(0)
