"""Who takes nothing of what is sent is cut off, who takes some is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from proxy.gateway.unread import Unread
from tests.line.harness import Raw, until

MUCH = 12 << 20
"""Bytes that the system does not take for a client that reads nothing."""


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[asyncio.StreamWriter, Raw]]:
    """Our end of a connection, and a client that reads nothing."""
    came: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(lambda _, writer: came.set_result(writer), "127.0.0.1", 0)
    client = await Raw.open(server.sockets[0].getsockname()[1])
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    ours = await came
    try:
        yield ours, client
    finally:
        ours.transport.abort()
        client.close()
        server.close()


def transport_of(ours: asyncio.StreamWriter) -> asyncio.Transport:
    return cast("asyncio.Transport", ours.transport)


async def drained(ours: asyncio.StreamWriter) -> None:
    await ours.drain()


async def test_who_takes_nothing_is_cut_off() -> None:
    async with connected() as (ours, _):
        transport = transport_of(ours)
        transport.write(b"x" * MUCH)
        Unread(asyncio.get_running_loop(), 0.01).watch(transport)

        await until(lambda: not transport.get_write_buffer_size())
        assert transport.is_closing()


async def test_so_is_who_takes_nothing_of_what_goes_before_a_close() -> None:
    async with connected() as (ours, _):
        transport = transport_of(ours)
        transport.write(b"x" * MUCH)
        Unread(asyncio.get_running_loop(), 0.01).part(transport)
        assert transport.get_write_buffer_size()

        await until(lambda: not transport.get_write_buffer_size())


async def test_who_takes_a_little_is_not() -> None:
    async with connected() as (ours, client):
        transport = transport_of(ours)
        transport.write(b"x" * MUCH)
        unread = Unread(asyncio.get_running_loop(), 60.0)

        unread.watch(transport, transport.get_write_buffer_size() + 1)

        assert not transport.is_closing()
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        await client.reader.readexactly(MUCH)
        unread.watch(transport, 1)
        assert not transport.is_closing()
        unread.stop()


async def test_who_has_taken_enough_may_be_given_more() -> None:
    async with connected() as (ours, client):
        transport = transport_of(ours)
        transport.write(b"x" * MUCH)
        unread = Unread(asyncio.get_running_loop(), 60.0)
        waiting = asyncio.ensure_future(unread.caught_up(transport, drained(ours)))
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]

        await waiting

        assert unread._timer is None
        assert not transport.is_closing()


async def test_who_takes_nothing_is_given_no_more() -> None:
    async with connected() as (ours, _):
        ours.write(b"x" * MUCH)
        unread = Unread(asyncio.get_running_loop(), 0.01)

        await unread.caught_up(transport_of(ours), drained(ours))

        assert ours.transport.is_closing()
