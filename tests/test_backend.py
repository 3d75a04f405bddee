"""Which twin runs each operation, why, and what a backend asked for by name does when it cannot."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import semore_fast
from semore.ops import REFERENCE
from semore_fast import info, ops_cpp
from semore_fast.backend import OPS, choose_ops
from semore_fast.errors import UserError

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def no_extension(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "semore_fast._C", None)
    monkeypatch.delattr(semore_fast, "_C", raising=False)


@pytest.mark.parametrize("kernels", ["auto", "cpp"])
def test_on_the_cpu_the_inputs_come_from_cpp_and_the_rest_from_the_definition(kernels: str) -> None:
    ops, choices = choose_ops(kernels, CPU)
    assert ops.encoder_inputs is ops_cpp.encoder_inputs
    assert ops.interaction is REFERENCE.interaction
    assert ops.ssim_distance is REFERENCE.ssim_distance
    assert {op: choice.backend for op, choice in choices.items()} == {
        "encoder_inputs": "cpp",
        "interaction": "reference",
        "ssim_distance": "reference",
    }


@pytest.mark.parametrize("kernels", ["auto", "reference", "cpp"])
def test_every_backend_is_chosen_or_rejected_with_a_reason(kernels: str) -> None:
    for op, choice in choose_ops(kernels, CPU)[1].items():
        assert op in OPS
        assert {choice.backend, *choice.rejected} == {"reference", "cpp", "triton"}
        assert choice.backend not in choice.rejected
        assert choice.reason
        assert all(choice.rejected.values())
        assert choice.rejected["triton"] == f"no Triton kernel for {op} is shipped in this version"


def test_reference_by_name_is_the_definition_throughout() -> None:
    ops, choices = choose_ops("reference", CPU)
    assert ops == REFERENCE
    assert choices["encoder_inputs"].rejected["cpp"] == "reference was asked for by name"
    assert choices["interaction"].rejected["cpp"] == "no C++ twin for interaction is shipped in this version"


def test_cpp_by_name_says_which_operations_have_no_twin() -> None:
    choice = choose_ops("cpp", CPU)[1]["interaction"]
    assert choice.reason == "cpp means the C++ twin where there is one, and interaction has none"


def test_on_a_gpu_auto_takes_the_definition_and_says_why() -> None:
    ops, choices = choose_ops("auto", CUDA)
    assert ops == REFERENCE
    assert "the learner is on cuda" in choices["encoder_inputs"].rejected["cpp"]


@pytest.mark.usefixtures("no_extension")
def test_without_the_extension_auto_goes_on_and_says_why() -> None:
    ops, choices = choose_ops("auto", CPU)
    assert ops == REFERENCE
    assert "cannot be loaded" in choices["encoder_inputs"].rejected["cpp"]


@pytest.mark.usefixtures("no_extension")
def test_cpp_by_name_raises_every_reason() -> None:
    with pytest.raises(UserError) as caught:
        choose_ops("cpp", CUDA)
    message = str(caught.value)
    assert message.startswith("--kernels cpp cannot work here (encoder_inputs: ")
    for part in ("on cuda", "cannot be loaded", "pip install -e .", "interaction: no C++ twin", "use --kernels auto"):
        assert part in message
    assert "\n" not in message


def test_triton_by_name_raises_a_reason_for_every_operation() -> None:
    with pytest.raises(UserError, match=r"^--kernels triton cannot work here") as caught:
        choose_ops("triton", CUDA)
    assert all(f"{op}: no Triton kernel for {op} is shipped in this version" in str(caught.value) for op in OPS)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UserError, match="--kernels must be one of auto, reference, cpp, triton, got 'cuda'"):
        choose_ops("cuda", CPU)


def test_info_tells_what_would_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert info.main([]) == 0
    text = capsys.readouterr().out
    for part in ("torch", "commit", "encoder_inputs", "cpp", "not triton", "replay", "guidance", "semore-m1"):
        assert part in text


def test_info_as_json_is_one_object() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "semore_fast.info", "--json"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    facts = json.loads(done.stdout)
    assert facts["kernels"]["encoder_inputs"]["backend"] == "cpp"
    assert facts["replay"]["backend"] == "cpp"
    assert facts["system"]["versions"]["torch"] == torch.__version__


def test_info_refuses_unknown_flags() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "semore_fast.info", "--jason"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "--jason" in done.stderr
