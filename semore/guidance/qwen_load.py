"""Loads a Qwen-VL model as a guide: from a folder or from the hub's cache, quantised or not."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from semore.guidance.prompt_files import load_prompts
from semore.guidance.qwen import QwenGuide
from semore.guidance.qwen_errors import GuidanceModelError
from semore.guidance.qwen_family import DEFAULT_MODEL, FAMILIES, SKIPPED_MODULES, family_of, model_class, patch_settings
from semore.guidance.qwen_options import QwenOptions
from semore.guidance.qwen_tokens import ChatTokens

Quantisation = Literal["nf4", "int8", "bf16", "fp32"]

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SAMPLES, _SAMPLE_BYTES = 16, 65536


def load_qwen(
    model: str = DEFAULT_MODEL,
    *,
    revision: str | None = None,
    quantisation: Quantisation = "nf4",
    device: str | torch.device = "cpu",
    options: QwenOptions | None = None,
    prompts: Path | None = None,
    download: bool = False,
    cache_dir: Path | None = None,
) -> QwenGuide:
    """Load a Qwen2-VL, Qwen2.5-VL or Qwen3-VL instruct model.

    Code from a checkpoint is never run and pickled weights are never read.

    Args:
        model: a folder, or an id on the Hugging Face hub.
        revision: commit of the hub's repository, 40 hexadecimal digits, so that a run can be repeated; None for a
            folder.
        quantisation: nf4 (4 bits, double quantisation, bfloat16 arithmetic) and int8 need bitsandbytes and leave the
            vision tower and the output layer in bfloat16; bf16 and fp32 change nothing.
        device: where the model is to be.
        options: None for the defaults.
        prompts: folder with prompt files of the user's (`load_prompts`).
        download: whether missing files may be fetched from the hub; about 16 GB for the default model.
        cache_dir: the hub's cache; None for its usual place.

    Raises:
        GuidanceModelError: if anything about the model or the machine does not allow it.
        PromptFileError: if a prompt file is not in order.
    """
    options = options or QwenOptions()
    texts = load_prompts(prompts)
    texts.words(options.scenario)
    target = _checked_device(device)
    _check_packages(quantisation)
    _check_source(model, revision)
    where: dict[str, Any] = {
        "revision": revision or "main",
        "cache_dir": cache_dir,
        "local_files_only": not download,
        "trust_remote_code": False,
    }
    from transformers import AutoConfig, AutoTokenizer

    with _reading(model, revision, download):
        config = AutoConfig.from_pretrained(model, **where)
    family = family_of(config)
    patches = patch_settings(config, options.min_pixels, options.max_pixels)
    with _reading(model, revision, download):
        tokens = ChatTokens(AutoTokenizer.from_pretrained(model, **where), config.image_token_id)
        weights = _weights(model, model_class(family), quantisation, target, where)
    identity = {"model": model, "revision": revision or _fingerprint(Path(model)), "quantisation": quantisation}
    return QwenGuide(weights, tokens, patches, texts, options, identity)


def _checked_device(device: str | torch.device) -> torch.device:
    try:
        target = torch.device(device)
    except RuntimeError as error:
        raise GuidanceModelError(f"device {str(device)!r} is unknown to torch: choose cuda or cpu") from error
    if target.type == "cuda" and not torch.cuda.is_available():
        raise GuidanceModelError(f"device {target} was asked for but torch sees no GPU: choose device cpu")
    return target


def _check_packages(quantisation: str) -> None:
    if quantisation not in get_args(Quantisation):
        raise GuidanceModelError(
            f"quantisation {quantisation!r} is unknown: choose one of {', '.join(get_args(Quantisation))}"
        )
    needed = ["transformers"] + (["bitsandbytes", "accelerate"] if quantisation in ("nf4", "int8") else [])
    for package in needed:
        if importlib.util.find_spec(package) is None:
            other = " or choose quantisation bf16" if package != "transformers" else ""
            raise GuidanceModelError(
                f"quantisation {quantisation} needs {package}, which is not installed: "
                f"pip install 'semore-fast[vlm]'{other}"
            )


def _check_source(model: str, revision: str | None) -> None:
    if Path(model).is_dir():
        if revision is not None:
            raise GuidanceModelError(f"model {model} is a folder, which has no revisions: leave `revision` out")
        if not (Path(model) / "config.json").is_file():
            raise GuidanceModelError(f"folder {model} holds no config.json: correct `model`")
    elif not _HUB_ID.fullmatch(model):
        raise GuidanceModelError(f"model {model!r} is no folder here and no hub id (owner/name): correct `model`")
    elif revision is None or not _COMMIT.fullmatch(revision):
        raise GuidanceModelError(
            f"model {model!r} is no folder here, and as a hub id it needs `revision`, the commit's 40 hexadecimal "
            f"digits, not {revision!r}: a branch may move between runs"
        )


@contextmanager
def _reading(model: str, revision: str | None, download: bool) -> Iterator[None]:
    """Turn transformers' many errors about files into one line that says what to do."""
    try:
        yield
    except GuidanceModelError:
        raise
    except OSError as error:
        raise GuidanceModelError(_missing(error, model, revision, download)) from error
    except (ImportError, KeyError, ValueError) as error:
        raise GuidanceModelError(
            f"transformers cannot load model {model}, choose a `model` of type {', '.join(FAMILIES)}: {_line(error)}"
        ) from error
    except Exception as error:
        # The class lives in a package of its own, which is not worth an import for its name.
        if type(error).__name__ == "SafetensorError":
            raise GuidanceModelError(
                f"model {model}: a weights file is damaged, fetch it again: {_line(error)}"
            ) from error
        raise


def _line(error: Exception) -> str:
    """The beginning of an error's text, on one line."""
    return " ".join(str(error).split())[:200]


def _missing(error: OSError, model: str, revision: str | None, download: bool) -> str:
    """One line for files that are not there."""
    said = _line(error)
    if Path(model).is_dir():
        return f"folder {model} does not hold a complete Qwen-VL model with safetensors weights: {said}"
    fetch = f"hf download {model} --revision {revision}"
    if not download:
        return f"model {model} at revision {revision} is not in the local cache: run `{fetch}`, or set `download`"
    causes = {type(cause).__name__ for cause in (error.__cause__, error.__context__)}
    if "RevisionNotFoundError" in causes:
        return f"model {model} has no revision {revision}: correct `revision`"
    if "RepositoryNotFoundError" in causes:
        return f"the hub has no model {model}, or it is private: correct `model`"
    if "GatedRepoError" in causes:
        return f"model {model} asks for its licence to be accepted: accept it on the hub, then run `hf auth login`"
    return f"cannot fetch model {model} at revision {revision}, run `{fetch}` where there is a network: {said}"


def _weights(model: str, kind: Any, quantisation: str, device: torch.device, where: dict[str, Any]) -> Any:
    """The model on its device.

    Raises:
        GuidanceModelError: if the checkpoint lacks weights, which transformers would fill with random numbers.
    """
    settings: dict[str, Any] = {"dtype": torch.float32 if quantisation == "fp32" else torch.bfloat16}
    if quantisation in ("nf4", "int8"):
        settings |= {"quantization_config": _bitsandbytes(quantisation), "device_map": {"": device}}
    loaded, info = kind.from_pretrained(model, use_safetensors=True, output_loading_info=True, **settings, **where)
    if info["missing_keys"]:
        missing = sorted(info["missing_keys"])
        raise GuidanceModelError(
            f"model {model} lacks {len(missing)} weights, {missing[0]} among them: fetch the whole checkpoint"
        )
    return loaded if quantisation in ("nf4", "int8") else loaded.to(device)


def _bitsandbytes(quantisation: str) -> Any:
    from transformers import BitsAndBytesConfig

    settings: Any = BitsAndBytesConfig  # has no types
    skipped = list(SKIPPED_MODULES)
    if quantisation == "int8":
        # It says at every product that it rounds to float16, which is what it is for.
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
        return settings(load_in_8bit=True, llm_int8_skip_modules=skipped)
    return settings(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
        llm_int8_skip_modules=skipped,
    )


def _fingerprint(folder: Path) -> str:
    """Hash of a folder's files: names, sizes and evenly spaced samples, since the whole would take a minute."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            last = max(0, size - _SAMPLE_BYTES)
            for index in range(_SAMPLES):
                file.seek(last * index // (_SAMPLES - 1))
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()
