"""There is room for so many clients; others wait outside, and who has nothing to do makes room."""

from __future__ import annotations

import asyncio
import resource
import selectors
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from proxy.core import descriptors
from proxy.gateway import server
from proxy.gateway.door import MORE, Door
from proxy.worker import BACKLOG
from tests.line.asking import CHAT, GOOD, assert_good, fleet
from tests.line.harness import Answer, Proxy, Raw, read_request, request, scripted, serving, until

ASKED = request("POST", "/v1/chat/completions", b'{"model":"m","messages":[]}')


class Holding:
    """A provider that keeps everybody waiting until it is told to let go."""

    def __init__(self) -> None:
        self.inside = 0
        self.go = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            self.inside += 1
            await self.go.wait()
            self.inside -= 1
            writer.write(GOOD)


@asynccontextmanager
async def crowded(folder: Path, most: int, **changes: Any) -> AsyncIterator[tuple[Proxy, Holding]]:
    provider = Holding()
    async with scripted(provider) as url:
        content = fleet((url, "a"), server__max_connections=most, **changes)
        async with serving(content, folder) as proxy:
            yield proxy, provider
            provider.go.set()


def door(proxy: Proxy) -> Door:
    found = proxy.worker._door
    assert found is not None
    return found


async def asked(client: Raw, *, leaves: bool = True) -> Answer:
    answer = await client.answer()
    if leaves:
        client.close()
    return answer


async def test_who_finds_no_room_waits_and_is_served_when_there_is_some(tmp_path: Path) -> None:
    async with crowded(tmp_path, 8) as (proxy, provider):
        clients = [await proxy.raw() for _ in range(60)]
        for client in clients:
            client.send(ASKED)
        await until(lambda: provider.inside >= 8 and not door(proxy).is_open)
        assert 8 <= proxy.worker.gateway.connections <= 9
        assert proxy.metric("headrace_accept_pauses_total") >= 1
        assert proxy.metric("headrace_client_connections_limit") == 8

        provider.go.set()
        for answer in await asyncio.gather(*map(asked, clients)):
            assert_good(CHAT, answer)
        await until(lambda: door(proxy).is_open)
        assert_good(CHAT, await CHAT.ask(proxy))


async def test_many_who_come_at_once_are_in_within_a_few_turns_of_the_loop(tmp_path: Path) -> None:
    async with crowded(tmp_path, 0) as (proxy, _), AsyncExitStack() as stack:
        before, many, turns = proxy.worker.gateway.connections, 200, 0
        connecting = stack.enter_context(selectors.DefaultSelector())
        for _ in range(many):  # the system takes them, and the loop does not turn meanwhile
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", proxy.port))
            connecting.register(client, selectors.EVENT_WRITE)
        while connecting.get_map():
            for one, _ in connecting.select():
                connecting.unregister(one.fileobj)

        while proxy.worker.gateway.connections < before + many:
            turns += 1
            await asyncio.sleep(0)

        assert turns < many / 5


async def test_of_many_who_come_at_once_no_more_are_taken_than_there_is_room_for(
    tmp_path: Path,
) -> None:
    async with crowded(tmp_path, 8) as (proxy, _), AsyncExitStack() as stack:
        for _ in range(40):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", proxy.port))

        await until(lambda: proxy.worker.gateway.connections >= 8)
        assert not door(proxy).is_open
        assert proxy.worker.gateway.connections <= 9


async def test_who_has_asked_nothing_for_longest_makes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "IDLE", 0.0)
    async with crowded(tmp_path, 3) as (proxy, provider):
        provider.go.set()
        first, second, third = [await proxy.raw() for _ in range(3)]
        for client in (second, first, third):
            client.send(ASKED)
            assert_good(CHAT, await client.answer())
        provider.go.clear()
        third.send(ASKED)
        await until(lambda: provider.inside == 1)

        newest = await proxy.raw()
        newest.send(ASKED)
        assert await second.reader.read() == b"", "idle longest"
        await until(lambda: provider.inside == 2)
        assert not first.reader.at_eof()
        assert door(proxy).is_open

        provider.go.set()
        for client in (third, newest):
            assert_good(CHAT, await client.answer())


async def test_who_has_just_come_is_not_sent_away(tmp_path: Path) -> None:
    async with crowded(tmp_path, 4) as (proxy, provider):
        clients = [await proxy.raw() for _ in range(4)]
        await until(lambda: proxy.worker.gateway.connections == 4)
        late = await proxy.raw()
        await until(lambda: not door(proxy).is_open)

        provider.go.set()
        for client in clients:
            client.send(ASKED)
            assert_good(CHAT, await asked(client))
        late.send(ASKED)
        assert_good(CHAT, await asked(late))


async def test_a_limit_that_is_raised_opens_the_door(tmp_path: Path) -> None:
    async with crowded(tmp_path, 1) as (proxy, provider):
        first, second, third = [await proxy.raw() for _ in range(3)]
        for client in (first, second, third):
            client.send(ASKED)
        await until(lambda: not door(proxy).is_open)

        worker = proxy.worker
        settings = worker.state.snapshot
        worker.swap(replace(settings, server=replace(settings.server, max_connections=10)))
        await until(lambda: provider.inside == 3)


async def test_when_descriptors_run_out_the_door_is_shut_and_spare_ones_are_closed(
    tmp_path: Path,
) -> None:
    async with crowded(tmp_path, 0) as (proxy, provider):
        provider.go.set()
        assert_good(CHAT, await CHAT.ask(proxy))
        [upstream] = proxy.worker.pool.upstreams()
        await until(lambda: upstream.idle == 1)
        place = door(proxy)
        first = await proxy.raw()
        await until(lambda: proxy.worker.gateway.connections == 1)
        mark = place._mark
        assert mark == descriptors.limit() - descriptors.RESERVE
        place._mark = descriptors.lowest_free(first.writer.get_extra_info("socket").fileno()) - 1

        second = await proxy.raw()
        await until(lambda: not place.is_open)
        assert upstream.idle == 0
        place._mark = mark
        for client in (first, second):
            client.send(ASKED)
            assert_good(CHAT, await client.answer())


async def test_nobody_comes_in_when_it_is_closed(tmp_path: Path) -> None:
    async with crowded(tmp_path, 1) as (proxy, provider):
        first, second, outside = [await proxy.raw() for _ in range(3)]
        for client in (first, second, outside):
            client.send(ASKED)
        await until(lambda: provider.inside == 2 and not door(proxy).is_open)
        door(proxy).close()
        provider.go.set()

        for client in (first, second):
            assert_good(CHAT, await asked(client))
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await outside.answer()
        assert not door(proxy).is_open


async def test_the_queue_of_those_who_wait_is_long(tmp_path: Path) -> None:
    """The loop listens anew, with a queue of a hundred unless it is told better."""
    async with crowded(tmp_path, 0) as (proxy, _):
        info = door(proxy)._listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        with open("/proc/sys/net/core/somaxconn") as most:  # noqa: ASYNC230 - the kernel's memory
            allowed = int(most.read())

        # Of a listener, tcpi_sacked is the length of its queue.
        assert struct.unpack_from("I", info, 28)[0] == min(BACKLOG, allowed)


async def test_without_a_limit_there_are_as_many_as_descriptors_allow(tmp_path: Path) -> None:
    async with crowded(tmp_path, 0) as (proxy, _):
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        assert door(proxy).most == descriptors.clients(min(soft, descriptors.limit()))


# --- several workers ---


async def test_whoever_has_more_than_the_fewest_steps_aside_until_somebody_else_took_one(
    tmp_path: Path,
) -> None:
    fewest = 0
    async with crowded(tmp_path, 0) as (proxy, _):
        one = door(proxy)
        one._fewest = lambda here: min(here, fewest)
        for _ in range(MORE):
            await proxy.raw()
        await until(lambda: proxy.worker.gateway.connections == MORE)
        assert one.is_open

        await proxy.raw()
        await until(lambda: not one.is_open)
        waiting = await proxy.raw()
        fewest = 1

        # Afterwards it takes who waits, if nobody else did.
        waiting.send(request("GET", "/livez", None))
        assert (await waiting.answer()).status == 200


async def test_where_nobody_else_takes_anybody_it_does_not_step_aside_again_at_once(
    tmp_path: Path,
) -> None:
    async with crowded(tmp_path, 0) as (proxy, _):
        one = door(proxy)
        one._fewest = lambda _: 0
        for _ in range(40):
            client = await proxy.raw()
            client.send(request("GET", "/livez", None))
            assert (await client.answer()).status == 200

        assert one._keep > 0
