"""Phrases to CLIP's token ids the way CRIS wants them, with transformers' tokenizer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from semore.guidance.cris import PADDING
from semore.guidance.cris_config import CrisConfig


class CrisTokenizer:
    """Phrases to ids int64 [P, text_length]: start, words, end, then zeros.

    A phrase that is too long loses its last words and keeps its end token, as in the public model.

    Args:
        tokenizer: a `transformers.CLIPTokenizer`.
        config: of the model that will read the ids.

    Raises:
        ValueError: if the end token's id is not the largest one of the model's vocabulary: the model looks for it so.
    """

    def __init__(self, tokenizer: Any, config: CrisConfig) -> None:
        largest = max(tokenizer.get_vocab().values())
        if not tokenizer.eos_token_id == largest == config.vocab_size - 1:
            raise ValueError(
                f"CRIS needs CLIP's tokenizer, whose end token has the largest id {config.vocab_size - 1}; "
                f"this one's has {tokenizer.eos_token_id} and its largest id is {largest}"
            )
        self._tokenizer = tokenizer
        self._length = config.text_length

    def __call__(self, phrases: Sequence[str]) -> Tensor:
        """Ids int64 [P, text_length] on the CPU."""
        # The tokenizer's own padding is the end token, which CRIS would read; so pad here.
        rows = self._tokenizer(list(phrases), truncation=True, max_length=self._length)["input_ids"]
        tokens = torch.full((len(rows), self._length), PADDING, dtype=torch.int64)
        for row, ids in zip(tokens, rows, strict=True):
            row[: len(ids)] = torch.tensor(ids)
        return tokens


def load_clip_tokenizer(directory: Path | str, config: CrisConfig) -> CrisTokenizer:
    """The tokenizer in a local directory: `tokenizer.json`, or `vocab.json` and `merges.txt`. Nothing is downloaded.

    Raises:
        ValueError: if the directory has no such files, or they are not CLIP's.
        ImportError: without the package transformers.
    """
    from transformers import CLIPTokenizer

    directory = Path(directory)
    if (directory / "tokenizer.json").is_file():
        return CrisTokenizer(CLIPTokenizer.from_pretrained(str(directory), local_files_only=True), config)
    vocab, merges = directory / "vocab.json", directory / "merges.txt"
    if vocab.is_file() and merges.is_file():
        return clip_tokenizer_from_files(vocab, merges, config)
    raise ValueError(f"no CLIP tokenizer in {directory}; it needs tokenizer.json, or vocab.json and merges.txt")


def clip_tokenizer_from_files(vocab: Path | str, merges: Path | str, config: CrisConfig) -> CrisTokenizer:
    """The tokenizer of CLIP's two files: a JSON object from token to id, and one merge a line.

    Raises:
        ValueError: if the files are not CLIP's.
        OSError: if they cannot be read.
        ImportError: without the package transformers.
    """
    from transformers import CLIPTokenizer

    lines = Path(merges).read_text(encoding="utf-8").splitlines()
    pairs = [tuple(line.split()) for line in lines if line.strip() and not line.startswith("#version")]
    ids = json.loads(Path(vocab).read_text(encoding="utf-8"))
    if not isinstance(ids, dict) or any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"{vocab} must hold a JSON object and {merges} two tokens a line; give CLIP's own files")
    build: Any = CLIPTokenizer  # its annotation names strings, but it takes pairs
    return CrisTokenizer(build(vocab=ids, merges=pairs), config)
