"""Bodies that are no event streams pass as they come, and what is cut does not look whole."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.gateway.attempt import End
from tests.gateway.rig import Rig, cut
from tests.line.streams import LAST_CHUNK, chunk

AUDIO = b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\n"
ARRAY = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that does not run: nothing between these calls waits for anything."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@given(st.binary(min_size=1, max_size=300), st.lists(st.integers(1, 300), max_size=10))
def test_bytes_pass_as_they_come(data: bytes, cuts: list[int]) -> None:
    loop = asyncio.new_event_loop()
    rig = Rig(loop, "speech", stream=False)

    rig.feed(AUDIO + b"content-length: %d\r\n\r\n" % len(data), *cut(data, cuts))

    assert rig.body == data
    assert rig.complete
    assert rig.relay.reason is End.DONE
    rig.close()
    loop.close()


def test_bytes_that_are_cut_do_not_look_whole(loop: asyncio.AbstractEventLoop) -> None:
    rig = Rig(loop, "speech", stream=False)
    rig.feed(AUDIO + b"content-length: 100\r\n\r\n", b"ID3")
    rig.eof()

    assert rig.relay.reason is End.TRUNCATED
    assert not rig.complete
    assert rig.down.closed
    rig.close()


@pytest.mark.parametrize(
    ("end", "reason"), [(b"\n]", End.DONE), (b"]\r\n", End.DONE), (b",", End.TRUNCATED)]
)
def test_an_array_is_whole_when_it_is_closed(
    end: bytes, reason: End, loop: asyncio.AbstractEventLoop
) -> None:
    rig = Rig(loop, "gemini", query="")
    rig.feed(ARRAY, chunk(b'[{"candidates":[]}'), chunk(end), LAST_CHUNK)

    assert rig.relay.reason is reason
    assert rig.complete is (reason is End.DONE)
    assert rig.body == b'[{"candidates":[]}' + end
    rig.close()


def test_a_whole_body_is_written_once_with_its_length(loop: asyncio.AbstractEventLoop) -> None:
    body = b'{"choices":[{"finish_reason":"stop","message":{"content":"hi"}}]}'
    rig = Rig(loop, stream=False)

    rig.feed(ARRAY, chunk(body[:9]), chunk(body[9:]), LAST_CHUNK)

    assert rig.attempt.relay is None
    assert b"content-length: %d\r\n" % len(body) in rig.down.written
    assert rig.body == body
    assert rig.down.writes == 1
    rig.close()
