"""Tokens are counted by the provider where it counts, else estimated, and the answer says which."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.core.model import Model, Snapshot
from tests.gateway.asked import provider, raw, snapshot
from tests.gateway.served import Provider, serving, whole
from tests.line.harness import Answer, scripted

ASKED: dict[str, tuple[str, dict[str, Any], str]] = {
    "messages": (
        "/v1/messages/count_tokens",
        {"model": "m", "messages": [{"role": "user", "content": "How many tokens is this?"}]},
        "input_tokens",
    ),
    "gemini": (
        "/v1beta/models/m:countTokens",
        {"contents": [{"role": "user", "parts": [{"text": "How many tokens is this?"}]}]},
        "totalTokens",
    ),
}
MISSING = [404, 405, 501]


def model(url: str, dialect: str, path: str) -> Snapshot:
    return snapshot(provider(url, dialects={dialect: path}))


async def ask(content: Snapshot, client: str) -> Answer:
    path, body, _ = ASKED[client]
    async with serving(content) as served:
        return await served.ask(raw("POST", path, orjson.dumps(body)))


@pytest.mark.parametrize("client", ASKED)
async def test_a_provider_that_does_not_count_is_not_asked(client: str) -> None:
    answers = Provider(whole())
    async with scripted(answers) as url:
        answer = await ask(model(url, "openai.chat", "/v1/chat/completions"), client)

    assert answer.status == 200
    assert answer.headers["x-headrace-estimated"] == "true"
    assert 4 <= answer.json[ASKED[client][2]] <= 20
    assert not answers.requests


async def test_a_provider_of_another_dialect_counts_in_its_own() -> None:
    answers = Provider(whole(b'{"totalTokens": 31}'))
    async with scripted(answers) as url:
        answer = await ask(model(url, "gemini.generate", "/v1beta/models"), "messages")

    assert answer.json == {"input_tokens": 31}
    assert "x-headrace-estimated" not in answer.headers
    head, body = answers.requests[0]
    assert head.startswith(b"POST /v1beta/models/up:countTokens ")
    assert b"How many tokens" in body


async def test_the_same_the_other_way() -> None:
    answers = Provider(whole(b'{"input_tokens": 31}'))
    async with scripted(answers) as url:
        answer = await ask(model(url, "anthropic.messages", "/v1/messages"), "gemini")

    assert answer.json["totalTokens"] == 31
    head, body = answers.requests[0]
    assert head.startswith(b"POST /v1/messages/count_tokens ")
    assert b"max_tokens" not in body


@pytest.mark.parametrize("status", MISSING)
async def test_one_that_imitates_a_dialect_without_counting_is_estimated_for(status: int) -> None:
    answers = Provider(whole(b'{"error":{"message":"no such path"}}', status))
    async with scripted(answers) as url:
        answer = await ask(model(url, "anthropic.messages", "/v1/messages"), "messages")

    assert answer.status == 200
    assert answer.headers["x-headrace-estimated"] == "true"


async def test_a_request_that_is_wrong_is_refused_and_not_estimated() -> None:
    refusal = b'{"type":"error","error":{"type":"invalid_request_error","message":"No."}}'
    answers = Provider(whole(refusal, 400))
    async with scripted(answers) as url:
        answer = await ask(model(url, "anthropic.messages", "/v1/messages"), "messages")

    assert answer.status == 400
    assert answer.json["error"]["message"] == "No."


async def test_a_request_that_cannot_be_read_is_the_clients_fault() -> None:
    content = model("http://127.0.0.1:9", "openai.chat", "/v1/chat/completions")
    async with serving(content) as served:
        body = orjson.dumps({"model": "m", "messages": 3})
        answer = await served.ask(raw("POST", "/v1/messages/count_tokens", body))

    assert answer.status == 400
    assert answer.json["type"] == "error"
    assert isinstance(content.models["m"], Model)
