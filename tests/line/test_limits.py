"""Limits as the official clients meet them: which error they raise, what they do by themselves, what they can read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import errors, types

from proxy.limits.accounts import Accounts
from tests.line.harness import KEY, Proxy, Simulator, config, serving

HELLO: Any = [{"role": "user", "content": "Hello"}]
PRICES = {"sim*": {"input": 1, "output": 1}}
SPENT = {"usd": 0.000001, "strict": True}

pytestmark = pytest.mark.allow_blocking(
    "client libraries build TLS contexts and models in the loop"
)


@asynccontextmanager
async def limited(
    sim: Simulator, folder: Path, *, key: dict[str, Any] | None = None, **changes: Any
) -> AsyncIterator[Proxy]:
    """A proxy whose one key has these limits."""
    content = config(sim.url, keys=[{"name": "test", "key": KEY, **(key or {})}], **changes)
    async with serving(content, folder) as proxy:
        state = proxy.worker.state
        if state.accounts is None:
            state.accounts = Accounts.memory()
        yield proxy


def rejections(proxy: Proxy, kind: str) -> float:
    return proxy.metric("headrace_ratelimit_rejections_total", kind=kind)


def openai_client(proxy: Proxy, retries: int) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key=KEY, base_url=proxy.url + "/v1", max_retries=retries)


def anthropic_client(proxy: Proxy, retries: int) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(api_key=KEY, base_url=proxy.url, max_retries=retries)


async def ask_anthropic(client: anthropic.AsyncAnthropic) -> Any:
    return await client.messages.create(model="sim-n2", messages=HELLO, max_tokens=5)


async def ask_openai(client: openai.AsyncOpenAI) -> Any:
    return await client.chat.completions.create(model="sim-n2", messages=HELLO, max_tokens=5)


async def test_openais_client_waits_as_long_as_it_is_told(sim: Simulator, tmp_path: Path) -> None:
    async with (
        limited(sim, tmp_path, limits={"rpm": 60, "burst": 1}) as proxy,
        openai_client(proxy, 2) as client,
    ):
        for _ in range(2):
            assert (await ask_openai(client)).choices

        assert rejections(proxy, "rpm") >= 1


async def test_anthropics_client_waits_as_long_as_it_is_told(
    sim: Simulator, tmp_path: Path
) -> None:
    async with (
        limited(sim, tmp_path, limits={"rpm": 60, "burst": 1}) as proxy,
        anthropic_client(proxy, 2) as client,
    ):
        for _ in range(2):
            assert (await ask_anthropic(client)).content

        assert rejections(proxy, "rpm") >= 1


async def test_openais_client_gives_up_at_once_where_waiting_is_in_vain(
    sim: Simulator, tmp_path: Path
) -> None:
    async with (
        limited(sim, tmp_path, key={"budget": SPENT}, prices=PRICES) as proxy,
        openai_client(proxy, 5) as client,
    ):
        with pytest.raises(openai.RateLimitError) as caught:
            await ask_openai(client)

        assert (caught.value.code, caught.value.type) == ("insufficient_quota",) * 2
        assert rejections(proxy, "budget") == 1


async def test_anthropics_client_gives_up_at_once_where_waiting_is_in_vain(
    sim: Simulator, tmp_path: Path
) -> None:
    async with (
        limited(sim, tmp_path, key={"budget": SPENT}, prices=PRICES) as proxy,
        anthropic_client(proxy, 5) as client,
    ):
        with pytest.raises(anthropic.APIStatusError) as caught:
            await ask_anthropic(client)

        body: Any = caught.value.body
        assert (caught.value.status_code, body["error"]["type"]) == (402, "billing_error")
        assert rejections(proxy, "budget") == 1


async def test_googles_client_raises_too(sim: Simulator, tmp_path: Path) -> None:
    async with limited(sim, tmp_path, key={"rpm": 1}) as proxy:
        options = types.HttpOptions(base_url=proxy.url, api_version="v1beta")
        client = genai.Client(api_key=KEY, http_options=options).aio
        try:
            await client.models.generate_content(model="sim-n2", contents="Hello")
            with pytest.raises(errors.ClientError) as caught:
                await client.models.generate_content(model="sim-n2", contents="Hello")
        finally:
            await client.aclose()

    assert (caught.value.code, caught.value.status) == (429, "RESOURCE_EXHAUSTED")


async def test_what_is_left_can_be_read(sim: Simulator, tmp_path: Path) -> None:
    async with (
        limited(sim, tmp_path, key={"rpm": 100, "tpm": 100_000}) as proxy,
        openai_client(proxy, 0) as client,
        anthropic_client(proxy, 0) as other,
    ):
        raw = await client.chat.completions.with_raw_response.create(
            model="sim-n2", messages=HELLO, max_tokens=5
        )
        stream = await client.chat.completions.with_raw_response.create(
            model="sim-n2", messages=HELLO, max_tokens=5, stream=True
        )
        theirs = await other.messages.with_raw_response.create(
            model="sim-n2", messages=HELLO, max_tokens=5
        )

    assert raw.headers["x-ratelimit-limit-requests"] == "100"
    assert raw.headers["x-ratelimit-remaining-requests"] == "9"
    assert stream.headers["x-ratelimit-remaining-requests"] == "8"
    assert theirs.headers["anthropic-ratelimit-requests-remaining"] == "7"
    assert int(theirs.headers["anthropic-ratelimit-tokens-remaining"]) < 100_000
    assert "x-ratelimit-limit-requests" not in theirs.headers


async def test_a_quota_moves_on_to_a_provider_of_another_dialect(
    sim: Simulator, tmp_path: Path
) -> None:
    models = {
        "sim*": {
            "deployments": [
                {"provider": "p0", "model": "sim*", "quota": {"requests": 1}},
                {"provider": "p1", "model": "sim*", "priority": 2},
            ]
        }
    }
    providers = {
        "p1": {
            "base_url": sim.url,
            "dialects": ["anthropic.messages"],
            "credentials": ["x"],
            "allow_private": True,
        }
    }
    async with (
        limited(sim, tmp_path, models=models, providers=providers) as proxy,
        openai_client(proxy, 0) as client,
    ):
        texts = [(await ask_openai(client)).choices[0].message.content for _ in range(3)]

        assert all(texts)
        assert rejections(proxy, "quota_requests") == 1
        attempts = "headrace_upstream_attempts_total"
        assert proxy.metric(attempts, outcome="ok", target="sim*/0:p0") == 1
        assert proxy.metric(attempts, outcome="ok", target="sim*/1:p1") == 2
