"""Two gateways whose limits are in one Valkey: requests that wait for a share, and that do not when it is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

# Imported here: it takes longer than the loop may be blocked.
import redis.asyncio  # noqa: F401

from proxy.core.model import Limits, Quota, Shared
from proxy.limits import shared
from proxy.limits.shared import Shares
from tests.gateway.asked import provider, snapshot
from tests.gateway.served import CHUNK, STREAM, Provider, Served, chunk, whole
from tests.gateway.test_admission import ask, keyed, limited, rejections
from tests.line.harness import scripted, until
from tests.servers.valkey import ValkeyServer


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to wait until every host has told a server that was just started what it holds."""
    monkeypatch.setattr(shared, "SETTLES", 0.0)


@asynccontextmanager
async def host(name: str, url: str, server: ValkeyServer, **limits: Any) -> AsyncIterator[Served]:
    """A gateway in front of `url` that shares its limits."""
    deployment = limits.pop("deployment", {})
    settings = keyed(snapshot(provider(url), **deployment), **limits)
    async with limited(settings) as served:
        accounts = served.state.accounts
        assert accounts is not None
        shares = Shares(Shared(server.url, timeout=1.0), accounts, name)
        await shares.start()
        try:
            await until(lambda: shares.up)
            served.state.shares = shares
            yield served
        finally:
            served.state.shares = None
            await shares.close()


async def test_hosts_hold_a_rate_together(valkey: ValkeyServer) -> None:
    async with (
        scripted(Provider(whole())) as url,
        host("a", url, valkey, rpm=10) as one,
        host("b", url, valkey, rpm=10) as other,
    ):
        answers = [await served.ask(ask()) for _ in range(3) for served in (one, other)]

    statuses = [answer.status for answer in answers]
    assert statuses[0] == 200
    assert statuses.count(200) <= 2
    last = answers[-1]
    assert last.status == 429
    assert (
        last.json["error"]["message"]
        == "This API key may make 10 requests a minute, and 1 in one instant."
    )
    assert 0 < int(last.headers["retry-after"]) <= 60


async def test_a_slot_that_another_host_holds_is_taken(valkey: ValkeyServer) -> None:
    async with (
        scripted(Provider(STREAM + chunk(CHUNK))) as url,
        host("a", url, valkey, concurrency=1) as one,
        host("b", url, valkey, concurrency=1) as other,
    ):
        client = await one.client()
        client.send(ask(stream=True))
        await client.head()
        refused = await other.ask(ask())

        assert refused.status == 429
        assert rejections(other, "key", "concurrency") == 1


async def test_a_deployment_is_shared_too(valkey: ValkeyServer) -> None:
    upstream = Provider(STREAM + chunk(CHUNK))
    limits = {"limits": Limits(concurrency=1), "quota": Quota(requests=100)}
    async with (
        scripted(upstream) as url,
        host("a", url, valkey, deployment=limits) as one,
        host("b", url, valkey, deployment=limits) as other,
    ):
        client = await one.client()
        client.send(ask(stream=True))
        await client.head()
        refused = await other.ask(ask())

        assert refused.status == 429
        assert len(upstream.requests) == 1
        assert rejections(other, "deployment", "concurrency") == 1


async def test_while_nobody_can_be_asked_each_host_counts_for_itself(valkey: ValkeyServer) -> None:
    async with (
        scripted(Provider(whole())) as url,
        host("a", url, valkey, rpm=20) as one,
    ):
        assert (await one.ask(ask())).status == 200
        valkey.kill()
        answers = await asyncio.gather(*(one.ask(ask()) for _ in range(8)))

    statuses = [answer.status for answer in answers]
    assert 200 in statuses
    assert set(statuses) <= {200, 429}


async def test_a_share_nobody_can_bring_is_a_refusal() -> None:
    async with (
        scripted(Provider(whole())) as url,
        limited(keyed(snapshot(provider(url)), rpm=1)) as served,
    ):
        assert served.state.accounts is not None
        served.state.accounts.use_shares(True)
        answer = await served.ask(ask())

        assert (answer.status, answer.headers["retry-after"]) == (429, "1")
