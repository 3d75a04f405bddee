"""The choice behind `--kernels`: for every hot operation which twin runs it, made once at the start, with its reasons.

`auto` takes the fastest twin that works on the device. `cpp` means C++ where an operation has a C++ twin, and the
definition for operations that have none. `reference` is the definition everywhere.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, get_args

import torch

from semore.ops import REFERENCE, Ops
from semore_fast import ops_cpp
from semore_fast.errors import UserError

Backend = Literal["reference", "cpp", "triton"]
Kernels = Literal["auto", "reference", "cpp", "triton"]
OPS: tuple[str, ...] = tuple(field.name for field in dataclasses.fields(Ops))

_TWINS: Mapping[Backend, ModuleType | None] = {"triton": None, "cpp": ops_cpp}
"""Fastest first. A module has a function per operation it twins, and `unsupported_reasons(device)`."""
_NAMES: Mapping[Backend, str] = {"triton": "Triton kernel", "cpp": "C++ twin"}


@dataclass(frozen=True, slots=True)
class Choice:
    """What runs one operation, and why nothing else does."""

    backend: Backend
    reason: str
    rejected: dict[Backend, str]
    """Why not, for every other backend."""


def choose_ops(kernels: Kernels, device: torch.device) -> tuple[Ops, dict[str, Choice]]:
    """Picks a backend for every operation.

    Args:
        kernels: "auto", "reference", "cpp" or "triton".
        device: where the learner's tensors live.

    Returns:
        The operations, and the choice made for each by its name.

    Raises:
        UserError: unknown name, or a backend asked for by name that cannot work, with every reason.
    """
    if kernels not in get_args(Kernels):
        raise UserError(f"--kernels must be one of {', '.join(get_args(Kernels))}, got {kernels!r}")
    obstacles = {op: {backend: _obstacle(op, backend, device) for backend in _TWINS} for op in OPS}
    if kernels != "auto" and kernels != "reference":
        _check_usable(kernels, obstacles)
    choices = {op: _choose(op, kernels, obstacles[op]) for op in OPS}
    functions = {op: _function(op, choice.backend) for op, choice in choices.items()}
    return Ops(**functions), choices


def _has_twin(op: str, backend: Backend) -> bool:
    return hasattr(_TWINS[backend], op)


def _obstacle(op: str, backend: Backend, device: torch.device) -> str | None:
    """Why `backend` cannot run the operation on this device, or None."""
    module = _TWINS[backend]
    if module is None or not _has_twin(op, backend):
        return f"no {_NAMES[backend]} for {op} is shipped in this version"
    reasons: list[str] = module.unsupported_reasons(device)
    return "; ".join(reasons) or None


def _check_usable(backend: Backend, obstacles: Mapping[str, Mapping[Backend, str | None]]) -> None:
    """Asked for by name, a backend has twins, and every one of them works here."""
    twins = [op for op in OPS if _has_twin(op, backend)]
    if twins and not any(obstacles[op][backend] for op in twins):
        return
    listed = "; ".join(f"{op}: {why[backend]}" for op, why in obstacles.items() if why[backend])
    raise UserError(f"--kernels {backend} cannot work here ({listed}); use --kernels auto")


def _choose(op: str, kernels: Kernels, obstacles: Mapping[Backend, str | None]) -> Choice:
    usable = [backend for backend, why in obstacles.items() if why is None and kernels in ("auto", backend)]
    chosen = usable[0] if usable else "reference"
    preferred = f"auto takes {chosen}" if kernels == "auto" else f"{kernels} was asked for by name"
    rejected: dict[Backend, str] = {
        backend: why or preferred for backend, why in obstacles.items() if backend != chosen
    }
    if chosen != "reference":
        reason = "asked for by name" if kernels == chosen else f"auto: the fastest that runs {op} here"
        return Choice(chosen, reason, rejected | {"reference": f"{chosen} gives the same, faster"})
    if kernels == "reference":
        return Choice(chosen, "asked for by name", rejected)
    if kernels == "auto":
        return Choice(chosen, f"auto: nothing else runs {op} here", rejected)
    return Choice(chosen, f"{kernels} means the {_NAMES[kernels]} where there is one, and {op} has none", rejected)


def _function(op: str, backend: Backend) -> Callable[..., Any]:
    function: Callable[..., Any] = getattr(REFERENCE if backend == "reference" else _TWINS[backend], op)
    return function


def choose_device(name: str) -> torch.device:
    """Resolves `auto`.

    Raises:
        UserError: cuda was asked for and is not there.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UserError("--device cuda: torch sees no GPU; install a CUDA build of torch, or use --device cpu")
    return torch.device("cuda" if available and name != "cpu" else "cpu")
