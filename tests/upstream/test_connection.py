"""What a consumer is told of a response, whatever the provider sends and however it is cut into reads."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import Cause, UpstreamError
from proxy.upstream.connection import (
    COPY_LIMIT,
    MAX_FIELD,
    MAX_HEAD,
    MAX_INTERIM,
    UpstreamConnection,
)
from tests.line.harness import Script, read_request, scripted
from tests.upstream.wires import Line, Taken

OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = OK + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
REQUEST = b"POST /x HTTP/1.1\r\ncontent-length: 2\r\n\r\n"
RESET = ConnectionResetError(104, "Connection reset by peer")


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """For futures only: it never runs."""
    loop = uvloop.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def line(loop: asyncio.AbstractEventLoop) -> Line:
    return Line(loop)


# --- whole answers ---


@pytest.mark.parametrize("answer", [LENGTH, CHUNKED], ids=["length", "chunked"])
def test_a_whole_answer_ends_and_its_connection_is_pooled(line: Line, answer: bytes) -> None:
    taken = line.ask()

    line.answer(answer)

    assert (taken.status, taken.data, taken.ended) == (200, b"hello", True)
    assert line.released == [True]


def test_one_read_is_at_most_one_call(line: Line) -> None:
    taken = line.ask()

    line.answer(CHUNKED)

    assert taken.parts == [b"hello"]


def test_bytes_are_handed_on_as_they_arrive(line: Line) -> None:
    taken = line.ask()

    line.answer(CHUNKED[:-12])

    assert taken.parts == [b"hel"]
    assert not taken.ended


def test_names_of_headers_come_in_lower_case_and_in_order(line: Line) -> None:
    taken = line.ask()

    line.answer(OK + b"B: 1\r\nA:  Two\r\nB: 3\r\nContent-Length: 0\r\n\r\n")

    assert taken.headers == [(b"b", b"1"), (b"a", b"Two"), (b"b", b"3"), (b"content-length", b"0")]


@pytest.mark.parametrize("status", [204, 304])
def test_some_statuses_have_no_body(line: Line, status: int) -> None:
    taken = line.ask()

    line.answer(b"HTTP/1.1 %d x\r\n\r\n" % status)

    assert (taken.status, taken.parts, taken.ended) == (status, [], True)
    assert line.released == [True]


def test_without_framing_the_end_of_the_file_is_the_end(line: Line) -> None:
    taken = line.ask()

    line.answer(OK + b"\r\nhel", b"lo")
    assert not taken.ended
    line.lose()

    assert (taken.data, taken.ended) == (b"hello", True)
    assert line.released == [False]


def test_without_framing_a_reset_is_no_end(line: Line) -> None:
    taken = line.ask()

    line.answer(OK + b"\r\nhello")
    line.lose(RESET)

    assert taken.error is not None
    assert taken.error.cause is Cause.TRUNCATED


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ],
    ids=["connection: close", "HTTP/1.0"],
)
def test_an_answer_that_closes_is_not_pooled(line: Line, answer: bytes) -> None:
    taken = line.ask()

    line.answer(answer)

    assert taken.ended
    assert line.released == [False]


def test_a_connection_serves_one_after_another(line: Line) -> None:
    for served, answer in enumerate((LENGTH, CHUNKED, LENGTH)):
        assert line.connection.served == served
        taken = line.ask()
        line.answer(answer)
        assert (taken.heads, taken.data, taken.ended) == (1, b"hello", True)

    assert line.released == [True, True, True]


def test_trailers_are_not_headers(line: Line) -> None:
    taken = line.ask()

    line.answer(CHUNKED[:-2], b"Retry-After: 9\r\nContent-Type: x\r\n\r\n")

    assert taken.ended
    assert taken.headers == [(b"transfer-encoding", b"chunked")]


def test_trailers_do_not_reach_the_next_answer(line: Line) -> None:
    line.ask()
    line.answer(CHUNKED[:-2] + b"Retry-After: 9\r\n\r\n")

    taken = line.ask()
    line.answer(LENGTH)

    assert taken.headers == [(b"content-length", b"5")]


# --- before the answer ---


def test_interim_answers_are_not_shown(line: Line) -> None:
    taken = line.ask()

    line.answer(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", LENGTH)

    assert (taken.heads, taken.status, taken.data) == (1, 200, b"hello")
    assert taken.headers == [(b"content-length", b"5")]


def test_an_interim_answer_says_nothing_about_the_length_of_the_real_one(line: Line) -> None:
    taken = line.ask()

    line.answer(b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n" + OK + b"\r\nhello")
    line.lose()

    assert (taken.data, taken.ended) == (b"hello", True)


def test_many_interim_answers_are_borne(line: Line) -> None:
    taken = line.ask()

    line.answer(b"HTTP/1.1 100 Continue\r\n\r\n" * MAX_INTERIM + LENGTH)

    assert taken.ended


def test_a_flood_of_interim_answers_is_not(line: Line) -> None:
    taken = line.ask()

    line.answer(b"HTTP/1.1 100 Continue\r\n\r\n" * (MAX_INTERIM + 1) + LENGTH)

    check_refused(line, taken)


# --- what is refused ---


def check_refused(line: Line, taken: Taken) -> None:
    assert taken.error is not None
    assert taken.error.cause is Cause.MALFORMED
    assert line.wire.aborted
    assert line.released == [False]


BAD_HEADS = {
    "garbage": b"\x16\x03\x01\x02\x00 not HTTP",
    "a request": b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "length and chunked": OK
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "chunked and length": OK
    + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "two lengths": OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "the same length twice": OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "a list of lengths": OK + b"Content-Length: 5, 5\r\n\r\nhello",
    "a signed length": OK + b"Content-Length: +5\r\n\r\nhello",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
    "bare LF after a field": OK + b"Content-Length: 5\n\r\nhello",
    "a folded field": OK + b"A: b\r\n c\r\nContent-Length: 5\r\n\r\nhello",
    "a space before the colon": OK + b"Content-Length : 5\r\n\r\nhello",
    "NUL in a field": OK + b"A: b\0c\r\nContent-Length: 5\r\n\r\nhello",
    "another protocol": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
}


@pytest.mark.parametrize("head", BAD_HEADS.values(), ids=BAD_HEADS)
def test_a_head_that_is_no_clear_http_is_refused(line: Line, head: bytes) -> None:
    taken = line.ask()

    line.answer(head)

    check_refused(line, taken)
    assert taken.heads == 0


@pytest.mark.parametrize(
    "chunk", [b"zz\r\nhello\r\n", b"-5\r\nhello\r\n", b"5\nhello\r\n", b"5\r\nhelloXX"]
)
def test_good_chunks_before_a_bad_one_are_delivered_first(line: Line, chunk: bytes) -> None:
    taken = line.ask()

    line.answer(OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n" + chunk)

    assert taken.data.startswith(b"abc")
    check_refused(line, taken)


def test_a_head_of_too_many_fields_is_refused(line: Line) -> None:
    taken = line.ask()

    line.answer(OK, *[b"A: %b\r\n" % (b"x" * 1000)] * (MAX_HEAD // 1000 + 2))

    check_refused(line, taken)


@pytest.mark.parametrize(("fields", "size"), [(100, 100), (6, 8000)])
def test_a_head_of_the_usual_size_is_borne(line: Line, fields: int, size: int) -> None:
    taken = line.ask()

    line.answer(OK + b"A: %b\r\n" % (b"x" * size) * fields + LENGTH.removeprefix(OK))

    assert taken.ended


@pytest.mark.parametrize(("fields", "size"), [(140, 1), (1, MAX_FIELD)])
def test_many_small_fields_and_one_long_one_are_refused(line: Line, fields: int, size: int) -> None:
    taken = line.ask()

    line.answer(OK + b"A: %b\r\n" % (b"x" * size) * fields + LENGTH.removeprefix(OK))

    check_refused(line, taken)


def packed(plain: bytes) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return packer.compress(plain) + packer.flush()


PACKED = packed(b"hello")
CODED = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(PACKED)


def test_what_is_compressed_is_handed_on_plain(line: Line) -> None:
    first = line.ask()
    line.answer(CODED + PACKED)
    second = line.ask()
    line.answer(LENGTH)

    assert (first.data, first.ended) == (b"hello", True)
    assert not [name for name, _ in first.headers if name == b"content-encoding"]
    assert (second.data, second.ended) == (b"hello", True), "the next answer is as it comes"
    assert line.released == [True, True]


@pytest.mark.parametrize("coding", [b"br", b"zstd", b"gzip, gzip"])
def test_what_cannot_be_undone_is_handed_on_as_it_is(line: Line, coding: bytes) -> None:
    taken = line.ask()

    line.answer(OK + b"Content-Encoding: %b\r\n" % coding + LENGTH.removeprefix(OK))

    assert taken.data == b"hello"
    assert (b"content-encoding", coding) in taken.headers


@pytest.mark.parametrize(
    ("body", "cause"),
    [(PACKED[:-9], Cause.TRUNCATED), (b"hello", Cause.MALFORMED), (PACKED + b"!", Cause.MALFORMED)],
    ids=["cut", "plain", "more"],
)
def test_a_body_that_is_not_what_it_is_called_is_none(
    line: Line, body: bytes, cause: Cause
) -> None:
    taken = line.ask()

    line.answer(OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    assert taken.error is not None
    assert taken.error.cause is cause
    assert not taken.ended


@pytest.mark.parametrize(("body", "whole"), [(PACKED, True), (PACKED[:-1], False)])
def test_a_compressed_body_without_framing_ends_where_it_says(
    line: Line, body: bytes, whole: bool
) -> None:
    taken = line.ask()

    line.answer(OK + b"Content-Encoding: gzip\r\n\r\n" + body)
    line.connection.connection_lost(None)

    assert taken.ended is whole
    assert (taken.error is None) is whole


def test_a_field_without_an_end_is_refused(line: Line) -> None:
    taken = line.ask()

    line.answer(OK + b"A: ", *[b"x" * 1000] * (MAX_HEAD // 1000 + 2))

    check_refused(line, taken)


@pytest.mark.parametrize("begin", [b"3;a=", b"0\r\nTrailer: "], ids=["chunk extension", "trailer"])
def test_framing_without_an_end_is_refused(line: Line, begin: bytes) -> None:
    taken = line.ask()

    line.answer(OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n" + begin)
    line.answer(*[b"x" * 1000] * (MAX_HEAD // 1000 + 2))

    assert taken.data == b"abc"
    check_refused(line, taken)


@pytest.mark.parametrize(
    "more", [LENGTH, b"HTTP/1.1 100 Continue\r\n\r\n", b"garbage"], ids=["answer", "100", "garbage"]
)
def test_what_follows_an_answer_is_not_delivered_and_ends_the_connection(
    line: Line, more: bytes
) -> None:
    taken = line.ask()

    line.answer(LENGTH + more)

    assert (taken.heads, taken.data, taken.ended) == (1, b"hello", True)
    assert line.released == [False]


def test_an_unasked_answer_on_an_idle_connection_ends_it(line: Line) -> None:
    line.ask()
    line.answer(LENGTH)

    line.answer(LENGTH)

    assert line.wire.aborted
    assert line.connection.should_close


# --- losses ---


def test_an_answer_shorter_than_its_length_is_truncated(line: Line) -> None:
    taken = line.ask()

    line.answer(LENGTH[:-1])
    line.lose()

    assert taken.data == b"hell"
    assert taken.error is not None
    assert (taken.error.cause, taken.error.status) == (Cause.TRUNCATED, 200)
    assert line.released == [False]


def test_chunks_without_the_last_are_truncated(line: Line) -> None:
    taken = line.ask()

    line.answer(CHUNKED[:-5])
    line.lose()

    assert taken.data == b"hello"
    assert taken.error is not None
    assert taken.error.cause is Cause.TRUNCATED


@pytest.mark.parametrize("error", [None, RESET], ids=["closed", "reset"])
def test_a_used_connection_that_closes_silently_was_stale(
    line: Line, error: BaseException | None
) -> None:
    line.ask()
    line.answer(LENGTH)

    taken = line.ask()
    line.lose(error)

    assert taken.error is not None
    assert taken.error.cause is Cause.STALE


@pytest.mark.parametrize("error", [None, RESET], ids=["closed", "reset"])
def test_a_new_connection_that_closes_silently_is_a_failure(
    line: Line, error: BaseException | None
) -> None:
    taken = line.ask()

    line.lose(error)

    assert taken.error is not None
    assert taken.error.cause is Cause.CONNECT
    assert taken.error.sent


def test_a_used_connection_that_has_begun_to_answer_was_not_stale(line: Line) -> None:
    line.ask()
    line.answer(LENGTH)

    taken = line.ask()
    line.answer(b"HTTP/1.1 2")
    line.lose()

    assert taken.error is not None
    assert taken.error.cause is Cause.CONNECT


def test_a_connection_lost_before_its_use_has_sent_nothing(line: Line) -> None:
    line.lose()

    with pytest.raises(UpstreamError) as refused:
        line.ask()

    assert (refused.value.cause, refused.value.sent) == (Cause.CONNECT, False)


def test_a_lost_idle_connection_tells_nobody(line: Line) -> None:
    taken = line.ask()
    line.answer(LENGTH)

    line.lose(RESET)

    assert taken.error is None
    assert line.released == [True]


# --- requests ---


def test_a_small_request_is_one_write(line: Line) -> None:
    line.ask(REQUEST, b"{}")

    assert line.wire.writes == [REQUEST + b"{}"]


def test_a_large_body_is_not_copied(line: Line) -> None:
    body = b"x" * (COPY_LIMIT + 1)

    line.ask(REQUEST, body)

    assert line.wire.writes == [REQUEST, body]


def test_an_answer_before_the_whole_request_was_sent_ends_the_connection(line: Line) -> None:
    taken = line.ask()
    line.wire.unsent = 1

    line.answer(LENGTH)

    assert taken.ended
    assert line.released == [False]


# --- consumers that leave ---


def test_what_is_left_of_a_request_is_not_kept_for_who_has_answered(line: Line) -> None:
    taken = line.ask()
    line.wire.unsent = 1

    line.answer(LENGTH)

    assert taken.ended
    assert line.wire.aborted


async def test_a_provider_that_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.upstream.connection.STALL", 0.02)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    async with connected(script) as connection:
        taken = await ask(connection, b"x" * (20 << 20))

    assert taken.error is not None
    assert taken.error.cause is Cause.TIMEOUT_IDLE


async def test_one_that_takes_it_slowly_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.upstream.connection.STALL", 0.1)
    size = 8 << 20

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        left = size
        while left > 0:
            left -= len(await reader.read(1 << 17))
            await asyncio.sleep(0.002)
        writer.write(LENGTH)

    async with connected(script) as connection:
        taken = await ask(connection, b"x" * size)

    assert (taken.data, taken.ended) == (b"hello", True)


def test_a_cancelled_exchange_closes_the_connection_and_tells_nobody(line: Line) -> None:
    taken = line.ask()
    line.answer(LENGTH[:-2])

    line.connection.cancel()
    line.lose()

    assert (taken.data, taken.ended, taken.error) == (b"hel", False, None)
    assert line.wire.aborted
    assert line.released == [False]


def test_cancelling_twice_gives_back_once(line: Line) -> None:
    line.ask()

    line.connection.cancel()
    line.connection.cancel()

    assert line.released == [False]


class Leaving(Taken):
    """Has enough after its first bytes."""

    def __init__(self, line: Line) -> None:
        super().__init__()
        self._line = line

    def body(self, data: bytes) -> None:
        super().body(data)
        self._line.connection.cancel()


@pytest.mark.parametrize(
    "answer", [LENGTH, LENGTH[:-1], CHUNKED[:-12] + b"zz"], ids=["whole", "part", "broken"]
)
def test_a_consumer_may_leave_while_it_is_told(line: Line, answer: bytes) -> None:
    taken = Leaving(line)
    line.connection.exchange(REQUEST, b"", taken, lambda: line.released.append(False))

    line.answer(answer)
    line.lose()

    assert taken.data
    assert (taken.ended, taken.error) == (False, None)
    assert line.released == [False]


def test_another_consumer_may_take_over_in_the_middle(line: Line) -> None:
    first, second = line.ask(), Taken()
    line.answer(LENGTH[:-2])

    second.status = first.status
    line.connection.consumer = second
    line.answer(LENGTH[-2:])

    assert (first.data, first.ended) == (b"hel", False)
    assert (second.data, second.ended) == (b"lo", True)


def test_holding_stops_the_reading_and_unholding_starts_it(line: Line) -> None:
    line.ask()

    line.connection.hold()
    held = line.wire.reading
    line.connection.unhold()

    assert (held, line.wire.reading) == (False, True)


def test_nothing_can_be_held_when_the_connection_is_gone(line: Line) -> None:
    line.ask()
    line.lose()

    line.connection.hold()
    line.connection.unhold()


# --- any split, any bytes ---

names = st.sampled_from([b"X-A", b"x-b", b"Content-Type", b"Retry-After"])
values = st.binary(max_size=20).map(bytes.hex).map(str.encode)
bodies = st.lists(st.binary(min_size=1, max_size=40), max_size=5)


@st.composite
def answers(draw: st.DrawFn) -> tuple[bytes, Taken, bool]:
    """(bytes, what a consumer is to be told, whether only the end of the file ends it)."""
    told = Taken()
    told.status = draw(st.sampled_from([200, 201, 400, 429, 503]))
    fields = draw(st.lists(st.tuples(names, values), max_size=4))
    parts = draw(bodies)
    told.parts = [b"".join(parts)]
    framing = draw(st.sampled_from(["length", "chunked", "close"]))
    if framing == "length":
        fields.append((b"Content-Length", b"%d" % len(told.data)))
        body = told.data
    elif framing == "chunked":
        fields.append((b"Transfer-Encoding", b"chunked"))
        trailers = draw(st.lists(st.tuples(names, values), max_size=2))
        body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
        body += b"0\r\n" + b"".join(b"%b: %b\r\n" % pair for pair in trailers) + b"\r\n"
    else:
        body = told.data
    told.headers = [(name.lower(), value) for name, value in fields]
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * draw(st.integers(0, 2))
    head = b"HTTP/1.1 %d x\r\n" % told.status + b"".join(b"%b: %b\r\n" % one for one in fields)
    return interim + head + b"\r\n" + body, told, framing == "close"


def cut(draw: st.DataObject, data: bytes) -> list[bytes]:
    """The same bytes in as many reads as hypothesis likes."""
    places = draw.draw(st.lists(st.integers(0, len(data)), max_size=12))
    return [data[a:b] for a, b in pairwise(sorted({0, len(data), *places})) if a < b]


@given(answer=answers(), draw=st.data())
def test_any_split_of_an_answer_tells_the_same(
    loop: asyncio.AbstractEventLoop, answer: tuple[bytes, Taken, bool], draw: st.DataObject
) -> None:
    data, told, until_end_of_file = answer
    line = Line(loop)
    reads = cut(draw, data)

    taken = line.ask()
    line.answer(*reads)
    if until_end_of_file:
        line.lose()

    assert (taken.heads, taken.status, taken.headers) == (1, told.status, told.headers)
    assert (taken.data, taken.ended) == (told.data, True)
    assert len(taken.parts) <= len(reads)
    assert line.released == [not until_end_of_file]


@given(answer=answers(), junk=st.binary(max_size=60), draw=st.data())
def test_whatever_comes_the_consumer_is_told_one_end(
    loop: asyncio.AbstractEventLoop,
    answer: tuple[bytes, Taken, bool],
    junk: bytes,
    draw: st.DataObject,
) -> None:
    data = answer[0]
    place = draw.draw(st.integers(0, len(data)))
    line = Line(loop)

    taken = line.ask()
    for read in cut(draw, data[:place] + junk + data[place + draw.draw(st.integers(0, 9)) :]):
        if not line.wire.aborted:
            line.answer(read)
    line.lose()

    assert taken.ended != (taken.error is not None)
    assert taken.heads <= 1
    assert len(line.released) == 1


# --- real sockets ---


@asynccontextmanager
async def connected(script: Script) -> AsyncIterator[UpstreamConnection]:
    """A connection to a server that does what `script` does."""
    async with scripted(script) as url:
        loop = asyncio.get_running_loop()
        port = int(url.rpartition(":")[2])
        _, connection = await loop.create_connection(
            lambda: UpstreamConnection(loop), "127.0.0.1", port
        )
        try:
            yield connection
        finally:
            connection.abort()


async def ask(connection: UpstreamConnection, body: bytes = b"{}") -> Taken:
    """One exchange, to its end."""
    taken = Taken()
    head = b"POST /x HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body)
    connection.exchange(head, body, taken, lambda: None)
    await taken.over.wait()
    return taken


@pytest.mark.parametrize("answer", [LENGTH, CHUNKED], ids=["length", "chunked"])
async def test_answers_over_a_socket(answer: bytes) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(answer)

    async with connected(script) as connection:
        first, second = await ask(connection), await ask(connection)

    assert (first.data, first.ended) == (second.data, second.ended) == (b"hello", True)
    assert connection.served == 2


async def test_an_answer_that_ends_with_the_socket() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK + b"\r\nhello")

    async with connected(script) as connection:
        taken = await ask(connection)

    assert (taken.data, taken.ended) == (b"hello", True)


async def test_a_socket_reset_in_the_middle_is_a_truncation() -> None:
    arrived = asyncio.Event()

    class Watching(Taken):
        def body(self, data: bytes) -> None:
            super().body(data)
            arrived.set()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(LENGTH[:-1])
        await arrived.wait()
        writer.transport.abort()

    taken = Watching()
    async with connected(script) as connection:
        connection.exchange(REQUEST, b"{}", taken, lambda: None)
        await taken.over.wait()

    assert taken.error is not None
    assert taken.error.cause is Cause.TRUNCATED


async def test_a_connection_closed_while_idle_is_stale() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(LENGTH)
        await read_request(reader)  # and closes without a word

    async with connected(script) as connection:
        await ask(connection)
        taken = await ask(connection)

    assert taken.error is not None
    assert taken.error.cause is Cause.STALE


async def test_an_early_answer_leaves_the_rest_of_the_request_unsent() -> None:
    done = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(LENGTH)
        await done.wait()

    async with connected(script) as connection:
        taken = await ask(connection, b"x" * (20 << 20))
        done.set()

    assert (taken.data, taken.ended) == (b"hello", True)
    assert connection.should_close


async def test_a_held_connection_holds_the_provider() -> None:
    size = 20 << 20
    sent_all = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK + b"Content-Length: %d\r\n\r\n" % size + b"x" * size)
        writer.transport.set_write_buffer_limits(0)
        await writer.drain()
        sent_all.set()
        await reader.read()

    class Slow(Taken):
        def body(self, data: bytes) -> None:
            super().body(data)
            if not held.is_set():
                connection.hold()
                held.set()

    held = asyncio.Event()
    taken = Slow()
    async with connected(script) as connection:
        connection.exchange(REQUEST, b"{}", taken, lambda: None)
        await held.wait()
        async with connected(script) as other:  # long enough for all of another answer
            assert (await ask(other)).ended
        before = len(taken.parts)
        waiting = not taken.over.is_set()

        connection.unhold()
        await taken.over.wait()

    assert (before, waiting) == (1, True)
    assert sent_all.is_set()
    assert len(taken.data) == size


# --- what need not be parsed ---


class Eager(Taken):
    """Takes whole chunks as they come, once it has been told something."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[bytes] = []
        self.unparsed = self._take

    def _take(self, data: bytes) -> bool:
        found, rest = [], data
        while rest:
            heading, mark, behind = rest.partition(b"\r\n")
            if not mark or not re.fullmatch(rb"[1-9a-f][0-9a-f]*", heading):
                return False
            size = int(heading, 16)
            if len(behind) < size + 2:
                return False
            assert behind[size : size + 2] == b"\r\n", "not where a chunk begins"
            found.append(behind[:size])
            rest = behind[size + 2 :]
        self.parts += found
        self.taken += found
        return True


WORDS = st.sampled_from(
    [b"hel", b"lo", b"\r\n", b"5\r\nhello\r\n", b"\r\n5", b"0\r\n\r\n", b"x" * 300]
)


@given(
    st.lists(WORDS, min_size=1, max_size=12),
    st.lists(st.integers(0, 5000), max_size=12),
    st.sampled_from([b"", b";name=value", b';a="b"']),
)
def test_whole_chunks_may_pass_by_the_parser_wherever_reads_end(
    words: list[bytes], cuts: list[int], extension: bytes
) -> None:
    loop = uvloop.new_event_loop()
    line = Line(loop)
    answer = OK + b"transfer-encoding: chunked\r\n\r\n"
    for number, word in enumerate(words):
        answer += b"%x%b\r\n%b\r\n" % (len(word), extension if number % 3 == 2 else b"", word)
    answer += b"0\r\n\r\n"
    ends = sorted({0, len(answer), *(at % len(answer) for at in cuts)})
    taken = Eager()

    line.connection.exchange(REQUEST, b"", taken, line._release)
    line.answer(*(answer[start:end] for start, end in pairwise(ends)))

    assert (taken.data, taken.ended, taken.error) == (b"".join(words), True, None)
    assert line.released == [True]
    loop.close()


def test_they_pass_from_the_first_chunk_that_ended_with_a_read(line: Line) -> None:
    taken = Eager()
    line.connection.exchange(REQUEST, b"", taken, line._release)

    line.answer(
        OK + b"transfer-encoding: chunked\r\n\r\n", b"2\r\nhe\r\n", b"1\r\nl\r\n", b"1\r\nl"
    )
    line.answer(b"\r\n1\r\n", b"o\r\n", b"1\r\n,\r\n1\r\n \r\n", b"1\r\n!\r\n")

    assert taken.taken == [b"l", b"!"]
    assert taken.data == b"hello, !"
    line.answer(b"0\r\n\r\n")
    assert taken.ended
    assert line.released == [True]


def test_what_is_compressed_is_always_parsed(line: Line) -> None:
    taken = Eager()
    line.connection.exchange(REQUEST, b"", taken, line._release)
    squeezed = zlib.compress(b"hello")
    head = OK + b"transfer-encoding: chunked\r\ncontent-encoding: deflate\r\n\r\n"

    line.answer(head, *(b"1\r\n%c\r\n" % one for one in squeezed), b"0\r\n\r\n")

    assert (taken.data, taken.taken, taken.ended) == (b"hello", [], True)


def test_the_next_answer_begins_with_its_head(line: Line) -> None:
    for _ in range(2):
        taken = Eager()
        line.connection.exchange(REQUEST, b"", taken, line._release)
        line.answer(OK + b"transfer-encoding: chunked\r\n\r\n")
        line.answer(b"2\r\nhe\r\n", b"3\r\nllo\r\n", b"0\r\n\r\n")

        assert (taken.data, taken.taken, taken.ended) == (b"hello", [b"llo"], True)
