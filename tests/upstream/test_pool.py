"""Connections are borrowed, given back, used again, and closed when nobody should use them any more."""

from __future__ import annotations

import asyncio
import errno
import os
import ssl

import pytest

from proxy.core.clock import Hands
from proxy.core.errors import Cause, UpstreamError
from proxy.upstream.pool import KEEPALIVE, MAX_AGE, UpstreamPool
from tests.line.harness import free_port, read_request, scripted, until
from tests.upstream.places import OK, REQUEST, exchange, hello, provider, secured, upstream
from tests.upstream.wires import Taken

# --- borrowing ---


async def test_a_connection_given_back_is_used_again() -> None:
    async with scripted(hello) as url, upstream(url) as one:
        for _ in range(3):
            assert (await exchange(one)).ended

        assert (one.opened, one.busy, one.idle) == (1, 0, 1)


async def test_two_exchanges_at_once_take_two_connections() -> None:
    async with scripted(hello) as url, upstream(url) as one:
        first, release_first = await one.connect(5.0)
        second, release_second = await one.connect(5.0)

        assert first is not second
        assert (one.opened, one.busy, one.idle) == (2, 2, 0)
        release_first()
        release_second()
        assert (one.busy, one.idle) == (0, 2)


async def test_a_connection_that_must_close_is_not_pooled() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))

    async with scripted(script) as url, upstream(url) as one:
        assert (await exchange(one)).ended
        assert (await exchange(one)).ended

        assert (one.opened, one.idle) == (2, 0)


async def test_two_answers_to_one_request_leave_nothing_to_the_next() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK + OK.replace(b"hello", b"WRONG"))
        await reader.read()

    async with scripted(script) as url, upstream(url) as one:
        answers = [await exchange(one), await exchange(one)]

        assert [answer.data for answer in answers] == [b"hello", b"hello"]
        assert one.opened == 2


async def test_a_connection_that_the_provider_closed_is_not_handed_out() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)

    async with scripted(script) as url, upstream(url) as one:
        connection, release = await one.connect(5.0)
        taken = Taken()
        connection.exchange(REQUEST, b"{}", taken, release)
        await taken.over.wait()
        await until(lambda: not connection.is_connected())

        assert (await exchange(one)).ended
        assert one.opened == 2


async def test_a_fresh_connection_is_one_that_was_never_used() -> None:
    async with scripted(hello) as url, upstream(url) as one:
        await exchange(one)

        assert (await exchange(one, fresh=True)).ended
        assert one.opened == 2


async def test_a_fresh_connection_is_new_even_where_one_must_be_given_up_for_it() -> None:
    async with scripted(hello) as url, upstream(url, max_connections=1) as one:
        used, _ = await one.connect(5.0)
        taken = Taken()
        used.exchange(REQUEST, b"{}", taken, _)
        waiting = asyncio.ensure_future(one.connect(5.0, fresh=True))
        await taken.over.wait()

        connection, release = await waiting
        assert connection is not used
        assert connection.served == 0
        release()


async def test_idle_connections_can_be_dropped() -> None:
    async with scripted(hello) as url, upstream(url) as one:
        borrowed = [await one.connect(5.0) for _ in range(3)]
        (kept, give_back), *others = borrowed
        for _, release in others:
            release()

        one.drop_idle()

        assert (one.busy, one.idle) == (1, 0)
        assert kept.is_connected()
        assert not any(connection.is_connected() for connection, _ in others)
        give_back()


# --- when a connection is given up ---


async def test_an_old_connection_is_given_no_new_request(hands: Hands) -> None:
    async with scripted(hello) as url, upstream(url) as one:
        kept, release_kept = await one.connect(5.0)
        await exchange(one)
        hands.advance(MAX_AGE - 1)
        one.drop_old()
        assert one.idle == 1

        young, release_young = await one.connect(5.0, fresh=True)
        hands.advance(1)
        one.drop_old()
        assert one.idle == 0
        assert kept.is_connected(), "a request that is under way is not cut"
        release_kept()
        release_young()

        assert [pair[0] for pair in one._connector._conns[one._origin.connection_key]] == [young]
        assert not kept.is_connected()


@pytest.mark.parametrize(
    ("hint", "seconds"),
    [
        (b"timeout=5", 4.0),
        (b"timeout=5, max=99", 4.0),
        (b'Timeout = "10"', 9.0),
        (b"timeout=1", 0.5),
        (b"timeout=0", 0.0),
        (b"timeout=3600", KEEPALIVE),
        (b"max=100", KEEPALIVE),
        (b"timeout=soon", KEEPALIVE),
    ],
)
async def test_an_idle_connection_is_kept_no_longer_than_its_provider_does(
    hint: bytes, seconds: float
) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(OK.replace(b"\r\n\r\n", b"\r\nKeep-Alive: " + hint + b"\r\n\r\n"))

    async with scripted(script) as url, upstream(url) as one:
        await exchange(one)
        assert one._connector._keepalive_timeout == seconds
        [(protocol, since)] = one._connector._conns[one._origin.connection_key]
        key = one._origin.connection_key

        one._connector._conns[key][0] = (protocol, since - seconds - 0.01)
        await exchange(one)

        assert one.opened == 2


# --- when there is none ---


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS])
async def test_what_this_machine_lacks_is_not_the_providers_fault(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    class Short:
        """A loop on a machine that has none left."""

        async def create_connection(self, *_: object, **_others: object) -> object:
            raise OSError(number, os.strerror(number))

    async with scripted(hello) as url, upstream(url) as one:
        with monkeypatch.context() as here:
            here.setattr(one._connector, "_loop", Short())
            with pytest.raises(UpstreamError) as refused:
                await one.connect(5.0)

        assert (refused.value.cause, refused.value.sent) == (Cause.POOL, False)


async def test_a_refused_connection() -> None:
    async with upstream(f"http://127.0.0.1:{free_port()}") as one:
        with pytest.raises(UpstreamError) as refused:
            await one.connect(5.0)

        assert (refused.value.cause, refused.value.sent) == (Cause.CONNECT, False)
        assert one.busy == 0


async def test_a_name_that_leads_to_no_permitted_address() -> None:
    async with (
        scripted(hello) as url,
        upstream(url.replace("127.0.0.1", "localhost"), allow_private=False) as one,
    ):
        with pytest.raises(UpstreamError) as refused:
            await one.connect(5.0)

        assert (refused.value.cause, refused.value.sent) == (Cause.CONNECT, False)


async def test_waiting_for_a_slot_ends_in_time_and_is_not_the_providers_fault() -> None:
    async with scripted(hello) as url, upstream(url, max_connections=1) as one:
        _, release = await one.connect(5.0)

        with pytest.raises(UpstreamError) as refused:
            await one.connect(0.02)

        assert (refused.value.cause, refused.value.sent) == (Cause.POOL, False)
        assert one.busy == 1
        release()


async def test_others_who_wait_for_its_slot_do_not_excuse_a_handshake_that_never_ends() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with (
        scripted(script) as url,
        upstream(url.replace("http", "https"), max_connections=2) as one,
    ):
        waiting = [asyncio.ensure_future(one.connect(seconds)) for seconds in (0.05, 0.05, 5.0)]
        await asyncio.wait(waiting[:2])

        for connecting in waiting[:2]:
            error = connecting.exception()
            assert isinstance(error, UpstreamError)
            assert (error.cause, error.sent) == (Cause.TIMEOUT_CONNECT, False)
        waiting[2].cancel()
        await asyncio.wait(waiting)
        assert one.busy == 0


async def test_a_slot_given_back_is_taken_by_who_waits() -> None:
    async with scripted(hello) as url, upstream(url, max_connections=1) as one:
        first, release = await one.connect(5.0)
        waiting = asyncio.ensure_future(one.connect(5.0))
        await asyncio.sleep(0)

        release()
        second, release = await waiting

        assert second is first
        release()


async def test_a_handshake_that_never_ends_ends_in_time() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with scripted(script) as url, upstream(url.replace("http", "https")) as one:
        with pytest.raises(UpstreamError) as refused:
            await one.connect(0.05)

    assert (refused.value.cause, refused.value.sent) == (Cause.TIMEOUT_CONNECT, False)


async def test_a_client_that_leaves_while_connecting_leaves_nothing() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await reader.read()
        left.set()

    arrived, left = asyncio.Event(), asyncio.Event()
    async with scripted(script) as url, upstream(url.replace("http", "https")) as one:
        waiting = asyncio.ensure_future(one.connect(5.0))
        await arrived.wait()

        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await left.wait()

        assert (one.busy, one.idle) == (0, 0)


# --- TLS ---


async def test_a_certificate_nobody_vouches_for_gets_no_byte_of_a_request(
    self_signed: ssl.SSLContext,
) -> None:
    reached: list[asyncio.StreamReader] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append(reader)

    async with secured(script, self_signed) as url, upstream(url) as one:
        with pytest.raises(UpstreamError) as refused:
            await one.connect(5.0)

        assert (refused.value.cause, refused.value.sent) == (Cause.TLS, False)
        assert (reached, one.busy, one.idle) == ([], 0, 0)


async def test_it_is_accepted_where_the_configuration_says_so(self_signed: ssl.SSLContext) -> None:
    async with secured(hello, self_signed) as url, upstream(url, verify_tls=False) as one:
        assert (await exchange(one)).data == b"hello"
        assert (await exchange(one)).data == b"hello"
        assert one.opened == 1


async def test_a_server_that_speaks_no_tls() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")

    async with scripted(script) as url, upstream(url.replace("http", "https")) as one:
        with pytest.raises(UpstreamError) as refused:
            await one.connect(5.0)

    assert (refused.value.cause, refused.value.sent) == (Cause.TLS, False)


# --- the pool ---


async def test_a_provider_has_one_upstream() -> None:
    pool = UpstreamPool()
    first, second = provider("http://a.invalid"), provider("http://a.invalid")

    assert pool.of(first) is pool.of(first)
    assert pool.of(first) is not pool.of(second)
    assert [one.provider for one in pool.upstreams()] == [first, second]
    await pool.close()


async def test_what_is_still_configured_is_kept() -> None:
    pool = UpstreamPool()
    kept, gone = provider("http://a.invalid"), provider("http://b.invalid")
    upstreams = pool.of(kept), pool.of(gone)

    await pool.retire(frozenset({kept}))

    assert pool.upstreams() == [upstreams[0]]
    assert upstreams[1].session.closed
    assert not upstreams[0].session.closed
    await pool.close()


async def test_a_retired_upstream_ends_its_exchanges_first() -> None:
    ask = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await ask.wait()
        writer.write(OK)
        await reader.read()

    pool = UpstreamPool()
    async with scripted(script) as url:
        one = pool.of(provider(url))
        running = asyncio.ensure_future(exchange(one))
        await until(lambda: one.busy == 1)

        retired = asyncio.ensure_future(pool.retire(frozenset()))
        await asyncio.sleep(0)
        early = one.session.closed
        ask.set()

        assert (await running).ended
        await retired
        assert (early, one.session.closed) == (False, True)
        assert pool.upstreams() == []


async def test_closing_the_pool_cuts_what_is_running() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK[:-1])
        await reader.read()

    pool = UpstreamPool()
    async with scripted(script) as url:
        one = pool.of(provider(url))
        connection, release = await one.connect(5.0)
        taken = Taken()
        connection.exchange(REQUEST, b"{}", taken, release)
        await until(lambda: bool(taken.parts))

        await pool.close()
        await taken.over.wait()

    assert taken.error is not None
    assert taken.error.cause is Cause.TRUNCATED
    assert (one.busy, pool.upstreams()) == (0, [])
