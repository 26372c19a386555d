"""A body arrives whole, in time and in a coding we know, or it is refused by name."""

from __future__ import annotations

import asyncio
import gzip
import zlib

import pytest

from proxy.core.errors import ProxyError
from proxy.core.model import Server
from proxy.gateway import body
from proxy.gateway.connection import CONTINUE
from proxy.state.memory import Memory
from tests.gateway.asked import CHAT, Feed, raw

LIMITS = Server(max_body=1000)


def head(*fields: str) -> bytes:
    return raw("POST", CHAT, b"", *fields)


async def read(feed: Feed, limits: Server = LIMITS, memory: Memory | None = None) -> bytes:
    return await body.read(feed.request, feed.wire, limits, memory or Memory())


async def refused(feed: Feed, limits: Server = LIMITS) -> ProxyError:
    with pytest.raises(ProxyError) as error:
        await read(feed, limits)
    return error.value


# --- whole bodies ---


@pytest.mark.parametrize("content", [b"", b"{}", b"\x00" * 1000])
async def test_a_body_that_is_here_is_read_at_once(content: bytes) -> None:
    reading = read(Feed(raw("POST", CHAT, content)))

    with pytest.raises(StopIteration) as done:
        reading.send(None)
    assert done.value.value == content


async def test_a_body_in_pieces_is_put_together() -> None:
    feed = Feed(head("Content-Length: 6"))
    reading = asyncio.ensure_future(read(feed))

    for piece in (b"ab", b"cd", b"ef"):
        await asyncio.sleep(0)
        feed.data(piece)

    assert await reading == b"abcdef"


async def test_a_chunked_body_is_unchunked() -> None:
    feed = Feed(head("Transfer-Encoding: chunked"))
    reading = asyncio.ensure_future(read(feed))
    await asyncio.sleep(0)

    feed.data(b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n")

    assert await reading == b"abcdef"


# --- size ---


async def test_a_body_declared_too_large_is_refused_unread() -> None:
    feed = Feed(head("Content-Length: 1001", "Expect: 100-continue"))

    error = await refused(feed)

    assert (error.ref, feed.wire.written) == ("too_big", b"")
    assert "1000" in error.message


async def test_a_body_that_becomes_too_large_is_refused_on_the_way() -> None:
    feed = Feed(head("Transfer-Encoding: chunked"))
    reading = asyncio.ensure_future(refused(feed))
    await asyncio.sleep(0)

    feed.data(b"400\r\n" + b"x" * 0x400 + b"\r\n")

    assert (await reading).ref == "too_big"


async def test_a_chunked_body_that_is_here_and_too_large_is_refused() -> None:
    feed = Feed(head("Transfer-Encoding: chunked"))
    feed.data(b"400\r\n" + b"x" * 0x400 + b"\r\n0\r\n\r\n")

    assert (await refused(feed)).ref == "too_big"


# --- expectations ---


async def test_a_client_that_waits_to_be_asked_is_asked() -> None:
    feed = Feed(head("Content-Length: 2", "Expect: 100-continue"))
    reading = asyncio.ensure_future(read(feed))
    await asyncio.sleep(0)

    assert feed.wire.written == CONTINUE
    feed.data(b"{}")
    assert await reading == b"{}"


async def test_a_client_of_http_1_0_is_not_asked() -> None:
    """It knows no interim answers: this one would be the answer (RFC 9110, 10.1.1)."""
    waiting = head("Content-Length: 2", "Expect: 100-continue").replace(b"HTTP/1.1", b"HTTP/1.0")
    feed = Feed(waiting)
    reading = asyncio.ensure_future(read(feed))
    await asyncio.sleep(0)

    assert feed.wire.written == b""
    feed.data(b"{}")
    assert await reading == b"{}"


async def test_a_client_that_did_not_wait_is_not_asked() -> None:
    feed = Feed(raw("POST", CHAT, b"{}", "Expect: 100-continue"))

    assert await read(feed) == b"{}"
    assert feed.wire.written == b""


# --- time ---


async def test_a_body_that_stops_coming_is_refused() -> None:
    feed = Feed(head("Content-Length: 6"))
    feed.data(b"abc")

    assert (await refused(feed, Server(body_idle_timeout=0.02))).ref == "slow_req"


async def test_a_body_that_never_ends_is_refused() -> None:
    feed = Feed(head("Content-Length: 1000000"))
    reading = asyncio.ensure_future(refused(feed, Server(body_timeout=0.02)))

    while not reading.done():
        await asyncio.sleep(0)
        feed.data(b"x")

    assert (await reading).ref == "slow_req"


# --- broken ---


async def test_a_body_that_breaks_on_its_way_is_refused() -> None:
    feed = Feed(head("Transfer-Encoding: chunked"))
    reading = asyncio.ensure_future(refused(feed))
    await asyncio.sleep(0)

    feed.spoil()

    assert (await reading).ref == "bad_http"


# --- codings ---

PLAIN = b'{"model": "m"}'


def gzipped(content: bytes) -> bytes:
    """Without the time of day: parameters are part of a test's name."""
    return gzip.compress(content, mtime=0)


def coded(coding: str, content: bytes) -> Feed:
    return Feed(raw("POST", CHAT, content, f"Content-Encoding: {coding}"))


@pytest.mark.parametrize(
    ("coding", "content"),
    [
        ("gzip", gzipped(PLAIN)),
        ("GZIP", gzipped(PLAIN)),
        ("x-gzip", gzipped(PLAIN)),
        ("deflate", zlib.compress(PLAIN)),
        ("identity", PLAIN),
        ("", PLAIN),
    ],
)
async def test_a_known_coding_is_undone(coding: str, content: bytes) -> None:
    assert await read(coded(coding, content)) == PLAIN


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "x" * 100])
async def test_an_unknown_coding_is_refused(coding: str) -> None:
    error = await refused(coded(coding, PLAIN))

    assert error.ref == "bad_enc"
    assert "x" * 33 not in error.message


@pytest.mark.parametrize("content", [PLAIN, gzipped(PLAIN)[:-1], gzipped(PLAIN)[:12], b"\x1f\x8b"])
async def test_a_broken_coding_is_refused(content: bytes) -> None:
    assert (await refused(coded("gzip", content))).ref == "bad_enc"


async def test_a_small_body_cannot_unfold_into_a_large_one() -> None:
    bomb = gzip.compress(b"\0" * 1_000_000)

    error = await refused(coded("gzip", bomb), Server(max_body=len(bomb) + 1))

    assert error.ref == "too_big"


async def test_a_compressed_body_may_unfold_up_to_the_limit() -> None:
    assert len(await read(coded("gzip", gzip.compress(b"\0" * 1000)))) == 1000


# --- what nobody reads ---


async def test_lingering_ends_with_the_body() -> None:
    feed = Feed(head("Content-Length: 6"))
    feed.data(b"abcdef")

    await body.linger(feed.payload)

    assert feed.payload.is_eof()


async def test_lingering_does_not_take_everything() -> None:
    size = 4 * body.LINGER_BYTES
    feed = Feed(head(f"Content-Length: {size}"))
    lingering = asyncio.ensure_future(body.linger(feed.payload))

    sent = 0
    while not lingering.done():
        await asyncio.sleep(0)
        feed.data(b"x" * 8192)
        sent += 8192

    await lingering
    assert body.LINGER_BYTES <= sent < size


async def test_lingering_bears_a_broken_body() -> None:
    feed = Feed(head("Content-Length: 6"))
    lingering = asyncio.ensure_future(body.linger(feed.payload))
    await asyncio.sleep(0)

    feed.spoil()

    await lingering


# --- what is short of memory ---


def short(size: int, used: int = 0) -> tuple[Memory, list[int]]:
    """Memory of `size` bytes, and a mark for each request that was turned away."""
    marks: list[int] = []
    memory = Memory(turned_away=lambda: marks.append(1))
    memory.size, memory.used = size, used
    return memory, marks


async def test_bodies_that_are_too_much_together_are_refused_before_they_come() -> None:
    memory, turned_away = short(1000)
    first = Feed(head("Content-Length: 300"))
    reading = asyncio.ensure_future(read(first, memory=memory))
    await asyncio.sleep(0)
    assert memory.coming == 300

    with pytest.raises(ProxyError) as error:
        await read(Feed(head("Content-Length: 300", "Expect: 100-continue")), memory=memory)
    assert error.value.ref == "shed"
    assert 1.0 <= (error.value.retry_after or 0) <= 3.0
    assert (memory.coming, turned_away) == (300, [1])

    first.data(b"x" * 300)
    assert await reading == b"x" * 300
    assert (memory.coming, memory.fresh) == (0, 300)
    memory.tick(250, lambda: False)  # by now it is among what is used
    second = Feed(head("Content-Length: 300"))
    reading = asyncio.ensure_future(read(second, memory=memory))
    await asyncio.sleep(0)
    second.data(b"x" * 300)
    assert await reading == b"x" * 300


async def test_a_body_of_unknown_length_is_counted_as_it_comes() -> None:
    memory, turned_away = short(1000, used=500)
    feed = Feed(head("Transfer-Encoding: chunked"))
    reading = asyncio.ensure_future(read(feed, memory=memory))
    for _ in range(2):
        await asyncio.sleep(0)
        feed.data(b"64\r\n" + b"x" * 100 + b"\r\n")
        await asyncio.sleep(0)
    assert memory.coming == 200
    feed.data(b"64\r\n" + b"x" * 100 + b"\r\n")

    with pytest.raises(ProxyError) as error:
        await reading
    assert error.value.ref == "shed"
    assert (memory.coming, turned_away) == (0, [1])


async def test_a_client_that_leaves_takes_its_part_along() -> None:
    memory, _ = short(1000)
    feed = Feed(head("Content-Length: 300"))
    reading = asyncio.ensure_future(read(feed, memory=memory))
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait([reading])

    assert memory.coming == 0
