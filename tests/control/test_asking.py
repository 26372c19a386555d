"""Small requests are asked at the right place, with the right credential, and their answers are understood."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import orjson
import pytest

from proxy.control import asking
from proxy.control.asking import Question, ask, for_models, for_token
from proxy.core.model import Auth, Credential, Deployment, Provider
from proxy.core.secret import Secret
from proxy.core.surfaces import DIALECTS
from proxy.state.checks import Check
from proxy.upstream.pool import Upstream
from tests.gateway.served import whole
from tests.line.harness import read_request, scripted

KEY = Credential("p#0", Secret("sk-of-the-provider"))


def provider(
    url: str = "https://p.example.com",
    dialects: Mapping[str, str] | None = None,
    auth: Mapping[str, Auth] | None = None,
) -> Provider:
    found = dict(dialects or {"openai.chat": "/v1/chat/completions"})
    return Provider("p", url, found, (KEY,), auth or {}, allow_private=True)


@pytest.mark.parametrize(
    ("url", "dialects", "expected"),
    [
        ("https://p", {"openai.chat": "/v1/chat/completions"}, "https://p/v1/models"),
        ("https://p/v1", {"openai.chat": "/v1/chat/completions"}, "https://p/v1/models"),
        ("https://p/openai", {"openai.chat": "/v1/chat/completions"}, "https://p/openai/v1/models"),
        ("https://p", {"openai.chat": "/chat/completions"}, "https://p/models"),
        ("https://p", {"openai.rerank": "/v2/rerank"}, "https://p/v2/models"),
        ("https://p", {"openai.images": "/v1/images"}, "https://p/v1/models"),
        ("https://p", {"anthropic.messages": "/v1/messages"}, "https://p/v1/models"),
        ("https://p/v1beta", {"gemini.generate": "/v1beta/models"}, "https://p/v1beta/models"),
        ("https://p", {"openai.chat": "/deployments/{model}/chat/completions"}, None),
        ("https://p", {"openai.chat": "/somewhere"}, None),
        ("https://p", {"bedrock.converse": "/model"}, None),
        ("https://p", {"conversation.chat": "/ask/{conversation_id}"}, None),
    ],
)
def test_where_a_list_of_models_is(
    url: str, dialects: dict[str, str], expected: str | None
) -> None:
    question = for_models(provider(url, dialects))

    assert (question and question.url) == expected
    assert question is None or (question.method, question.body) == ("GET", None)


@pytest.mark.parametrize(
    ("dialect", "url"),
    [
        ("openai.chat", "/v1/chat/completions"),
        ("openai.completions", "/v1/completions"),
        ("openai.responses", "/v1/responses"),
        ("openai.embeddings", "/v1/embeddings"),
        ("anthropic.messages", "/v1/messages"),
        ("gemini.generate", "/v1beta/models/vendor/m%201:generateContent"),
        ("bedrock.converse", "/model/vendor%2Fm%201/converse"),
    ],
)
def test_how_one_token_is_asked_for(dialect: str, url: str) -> None:
    one = Deployment("d", provider(dialects={dialect: DIALECTS[dialect]}), "vendor/m 1")

    question = for_token(one)

    assert question is not None
    assert (question.method, question.url) == ("POST", "https://p.example.com" + url)
    assert question.costs
    assert question.body is not None
    assert orjson.loads(question.body).get("model", "vendor/m 1") == "vendor/m 1"


def test_what_a_deployment_prefers_is_asked_first() -> None:
    dialects = {name: DIALECTS[name] for name in ("openai.chat", "anthropic.messages")}
    one = Deployment("d", provider(dialects=dialects), "m", prefer=("anthropic.messages",))

    question = for_token(one)

    assert question is not None
    assert question.dialect == "anthropic.messages"


@pytest.mark.parametrize(
    ("dialects", "model"),
    [
        ({"openai.images": "/v1/images"}, "m"),
        ({"openai.chat": "/v1/chat/completions"}, "*"),
        ({"openai.chat": "/v1/chat/completions"}, "gpt-*"),
    ],
)
def test_some_cannot_be_asked_for_a_token(dialects: dict[str, str], model: str) -> None:
    assert for_token(Deployment("d", provider(dialects=dialects), model)) is None


class Heard:
    """What a scripted provider was asked."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, body = await read_request(reader)
        self.heads.append(head)
        self.bodies.append(body)
        writer.write(self.answer)
        await reader.read()


@asynccontextmanager
async def asked(
    answer: bytes, dialect: str = "openai.chat", auth: Mapping[str, Auth] | None = None
) -> AsyncIterator[tuple[Heard, Upstream]]:
    heard = Heard(answer)
    async with scripted(heard) as url:
        upstream = Upstream(provider(url, {dialect: DIALECTS[dialect]}, auth))
        try:
            yield heard, upstream
        finally:
            await upstream.close()


def models(upstream: Upstream) -> Question:
    found = for_models(upstream.provider)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (whole(b'{"data":[]}'), (Check.OK, 200)),
        (whole(b"<html>", kind=b"text/html; charset=utf-8"), (Check.FAILED, 200)),
        (whole(b"x" * (2 << 20)), (Check.OK, 200)),
        (whole(b"{}", 401), (Check.REFUSED, 401)),
        (whole(b"{}", 402), (Check.REFUSED, 402)),
        (whole(b"{}", 403), (Check.REFUSED, 403)),
        (whole(b"{}", 404), (Check.UNKNOWN, 404)),
        (whole(b"{}", 405), (Check.UNKNOWN, 405)),
        (whole(b"{}", 408), (Check.FAILED, 408)),
        (whole(b"{}", 429), (Check.LIMITED, 429)),
        (whole(b"{}", 500), (Check.FAILED, 500)),
        (whole(b"{}", 501), (Check.UNKNOWN, 501)),
        (whole(b"{}", 503), (Check.FAILED, 503)),
        (b"HTTP/1.1 302 x\r\nlocation: /\r\ncontent-length: 0\r\n\r\n", (Check.FAILED, 302)),
        (b"SSH-2.0-x\r\n", (Check.FAILED, 0)),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{", (Check.FAILED, 0)),
    ],
    ids=[
        "ok", "html", "long", "401", "402", "403", "404", "405", "408", "429", "500", "501", "503", "302", "garbage",
        "stalled",
    ],
)  # fmt: skip
async def test_what_an_answer_means(
    answer: bytes, expected: tuple[Check, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "SECONDS", 0.2)
    async with asked(answer) as (_, upstream):
        assert await ask(upstream, models(upstream), KEY) == expected


async def test_nobody_there_is_a_failure() -> None:
    upstream = Upstream(provider("http://127.0.0.1:9"))

    assert await ask(upstream, models(upstream), KEY) == (Check.FAILED, 0)
    await upstream.close()


async def test_the_credential_is_where_the_provider_wants_it() -> None:
    async with asked(whole(), "anthropic.messages") as (heard, upstream):
        await ask(upstream, models(upstream), KEY)
    head = heard.heads[0].lower()
    assert head.startswith(b"get /v1/models http/1.1\r\n")
    assert b"\r\nx-api-key: sk-of-the-provider\r\n" in head
    assert b"\r\nanthropic-version: 2023-06-01\r\n" in head

    async with asked(whole(), auth={"openai": Auth("query", "key")}) as (heard, upstream):
        await ask(upstream, models(upstream), KEY)
    assert heard.heads[0].startswith(b"GET /v1/models?key=sk-of-the-provider HTTP/1.1\r\n")


async def test_a_signature_is_made_where_one_is_wanted() -> None:
    secret = Credential("p#0", Secret("AKIDEXAMPLE:wJalrXUtnFEMI"))
    auth = {"bedrock": Auth("sigv4", "eu-west-1")}
    async with asked(whole(), "bedrock.converse", auth) as (heard, upstream):
        question = for_token(Deployment("d", upstream.provider, "m"))
        assert question is not None
        assert await ask(upstream, question, secret) == (Check.OK, 200)

    assert b"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/" in heard.heads[0]
    assert heard.bodies == [question.body]
