"""A prompt and a picture as Qwen's token ids, without the processor class (which needs torchvision)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from semore.guidance.qwen_errors import GuidanceModelError

IMAGE_PAD, VISION_START, VISION_END, TURN_END = "<|image_pad|>", "<|vision_start|>", "<|vision_end|>", "<|im_end|>"
"""Special tokens of all Qwen-VL tokenizers."""


@dataclass(frozen=True)
class TokenBatch:
    """Prompts of different lengths, padded on the left, so that all end at the same place.

    Attributes:
        input_ids: int64 `[B, S]`.
        attention_mask: int64 `[B, S]`, 0 on padding.
        mm_token_type_ids: int64 `[B, S]`, 1 on image tokens; the model computes its 3D positions from them.
    """

    input_ids: Tensor
    attention_mask: Tensor
    mm_token_type_ids: Tensor

    def model_inputs(self) -> dict[str, Tensor]:
        """Keyword arguments for the model."""
        return dict(vars(self))


class ChatTokens:
    """Writes a user's turn with one picture in the model's own chat template.

    Args:
        tokenizer: of a Qwen-VL model, with a chat template.
        image_token_id: as the model's config has it.

    Raises:
        GuidanceModelError: if the tokenizer lacks one of Qwen's special tokens or the chat template, or disagrees
            with the config about the image token.
    """

    def __init__(self, tokenizer: Any, image_token_id: int) -> None:
        self._tokenizer = tokenizer
        self._known: dict[str, list[int]] = {}
        for token in (VISION_START, IMAGE_PAD, VISION_END, TURN_END):
            if self.encode(token) != [tokenizer.convert_tokens_to_ids(token)]:
                raise GuidanceModelError(f"the tokenizer has no token {token}: choose a Qwen-VL instruct model")
        self.image_id = int(tokenizer.convert_tokens_to_ids(IMAGE_PAD))
        self.end_id = int(tokenizer.convert_tokens_to_ids(TURN_END))
        if self.image_id != image_token_id:
            raise GuidanceModelError(
                f"the tokenizer's {IMAGE_PAD} is token {self.image_id} but the config's image_token_id is "
                f"{image_token_id}: the model's files do not belong together"
            )
        if not tokenizer.chat_template:
            raise GuidanceModelError("the tokenizer has no chat template: choose an instruct model, not a base model")
        self.pad_id = int(self.end_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id)

    def encode(self, text: str) -> list[int]:
        """Token ids of a text as it stands: nothing is put before or behind it."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of token ids, without special tokens."""
        text: str = self._tokenizer.decode(list(tokens), skip_special_tokens=True)
        return text

    def batch(self, prompts: Sequence[str], image_tokens: int, device: torch.device) -> TokenBatch:
        """One row for each prompt, each with a picture that takes `image_tokens` tokens."""
        rows = [self._row(prompt, image_tokens) for prompt in prompts]
        length = max(map(len, rows))
        ids = torch.tensor([[self.pad_id] * (length - len(row)) + row for row in rows], dtype=torch.int64)
        mask = torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in rows], dtype=torch.int64)
        ids, mask = ids.to(device), mask.to(device)
        return TokenBatch(ids, mask, ((ids == self.image_id) & (mask == 1)).long())

    def answer_id(self, answer: str) -> int:
        """The one token that is this answer.

        Raises:
            GuidanceModelError: if the tokenizer writes it with none or several tokens: comparing the first of
                several would compare parts of words.
        """
        ids = self.encode(answer)
        if len(ids) != 1:
            raise GuidanceModelError(
                f"answer {answer!r} is {len(ids)} tokens in this tokenizer, the judge needs one: "
                "choose other `answers`, such as Yes and No"
            )
        return ids[0]

    def _row(self, prompt: str, image_tokens: int) -> list[int]:
        if prompt not in self._known:
            self._known[prompt] = self._written(prompt)
        row = self._known[prompt]
        place = row.index(self.image_id)
        return row[:place] + [self.image_id] * image_tokens + row[place + 1 :]

    def _written(self, prompt: str) -> list[int]:
        """The turn with one image token.

        The picture's tokens are put into the text by hand because some of these templates know nothing of pictures.
        """
        content = f"{VISION_START}{IMAGE_PAD}{VISION_END}{prompt}"
        text = self._tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        row = self.encode(text)
        if row.count(self.image_id) != 1:
            raise GuidanceModelError(
                f"the turn has {row.count(self.image_id)} pictures, not 1: "
                f"the prompt contains {IMAGE_PAD}, or the chat template drops it"
            )
        return row


def answer_ids(tokens: ChatTokens, answers: tuple[str, str]) -> tuple[int, int]:
    """Tokens of the answers that mean reasonable and unreasonable.

    Raises:
        GuidanceModelError: if an answer is not one token, or both are the same.
    """
    yes, no = (tokens.answer_id(answer) for answer in answers)
    if yes == no:
        raise GuidanceModelError(f"answers {answers[0]!r} and {answers[1]!r} are one and the same token: choose others")
    return yes, no
