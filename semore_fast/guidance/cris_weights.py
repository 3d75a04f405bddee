"""CRIS's weights from a safetensors file: checked by name, shape, value and, if wanted, by hash."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from semore.guidance.cris import Cris, CrisSegmenter
from semore.guidance.cris_config import CrisConfig
from semore.guidance.cris_tokens import load_clip_tokenizer
from semore_fast.errors import UserError

# DistributedDataParallel, under which the public model was trained, puts this before every name.
WRAPPER = "module."
CONVERT = "python -m semore_fast.guidance.convert_cris CHECKPOINT.pth OUT.safetensors"


class WeightsError(UserError, ValueError):
    """Weights that are missing, damaged or not those of the model. One line that names the file and the fix."""


def load_cris(
    path: Path | str, config: CrisConfig, *, sha256: str | None = None, device: torch.device | str = "cpu"
) -> Cris:
    """CRIS in float32 and eval mode, with the weights of a safetensors file.

    Args:
        path: the file; `convert_cris` makes one of a checkpoint.
        config: the model's sizes.
        sha256: if given, the file's SHA-256 in hex must be this one.
        device: where the network goes.

    Raises:
        WeightsError: a ValueError: if the file is missing, is not safetensors, has another hash, or does not hold
            exactly the model's tensors with their shapes and finite values.
    """
    return _load(Path(path), config, sha256, device)[0]


def load_cris_segmenter(
    path: Path | str,
    tokenizer: Path | str,
    config: CrisConfig,
    *,
    sha256: str | None = None,
    device: torch.device | str = "cpu",
    max_batch: int = 16,
    side: int | None = None,
) -> CrisSegmenter:
    """A segmenter from files: `load_cris`, and CLIP's tokenizer in the local directory `tokenizer`.

    Its `revision` is the weights' SHA-256.

    Raises:
        WeightsError: as `load_cris`.
        ValueError: as `load_clip_tokenizer` and `CrisSegmenter`.
        ImportError: without the package transformers.
    """
    tokenize = load_clip_tokenizer(tokenizer, config)
    model, digest = _load(Path(path), config, sha256, device)
    return CrisSegmenter(model, tokenize, revision=digest, max_batch=max_batch, side=side)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex. OSError if it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU.

    Raises:
        WeightsError: if the file is missing, cannot be read or is not safetensors.
    """
    try:
        return load_file(path)
    except FileNotFoundError:
        raise WeightsError(f"no weights at {path}; make them with: {CONVERT}") from None
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is not a readable safetensors file ({error}); make one with: {CONVERT}") from None


def _load(path: Path, config: CrisConfig, sha256: str | None, device: torch.device | str) -> tuple[Cris, str]:
    weights = {name.removeprefix(WRAPPER): tensor for name, tensor in read_safetensors(path).items()}
    digest = file_sha256(path)
    if sha256 is not None and digest != sha256.lower():
        raise WeightsError(f"{path} has SHA-256 {digest}, not {sha256}; convert or fetch the right checkpoint again")
    with torch.device("meta"):  # no time for random weights that are replaced at once
        model = Cris(config)
    _check(path, model.state_dict(), weights)
    # Copies: what was read is a map of the file, which may be replaced while the model lives.
    full = {name: weights[name].to(wanted.dtype, copy=True) for name, wanted in model.state_dict().items()}
    model.load_state_dict(full, strict=True, assign=True)
    return model.to(device).eval(), digest


def _check(path: Path, wanted: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    problems = {
        "missing": [name for name in wanted if name not in weights],
        "unknown": [name for name in weights if name not in wanted],
        "of another shape or kind": [
            f"{name} {list(weights[name].shape)} instead of {list(tensor.shape)}"
            for name, tensor in wanted.items()
            if name in weights and not _alike(tensor, weights[name])
        ],
        "not finite": [name for name, tensor in weights.items() if not bool(tensor.isfinite().all())],
    }
    found = [f"{len(names)} {kind} (first: {names[0]})" for kind, names in problems.items() if names]
    if found:
        raise WeightsError(
            f"{path} does not hold this CRIS's weights: {', '.join(found)}; "
            "give the CrisConfig it was trained with, or the right file"
        )


def _alike(wanted: Tensor, tensor: Tensor) -> bool:
    return wanted.shape == tensor.shape and wanted.is_floating_point() == tensor.is_floating_point()
