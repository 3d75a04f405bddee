"""The choice behind `--kernels`: for every hot operation which twin runs it, made once at the start, with its reasons.

A backend is a module with one function per operation it twins, under the operation's name and signature in
`semore.ops`, and `unsupported_reasons(device)`. `auto` takes the fastest shipped one that works on the device;
`reference` is the definition everywhere; a list of names takes, for every operation, the first that has it, and the
definition for operations that none of them has. `auto` may end a list. A name with a dot is a module of the user's own.

A module may also say in `DTYPES` which operations it has for some dtypes only. Functions that take a keyword `threads`
get the number of CPU threads that they shall use.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch

from semore.ops import REFERENCE, Ops
from semore_fast.errors import UserError

OPS: tuple[str, ...] = tuple(field.name for field in dataclasses.fields(Ops))

_SHIPPED: Mapping[str, str] = {"triton": "semore_fast.ops_triton", "cpp": "semore_fast.ops_cpp"}
"""Fastest first: the order in which `auto` asks."""
_TITLES: Mapping[str, str] = {"triton": "Triton kernel", "cpp": "C++ twin"}


@dataclass(frozen=True, slots=True)
class Choice:
    """What runs one operation, and why nothing else does."""

    backend: str
    reason: str
    rejected: dict[str, str]
    """Why not, for every other backend."""


@dataclass(frozen=True, slots=True)
class _Request:
    """What `--kernels` says."""

    text: str
    asked: tuple[str, ...]
    """Backends asked for by name."""
    auto: bool
    """Whether the shipped ones may fill in the rest."""


@dataclass(frozen=True, slots=True)
class _Backend:
    """One backend on one device."""

    name: str
    module: ModuleType | None
    obstacle: str | None
    """Why none of its operations can run here, or None."""
    dtype: torch.dtype
    """What the learner computes in."""

    def why_not(self, op: str) -> str | None:
        if self.module is not None and not _has(self.module, op):
            return f"no {_title(self.name)} for {op} is shipped in this version"
        taken = getattr(self.module, "DTYPES", {}).get(op, (self.dtype,))
        if self.dtype not in taken:
            known = " or ".join(_short(dtype) for dtype in taken)
            return f"its {op} takes {known}, and the learner computes in {_short(self.dtype)}"
        return self.obstacle


def choose_ops(
    kernels: str, device: torch.device, dtype: torch.dtype = torch.float32, threads: int | None = None
) -> tuple[Ops, dict[str, Choice]]:
    """Picks a backend for every operation.

    Args:
        kernels: "auto", "reference", or names separated by commas: "cpp", "triton", "my_package.my_ops", last "auto".
        device: where the learner's tensors live.
        dtype: of the learner's products.
        threads: of operations on the CPU; None for as many as PyTorch has whenever they are called.

    Returns:
        The operations, and the choice made for each by its name.

    Raises:
        UserError: unknown name, or a backend asked for by name that cannot work, with every reason.
    """
    request = _read(kernels)
    backends = {name: _load(name, device, dtype) for name in dict.fromkeys((*request.asked, *_SHIPPED))}
    for name in request.asked:
        _check_usable(backends[name])
    choices = {op: _choose(op, request, backends) for op in OPS}
    functions = {op: _function(op, choice.backend, backends, threads) for op, choice in choices.items()}
    return Ops(**functions), choices


def _read(kernels: str) -> _Request:
    if kernels == "reference":
        return _Request(kernels, (), auto=False)
    names = kernels.split(",")
    auto = names[-1] == "auto"
    asked = tuple(names[:-1] if auto else names)
    if any(name not in _SHIPPED and "." not in name.strip(".") for name in asked):
        raise UserError(
            f"--kernels must be auto, reference, or a list of {', '.join(_SHIPPED)} and modules of your own (with a "
            f"dot in their name) that may end in auto, got {kernels!r}"
        )
    return _Request(kernels, asked, auto)


def _title(name: str) -> str:
    return _TITLES.get(name, f"twin in {name}")


def _has(module: ModuleType, op: str) -> bool:
    return callable(getattr(module, op, None))


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _load(name: str, device: torch.device, dtype: torch.dtype) -> _Backend:
    """Imports a backend; one that cannot be imported has that as its obstacle."""
    try:
        module = importlib.import_module(_SHIPPED.get(name, name))
    except ImportError as error:
        remedy = "; pip install 'semore-fast[kernels]'" if error.name == "triton" else ""
        return _Backend(name, None, f"it cannot be imported ({error}{remedy})", dtype)
    if not any(_has(module, op) for op in OPS):
        return _Backend(name, module, f"it defines none of {', '.join(OPS)}", dtype)
    reasons: list[str] = module.unsupported_reasons(device)
    return _Backend(name, module, "; ".join(reasons) or None, dtype)


def _check_usable(backend: _Backend) -> None:
    """Asked for by name, a backend works."""
    if backend.obstacle is not None:
        raise UserError(f"--kernels {backend.name} cannot work here ({backend.obstacle}); use --kernels auto")


def _choose(op: str, request: _Request, backends: Mapping[str, _Backend]) -> Choice:
    """The first of `backends`, which stand in the order to ask in."""
    order = tuple(backends) if request.auto else request.asked
    usable = [name for name in order if backends[name].why_not(op) is None]
    chosen = usable[0] if usable else "reference"
    by_auto = request.auto and chosen not in request.asked
    preferred = f"auto takes {chosen}" if by_auto else f"{request.text} was asked for by name"
    rejected = {name: found.why_not(op) or preferred for name, found in backends.items() if name != chosen}
    if chosen != "reference":
        reason = f"auto: the fastest that runs {op} here" if by_auto else "asked for by name"
        return Choice(chosen, reason, rejected | {"reference": f"{chosen} gives the same, faster"})
    if request.auto:
        return Choice(chosen, f"auto: nothing else runs {op} here", rejected)
    if not request.asked:
        return Choice(chosen, "asked for by name", rejected)
    named = " or the ".join(_title(name) for name in order)
    return Choice(chosen, f"{request.text} means the {named} where there is one, and {op} has none", rejected)


def _function(op: str, name: str, backends: Mapping[str, _Backend], threads: int | None) -> Callable[..., Any]:
    function: Callable[..., Any] = getattr(REFERENCE if name == "reference" else backends[name].module, op)
    if threads is not None and "threads" in inspect.signature(function).parameters:
        return functools.partial(function, threads=threads)
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
