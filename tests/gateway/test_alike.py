"""Text of which the tap has seen the like goes on as it came; everything else is read, and nobody can tell which it was."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.gateway import event_relay
from proxy.gateway.attempt import End
from proxy.wire.likeness import LONGEST
from tests.gateway.rig import Rig, cut
from tests.line.streams import CHAT, CHUNKED, LAST_CHUNK, RESPONSES, STREAMS, chunk


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that does not run: nothing between these calls waits for anything."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


class Parser:
    """Of a connection; remembers what it is fed."""

    def __init__(self, parser: Any) -> None:
        self._parser = parser
        self.fed: list[bytes] = []

    def feed_data(self, data: bytes) -> None:
        self.fed.append(data)
        self._parser.feed_data(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)


def passed(rig: Rig, *reads: bytes) -> list[bool]:
    """For each read, whether it went on as it came."""
    real, found = rig.upstream._llhttp, []
    for data in reads:
        parser, before = Parser(real), rig.down.written
        rig.upstream._llhttp = parser  # type: ignore[assignment]
        rig.feed(data)
        assert parser.fed == [data] or (not parser.fed and rig.down.written == before + data)
        found.append(not parser.fed)
    rig.upstream._llhttp = real
    return found


def text(word: str) -> bytes:
    """A chunk of text of the same stream."""
    return chunk(CHAT.content[0].replace("水車".encode(), word.encode()))


def begun(loop: asyncio.AbstractEventLoop, **how: Any) -> Rig:
    """A stream that is under way, of which the last event was a text by itself."""
    rig = Rig(loop, **how)
    rig.feed(CHUNKED, chunk(CHAT.begun), text("one"))
    return rig


def test_more_text_is_neither_parsed_nor_framed_anew(loop: asyncio.AbstractEventLoop) -> None:
    rig = begun(loop)
    before = rig.events.last_content

    assert passed(rig, text("two"), text("three") + text("四"), text("five")) == [True] * 3

    relay = rig.events
    assert relay.event_count == 5
    assert relay.last_content > before
    assert relay.last_content == relay.last_event == relay.last_read
    assert rig.exchange.bytes_out == len(rig.body)
    rig.feed(chunk(CHAT.finish + CHAT.end) + LAST_CHUNK)
    assert rig.relay.reason is End.DONE
    assert rig.complete
    assert rig.released == 1
    rig.close()


def test_a_read_that_ends_within_a_chunk_is_parsed_and_so_is_what_follows(
    loop: asyncio.AbstractEventLoop,
) -> None:
    rig = begun(loop)
    two, three = text("two"), text("three")

    found = passed(rig, two[:5], two[5:], two, two + three[:-1], three[-1:], three, two)

    assert found == [False, False, False, False, False, False, True]
    assert rig.body == CHAT.begun + b"".join(
        map(_data, [text("one"), two, two, two, three, three, two])
    )
    rig.close()


def _data(chunk: bytes) -> bytes:
    return chunk.partition(b"\r\n")[2][:-2]


def test_an_event_that_is_held_is_not_overtaken(loop: asyncio.AbstractEventLoop) -> None:
    rig = begun(loop)

    assert passed(rig, chunk(b": half a"), text("two")) == [False, False]

    assert rig.body.endswith(_data(text("one")) + b": half a" + _data(text("two")))
    rig.close()


def test_what_follows_the_terminal_event_reaches_nobody(loop: asyncio.AbstractEventLoop) -> None:
    rig = begun(loop)
    rig.feed(chunk(CHAT.finish), chunk(CHAT.end))
    whole = rig.body

    assert passed(rig, text("more")) == [False]

    assert rig.body == whole
    rig.close()


def test_one_that_asked_for_another_name_gets_it(loop: asyncio.AbstractEventLoop) -> None:
    rig = Rig(loop)
    rig.exchange.alias = b'"best"'
    rig.feed(CHUNKED, chunk(CHAT.begun))
    rig.feed(text("one"))

    assert passed(rig, text("two")) == [False]
    rig.close()


def test_who_watches_sees_every_event(loop: asyncio.AbstractEventLoop) -> None:
    rig = Rig(loop)
    rig.feed(CHUNKED, chunk(CHAT.begun))
    relay = rig.events
    seen: list[bytes] = []

    def see(name: bytes, data: bytes) -> int:
        seen.append(data)
        return relay.tap.event(name, data)

    relay.seen = see

    assert passed(rig, text("one"), text("two"), text("three")) == [False] * 3
    assert len(seen) == 3
    rig.close()


def test_without_chunks_of_ours_theirs_do_not_pass(loop: asyncio.AbstractEventLoop) -> None:
    rig = Rig(loop, version=(1, 0))
    rig.feed(CHUNKED, chunk(CHAT.begun))
    rig.feed(text("one"), text("two"))

    assert rig.body == CHAT.begun + _data(text("one")) + _data(text("two"))
    rig.close()


def test_a_stream_of_events_that_differ_is_soon_taken_as_it_is(
    loop: asyncio.AbstractEventLoop,
) -> None:
    rig = begun(loop)
    relay = rig.events
    odd = [text(f'{n}"}},"n":{{"n":"{n}') for n in range(event_relay.GUESSES)]

    assert passed(rig, *odd) == [False] * len(odd)
    assert not relay.unparsed
    assert passed(rig, text("a"), text("b")) == [False, False]
    rig.close()


def test_a_long_stream_is_broken_off_though_it_is_not_read(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = begun(loop)
    monkeypatch.setattr(event_relay, "MOST", rig.exchange.bytes_out + 1)

    assert passed(rig, text("two")) == [True]
    rig.feed(text("three"))

    assert rig.relay.reason is End.DEADLINE
    assert not rig.complete
    assert rig.down.closed
    rig.close()


def test_a_client_that_does_not_keep_up_holds_it_back(loop: asyncio.AbstractEventLoop) -> None:
    rig = begun(loop, room=len(CHAT.begun) + 4 * len(text("two")))
    passed(rig, text("two"), text("three"), text("four"), text("five"))

    held = not rig.up.is_reading()
    rig.down.drain()
    assert (held, rig.up.is_reading()) == (True, True)
    rig.close()


def test_a_relay_that_is_over_is_held_by_nothing(loop: asyncio.AbstractEventLoop) -> None:
    rig = begun(loop)
    began = rig.relay.unparsed is not None
    rig.feed(chunk(CHAT.finish + CHAT.end) + LAST_CHUNK)

    assert (began, rig.relay.unparsed is None) == (True, True)
    rig.close()


@pytest.mark.parametrize("much", [False, True])
def test_an_error_has_the_next_number_though_nobody_read_the_last(
    much: bool, loop: asyncio.AbstractEventLoop
) -> None:
    rig = Rig(loop, "responses")
    rig.feed(CHUNKED, chunk(RESPONSES.begun))
    *reads, last = [chunk(one) for one in RESPONSES.content[3:]]

    assert passed(rig, *reads) == [False, *(True for _ in reads[1:])]
    if much:
        assert passed(rig, reads[-1] * 100 + last) == [True]
        assert len(rig.events.unread) < 2 * len(last) + LONGEST
    else:
        assert passed(rig, last) == [True]
    rig.eof()

    numbers = [int(one) for one in re.findall(rb'"sequence_number":(\d+)', rig.body)]
    assert sorted(set(numbers)) == list(range(numbers[0], numbers[-1] + 1))
    assert b'"type":"error"' in rig.body.rpartition(b"data: ")[2]
    rig.close()


@settings(max_examples=150)
@given(
    st.sampled_from([name for name in STREAMS if name in ("chat", "messages", "responses")]),
    st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=4), max_size=20),
    st.lists(st.integers(1, 9000), max_size=6),
)
def test_what_is_not_read_counts_as_if_it_were(
    name: str, reads: list[list[int]], cuts: list[int]
) -> None:
    loop = asyncio.new_event_loop()
    stream = STREAMS[name]
    parts = [b"".join(chunk(stream.content[n]) for n in read) for read in reads]
    ends = chunk(stream.finish + stream.end) + LAST_CHUNK
    found = []
    for guesses in (0, event_relay.GUESSES):
        rig = Rig(loop, name)
        rig.feed(CHUNKED, chunk(stream.begun))
        relay = rig.events
        relay.guesses = guesses
        rig.feed(*(one for part in parts for one in cut(part, cuts)), ends)
        found.append(
            (rig.body, relay.event_count, rig.exchange.bytes_out, relay.reason, rig.complete)
        )
        rig.close()
    loop.close()

    assert found[0] == found[1]
