"""What a client is told when its provider refuses, fails or breaks off: the words its own vendor would have used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tests.line.harness import Answer
from tests.line.matrix_asks import asking
from tests.line.matrix_cases import words
from tests.line.matrix_line import CHECKERS, Line


class Told(NamedTuple):
    """One failure in the words of each family."""

    status: int
    openai: tuple[str, str | None]
    """Type and code."""
    anthropic: tuple[int, str]
    """Status and type."""
    google: str


class Failure(NamedTuple):
    """What the simulated provider is steered to do, and what the client is told."""

    name: str
    steering: str
    told: Told
    says: str = ""
    """Something in the message, whoever is told."""
    tokens: int = 4
    """How many have come before it."""


_BAD = "invalid_request_error"

REFUSALS: tuple[Failure, ...] = (
    Failure("a prompt that is too long", "context", Told(
        400, (_BAD, "context_length_exceeded"), (400, _BAD), "INVALID_ARGUMENT")),
    Failure("a prompt against its policy", "policy", Told(
        400, (_BAD, "content_filter"), (400, _BAD), "INVALID_ARGUMENT")),
    Failure("credentials it does not know", "401", Told(
        502, ("upstream_error", "upstream_auth_failed"), (502, "api_error"), "UNAVAILABLE"),
        "This is not about your API key."),
    Failure("a model it does not know", "404", Told(
        404, (_BAD, "model_not_found"), (404, "not_found_error"), "NOT_FOUND"),
        "The model does not exist"),
    Failure("too many requests", "429-ra7", Told(
        429, ("rate_limit_error", "rate_limit_exceeded"), (429, "rate_limit_error"),
        "RESOURCE_EXHAUSTED")),
    Failure("a fault of its own", "500", Told(
        500, ("server_error", None), (500, "api_error"), "INTERNAL"), "The server had an error"),
    Failure("an overload", "529", Told(
        503, ("upstream_error", "no_healthy_deployment"), (529, "overloaded_error"),
        "UNAVAILABLE")),
)  # fmt: skip

_CUT = Told(
    200, ("upstream_error", "upstream_truncated"), (200, "api_error"), "UNAVAILABLE"
)  # fmt: skip
_OVERLOADED = Told(200, ("", None), (200, "overloaded_error"), "UNAVAILABLE")
_PAD = 100_000
"""So that the error does not come in one read with the first token: then nothing has been sent to the client yet."""
BREAKS: tuple[Failure, ...] = (
    Failure("an error in mid-stream", f"n8-s{_PAD}-err_mid", _OVERLOADED),
    Failure("a stream without its last chunk", "n8-chunk_fin", _CUT),
    Failure("a stream without its end", "n8-nodone", _CUT, tokens=8),
)


async def refused(line: Line, failure: Failure) -> None:
    """The client gets an error in the shape and the words of its own vendor, before any stream."""
    try:
        answer = await line.send(asking())
    finally:
        line.forget()

    assert answer.complete, answer
    assert answer.headers["content-type"].startswith("application/json")
    _shaped(line.pair.client, answer.json, failure.told, answer)
    if failure.says:
        assert failure.says in answer.json["error"]["message"]
    if failure.steering.startswith("context") and line.pair.client == "messages":
        # How its clients know that the window is full.
        assert answer.json["error"]["message"].startswith("prompt is too long: ")
    if failure.steering.startswith("429"):
        assert 7 <= int(answer.headers["retry-after"]) <= 9


def _shaped(client: str, body: Any, told: Told, answer: Answer) -> None:
    error = body["error"]
    assert error["message"]
    if client == "messages":
        assert body["type"] == "error"
        assert (answer.status, error["type"]) == told.anthropic
    elif client == "gemini":
        assert (answer.status, error["status"]) == (told.status, told.google)
        assert error["code"] == told.status
    else:
        assert (answer.status, (error["type"], error["code"])) == (told.status, told.openai)
        assert set(error) == {"message", "type", "param", "code"}


_ENDS: Mapping[str, bytes] = {
    "chat": b"data: [DONE]",
    "completions": b"data: [DONE]",
    "responses": b"event: response.completed",
    "messages": b"event: message_stop",
    "gemini": b'"finishReason"',
}
"""What only a stream that has come to its end holds."""


async def broken(line: Line, failure: Failure) -> None:
    """What came has arrived; then one error, no end of the dialect's, and no end of HTTP's."""
    try:
        answer = await line.send(asking())
    finally:
        line.forget()

    assert answer.status == 200, answer
    assert not answer.complete, answer
    assert _ENDS[line.pair.client] not in answer.body, answer
    *before, last = answer.events
    pad = "x" * _PAD if str(_PAD) in failure.steering else ""
    assert _text(line.pair.client, before) == words(failure.tokens, pad), answer
    _last(line.pair.client, last, failure, answer)
    problems = [
        problem
        for problem in CHECKERS[line.pair.client].check_stream(answer.body.replace(b"\r", b""))
        if not problem.startswith("stream: has no")
    ]
    assert not problems, (problems, answer)


def _last(client: str, event: Any, failure: Failure, answer: Answer) -> None:
    if client == "messages":
        assert event["type"] == "error"
        assert event["error"]["type"] == failure.told.anthropic[1]
        return
    error = event.get("error", event)
    assert error["message"]
    if client == "gemini":
        assert (error["status"], error["code"] >= 500) == (failure.told.google, True)
        return
    if client == "responses":
        assert event["type"] == "error"
    if failure.told.openai[1]:
        assert error["code"] == failure.told.openai[1]


def _text(client: str, events: list[Any]) -> str:
    match client:
        case "chat":
            return "".join(
                choice["delta"].get("content") or ""
                for event in events
                for choice in event["choices"]
            )
        case "completions":
            return "".join(choice["text"] for event in events for choice in event["choices"])
        case "responses":
            return "".join(event.get("delta", "") for event in events)
        case "messages":
            return "".join(event.get("delta", {}).get("text", "") for event in events)
        case _:
            return "".join(
                part.get("text", "")
                for event in events
                for candidate in event["candidates"]
                for part in candidate["content"]["parts"]
            )


async def folded(line: Line, failure: Failure) -> None:
    """A provider that only streams breaks off: half of an answer is none."""
    try:
        answer = await line.send(asking())
    finally:
        line.forget()

    assert answer.complete, answer
    assert answer.status >= 500, answer
    error = answer.json["error"]
    assert error["message"]
    if line.pair.client == "messages":
        assert answer.json["type"] == "error"
    elif line.pair.client == "gemini":
        assert error["code"] == answer.status
    else:
        assert set(error) == {"message", "type", "param", "code"}
