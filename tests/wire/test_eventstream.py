"""Frames are found whole wherever the network cuts, mean what AWS's own library reads in them, and never more than that."""

from __future__ import annotations

from datetime import UTC, datetime
from struct import pack
from uuid import UUID
from zlib import crc32

import orjson
import pytest
from botocore.eventstream import EventStreamBuffer  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.eventstream import (
    Broken,
    Value,
    begins,
    event,
    events,
    exception,
    frame,
    last_boundary,
    parse,
    single,
)
from proxy.wire.sse import Event

HELLO = event("contentBlockDelta", b'{"delta":{"text":"Hello"},"contentBlockIndex":0}')
STOP = event("messageStop", b'{"stopReason":"end_turn"}')
THROTTLED = exception("throttlingException", b'{"message":"Too many requests"}')

NAMES = st.text("abcdefghijklmnopqrstuvwxyz:-", min_size=1, max_size=20)
VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.binary(max_size=40),
    st.text(max_size=40),
    st.uuids(),
)
FRAMES = st.builds(frame, st.dictionaries(NAMES, VALUES, max_size=5), st.binary(max_size=200))


def raw(lines: bytes, payload: bytes = b"{}") -> bytes:
    """A frame with these header bytes, whatever they are."""
    lengths = pack("!II", 16 + len(lines) + len(payload), len(lines))
    whole = lengths + pack("!I", crc32(lengths)) + lines + payload
    return whole + pack("!I", crc32(whole))


def fed(pieces: list[bytes]) -> tuple[list[Event], bytes]:
    """(events, rest) of a stream that arrives in `pieces` and is cut at its boundaries."""
    found: list[Event] = []
    held = b""
    for piece in pieces:
        held += piece
        end = last_boundary(held)
        found += events(held[:end])
        held = held[end:]
    return found, held


def said(found: list[Event]) -> list[tuple[bytes, bytes | None, bool]]:
    return [(event.name, event.data, event.is_sse) for event in found]


def test_one_frame_is_read_in_one_step() -> None:
    assert single(HELLO) == (
        b"contentBlockDelta",
        b'{"delta":{"text":"Hello"},"contentBlockIndex":0}',
    )


@pytest.mark.parametrize(
    "data",
    [b"", HELLO[:-1], HELLO + b"\0", HELLO + STOP, THROTTLED, HELLO[:-1] + b"\0", b"data: x\n\n"],
    ids=["nothing", "a part", "more", "two", "a failure", "a wrong checksum", "something else"],
)
def test_what_is_not_one_good_event_is_not_read_in_one_step(data: bytes) -> None:
    assert single(data) is None


def test_long_headers_take_the_slow_way() -> None:
    data = frame({":event-type": "messageStop", "x": "y" * 300}, b"{}")

    assert single(data) is None
    assert said(events(data)) == [(b"messageStop", b"{}", True)]


def test_the_events_of_a_block_leave_no_gap() -> None:
    found = events(HELLO + STOP)

    assert [(one.name, one.start, one.end) for one in found] == [
        (b"contentBlockDelta", 0, len(HELLO)),
        (b"messageStop", len(HELLO), len(HELLO) + len(STOP)),
    ]


def test_a_frame_without_a_type_is_an_event_without_a_name() -> None:
    assert said(events(frame({}, b"{}"))) == [(b"", b"{}", True)]
    assert single(frame({}, b"{}")) == (b"", b"{}")


def test_a_frame_without_a_payload_has_empty_data() -> None:
    assert single(event("ping", b"")) == (b"ping", b"")


@pytest.mark.parametrize(
    ("headers", "payload", "expected"),
    [
        (
            {":message-type": "exception", ":exception-type": "throttlingException"},
            b'{"message":"slow down"}',
            {"type": "throttlingException", "message": "slow down"},
        ),
        (
            {":message-type": "exception", ":exception-type": "modelStreamErrorException"},
            b'{"message":"x","originalStatusCode":500}',
            {"type": "modelStreamErrorException", "message": "x", "originalStatusCode": 500},
        ),
        (
            {":message-type": "error", ":error-code": "InternalError", ":error-message": "oh"},
            b"",
            {"type": "InternalError", "message": "oh"},
        ),
        (
            {":message-type": "exception", ":exception-type": "x"},
            b"plain \xff",
            {"type": "x", "message": "plain \ufffd"},
        ),
        ({":message-type": "exception"}, b"[1]", {"type": "exception", "message": [1]}),
        ({":message-type": "error", ":error-code": 7}, b"", {"type": "error"}),
    ],
)
def test_a_failure_becomes_an_event_that_names_it(
    headers: dict[str, Value], payload: bytes, expected: dict[str, object]
) -> None:
    (found,) = events(frame(headers, payload))

    assert found.name == b"error"
    assert orjson.loads(found.data or b"") == expected


@pytest.mark.parametrize("at", range(len(STOP)))
def test_damage_anywhere_is_found_out(at: int) -> None:
    damaged = bytearray(STOP)
    damaged[at] ^= 0x40
    block = HELLO + bytes(damaged) + HELLO

    found = events(block[: last_boundary(block)])

    assert said(found[:1]) == said(events(HELLO))
    assert (found[-1].data, found[-1].is_sse) == (None, False)


@pytest.mark.parametrize(
    "lines",
    [
        b"\x05:even",
        b"\x01a",
        b"\x01a\x0a",
        b"\x01a\x07\x00\x05abc",
        b"\x01a\x07\x00",
        b"\x01\xff\x00",
        b"\x01a\x07\x00\x01\xff",
        b"\x01a\x02",
        b"\x01a\x09short",
    ],
)
def test_headers_that_cannot_be_read_are_no_event(lines: bytes) -> None:
    assert single(raw(lines)) is None
    assert said(events(raw(lines))) == [(b"", None, False)]
    with pytest.raises(Broken):
        parse(raw(lines))


def test_every_type_of_header_is_read() -> None:
    lines = b"".join(
        b"\x01" + bytes([97 + kind, kind]) + value
        for kind, value in enumerate(
            (
                b"",
                b"",
                b"\xff",
                b"\xff\xfe",
                b"\xff\xff\xff\xfd",
                b"\xff" * 7 + b"\xfc",
                b"\x00\x02\x00\x01",
                b"\x00\x03\xe6\xb0\xb4",
                (1500).to_bytes(8, "big"),
                bytes(range(16)),
            )
        )
    )

    headers, payload = parse(raw(lines))

    assert list(headers.values()) == [
        True, False, -1, -2, -3, -4, b"\0\1", "水", datetime(1970, 1, 1, 0, 0, 1, 500000, UTC), UUID(bytes=bytes(range(16))),
    ]  # fmt: skip
    assert payload == b"{}"


def test_a_time_no_calendar_has_stays_a_number() -> None:
    assert parse(raw(b"\x01t\x08" + b"\x7f" * 8))[0] == {"t": int.from_bytes(b"\x7f" * 8, "big")}


def test_a_time_is_written_as_it_is_read() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)

    assert parse(frame({"t": moment}, b""))[0] == {"t": moment}


@pytest.mark.parametrize(
    "data",
    [
        b"<html><body>",
        b"data: {}\n\n12345",
        b'{"message":"no"}',
        pack("!III", 15, 0, crc32(pack("!II", 15, 0))),
        pack("!III", 100, 85, crc32(pack("!II", 100, 85))),
        pack("!III", 2**31, 0, crc32(pack("!II", 2**31, 0))),
        HELLO[:8] + b"\0\0\0\0" + HELLO[12:],
    ],
)
def test_what_is_no_frame_is_not_waited_for(data: bytes) -> None:
    assert not begins(data)
    assert last_boundary(data) == len(data)
    assert said(events(data)) == [(b"", None, False)]
    assert last_boundary(HELLO + data) == len(HELLO) + len(data)


def test_the_beginning_of_a_frame_is_one() -> None:
    assert all(begins(HELLO[:size]) for size in range(len(HELLO) + 1))
    assert not begins(b"<")
    assert not begins(b"HTT")


def test_a_frame_that_is_not_whole_says_nothing() -> None:
    for size in range(1, len(STOP)):
        assert said(events(HELLO + STOP[:size]))[1:] == [(b"", None, True)]
        assert last_boundary(HELLO + STOP[:size]) == len(HELLO)


def test_no_bytes_are_no_events() -> None:
    assert events(b"") == []
    assert last_boundary(b"") == 0


def test_a_name_and_a_value_have_their_limits() -> None:
    with pytest.raises(Broken):
        parse(b"short")
    with pytest.raises(OverflowError):
        frame({"x": "y" * 65536}, b"")


@given(st.lists(FRAMES, max_size=6), st.data())
def test_cuts_anywhere_change_nothing(frames: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]

    found, rest = fed(pieces)

    assert rest == b""
    assert said(found) == said(events(whole))
    assert len(found) == len(frames)


@given(st.lists(FRAMES, max_size=4))
def test_byte_by_byte_is_the_same(frames: list[bytes]) -> None:
    whole = b"".join(frames)

    found, rest = fed([whole[at : at + 1] for at in range(len(whole))])

    assert (said(found), rest) == (said(events(whole)), b"")


@given(st.dictionaries(NAMES, VALUES, max_size=6), st.binary(max_size=200))
def test_the_library_of_aws_reads_what_we_write(headers: dict[str, Value], payload: bytes) -> None:
    data = frame(headers, payload)
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    (message,) = list(buffer)

    ours, body = parse(data)

    assert body == message.payload == payload
    assert ours == headers
    assert message.headers == {
        name: value.bytes if isinstance(value, UUID) else value for name, value in headers.items()
    }


@given(st.binary(max_size=300))
def test_no_bytes_are_too_odd(data: bytes) -> None:
    end = last_boundary(data)

    assert 0 <= end <= len(data)
    assert all(one.data is None for one in events(data))
    assert single(data) is None
    assert begins(data) in (True, False)
