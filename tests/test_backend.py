"""Which twin runs each operation, why, and what a backend asked for by name does when it cannot."""

from __future__ import annotations

import functools
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
def test_on_the_cpu_all_but_the_interaction_come_from_cpp(kernels: str) -> None:
    ops, choices = choose_ops(kernels, CPU)
    assert ops.encoder_inputs is ops_cpp.encoder_inputs
    assert ops.interaction is REFERENCE.interaction
    assert ops.ssim_distance is ops_cpp.ssim_distance
    assert {op: choice.backend for op, choice in choices.items()} == {
        "encoder_inputs": "cpp",
        "trunk": "cpp",
        "interaction": "reference",
        "ssim_distance": "cpp",
    }


def test_an_operation_is_taken_only_in_what_the_learner_computes() -> None:
    ops, choices = choose_ops("auto", CPU, torch.bfloat16)
    assert ops.trunk is REFERENCE.trunk
    assert ops.encoder_inputs is ops_cpp.encoder_inputs
    assert choices["trunk"].rejected["cpp"] == "its trunk takes float32, and the learner computes in bfloat16"


def test_operations_get_the_number_of_threads() -> None:
    ops, _ = choose_ops("auto", CPU, threads=3)
    assert ops.interaction is REFERENCE.interaction
    for op in (ops.encoder_inputs, ops.trunk, ops.ssim_distance):
        assert isinstance(op, functools.partial)
        assert op.keywords == {"threads": 3}


@pytest.mark.parametrize("kernels", ["auto", "reference", "cpp"])
def test_every_backend_is_chosen_or_rejected_with_a_reason(kernels: str) -> None:
    for op, choice in choose_ops(kernels, CPU)[1].items():
        assert op in OPS
        assert {choice.backend, *choice.rejected} == {"reference", "cpp", "triton"}
        assert choice.backend not in choice.rejected
        assert choice.reason
        assert all(choice.rejected.values())
        none = f"no Triton kernel for {op} is shipped in this version"
        not_here = "Triton compiles for GPUs, and the learner is on cpu"
        assert choice.rejected["triton"] == (none if op == "trunk" else not_here)


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
    assert message.startswith("--kernels cpp cannot work here (")
    for part in ("on cuda", "cannot be loaded", "pip install -e .", "use --kernels auto"):
        assert part in message
    assert "\n" not in message


def test_triton_by_name_needs_a_gpu() -> None:
    with pytest.raises(UserError, match=r"^--kernels triton cannot work here \(Triton compiles for GPUs"):
        choose_ops("triton", CPU)


def test_an_older_triton_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pytest.importorskip("triton"), "__version__", "3.2.0")
    with pytest.raises(UserError, match=r"\(Triton is 3\.2\.0, they need 3\.6; pip install 'triton>=3\.6'"):
        choose_ops("triton", CUDA)
    assert choose_ops("auto", CPU)[0].encoder_inputs is ops_cpp.encoder_inputs


def test_without_triton_auto_goes_on_and_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("semore_fast.kernels", "semore_fast.ops_triton"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "triton", None)
    ops, choices = choose_ops("auto", CPU)
    assert ops.encoder_inputs is ops_cpp.encoder_inputs
    assert "pip install 'semore-fast[kernels]'" in choices["ssim_distance"].rejected["triton"]


def test_a_module_of_the_users_own_comes_first_and_auto_fills_in() -> None:
    ops, choices = choose_ops("examples.my_ops,auto", CPU)
    assert {op: choice.backend for op, choice in choices.items()} == {
        "encoder_inputs": "cpp",
        "trunk": "cpp",
        "interaction": "examples.my_ops",
        "ssim_distance": "cpp",
    }
    assert choices["interaction"].reason == "asked for by name"
    assert choices["encoder_inputs"].reason == "auto: the fastest that runs encoder_inputs here"
    assert ops.interaction.__module__ == "examples.my_ops"
    assert choose_ops("examples.my_ops", CPU)[1]["encoder_inputs"].backend == "reference"


@pytest.mark.parametrize(
    ("kernels", "said"),
    [
        ("cuda", r"^--kernels must be auto, reference, or a list of triton, cpp and modules .* got 'cuda'$"),
        ("auto,cpp", "^--kernels must be auto, reference"),
        ("cpp,reference", "^--kernels must be auto, reference"),
        ("", "^--kernels must be auto, reference"),
        ("examples.missing", r"^--kernels examples.missing cannot work here \(it cannot be imported \(No module named"),
        ("semore_fast.clock", "it defines none of encoder_inputs, trunk, interaction, ssim_distance"),
    ],
)
def test_what_cannot_be_is_refused(kernels: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        choose_ops(kernels, CPU)


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
