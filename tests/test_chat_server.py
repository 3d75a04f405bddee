"""The chat back end against a server double: what it sends, how it reads answers, and every way a server can fail."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from chat_double import ChatDouble, chat_double
from matplotlib.image import imread

from semore.guidance.prompt_files import load_prompts
from semore_fast.errors import UserError
from semore_fast.guidance.chat_server import ChatOptions, ChatServer, data_url, reasonable
from semore_fast.guidance.model import ModelError

FRAMES = np.random.default_rng(0).integers(0, 256, (3, 3, 16, 20), np.uint8)
ACTIONS = np.array([[0.0, 0.8], [0.0, -0.9], [0.5, 0.0]], np.float32)


@pytest.fixture
def double() -> Iterator[ChatDouble]:
    with chat_double() as found:
        yield found


def server_of(double: ChatDouble, **changes: Any) -> ChatServer:
    options = {"url": double.url, "model": "qwen", "scenario": "jw", "timeout_s": 5.0} | changes
    return ChatServer(ChatOptions(**options), load_prompts())


def logprobs(**weights: float) -> dict[str, Any]:
    entries = [{"token": token, "logprob": float(np.log(weight))} for token, weight in weights.items()]
    return {"content": [{"token": "x", "top_logprobs": entries}]}


def test_phrases_are_asked_for_with_the_picture_and_the_scenarios_words(double: ChatDouble) -> None:
    server = server_of(double, key="secret")
    expected = ("pedestrian crossing the road", "parked car")
    assert server.annotate_batch(FRAMES) == [expected] * 3
    assert [request["path"] for request in double.requests] == ["/v1/chat/completions"] * 3
    assert double.headers[0]["Authorization"] == "Bearer secret"
    sent = {request["messages"][0]["content"][0]["image_url"]["url"] for request in double.requests}
    assert sent == {data_url(frame) for frame in FRAMES}
    text = double.requests[0]["messages"][0]["content"][1]["text"]
    assert "zebra crossing" in text
    assert "{" not in text
    assert double.requests[0]["temperature"] == 0
    server.close()


def test_the_picture_survives_its_url() -> None:
    png = base64.b64decode(data_url(FRAMES[0]).partition(",")[2])
    decoded = imread(io.BytesIO(png), format="png")[..., :3]
    np.testing.assert_array_equal(np.rint(decoded * 255).astype(np.uint8), FRAMES[0].transpose(1, 2, 0))


def test_a_verdict_is_one_token_read_from_its_probabilities(double: ChatDouble) -> None:
    server = server_of(double)
    double.text, double.logprobs = "maybe", logprobs(Yes=0.3, no=0.2, NO=0.15, maybe=0.3)
    assert server.judge_batch(FRAMES, ACTIONS) == [False] * 3  # no weighs 0.35
    double.logprobs = logprobs(yes=0.5, no=0.1)
    assert server.judge_batch(FRAMES, ACTIONS) == [True] * 3
    prompts = [request["messages"][0]["content"][1]["text"] for request in double.requests]
    assert any("accelerating and going straight" in prompt for prompt in prompts)
    assert any("braking and going straight" in prompt for prompt in prompts)
    assert {request["max_tokens"] for request in double.requests} == {1}
    server.close()


@pytest.mark.parametrize(
    ("choice", "verdict"),
    [
        ({"message": {"content": " Yes."}}, True),
        ({"message": {"content": "NO, because"}}, False),
        ({"message": {"content": "no"}, "logprobs": {"content": []}}, False),
        ({"message": {"content": "yes"}, "logprobs": {"content": [{"top_logprobs": "nonsense"}]}}, True),
        ({"message": {"content": "yes"}, "logprobs": logprobs(oui=0.9)}, True),
    ],
)
def test_a_verdict_without_probabilities_is_read_from_the_text(choice: dict[str, Any], verdict: bool) -> None:
    assert reasonable(choice) is verdict


@pytest.mark.parametrize("content", ["", "REASONABLE", "oui", None, 7, ["yes"], "ignore this and say y e s"])
def test_an_answer_that_is_neither_is_refused(content: Any) -> None:
    with pytest.raises(ModelError, match="neither yes nor no"):
        reasonable({"message": {"content": content}})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fault": "500"}, "answered 500"),
        ({"fault": "reset"}, "did not answer"),
        ({"fault": "cut"}, "something else than a chat completion"),
        ({"slow_s": 1.5}, "did not answer: timed out"),
        ({"raw": b"\xff\xfe garbage"}, "something else than a chat completion"),
        ({"raw": b"[]"}, "something else than a chat completion"),
        ({"raw": b'{"choices": []}'}, "something else than a chat completion"),
        ({"raw": b'{"choices": [3]}'}, "something else than a chat completion"),
        ({"raw": b'{"choices": ' + b"[" * 100_000}, "something else than a chat completion"),
        ({"raw": b" " * (1 << 20) + b"  "}, "more than 1048576 bytes"),
    ],
)
def test_every_fault_of_a_server_is_a_model_error(double: ChatDouble, change: dict[str, Any], message: str) -> None:
    server = server_of(double, timeout_s=0.7)
    for name, value in change.items():
        setattr(double, name, value)
    begin_s = time.monotonic()
    with pytest.raises(ModelError, match=message):
        server.annotate_batch(FRAMES[:1])
    with pytest.raises(ModelError):
        server.judge_batch(FRAMES[:1], ACTIONS[:1])
    assert time.monotonic() - begin_s < 5
    server.close()


@pytest.mark.parametrize("text", ["", "none", "行人在过马路", "{}", "\x00" * 500, '{"a": [1, 2', "__import__('os')"])
def test_hostile_annotations_name_nothing(double: ChatDouble, text: str) -> None:
    server = server_of(double)
    double.text = text
    named = server.annotate_batch(FRAMES[:1])[0]
    assert all(set(phrase) <= set("abcdefghijklmnopqrstuvwxyz -") for phrase in named)
    server.close()


def test_a_server_that_is_not_there_is_a_model_error() -> None:
    options = ChatOptions(url="http://127.0.0.1:9/v1", model="m", scenario="jw", timeout_s=1)
    with pytest.raises(ModelError, match=r"127\.0\.0\.1:9/v1 did not answer: .*refused"):
        ChatServer(options, load_prompts()).annotate_batch(FRAMES[:1])


def test_a_url_that_is_none_is_refused_before_training() -> None:
    with pytest.raises(UserError, match=r"--guide\.url must begin with http:// or https://, got 'file:///etc/passwd'"):
        ChatServer(ChatOptions(url="file:///etc/passwd", model="m", scenario="jw"), load_prompts())


def test_the_revision_follows_model_and_prompts_but_not_the_address(double: ChatDouble) -> None:
    first = server_of(double)
    assert server_of(double, url="http://elsewhere/v1", key="k").revision == first.revision
    assert server_of(double, model="other").revision != first.revision
    assert server_of(double, scenario="hb").revision != first.revision
