"""Annotator and judge behind an OpenAI-compatible chat endpoint: vLLM, SGLang, llama.cpp, `transformers serve`."""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import json
import math
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from semore.guidance.macro import macro_action
from semore.guidance.phrases import MAX_PHRASES, parse_phrases
from semore.guidance.prompt_files import Prompts, fill
from semore_fast.errors import UserError
from semore_fast.guidance.model import ModelError, Phrases

MOST_ANSWER_BYTES = 1 << 20
YES, NO = "yes", "no"
_ANNOTATE_TOKENS = 64
_TOP_LOGPROBS = 20  # the most that the protocol allows

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatOptions:
    """Where the model is, and how long to wait for it."""

    url: str
    """Up to and including /v1."""
    model: str
    """Its name there."""
    scenario: str
    """Whose words the prompts use."""
    key: str = ""
    """Sent as a bearer token, and never shown."""
    timeout_s: float = 30.0
    """For one answer."""
    at_once: int = 8
    """Requests under way; the server batches them."""


class ChatServer:
    """Asks for phrases as text, and for a verdict as one token, read from its probabilities where they are given.

    Raises:
        UserError: the URL is not one.
    """

    def __init__(self, options: ChatOptions, prompts: Prompts) -> None:
        if not options.url.startswith(("http://", "https://")):
            raise UserError(f"--guide.url must begin with http:// or https://, got {options.url!r}")
        self._options, self._prompts = options, prompts
        words = prompts.words(options.scenario)
        self._annotate = fill(
            prompts.annotate, scene=words.scene, phrases=", ".join(words.phrases), count=str(MAX_PHRASES)
        )
        shown = json.dumps([options.model, self._annotate, prompts.judge, _ANNOTATE_TOKENS])
        self.revision = f"chat-{hashlib.sha256(shown.encode()).hexdigest()[:16]}"
        self._threads = ThreadPoolExecutor(options.at_once, thread_name_prefix="chat")

    def annotate_batch(self, frames: NDArray[np.uint8]) -> list[Phrases]:
        """Phrases for each frame, uint8 [B, 3, H, W].

        Raises:
            ModelError: the server did not answer one of them.
        """
        return self._all(self._phrases, list(frames))

    def judge_batch(self, frames: NDArray[np.uint8], actions: NDArray[np.float32]) -> list[bool]:
        """Whether each action float32 [B, 2] is reasonable in its frame.

        Raises:
            ModelError: the server did not answer one of them, or with neither yes nor no.
        """
        return self._all(self._verdict, list(zip(frames, actions, strict=True)))

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _all(self, ask: Callable[[Any], Result], things: Sequence[Any]) -> list[Result]:
        return list(self._threads.map(ask, things))

    def _phrases(self, frame: NDArray[np.uint8]) -> Phrases:
        choice = self._ask(frame, self._annotate, max_tokens=_ANNOTATE_TOKENS)
        return parse_phrases(_text(choice))

    def _verdict(self, pair: tuple[NDArray[np.uint8], NDArray[np.float32]]) -> bool:
        frame, action = pair
        prompt = fill(self._prompts.judge, action=str(macro_action(action)), yes=YES, no=NO)
        choice = self._ask(frame, prompt, max_tokens=1, logprobs=True, top_logprobs=_TOP_LOGPROBS)
        return reasonable(choice)

    def _ask(self, frame: NDArray[np.uint8], prompt: str, **settings: Any) -> dict[str, Any]:
        image = {"type": "image_url", "image_url": {"url": data_url(frame)}}
        message = {"role": "user", "content": [image, {"type": "text", "text": prompt}]}
        body = {"model": self._options.model, "messages": [message], "temperature": 0, **settings}
        answer = self._post(json.dumps(body).encode())
        try:
            choice: dict[str, Any] = json.loads(answer)["choices"][0]
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise ModelError(f"{self._options.url} answered something else than a chat completion") from error
        if not isinstance(choice, dict):
            raise ModelError(f"{self._options.url} answered something else than a chat completion")
        return choice

    def _post(self, body: bytes) -> bytes:
        headers = {"Content-Type": "application/json"}
        if self._options.key:
            headers["Authorization"] = f"Bearer {self._options.key}"
        request = urllib.request.Request(f"{self._options.url.rstrip('/')}/chat/completions", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=self._options.timeout_s) as response:
                answer: bytes = response.read(MOST_ANSWER_BYTES + 1)
        except urllib.error.HTTPError as error:
            raise ModelError(f"{self._options.url} answered {error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
            reason = getattr(error, "reason", None) or error
            raise ModelError(f"{self._options.url} did not answer: {reason or type(error).__name__}") from error
        if len(answer) > MOST_ANSWER_BYTES:
            raise ModelError(f"{self._options.url} answered more than {MOST_ANSWER_BYTES} bytes")
        return answer


def reasonable(choice: dict[str, Any]) -> bool:
    """The verdict in one choice of a chat completion: by the first token's probabilities, else by its text.

    Raises:
        ModelError: neither yes nor no is in it.
    """
    weight = {YES: 0.0, NO: 0.0}
    for entry in _top_logprobs(choice):
        token, logprob = entry.get("token"), entry.get("logprob")
        answer = token.strip().lower() if isinstance(token, str) else ""
        if answer in weight and isinstance(logprob, int | float) and logprob <= 0:
            weight[answer] += math.exp(logprob)
    if weight[YES] != weight[NO]:
        return weight[YES] > weight[NO]
    answer = _text(choice).strip().lower()
    if answer.startswith((YES, NO)):
        return answer.startswith(YES)
    raise ModelError(f"the judge answered neither {YES} nor {NO}: {answer[:40]!r}")


def data_url(frame: NDArray[np.uint8]) -> str:
    """A frame uint8 [3, H, W] as a PNG in a URL."""
    from matplotlib.image import imsave

    file = io.BytesIO()
    imsave(file, np.ascontiguousarray(frame.transpose(1, 2, 0)), format="png")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _top_logprobs(choice: dict[str, Any]) -> list[dict[str, Any]]:
    try:
        entries = choice["logprobs"]["content"][0]["top_logprobs"]
    except (LookupError, TypeError):
        return []
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _text(choice: dict[str, Any]) -> str:
    message = choice.get("message")
    text = message.get("content") if isinstance(message, dict) else None
    return text if isinstance(text, str) else ""
