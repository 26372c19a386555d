"""The shorter way to aiohttp's connections: what waits is taken, and one address is dialled without a race."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

import aiohttp
import pytest

from proxy.upstream.pool import KEEPALIVE
from tests.line.harness import closed_port, scripted
from tests.upstream.places import hello, upstream

if TYPE_CHECKING:
    from proxy.upstream.connection import UpstreamConnection
    from proxy.upstream.pool import Upstream


async def idle(one: Upstream, count: int) -> list[UpstreamConnection]:
    """So many connections that wait, in the order in which they were given back."""
    borrowed = [await one.connect(5.0) for _ in range(count)]
    for _, release in borrowed:
        release()
    return [connection for connection, _ in borrowed]


async def test_what_waits_longest_is_taken_first_and_nothing_twice() -> None:
    async with scripted(hello) as url, upstream(url) as one:
        first, second = await idle(one, 2)

        taken = [one._connector.pooled(one._place) for _ in range(3)]

        assert taken == [first, second, None]
        assert one.idle == 0


async def test_one_that_was_closed_meanwhile_is_passed_over() -> None:
    async with scripted(hello) as url, upstream(url) as one:
        first, second = await idle(one, 2)
        first.force_close()
        assert first.transport is not None
        first.transport.abort()

        assert one._connector.pooled(one._place) is second


async def test_one_that_has_waited_too_long_is_closed() -> None:
    async with scripted(hello) as url, upstream(url) as one:
        (only,) = await idle(one, 1)
        transport = only.transport
        assert transport is not None
        [(_, since)] = one._connector._conns[one._place]
        one._connector._conns[one._place][0] = (only, since - KEEPALIVE - 1)

        assert one._connector.pooled(one._place) is None
        assert transport.is_closing()
        assert one.idle == 0


async def test_a_new_connection_sends_at_once() -> None:
    async with scripted(hello) as url, upstream(url) as one:
        connection, release = await one.connect(5.0)

        assert connection.transport is not None
        end = connection.transport.get_extra_info("socket")
        assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        release()


@pytest.fixture
def closed() -> Iterator[int]:
    """A port where nobody answers."""
    with closed_port() as port:
        yield port


@pytest.mark.parametrize("dead_first", [True, False])
async def test_where_a_name_has_several_addresses_one_that_answers_is_found(
    dead_first: bool, closed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scripted(hello) as url, upstream(url) as one:
        port = int(url.rpartition(":")[2])
        places = [("127.0.0.1", closed), ("127.0.0.1", port)]
        if not dead_first:
            places.reverse()

        async def resolved(*_: object, **_others: object) -> list[dict[str, object]]:
            return [{"host": host, "port": number} for host, number in places]

        monkeypatch.setattr(one._connector, "_resolve_host", resolved)
        connection, release = await one.connect(5.0)

        assert connection.transport is not None
        assert connection.transport.get_extra_info("peername")[1] == port
        release()


async def test_nothing_is_opened_for_a_provider_that_is_gone() -> None:
    async with scripted(hello) as url, upstream(url) as one:
        dialling = asyncio.ensure_future(one._connector.opened(one._origin, 5.0))
        await asyncio.sleep(0)
        await one._connector.close()

        with pytest.raises(aiohttp.ClientConnectionError):
            await dialling
