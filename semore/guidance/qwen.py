"""Qwen-VL as annotator and judge: phrases by constrained or free decoding, verdicts from two logits.

A verdict is read from the logits at one place and no text is decoded, so nothing that is written in the picture can
break its form. It may still sway the model: that is a property of the model, not of this reading.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semore.guidance.macro import macro_action
from semore.guidance.phrases import parse_phrases
from semore.guidance.prompt_files import Prompts, fill
from semore.guidance.protocols import Snapshot
from semore.guidance.qwen_errors import GuidanceModelError
from semore.guidance.qwen_options import QwenOptions
from semore.guidance.qwen_pixels import PatchSettings, to_patches
from semore.guidance.qwen_tokens import ChatTokens, answer_ids
from semore.guidance.vocabulary import Vocabulary

HASH_LETTERS = 16


class QwenGuide:
    """Annotator and judge (paper eqs 2-3 and "Selective Replay Buffer"). Make one with `load_qwen`.

    It answers the same for a frame alone and in a batch, up to the rounding of the arithmetic; decoding is greedy.
    No gradients. Frames may lie on any device.

    Args:
        model: a Qwen-VL model for conditional generation, in its place on a device. Its generation settings are
            replaced by greedy ones.
        tokens: its tokenizer.
        patches: its preprocessing.
        prompts: the texts.
        options: the choices.
        identity: what the weights are: id, revision, quantisation. Becomes part of `revision`.

    Raises:
        GuidanceModelError: if an answer of the judge is not one token, or both are the same; or if the tokenizer
            cannot be held to the scenario's vocabulary.

    Attributes:
        revision: hash of everything that decides the answers, for caches: identity, prompts, vocabularies, options.
        options: as given.
    """

    def __init__(
        self,
        model: Any,
        tokens: ChatTokens,
        patches: PatchSettings,
        prompts: Prompts,
        options: QwenOptions,
        identity: dict[str, str],
    ) -> None:
        self.options = options
        self.revision = _revision(prompts, options, identity)
        self._model = model.eval().requires_grad_(False)
        self._model.generation_config = _greedy(tokens)
        self._device: torch.device = model.device
        self._tokens, self._patches, self._prompts = tokens, patches, prompts
        self._answers = answer_ids(tokens, options.answers)
        self._vocabularies: dict[str, Vocabulary] = {}
        if options.mode == "vocabulary":
            self._vocabulary(options.scenario)  # so that a mistake shows before the first frame

    def annotate_batch(self, frames: Tensor, scenario: str) -> list[tuple[str, ...]]:
        """What matters to the driver in each frame.

        Args:
            frames: uint8 `[B, 3, H, W]`, RGB.
            scenario: whose vocabulary and scene to use: jw, hb, hw or one of the prompt folder's.

        Returns:
            For each frame at most `max_phrases` phrases, each once; none if nothing was named.

        Raises:
            PromptFileError: if there is no vocabulary for the scenario.
            ValueError: if the frames have another shape or type.
        """
        words = self._prompts.words(scenario)
        prompt = fill(
            self._prompts.annotate,
            scene=words.scene,
            phrases=", ".join(words.phrases),
            count=str(self.options.max_phrases),
        )
        vocabulary = self._vocabulary(scenario) if self.options.mode == "vocabulary" else None
        found: list[tuple[str, ...]] = []
        for part in self._chunks(frames):
            found += self._generate(frames[part], prompt, vocabulary)
        return found

    def judge_probability(self, frames: Tensor, actions: NDArray[np.float32]) -> NDArray[np.float32]:
        """How probable the model finds it that each action is reasonable: of its two answers, the first's share.

        Args:
            frames: uint8 `[B, 3, H, W]`, RGB.
            actions: float32 `[B, 2]` = (steer, throttle or brake), each in [-1, 1]; told as `macro_action`'s words.

        Returns:
            float32 `[B]` in [0, 1].

        Raises:
            ValueError: if shapes or types differ from these, or an action is out of range.
            GuidanceModelError: if the model's logits are not finite.
        """
        if actions.shape != (len(frames), 2):
            raise ValueError(f"actions must have shape [{len(frames)}, 2], got {list(actions.shape)}")
        yes, no = self.options.answers
        prompts = [fill(self._prompts.judge, action=str(macro_action(action)), yes=yes, no=no) for action in actions]
        logits = [self._answer_logits(frames[part], prompts[part]) for part in self._chunks(frames)]
        if not logits:
            return np.zeros(0, np.float32)
        pairs = torch.cat(logits)
        if not bool(pairs.isfinite().all()):
            raise GuidanceModelError("the model's logits are not finite: choose quantisation bf16 or fp32")
        probability: NDArray[np.float32] = pairs.softmax(dim=1)[:, 0].cpu().numpy()
        return probability

    def judge_batch(self, frames: Tensor, actions: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Whether each action is reasonable, bool `[B]`. Arguments and errors as for `judge_probability`."""
        verdicts: NDArray[np.bool_] = self.judge_probability(frames, actions) >= self.options.threshold
        return verdicts

    def annotate(self, snapshot: Snapshot) -> tuple[str, ...]:
        """The phrases of one frame, with the vocabulary of `options.scenario`."""
        return self.annotate_batch(_frame(snapshot), self.options.scenario)[0]

    def judge(self, snapshot: Snapshot, action: NDArray[np.float32]) -> bool:
        """True if `action`, float32 `[2]`, is reasonable in the frame."""
        return bool(self.judge_batch(_frame(snapshot), action[None])[0])

    def _chunks(self, frames: Tensor) -> Iterator[slice]:
        for start in range(0, len(frames), self.options.max_batch):
            yield slice(start, start + self.options.max_batch)

    def _vocabulary(self, scenario: str) -> Vocabulary:
        if scenario not in self._vocabularies:
            phrases, most = self._prompts.words(scenario).phrases, self.options.max_phrases
            try:
                made = Vocabulary(phrases, self._tokens.encode, self._tokens.end_id, most)
            except ValueError as error:
                raise GuidanceModelError(f"vocabulary {scenario}: {error}; use mode 'free'") from error
            self._vocabularies[scenario] = made
        return self._vocabularies[scenario]

    def _inputs(self, frames: Tensor, prompts: Sequence[str]) -> dict[str, Tensor]:
        """Keyword arguments for the model."""
        pixels, grid = to_patches(frames.to(self._device), self._patches)
        image_tokens = self._patches.tokens(frames.shape[2], frames.shape[3])
        texts = self._tokens.batch(prompts, image_tokens, self._device)
        return {**texts.model_inputs(), "pixel_values": pixels, "image_grid_thw": grid}

    @torch.no_grad()
    def _generate(self, frames: Tensor, prompt: str, vocabulary: Vocabulary | None) -> list[tuple[str, ...]]:
        inputs = self._inputs(frames, [prompt] * len(frames))
        start = inputs["input_ids"].shape[1]
        if vocabulary is None:
            limits: dict[str, Any] = {"max_new_tokens": self.options.max_new_tokens}
        else:
            limits = {
                "max_new_tokens": vocabulary.max_tokens,
                "prefix_allowed_tokens_fn": lambda _, row: vocabulary.allowed(self._answer(row[start:])),
            }
        rows = self._model.generate(**inputs, **limits)[:, start:]
        answers = [self._answer(row) for row in rows]
        if vocabulary is not None:
            return [vocabulary.phrases(answer) for answer in answers]
        return [parse_phrases(self._tokens.decode(answer), self.options.max_phrases) for answer in answers]

    def _answer(self, row: Tensor) -> list[int]:
        """Token ids up to the first end, the end included; what follows is the batch's padding."""
        ids: list[int] = row.tolist()
        end = self._tokens.end_id
        return ids[: ids.index(end) + 1] if end in ids else ids

    @torch.no_grad()
    def _answer_logits(self, frames: Tensor, prompts: Sequence[str]) -> Tensor:
        """Logits `[B, 2]`, float32, of the two answers as the next token."""
        # All logits of all places would be vocabulary x length x batch, hundreds of megabytes.
        output = self._model(**self._inputs(frames, prompts), logits_to_keep=1, use_cache=False)
        logits: Tensor = output.logits[:, -1, list(self._answers)].float()
        return logits


def _frame(snapshot: Snapshot) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(snapshot.frame))[None]


def _greedy(tokens: ChatTokens) -> Any:
    """Generation settings in which nothing is random; a checkpoint's own ask for sampling and penalties."""
    from transformers import GenerationConfig

    settings: Any = GenerationConfig  # has no types
    return settings(do_sample=False, eos_token_id=tokens.end_id, pad_token_id=tokens.pad_id)


def _revision(prompts: Prompts, options: QwenOptions, identity: dict[str, str]) -> str:
    choices = asdict(options)
    del choices["max_batch"]  # does not change the answers
    text = json.dumps([identity, asdict(prompts), choices], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_LETTERS]
