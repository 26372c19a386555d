"""What a provider sent is what the client gets, byte for byte, and nothing cut short looks whole."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import monotonic

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.model import Timeouts
from proxy.gateway import event_relay, relay
from proxy.gateway.answer import UNFRAMED
from proxy.gateway.attempt import End
from tests.gateway.rig import Rig, cut
from tests.line.harness import until
from tests.line.streams import (
    CHAT,
    CHUNKED,
    GEMINI,
    HEAD,
    LAST_CHUNK,
    RESPONSES,
    STREAMS,
    WRITINGS,
    Stream,
    chunk,
)

EOF = HEAD + b"connection: close\r\n\r\n"
"""A head after which the body lasts until the connection does."""
BAD_JSON = b'data: {"choices":[{"delta":{\n\n'
GARBAGE = b"<html><body>502 Bad Gateway</body></html>\nTraceback (most recent call last):\n\n"


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that does not run: nothing between these calls waits for anything."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def said(rig: Rig) -> dict[str, object]:
    """The data of the last event the client got."""
    found: dict[str, object] = orjson.loads(rig.body.rpartition(b"data: ")[2])
    return found


def broken_off(rig: Rig, reason: End) -> None:
    """The client was told, once and in its own words, and cannot take what it has for whole."""
    assert rig.relay.done.done()
    assert rig.relay.reason is reason
    assert not rig.complete
    assert rig.down.closed
    assert not rig.exchange.keep_alive
    assert rig.client.flow is None
    assert rig.released == 1
    assert "error" in said(rig)


# The chunk law


@pytest.mark.parametrize("name", STREAMS)
def test_no_single_cut_changes_a_byte(name: str, loop: asyncio.AbstractEventLoop) -> None:
    stream = STREAMS[name].whole
    for at in range(1, len(stream)):
        rig = Rig(loop, name)

        rig.feed(EOF, stream[:at], stream[at:])
        rig.eof()

        assert rig.body == stream, at
        assert rig.relay.reason is End.DONE
        assert rig.complete
        rig.close()


@pytest.mark.parametrize("writing", WRITINGS)
@pytest.mark.parametrize("name", STREAMS)
def test_every_way_to_write_a_stream_passes_byte_by_byte(
    name: str, writing: str, loop: asyncio.AbstractEventLoop
) -> None:
    stream = WRITINGS[writing](STREAMS[name].whole)
    rig = Rig(loop, name)

    rig.feed(EOF, *(stream[at : at + 1] for at in range(len(stream))))
    rig.eof()

    assert rig.body == stream
    assert rig.relay.reason is End.DONE
    rig.close()


@settings(max_examples=150)
@given(
    st.sampled_from(list(STREAMS)),
    st.sampled_from(list(WRITINGS)),
    st.lists(st.integers(1, 4000), max_size=40),
    st.lists(st.integers(1, 4000), max_size=40),
    st.booleans(),
    st.integers(0, 5),
)
def test_no_cut_changes_a_byte_wherever_chunks_and_reads_end(
    name: str, writing: str, chunks: list[int], reads: list[int], eager: bool, late: int
) -> None:
    loop = asyncio.new_event_loop()
    stream = WRITINGS[writing](STREAMS[name].whole)
    response = CHUNKED + b"".join(map(chunk, cut(stream, chunks))) + LAST_CHUNK
    rig = Rig(loop, name, eager=eager)

    rig.feed(*cut(response, reads), late=late)
    rig.open()

    assert rig.body == stream
    assert rig.relay.reason is End.DONE
    assert rig.complete
    assert rig.released == 1
    assert not rig.up.aborted
    rig.close()
    loop.close()


def test_every_read_of_whole_events_is_one_write(loop: asyncio.AbstractEventLoop) -> None:
    rig = Rig(loop)
    rig.feed(CHUNKED, chunk(CHAT.begun))
    begun = rig.down.writes

    rig.feed(chunk(CHAT.content[3]))
    rig.feed(chunk(CHAT.content[4] + CHAT.content[5]))

    assert rig.down.writes == begun + 2
    assert rig.body == CHAT.begun + b"".join(CHAT.content[3:6])
    rig.close()


def test_only_an_unfinished_event_is_held(loop: asyncio.AbstractEventLoop) -> None:
    rig = Rig(loop)
    rig.feed(CHUNKED, chunk(CHAT.begun))

    rig.feed(chunk(CHAT.content[3] + CHAT.content[4][:20]))
    assert rig.body == CHAT.begun + CHAT.content[3]
    rig.feed(chunk(CHAT.content[4][20:]))
    assert rig.body == CHAT.begun + CHAT.content[3] + CHAT.content[4]
    rig.close()


def test_the_clients_name_of_the_model_is_in_every_event_however_many_come_at_once(
    loop: asyncio.AbstractEventLoop,
) -> None:
    for reads in ([CHAT.whole], [event + b"\n\n" for event in CHAT.whole.split(b"\n\n")[:-1]]):
        rig = Rig(loop)
        rig.exchange.alias = b'"best"'

        rig.feed(CHUNKED, *map(chunk, reads), LAST_CHUNK)

        assert rig.body == CHAT.whole.replace(b'"model":"m"', b'"model":"best"')
        assert rig.relay.reason is End.DONE
        rig.close()


# The usage nobody asked for

WITH_USAGE = CHAT.begun + b"".join(CHAT.content[3:]) + CHAT.finish + CHAT.usage + CHAT.end


def test_the_hidden_usage_event_is_the_only_thing_missing_wherever_the_cut(
    loop: asyncio.AbstractEventLoop,
) -> None:
    for at in range(1, len(WITH_USAGE)):
        rig = Rig(loop, hide_usage=True)

        rig.feed(EOF, WITH_USAGE[:at], WITH_USAGE[at:])
        rig.eof()

        assert rig.body == CHAT.whole, at
        assert rig.gate.tap.usage is not None
        assert rig.gate.tap.usage.output == 6
        rig.close()


@pytest.mark.parametrize("writing", ["crlf", "cr", "mixed", "comments", "two lines", "no space"])
def test_usage_is_hidden_however_it_is_written(
    writing: str, loop: asyncio.AbstractEventLoop
) -> None:
    write = WRITINGS[writing]
    comment = ": 再见\n\n".encode() if writing == "comments" else b""
    rig = Rig(loop, hide_usage=True)

    rig.feed(EOF, write(WITH_USAGE))
    rig.eof()

    before, after = write(CHAT.whole).split(write(CHAT.end))
    left = b": hello\n\n" + comment if comment else b""
    assert rig.body == before + left + write(CHAT.end) + after
    rig.close()


def test_usage_that_was_asked_for_is_shown(loop: asyncio.AbstractEventLoop) -> None:
    rig = Rig(loop, hide_usage=False)

    rig.feed(EOF, WITH_USAGE)
    rig.eof()

    assert rig.body == WITH_USAGE
    rig.close()


def test_a_last_usage_event_without_its_blank_line_is_hidden_too(
    loop: asyncio.AbstractEventLoop,
) -> None:
    rig = Rig(loop, hide_usage=True)

    rig.feed(EOF, CHAT.begun, CHAT.finish, CHAT.usage[:-2])
    rig.eof()

    assert rig.body == CHAT.begun + CHAT.finish + CHAT.end
    assert rig.relay.reason is End.FINISH_NO_DONE
    rig.close()


# Events too long to hold


def big(name: str, size: int) -> bytes:
    """A content event of more than `size` bytes."""
    event = STREAMS[name].content[0]
    return event.replace("水車".encode(), b"x" * size)


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("size", [UNFRAMED - 10, UNFRAMED, 3 * UNFRAMED])
def test_an_event_too_long_to_hold_passes_as_it_comes(
    name: str, size: int, loop: asyncio.AbstractEventLoop
) -> None:
    stream = STREAMS[name].begun + big(name, size) + STREAMS[name].rest
    rig = Rig(loop, name)

    for at in range(0, len(stream), 10_000):
        rig.feed(*([EOF] if at == 0 else []), stream[at : at + 10_000])
        assert at + 10_000 - len(rig.body) <= UNFRAMED + 10_000
    rig.eof()

    assert rig.body == stream
    assert rig.relay.reason is End.DONE
    rig.close()


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_alignment_returns_with_the_end_of_a_long_event_wherever_its_blank_line_is_cut(
    newline: bytes, loop: asyncio.AbstractEventLoop
) -> None:
    long = big("chat", 2 * UNFRAMED).replace(b"\n", newline)
    after = CHAT.content[1].replace(b"\n", newline)
    for before in range(-1, 5):
        rig = Rig(loop)
        rig.feed(EOF, CHAT.begun)
        end, some = len(long) - before, long + after[:30]
        rig.feed(some[:70_000], some[70_000:end], some[end:])
        assert not rig.events.unaligned
        assert rig.body == CHAT.begun + long

        rig.feed(after[30:])
        assert rig.body == CHAT.begun + long + after
        rig.close()


@pytest.mark.parametrize("blank", [b"\n\r\n", b"\r\n\n", b"\r\r\n", b"\r\n\r\n"])
def test_mixed_line_ends_end_a_long_event_too(
    blank: bytes, loop: asyncio.AbstractEventLoop
) -> None:
    long = big("chat", 2 * UNFRAMED).rstrip(b"\n") + blank
    rig = Rig(loop)

    rig.feed(EOF, CHAT.begun, long[:70_000], long[70_000:] + CHAT.rest)
    rig.eof()

    assert rig.body == CHAT.begun + long + CHAT.rest
    assert rig.relay.reason is End.DONE
    rig.close()


def test_the_first_event_may_be_too_long_to_hold(loop: asyncio.AbstractEventLoop) -> None:
    stream = big("chat", 2 * UNFRAMED) + CHAT.rest
    rig = Rig(loop, eager=False)

    rig.feed(EOF, stream[:70_000], stream[70_000:140_000], stream[140_000:])
    rig.eof()

    assert rig.body == stream
    rig.close()


def test_a_long_terminal_event_is_recognised(loop: asyncio.AbstractEventLoop) -> None:
    image = b'"output":[{"type":"image_generation_call","result":"' + b"A" * 200_000 + b'"}]'
    last = RESPONSES.end.replace(b'"output":[]', image)
    rig = Rig(loop, "responses")

    rig.feed(EOF, RESPONSES.begun, last[:100_000], last[100_000:])
    rig.eof()

    assert rig.body == RESPONSES.begun + last
    assert rig.relay.reason is End.DONE
    assert rig.gate.tap.usage is not None
    assert rig.gate.tap.usage.output == 6
    rig.close()


def test_a_long_event_that_is_cut_is_no_whole_answer(loop: asyncio.AbstractEventLoop) -> None:
    rig = Rig(loop, "gemini")
    rig.feed(EOF, GEMINI.begun, GEMINI.end, big("gemini", 100_000)[:-9])
    rig.eof()

    broken_off(rig, End.TRUNCATED)
    rig.close()


def test_long_garbage_is_not_passed_on_as_an_event(loop: asyncio.AbstractEventLoop) -> None:
    rig = Rig(loop)
    rig.feed(EOF, CHAT.begun)

    rig.feed(b"<html>" + b"x" * UNFRAMED)

    broken_off(rig, End.MALFORMED)
    assert b"<html>" not in rig.body
    rig.close()


# Endings


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("chunked", [True, False])
def test_a_stream_without_its_end_is_broken_off(
    name: str, chunked: bool, loop: asyncio.AbstractEventLoop
) -> None:
    stream = STREAMS[name]
    rig = Rig(loop, name)
    if chunked:
        rig.feed(CHUNKED, chunk(stream.begun), LAST_CHUNK)
    else:
        rig.feed(EOF, stream.begun)
        rig.eof()

    broken_off(rig, End.TRUNCATED)
    assert rig.body.startswith(stream.begun)
    assert stream.end not in rig.body
    rig.close()


@pytest.mark.parametrize("late", [0, 9])
def test_a_lost_connection_breaks_the_answer_off(
    late: int, loop: asyncio.AbstractEventLoop
) -> None:
    rig = Rig(loop)
    rig.feed(CHUNKED + chunk(CHAT.begun), late=late)
    rig.eof(ConnectionResetError())

    broken_off(rig, End.TRUNCATED)
    rig.close()


@pytest.mark.parametrize("name", STREAMS)
def test_a_connection_lost_behind_the_terminal_event_takes_nothing_from_the_answer(
    name: str, loop: asyncio.AbstractEventLoop
) -> None:
    rig = Rig(loop, name)
    rig.feed(CHUNKED, chunk(STREAMS[name].whole))
    rig.eof(ConnectionResetError())

    assert rig.complete
    assert rig.body == STREAMS[name].whole
    assert rig.relay.reason is End.DONE
    rig.close()


def test_broken_framing_behind_the_terminal_event_takes_nothing_from_the_answer(
    loop: asyncio.AbstractEventLoop,
) -> None:
    rig = Rig(loop)
    rig.feed(CHUNKED, chunk(CHAT.whole), b"zz\r\n")

    assert rig.complete
    assert rig.body == CHAT.whole
    assert rig.up.aborted
    rig.close()


def test_a_lost_connection_is_no_ending_for_a_stream_that_only_named_its_finish(
    loop: asyncio.AbstractEventLoop,
) -> None:
    rig = Rig(loop)
    rig.feed(CHUNKED, chunk(CHAT.begun + CHAT.finish))
    rig.eof(ConnectionResetError())

    broken_off(rig, End.TRUNCATED)
    rig.close()


OTHER = {
    "chat": CHAT.finish.replace(b'"index":0', b'"index":1'),
    "gemini": GEMINI.end.replace(b'{"content"', b'{"index":1,"content"'),
}
"""The end of a second answer."""


@pytest.mark.parametrize("stream", [CHAT, GEMINI], ids=lambda stream: stream.name)
def test_an_answer_of_several_is_not_whole_with_the_first(
    stream: Stream, loop: asyncio.AbstractEventLoop
) -> None:
    first = stream.begun + (stream.finish or stream.end)
    rig = Rig(loop, stream.name, answers=2)
    rig.feed(CHUNKED, chunk(first))

    assert not rig.relay.is_complete()
    assert rig.relay.due(0)[0] > rig.events.last_content + event_relay.AFTER_FINISH
    rig.eof(ConnectionResetError())

    broken_off(rig, End.TRUNCATED)
    rig.close()


@pytest.mark.parametrize("stream", [CHAT, GEMINI], ids=lambda stream: stream.name)
@pytest.mark.parametrize("answers", [2, 3])
def test_fewer_answers_than_were_asked_for_are_whole_once_no_more_can_come(
    answers: int, stream: Stream, loop: asyncio.AbstractEventLoop
) -> None:
    sent = stream.begun + (stream.finish or stream.end) + OTHER[stream.name]
    rig = Rig(loop, stream.name, answers=answers)
    rig.feed(CHUNKED, chunk(sent))

    assert rig.relay.is_complete() is (answers == 2)
    rig.feed(LAST_CHUNK)

    assert rig.complete
    assert rig.body == sent + (CHAT.end if stream is CHAT else b"")
    rig.close()


def test_all_answers_of_a_stream_that_is_wanted_as_a_whole_are_in_it(
    loop: asyncio.AbstractEventLoop,
) -> None:
    body = b'{"contents":[{"parts":[{"text":"q"}]}],"generationConfig":{"candidateCount":2}}'
    rig = Rig(loop, "gemini", language="openai.chat", body=body, stream=False, answers=2)
    rig.feed(CHUNKED, chunk(CHAT.begun + CHAT.finish), chunk(OTHER["chat"] + CHAT.end), LAST_CHUNK)

    assert len(orjson.loads(rig.attempt.body or b"{}")["candidates"]) == 2
    rig.close()


def test_a_missing_terminal_event_is_added(loop: asyncio.AbstractEventLoop) -> None:
    rig = Rig(loop)
    rig.feed(CHUNKED, chunk(CHAT.begun + CHAT.finish), LAST_CHUNK)

    assert rig.complete
    assert rig.body == CHAT.begun + CHAT.finish + CHAT.end
    assert rig.relay.reason is End.FINISH_NO_DONE
    rig.close()


@pytest.mark.parametrize("name", ["responses", "messages"])
def test_no_terminal_event_is_made_up_where_the_protocol_needs_its_own(
    name: str, loop: asyncio.AbstractEventLoop
) -> None:
    stream = STREAMS[name]
    rig = Rig(loop, name)
    rig.feed(EOF, stream.begun, stream.finish)
    rig.eof()

    broken_off(rig, End.TRUNCATED)
    rig.close()


@pytest.mark.parametrize(
    "fragment",
    [
        b"d",
        b"dat",
        b"data",
        b"data:",
        b"data: ",
        b'data: {"choices":[{"del',
        b"data: [DO",
        b"event: x",
        b"event: x\n",
        b"event: x\ndata: {",
        b": not yet a comm",
        b"id: 7\n",
        b"<html>",
    ],
)
@pytest.mark.parametrize("name", STREAMS)
def test_half_an_event_is_never_passed_on(
    name: str, fragment: bytes, loop: asyncio.AbstractEventLoop
) -> None:
    rig = Rig(loop, name)
    rig.feed(EOF, STREAMS[name].begun, fragment)
    rig.eof()

    broken_off(rig, End.TRUNCATED)
    before, _, _ = rig.body.rpartition(
        b"event: error\n" if b"event: error\n" in rig.body else b"data: "
    )
    assert before == STREAMS[name].begun
    rig.close()


@pytest.mark.parametrize("fragment", [b"dat", b"data: ", b'data: {"usage":{"prom', b": bye"])
def test_half_an_event_behind_the_finish_is_dropped_and_the_end_is_added(
    fragment: bytes, loop: asyncio.AbstractEventLoop
) -> None:
    rig = Rig(loop)
    rig.feed(EOF, CHAT.begun, CHAT.finish, fragment)
    rig.eof()

    assert rig.complete
    assert rig.body == CHAT.begun + CHAT.finish + CHAT.end
    rig.close()


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("missing", [1, 2])
def test_a_terminal_event_without_its_blank_line_is_one(
    name: str, missing: int, loop: asyncio.AbstractEventLoop
) -> None:
    stream = STREAMS[name].whole.replace(b"\r\n", b"\n")[:-missing]
    rig = Rig(loop, name)
    rig.feed(EOF, stream)
    rig.eof()

    assert rig.complete
    assert rig.body == stream
    rig.close()


def test_a_last_chunk_without_its_blank_line_is_not_glued_to_our_end(
    loop: asyncio.AbstractEventLoop,
) -> None:
    rig = Rig(loop)
    rig.feed(EOF, CHAT.begun, CHAT.finish[:-2])
    rig.eof()

    assert rig.body == CHAT.begun + CHAT.finish + CHAT.end
    rig.close()


@pytest.mark.parametrize("junk", [BAD_JSON, GARBAGE, GARBAGE.replace(b"\n", b"\r\n")])
@pytest.mark.parametrize("name", STREAMS)
def test_what_is_no_event_is_not_passed_on(
    name: str, junk: bytes, loop: asyncio.AbstractEventLoop
) -> None:
    stream = STREAMS[name]
    rig = Rig(loop, name)
    rig.feed(CHUNKED, chunk(stream.begun))

    rig.feed(chunk(stream.content[3] + junk + stream.rest))

    broken_off(rig, End.MALFORMED)
    assert rig.body.startswith(stream.begun + stream.content[3])
    assert junk.strip() not in rig.body
    assert rig.up.aborted
    rig.close()


@pytest.mark.parametrize("blank", [True, False])
@pytest.mark.parametrize("name", STREAMS)
def test_an_error_event_is_the_last_thing_a_client_gets(
    name: str, blank: bool, loop: asyncio.AbstractEventLoop
) -> None:
    stream = STREAMS[name]
    error = stream.error if blank else stream.error.rstrip(b"\r\n")
    rig = Rig(loop, name)
    rig.feed(EOF, stream.begun)

    rig.feed(error + stream.rest if blank else error)
    if not blank:
        rig.eof()

    assert rig.relay.reason is End.ERROR_EVENT
    assert rig.body.rstrip() == (stream.begun + stream.error).rstrip()
    assert not rig.complete
    assert rig.down.closed
    rig.close()


def test_a_response_that_failed_ends_as_its_protocol_says_but_is_no_success(
    loop: asyncio.AbstractEventLoop,
) -> None:
    failed = RESPONSES.end.replace(b"completed", b"failed").replace(
        b'"output":[]', b'"output":[],"error":{"code":"server_error","message":"No."}'
    )
    rig = Rig(loop, "responses")
    rig.feed(CHUNKED, chunk(RESPONSES.begun), chunk(failed), LAST_CHUNK)

    assert rig.complete
    assert rig.body == RESPONSES.begun + failed
    assert rig.relay.reason is End.ERROR_EVENT
    rig.close()


def test_an_in_band_error_behind_a_raw_event_stands_on_its_own(
    loop: asyncio.AbstractEventLoop,
) -> None:
    rig = Rig(loop)
    rig.feed(EOF, CHAT.begun, big("chat", 2 * UNFRAMED)[:-9])
    rig.eof()

    broken_off(rig, End.TRUNCATED)
    assert rig.body.count(b'\n\ndata: {"error"') == 1
    rig.close()


def test_the_error_of_a_response_has_the_next_number(loop: asyncio.AbstractEventLoop) -> None:
    rig = Rig(loop, "responses")
    rig.feed(EOF, RESPONSES.begun)
    rig.eof()

    assert said(rig)["sequence_number"] == 5
    rig.close()


@pytest.mark.parametrize("name", ["chat", "responses", "messages"])
@pytest.mark.parametrize("comment", [b"", b": bye\n\n"])
def test_nothing_behind_the_terminal_event_is_passed_on_wherever_the_cut(
    name: str, comment: bytes, loop: asyncio.AbstractEventLoop
) -> None:
    stream = STREAMS[name]
    late = stream.content[0]
    data = stream.end + comment + late
    for at in range(len(data)):
        rig = Rig(loop, name)
        rig.feed(CHUNKED, chunk(stream.begun))
        rig.feed(chunk(b"".join((*stream.content[3:], stream.finish))))
        rig.feed(chunk(data[:at]))
        rig.feed(chunk(data[at:]), LAST_CHUNK)

        # Of a comment that comes in one read with what is dropped the rest is lost with it.
        assert rig.body.startswith(stream.whole), at
        assert (stream.whole + comment).startswith(rig.body), at
        assert rig.complete
        assert rig.relay.reason is End.DONE
        rig.close()


def test_http_1_0_gets_no_chunks_and_the_error_before_the_close(
    loop: asyncio.AbstractEventLoop,
) -> None:
    rig = Rig(loop, version=(1, 0))
    rig.feed(EOF, CHAT.begun)
    rig.eof()

    assert b"transfer-encoding" not in rig.head
    assert b"connection: close" in rig.head
    assert rig.body.startswith(CHAT.begun + b'data: {"error"')
    assert rig.down.closed
    rig.close()


# Deadlines


@pytest.fixture
async def running() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


@pytest.mark.parametrize(
    ("timeouts", "reason", "code"),
    [
        (Timeouts(idle=0.01), End.STALLED, "upstream_idle_timeout"),
        (Timeouts(event=0.01), End.STALLED, "upstream_idle_timeout"),
        (Timeouts(content=0.01), End.STALLED, "upstream_idle_timeout"),
        (Timeouts(total=0.01), End.DEADLINE, "stream_limit"),
    ],
    ids=["idle", "event", "content", "total"],
)
async def test_a_stream_that_is_overdue_is_broken_off(
    timeouts: Timeouts, reason: End, code: str, running: asyncio.AbstractEventLoop
) -> None:
    rig = Rig(running, timeouts=timeouts)
    rig.feed(CHUNKED, chunk(CHAT.begun + CHAT.content[3][:20]))

    await until(rig.relay.done.done)

    broken_off(rig, reason)
    assert said(rig)["error"]["code"] == code  # type: ignore[index]
    assert rig.body.startswith(CHAT.begun + b'data: {"error"'), "half an event was passed on"
    assert rig.up.aborted
    rig.close()


async def test_a_stream_that_is_too_long_is_broken_off(
    running: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_relay, "MOST", 2000)
    rig = Rig(running)
    rig.feed(CHUNKED, chunk(CHAT.begun))
    for _ in range(100):
        rig.feed(chunk(CHAT.content[3]))

    broken_off(rig, End.DEADLINE)
    assert said(rig)["error"]["code"] == "stream_limit"  # type: ignore[index]
    assert 2000 < rig.exchange.bytes_out < 2000 + 2 * 1000
    assert rig.up.aborted
    rig.close()


def test_how_much_one_stream_may_be() -> None:
    assert event_relay.MOST == 256 * 1024**2


async def test_after_a_standstill_what_came_meanwhile_is_read_first(
    running: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The timer goes off late, and before anything is read: that is how a loop begins its turn."""
    monkeypatch.setattr(relay, "CATCH_UP", 0.02)
    rig = Rig(running, timeouts=Timeouts(idle=30))
    rig.feed(CHUNKED, chunk(CHAT.begun))
    rig.relay._arm(0.0)
    late = rig.relay.timer
    assert late is not None
    rig.relay.timer = Late(late)  # type: ignore[assignment]
    late.cancel()
    rig.relay.last_read = rig.events.last_event = rig.events.last_content = monotonic() - 31

    rig.relay._check()
    assert not rig.relay.done.done()
    rig.feed(chunk(CHAT.content[3]))
    await until_checked(rig)
    assert not rig.relay.done.done(), "there was something to read"

    rig.relay.last_read = rig.events.last_event = rig.events.last_content = monotonic() - 31
    rig.relay._arm(0.0)
    await until(rig.relay.done.done)
    broken_off(rig, End.STALLED)
    rig.close()


class Late:
    """A timer that should have gone off two seconds ago."""

    def __init__(self, timer: asyncio.TimerHandle) -> None:
        self._when = timer.when() - 2.0

    def when(self) -> float:
        return self._when


async def until_checked(rig: Rig) -> None:
    """The timer has gone off, and waits for the next deadline."""
    loop = asyncio.get_running_loop()
    await until(lambda: rig.relay.timer is not None and rig.relay.timer.when() > loop.time() + 5)


async def test_what_comes_in_time_moves_the_deadline(running: asyncio.AbstractEventLoop) -> None:
    rig = Rig(running, timeouts=Timeouts(idle=30))
    rig.feed(CHUNKED, chunk(CHAT.begun))
    due, _ = rig.relay.due(0)
    rig.relay.last_read = rig.events.last_event = rig.events.last_content = due - 31

    rig.feed(chunk(CHAT.content[3][:20]))
    assert rig.events.last_event == due - 31, "half an event is no event"
    rig.feed(chunk(CHAT.content[3][20:] + b": ping\n\n"))

    assert rig.relay.due(0)[0] >= due
    rig.close()


async def test_comments_are_no_content(running: asyncio.AbstractEventLoop) -> None:
    rig = Rig(running)
    rig.feed(CHUNKED, chunk(CHAT.begun))
    rig.events.last_event = rig.events.last_content = 1.0

    rig.feed(chunk(b": ping\n\n"))

    assert rig.events.last_event > 1.0
    assert rig.events.last_content == 1.0
    rig.close()


@pytest.mark.parametrize(
    ("stream", "reason"),
    [(CHAT.whole, End.DONE), (CHAT.begun + CHAT.finish, End.FINISH_NO_DONE)],
    ids=["terminal event", "finish reason"],
)
async def test_a_whole_answer_whose_connection_stays_open_is_ended(
    stream: bytes,
    reason: End,
    running: asyncio.AbstractEventLoop,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_relay, "AFTER_FINISH", 0.01)
    rig = Rig(running, timeouts=Timeouts(idle=0.01))
    rig.feed(CHUNKED, chunk(CHAT.opening[0]), chunk(stream.removeprefix(CHAT.opening[0])))

    await until(rig.relay.done.done)

    assert rig.complete
    assert rig.relay.reason is reason
    assert rig.body.endswith(CHAT.end)
    assert rig.up.aborted
    rig.close()


def finished(rig: Rig) -> None:
    """Its answer is whole, but for the sign that it is over."""
    rig.feed(CHUNKED, chunk(CHAT.begun + CHAT.finish))
    rig.relay.last_read = rig.events.last_event = rig.events.last_content = monotonic() - 3


async def test_signs_of_life_behind_a_whole_answer_keep_it_open_no_longer(
    running: asyncio.AbstractEventLoop,
) -> None:
    rig = Rig(running)
    finished(rig)
    due, _ = rig.relay.due(0)

    rig.feed(chunk(b": ping\n\n"))

    assert rig.relay.last_read > due - event_relay.AFTER_FINISH, "it was read"
    assert rig.relay.due(0)[0] == due
    rig.close()


async def test_what_is_said_behind_a_finish_is_waited_for(
    running: asyncio.AbstractEventLoop,
) -> None:
    rig = Rig(running)
    finished(rig)
    due, _ = rig.relay.due(0)

    rig.feed(chunk(CHAT.content[3]))

    assert rig.relay.due(0)[0] > due
    rig.close()


async def test_the_limit_holds_for_a_whole_answer_too(running: asyncio.AbstractEventLoop) -> None:
    rig = Rig(running, timeouts=Timeouts(total=1))
    finished(rig)
    rig.relay.limit = monotonic() - 2

    assert rig.relay.due(0)[0] == rig.relay.limit
    rig.relay._arm(0.0)
    await until(rig.relay.done.done)

    assert rig.complete
    assert rig.relay.reason is End.FINISH_NO_DONE
    rig.close()


# Back-pressure


def test_a_client_that_does_not_keep_up_stops_the_provider(
    loop: asyncio.AbstractEventLoop,
) -> None:
    rig = Rig(loop, room=5000)
    rig.feed(CHUNKED, chunk(CHAT.begun))
    assert rig.up.is_reading()

    rig.feed(chunk(CHAT.content[3] * 40))
    assert not rig.up.is_reading()
    rig.down.drain()
    assert rig.up.is_reading()

    rig.feed(chunk(CHAT.rest), LAST_CHUNK)
    assert rig.body == CHAT.begun + CHAT.content[3] * 40 + CHAT.rest
    rig.close()


def test_the_first_write_may_already_be_too_much(loop: asyncio.AbstractEventLoop) -> None:
    rig = Rig(loop, room=10)
    rig.feed(CHUNKED + chunk(CHAT.begun))

    assert not rig.up.is_reading()
    rig.down.drain()
    assert rig.up.is_reading()
    rig.close()


def test_a_client_that_still_reads_its_last_answer_stops_the_provider(
    loop: asyncio.AbstractEventLoop,
) -> None:
    rig = Rig(loop)
    rig.client.pause_writing()

    rig.feed(CHUNKED, chunk(CHAT.begun))

    assert not rig.up.is_reading()
    rig.close()


def test_a_connection_never_goes_back_to_the_pool_unread(
    loop: asyncio.AbstractEventLoop,
) -> None:
    rig = Rig(loop, room=5000)
    rig.feed(CHUNKED, chunk(CHAT.begun))

    # The last read is also the one that is too much: nobody will ever say `resume`.
    rig.feed(chunk(CHAT.content[3] * 40 + CHAT.rest) + LAST_CHUNK)

    assert rig.client.writing_paused
    assert rig.complete
    assert rig.released == 1
    assert rig.up.is_reading()
    rig.close()


async def test_a_client_that_takes_nothing_is_let_go(running: asyncio.AbstractEventLoop) -> None:
    rig = Rig(running, room=10, write_timeout=0.01)
    rig.feed(CHUNKED, chunk(CHAT.begun))

    await until(rig.relay.done.done)

    assert rig.relay.reason is End.CLIENT_GONE
    assert rig.down.aborted
    assert rig.up.aborted
    rig.close()


async def test_the_time_a_provider_was_held_is_not_held_against_it(
    running: asyncio.AbstractEventLoop,
) -> None:
    rig = Rig(running, room=10, timeouts=Timeouts(event=30, content=30))
    rig.feed(CHUNKED, chunk(CHAT.begun))
    rig.events.last_event = rig.events.last_content = rig.relay.last_read = -1000.0

    rig.down.drain()

    assert rig.relay.due(0)[0] > 0
    rig.close()


# The client


@pytest.mark.parametrize(
    ("stream", "reason"), [(CHAT.begun, End.CLIENT_GONE), (CHAT.whole, End.DONE)]
)
def test_a_client_that_leaves_stops_the_provider(
    stream: bytes, reason: End, loop: asyncio.AbstractEventLoop
) -> None:
    rig = Rig(loop)
    rig.feed(CHUNKED, chunk(stream))

    rig.relay.gone()

    assert rig.relay.reason is reason
    assert rig.up.aborted
    assert rig.released == 1
    rig.close()


def test_a_probe_does_no_harm_in_a_stream(loop: asyncio.AbstractEventLoop) -> None:
    rig = Rig(loop)
    rig.feed(CHUNKED, chunk(CHAT.begun))
    assert rig.relay.probe() == chunk(b":\n\n")

    rig.feed(chunk(big("chat", 2 * UNFRAMED)[:-9]))
    assert rig.relay.probe() == b"", "nothing may come between the bytes of an event"
    rig.close()
