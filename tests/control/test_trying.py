"""A try says what a provider answered, in whichever dialect, how long each step took, and what went wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from proxy.control import trying
from proxy.control.trying import TOKENS, Trial, answer, aside, listed, spoken
from proxy.core.errors import Cause
from proxy.core.model import Auth, Credential, Deployment, Fit, Provider
from proxy.core.secret import Secret
from proxy.core.surfaces import DIALECTS
from proxy.upstream.pool import Upstream
from tests.gateway.served import CHUNK, STREAM, STREAMED, chunk, silent, whole
from tests.gateway.served import Provider as Scripted
from tests.line.harness import Simulator, free_port, scripted

KEY = Credential("p#0", Secret("sk-of-the-provider"))
CHAT = {"openai.chat": DIALECTS["openai.chat"]}


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    one = Simulator()
    yield one
    one.stop()


def deployment(
    url: str, model: str = "up", dialects: Mapping[str, str] = CHAT, **more: Any
) -> Deployment:
    provider = {name: more.pop(name) for name in ("auth", "fields", "query") if name in more}
    owner = Provider("p", url, dialects, (KEY,), allow_private=True, **provider)
    return Deployment("d", owner, model, **more)


async def tried(one: Deployment, prompt: str = "hi", credential: Credential | None = KEY) -> Trial:
    async with aside(one.provider) as upstream:
        return await answer(upstream, one, one.model, credential, prompt)


@asynccontextmanager
async def at(*answers: bytes) -> AsyncIterator[tuple[Scripted, str]]:
    provider = Scripted(*answers)
    async with scripted(provider) as url:
        yield provider, url


@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize(
    "dialect",
    [
        "openai.chat",
        "openai.responses",
        "anthropic.messages",
        "gemini.generate",
        "bedrock.converse",
    ],
)
async def test_every_dialect_is_asked_and_understood(
    simulator: Simulator, dialect: str, streams: bool
) -> None:
    one = deployment(simulator.url, "sim-n5-d1", {dialect: DIALECTS[dialect]}, streams=streams)

    trial = await tried(one)

    assert (trial.error, trial.status, trial.dialect) == (None, 200, dialect)
    assert trial.text.startswith("The mill turns")
    assert trial.finish == "stop"
    assert trial.usage is not None
    assert trial.usage.output == 5
    assert trial.connect is not None
    assert trial.ttft is not None
    assert 0 < trial.connect < trial.ttft <= trial.total


async def test_it_is_asked_as_a_client_would_be(simulator: Simulator) -> None:
    async with at(STREAMED) as (provider, url):
        one = deployment(
            url,
            query={"api-version": "7"},
            fields={"openai.chat": Fit(rename={"max_completion_tokens": "max_tokens"})},
            param_defaults={"temperature": 0.5},
            param_overrides={"user": "ops"},
        )
        trial = await tried(one, "say it")

    head, body = provider.requests[0]
    assert head.startswith(b"POST /v1/chat/completions?api-version=7 HTTP/1.1\r\n")
    assert b"\r\nauthorization: Bearer sk-of-the-provider\r\n" in head
    sent = orjson.loads(body)
    assert sent["messages"] == [{"role": "user", "content": "say it"}]
    assert (sent["model"], sent["stream"], sent["user"]) == ("up", True, "ops")
    assert (sent["temperature"], sent["max_tokens"]) == (0.5, TOKENS)
    assert (trial.text, trial.error) == ("hello", None)


async def test_no_stream_and_no_usage_are_asked_for_where_they_are_not_given() -> None:
    async with at(whole()) as (provider, url):
        trial = await tried(deployment(url, streams=False, force_usage=False))

    assert "stream_options" not in orjson.loads(provider.requests[0][1])
    assert (trial.text, trial.finish, trial.model) == ("hello", "stop", "up")


async def test_a_whole_answer_to_a_request_for_a_stream_is_read_too() -> None:
    async with at(whole()) as (_, url):
        trial = await tried(deployment(url))

    assert (trial.text, trial.error) == ("hello", None)


async def test_thoughts_are_content_and_not_the_answer() -> None:
    thought = b'data: {"id":"c","choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}\n\n'
    end = b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"length"}]}\n\ndata: [DONE]\n\n'
    async with at(STREAM + chunk(thought) + chunk(end) + b"0\r\n\r\n") as (_, url):
        trial = await tried(deployment(url))

    assert (trial.text, trial.finish, trial.error) == ("", "length", None)
    assert trial.ttft is not None


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        (whole(b'{"error":{"message":"no"}}', 401), Cause.AUTH),
        (whole(b'{"error":{"message":"slow"}}', 429), Cause.RATE_LIMIT),
        (whole(b"", 503), Cause.SERVER),
        (whole(b"<html>", kind=b"text/html"), Cause.MALFORMED),
        (whole(b'{"error":{"message":"oh","code":"server_error"}}'), Cause.IN_BAND),
        (STREAM + chunk(b'data: {"error":{"message":"oh"}}\n\n') + b"0\r\n\r\n", Cause.IN_BAND),
        (STREAM + chunk(CHUNK) + b"0\r\n\r\n", Cause.TRUNCATED),
        (STREAM + chunk(b"data: " + b"x" * 300_000) + b"0\r\n\r\n", Cause.MALFORMED),
        (b"no http", Cause.MALFORMED),
    ],
    ids=["401", "429", "503", "page", "in-band", "in-stream", "cut", "endless", "no-http"],
)
async def test_what_goes_wrong_is_told(said: bytes, cause: Cause) -> None:
    async with at(said) as (_, url):
        trial = await tried(deployment(url))

    assert trial.error is not None
    assert trial.error.cause is cause


async def test_nobody_there() -> None:
    trial = await tried(deployment(f"http://127.0.0.1:{free_port()}"))

    assert trial.error is not None
    assert (trial.error.cause, trial.connect, trial.status) == (Cause.CONNECT, None, 0)


async def test_it_ends_in_time_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trying, "SECONDS", 0.05)
    async with scripted(silent) as url:
        one = deployment(url)
        upstream = Upstream(one.provider)
        trial = await answer(upstream, one, "up", None, "hi")

        assert trial.error is not None
        assert trial.error.cause is Cause.TIMEOUT_TOTAL
        assert (upstream.busy, upstream.idle) == (0, 0)
        await upstream.close()


async def test_a_request_is_signed_where_that_is_how_one_shows_oneself() -> None:
    dialects = {"bedrock.converse": DIALECTS["bedrock.converse"]}
    key = Credential("p#0", Secret("AKIDEXAMPLE:secret-of-aws"))
    async with at(whole(b"{}", 403)) as (provider, url):
        one = deployment(
            url, "m:1", dialects, auth={"bedrock": Auth("sigv4", "eu-west-1")}, streams=False
        )
        await tried(one, credential=key)

    head = provider.requests[0][0].lower()
    assert head.startswith(b"post /model/m%3a1/converse http/1.1")
    assert b"authorization: aws4-hmac-sha256 credential=akidexample/" in head
    assert b"secret-of-aws" not in head


async def test_who_has_no_answers_in_words_is_asked_the_least_there_is() -> None:
    dialects = {"openai.embeddings": DIALECTS["openai.embeddings"]}
    async with at(whole(b'{"data":[]}')) as (provider, url):
        one = deployment(url, dialects=dialects)
        trial = await tried(one)

    assert spoken(one) is None
    assert provider.requests[0][0].startswith(b"POST /v1/embeddings ")
    assert (trial.error, trial.status, trial.dialect) == (None, 200, "openai.embeddings")


async def test_a_model_of_another_kind_is_asked_in_its_own_way() -> None:
    async with at(whole(b'{"data":[]}')) as (provider, url):
        one = deployment(url, dialects={**CHAT, "openai.embeddings": "/v1/embeddings"})
        upstream = Upstream(one.provider)
        trial = await answer(upstream, one, "up", KEY, "hi", "embedding")
        await upstream.close()

    assert provider.requests[0][0].startswith(b"POST /v1/embeddings ")
    assert trial.error is None


async def test_what_cannot_be_asked_is_not_asked() -> None:
    trial = await tried(deployment("http://127.0.0.1:9", dialects={"openai.rerank": "/v1/rerank"}))

    assert trial.error is not None
    assert (trial.error.cause, trial.error.sent) == (Cause.UNTRANSLATABLE, False)


@pytest.mark.parametrize(
    ("said", "models", "cause"),
    [
        (whole(b'{"object":"list","data":[{"id":"a"},{"id":"b"}]}'), 2, None),
        (whole(b'[{"id":"a"}]'), 1, None),
        (whole(b"{}"), None, None),
        (whole(b'{"error":{"message":"no"}}', 401), None, Cause.AUTH),
        (whole(b"<html>"), None, Cause.MALFORMED),
    ],
)
async def test_its_models_are_counted(said: bytes, models: int | None, cause: Cause | None) -> None:
    async with at(said) as (provider, url):
        upstream = Upstream(deployment(url).provider)
        trial = await listed(upstream, KEY)
        await upstream.close()

    assert trial is not None
    assert provider.requests[0][0].startswith(b"GET /v1/models ")
    assert trial.models == models
    assert (trial.error and trial.error.cause) == cause


async def test_who_lists_nothing_is_not_asked_for_a_list() -> None:
    dialects = {"bedrock.converse": DIALECTS["bedrock.converse"]}
    upstream = Upstream(deployment("http://127.0.0.1:9", dialects=dialects).provider)

    assert await listed(upstream, KEY) is None
    await upstream.close()
