"""Connections that wait for requests."""

from __future__ import annotations

import asyncio

import pytest

from proxy.core import tasks
from proxy.core.clock import Hands
from proxy.upstream import warming
from proxy.upstream.pool import MAX_AGE, UpstreamPool
from proxy.upstream.warming import AGE, keep, warm
from tests.line.harness import free_port, read_request, scripted, until
from tests.upstream.places import OK, exchange, hello, provider, upstream


async def test_what_is_missing_is_opened_and_what_is_there_is_kept() -> None:
    async with scripted(hello) as url, upstream(url) as one:
        assert await warm(one, 3) == 3
        assert await warm(one, 3) == 3

        assert (one.opened, one.busy) == (3, 0)
        assert (await exchange(one)).ended
        assert (one.opened, one.idle) == (3, 3)


async def test_those_in_use_count() -> None:
    async with scripted(hello) as url, upstream(url) as one:
        _, release = await one.connect(5.0)
        await warm(one, 3)

        assert (one.opened, one.idle, one.busy) == (3, 2, 1)
        release()


async def test_no_more_than_there_may_be() -> None:
    async with scripted(hello) as url, upstream(url, max_connections=2) as one:
        assert await warm(one, 5) == 2


async def test_an_old_one_is_replaced(hands: Hands) -> None:
    async with scripted(hello) as url, upstream(url) as one:
        await warm(one, 2)
        hands.advance(AGE + 1)

        assert await warm(one, 2) == 2
        assert one.opened == 4


async def test_one_that_went_stale_is_no_failure() -> None:
    """The provider closes it when the request comes: it is sent once more, on a new one."""
    connections = 0

    async def closes_the_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        first = connections == 1
        await read_request(reader)
        if not first:
            writer.write(OK)

    async with scripted(closes_the_first) as url, upstream(url) as one:
        await warm(one, 1)
        taken = await exchange(one)

        assert taken.error is not None
        assert str(taken.error.cause) == "stale"


async def test_a_provider_that_is_away_is_nobodys_trouble() -> None:
    async with upstream(f"http://127.0.0.1:{free_port()}") as one:
        assert await warm(one, 2) == 0
        assert one.busy == 0


async def test_it_goes_on_and_follows_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warming, "EVERY", 0.001)
    async with scripted(hello) as url:
        pool = UpstreamPool()
        providers = [provider(url, warm=1), provider(url, name="cold")]
        task = tasks.spawn(keep(pool, lambda: providers), name="warming")
        await until(lambda: [one.idle for one in pool.upstreams()] == [1])
        providers[:] = [provider(url, name="other", warm=2)]
        await until(lambda: [one.idle for one in pool.upstreams()] == [1, 2])
        task.cancel()
        await asyncio.wait({task})
        await pool.close()


async def test_one_that_cannot_be_had_in_an_unforeseen_way_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(warming, "EVERY", 0.001)
    async with scripted(hello) as url:
        pool = UpstreamPool()
        providers = [provider("http://[", name="broken", warm=1)]
        task = tasks.spawn(keep(pool, lambda: providers), name="warming")
        await until(lambda: bool(caplog.records))
        providers.append(provider(url, warm=2))
        await until(lambda: [one.idle for one in pool.upstreams()] == [2])
        task.cancel()
        await asyncio.wait({task})
        await pool.close()

    assert {one.getMessage() for one in caplog.records} == {"connections to broken cannot be kept"}


async def test_old_connections_are_given_up_though_nobody_wants_any_warm(hands: Hands) -> None:
    async with scripted(hello) as url:
        pool = UpstreamPool()
        one = pool.of(provider(url))
        await exchange(one)
        hands.advance(MAX_AGE)
        task = tasks.spawn(keep(pool, list), name="warming")
        await until(lambda: one.idle == 0)
        task.cancel()
        await asyncio.wait({task})
        await pool.close()
