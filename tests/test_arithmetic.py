"""How products are computed is chosen by the processor, and stated."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from small import small_agent

from semore.ops import REFERENCE
from semore_fast import arithmetic
from semore_fast.arithmetic import choose_arithmetic, set_tf32
from semore_fast.building import build_agent
from semore_fast.errors import UserError
from semore_fast.presets import PRESETS

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def switches() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = switches()
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@pytest.mark.parametrize(
    ("flags", "precision"),
    [
        ("fpu vme avx2 avx512f avx512_bf16", "bfloat16"),
        ("fpu amx_bf16 amx_tile", "bfloat16"),
        ("fp asimd bf16 i8mm", "bfloat16"),
        ("fpu avx2 avx512f avx512_vnni", "float32"),
    ],
)
def test_auto_asks_the_processor(flags: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arithmetic, "CPUINFO", tmp_path / "cpuinfo")
    arithmetic.CPUINFO.write_text(f"processor : 0\nflags\t\t: {flags}\n")
    chosen, said = choose_arithmetic("auto", CPU)
    assert chosen == precision
    assert ("has no bfloat16" in said) == (precision == "float32")
    config = dataclasses.replace(PRESETS["laptop"], agent="sac")
    assert build_agent(config, CPU, REFERENCE).config.precision == precision


def test_what_is_asked_for_is_taken() -> None:
    for precision in ("float32", "bfloat16"):
        assert choose_arithmetic(precision, CPU) == (precision, f"{arithmetic.STATED[precision]}: asked for")
    with pytest.raises(UserError, match=r"--learner\.precision tf32 needs a GPU.*float32 or bfloat16"):
        choose_arithmetic("tf32", CPU)
    with pytest.raises(ValueError, match="float32, tf32 or bfloat16"):
        small_agent("sac", precision="auto")


@pytest.mark.parametrize(("precision", "tf32"), [("float32", False), ("tf32", True), ("bfloat16", False)])
def test_tf32_is_on_where_it_is_asked_for(precision: arithmetic.Precision, tf32: bool) -> None:
    for before in (True, False):
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = before
        set_tf32(precision, CPU)
        assert switches() == (before, before)
        set_tf32(precision, CUDA)
        assert switches() == (tf32, tf32)
