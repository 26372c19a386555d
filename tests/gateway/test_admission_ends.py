"""However a request ends, nothing of it is held afterwards: slots, reservations, the deployment's and the credential's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from proxy.core.model import (
    Budget,
    Credential,
    Limits,
    Price,
    Quota,
    Retry,
    Snapshot,
    Timeouts,
    VirtualKey,
)
from proxy.core.secret import Secret
from proxy.core.virtual_key import digest
from proxy.limits.subjects import of_credential, of_deployment, of_everything, of_key, of_model
from tests.gateway.asked import CHAT, PEPPER, provider, raw, snapshot
from tests.gateway.served import (
    CHUNK,
    FINISH,
    STREAM,
    STREAMED,
    Provider,
    Served,
    chunk,
    silent,
    whole,
)
from tests.gateway.test_admission import limited
from tests.line.harness import Raw, Script, read_request, scripted, until

KEY = "sk-1"
DIGEST = digest(KEY, PEPPER)
BODY: dict[str, Any] = {"model": "m", "messages": [], "max_tokens": 10}
EVERYTHING = Limits(rpm=100, tpm=10**6, concurrency=5, burst=50, budget=Budget(1.0, strict=True))
PLENTY = Quota(requests=100, tokens=10**6)
PRICE = Price(input=1.0, output=1.0)


def settings(*urls: str, **fields: Any) -> Snapshot:
    """A model whose every part is limited in every way, and a key that is too."""
    places = [
        provider(
            url,
            f"p{at}",
            credentials=(Credential(f"p{at}#0", Secret("s"), limits=EVERYTHING, quota=PLENTY),),
        )
        for at, url in enumerate(urls)
    ]
    found = snapshot(*places, limits=EVERYTHING, quota=PLENTY, price=PRICE, **fields)
    key = VirtualKey(
        "app", DIGEST, id="k", rpm=100, tpm=10**6, concurrency=5, budget=Budget(1.0, strict=True)
    )
    models = {"m": replace(found.models["m"], limits=EVERYTHING)}
    return replace(found, models=models, limits=EVERYTHING, keys={DIGEST: key}, require_auth=True)


def held(served: Served) -> list[tuple[int, int]]:
    """(requests under way, micro-dollars reserved) of everybody who is limited."""
    now = served.state.snapshot
    model = now.models["m"]
    subjects = [of_key(now.keys[DIGEST]), of_model(model), of_everything(now)]
    for tier in model.tiers:
        for one in tier:
            subjects.append(of_deployment(one))
            subjects += map(of_credential, one.provider.credentials)
    accounts = served.state.accounts
    assert accounts is not None
    views = [accounts.view(one) for one in subjects if one is not None]
    return [(view.inflight, view.reserved) for view in views]


def nothing(served: Served) -> bool:
    return set(held(served)) == {(0, 0)}


def ask(path: str = CHAT, **fields: Any) -> bytes:
    return raw("POST", path, orjson.dumps({**BODY, **fields}), f"Authorization: Bearer {KEY}")


Way = Callable[[Raw], Awaitable[None]]


async def read(client: Raw) -> None:
    await client.answer()


async def leave(client: Raw) -> None:
    client.close()


async def leave_after_the_head(client: Raw) -> None:
    await client.head()
    client.close()


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A stream that begins and does not go on."""
    await read_request(reader)
    writer.write(STREAM + chunk(CHUNK))
    await reader.read()


async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A stream that breaks off."""
    await read_request(reader)
    writer.write(STREAM + chunk(CHUNK))


REFUSAL = b'{"error":{"message":"no","type":"invalid_request_error"}}'
STREAMING = ask(stream=True)

ENDS: dict[str, tuple[Script, bytes, Way]] = {
    "success": (Provider(whole()), ask(), read),
    "stream": (Provider(STREAMED), STREAMING, read),
    "client leaves before an answer": (silent, ask(), leave),
    "client leaves in the middle": (hang, STREAMING, leave_after_the_head),
    "refused by the provider": (Provider(whole(REFUSAL, 422)), ask(), read),
    "failed at the provider": (Provider(whole(b"{}", 500)), ask(), read),
    "silence": (silent, ask(), read),
    "silence in the middle": (hang, STREAMING, read),
    "cut": (cut, STREAMING, read),
    "refused by us, for money": (Provider(whole()), ask(max_tokens=9_000_000), read),
    "refused by us, for its fields": (Provider(whole()), ask(max_tokens=None), read),
    "counted by the provider": (
        Provider(whole(b'{"input_tokens":3}')),
        ask("/v1/messages/count_tokens"),
        read,
    ),
    "counted by us": (Provider(whole(b"{}", 404)), ask("/v1/messages/count_tokens"), read),
}


@pytest.mark.parametrize("end", ENDS)
async def test_nothing_is_held_after(end: str) -> None:
    script, request, way = ENDS[end]
    timeouts = Timeouts(connect=1.0, ttft=0.05, idle=0.05, request=0.05)
    async with (
        scripted(script) as url,
        limited(settings(url, timeouts=timeouts)) as served,
    ):
        client = await served.client()
        client.send(request)
        if way is not read or "silence" in end:
            await until(lambda: not nothing(served))
            assert len(set(held(served))) == 1, "one is not counted"
        await way(client)

        await until(lambda: nothing(served))
        assert [one.inflight for one in served.state.live.deployments.values()] == [0]


async def test_nothing_is_held_after_a_failover() -> None:
    async with (
        scripted(Provider(whole(b"{}", 503))) as bad,
        scripted(hang) as good,
        limited(settings(bad, good)) as served,
    ):
        client = await served.client()
        client.send(STREAMING)
        await client.head()

        # key, model, all; the failed deployment and its credential; those that answer.
        assert [inflight for inflight, _ in held(served)] == [1, 1, 1, 0, 0, 1, 1]
        client.close()
        await until(lambda: nothing(served))


async def test_nothing_is_held_after_a_client_left_during_a_pause() -> None:
    async with (
        scripted(Provider(whole(b"{}", 503))) as url,
        limited(settings(url, retry=Retry(base=60.0, cap=60.0))) as served,
    ):
        client = await served.client()
        client.send(ask())
        retries = served.state.metrics.upstream_attempts.child("m", "m/0:p0", "retry", "http_5xx")
        await until(lambda: retries.value == 1)

        # While it waits it has no place at the deployment.
        assert [inflight for inflight, _ in held(served)] == [1, 1, 1, 0, 0]
        client.close()
        await until(lambda: nothing(served))


async def test_nothing_is_held_after_a_drain() -> None:
    async with scripted(silent) as url, limited(settings(url)) as served:
        client = await served.client()
        client.send(ask())
        await until(lambda: not nothing(served))

        served.state.draining = True
        await served.gateway.drain(0.01)

        assert (await client.answer()).status == 503
        assert nothing(served)


async def test_nothing_is_held_after_a_mistake_of_ours() -> None:
    async with (
        scripted(Provider(whole())) as url,
        limited(settings(url, param_defaults={"x": object()})) as served,
    ):
        client = await served.client()
        client.send(ask())

        assert (await client.answer()).status == 500
        assert nothing(served)


async def test_a_slot_is_held_to_the_end_of_a_stream() -> None:
    going = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(STREAM + chunk(CHUNK))
            await going.wait()
            writer.write(chunk(FINISH) + b"0\r\n\r\n")

    async with scripted(script) as url:
        one = settings(url)
        key = replace(one.keys[DIGEST], concurrency=1)
        async with limited(replace(one, keys={DIGEST: key})) as served:
            client = await served.client()
            client.send(STREAMING)
            await client.head()
            refused = await served.ask(ask())
            going.set()
            await client.reader.readuntil(b"\r\n0\r\n\r\n")
            second = await served.client()
            second.send(STREAMING)
            head = await second.head()

    assert refused.status == 429
    assert refused.json["error"]["message"] == "This API key may have 1 request at once."
    assert refused.headers["retry-after"] == "1"
    assert head.startswith(b"HTTP/1.1 200 ")
