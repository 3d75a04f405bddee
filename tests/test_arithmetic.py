"""What float32 means on a GPU is stated, not inherited."""

from collections.abc import Iterator

import pytest
import torch

from semore_fast.arithmetic import set_arithmetic
from semore_fast.errors import UserError

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def switches() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = switches()
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@pytest.mark.parametrize(
    ("precision", "tf32", "said"),
    [("float32", False, "IEEE float32"), ("tf32", True, "TF32"), ("bfloat16", False, "bfloat16 products")],
)
def test_tf32_is_on_where_it_is_asked_for(precision: str, tf32: bool, said: str) -> None:
    for before in (True, False):
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = before
        assert said in set_arithmetic(precision, CUDA)
        assert switches() == (tf32, tf32)


def test_a_cpu_has_no_tf32() -> None:
    before = switches()
    with pytest.raises(UserError, match=r"--learner\.precision tf32 needs a GPU.*float32 or bfloat16"):
        set_arithmetic("tf32", CPU)
    assert switches() == before
