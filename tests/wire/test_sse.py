"""Events are found whole, whatever the line ends and wherever the network cuts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.wire.sse import Event, events, last_boundary, single

BOM = b"\xef\xbb\xbf"


def said(block: bytes) -> list[tuple[bytes, bytes | None, bool]]:
    return [(event.name, event.data, event.is_sse) for event in events(block)]


def dispatched(found: list[Event]) -> list[tuple[bytes, bytes]]:
    """What a client would see."""
    return [(event.name, event.data) for event in found if event.data is not None]


def fed(pieces: list[bytes]) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """(events, rest) of a stream that arrives in `pieces` and is cut at its boundaries."""
    found: list[Event] = []
    held = b""
    for piece in pieces:
        held += piece
        end = last_boundary(held)
        found += events(held[:end])
        held = held[end:]
    return dispatched(found), held


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_every_line_end_makes_the_same_event(newline: bytes) -> None:
    lines = [
        b"event: delta",
        b"id: 7",
        b"retry: 10",
        b": note",
        b"data: one",
        b"data:two",
        b"data",
        b"",
    ]
    block = b"".join(line + newline for line in lines)

    assert last_boundary(block) == len(block)
    assert said(block) == [(b"delta", b"one\ntwo\n", True)]


@pytest.mark.parametrize(
    ("data", "end"),
    [
        (b"", 0),
        (b"data: x", 0),
        (b"data: x\n", 0),
        (b"data: x\r", 0),
        (b"data: x\r\n", 0),
        (b"data: x\n\n", 9),
        (b"data: x\r\r", 9),
        (b"data: x\n\r", 9),
        (b"data: x\n\r\n", 10),
        (b"data: x\r\n\n", 10),
        (b"data: x\r\r\n", 10),
        (b"data: x\r\n\r", 10),
        (b"data: x\r\n\r\n", 11),
        (b"data: x\n\ndata: y\n", 9),
        (b"data: x\r\n\r\ndata: y\n\nda", 20),
        (b"data: x\n\ndata: y\r\rda", 18),
        (b"\n", 1),
        (b"\r\n", 2),
        (b"\ndata: x", 1),
    ],
)
def test_the_last_boundary_is_after_the_last_blank_line(data: bytes, end: int) -> None:
    assert last_boundary(data) == end


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (b"data: x\n\n", [(b"", b"x", True)]),
        (b"data:x\n\n", [(b"", b"x", True)]),
        (b"data:  x\n\n", [(b"", b" x", True)]),
        (b"data\n\n", [(b"", b"", True)]),
        (b"data: a\ndata: b\n\n", [(b"", b"a\nb", True)]),
        (b"data: a: b\n\n", [(b"", b"a: b", True)]),
        (b"event:e\ndata: x\n\n", [(b"e", b"x", True)]),
        (b"data: x\nevent: e\n\n", [(b"e", b"x", True)]),
        (b"event: e\n\n", [(b"e", None, True)]),
        (b": ping\n\n", [(b"", None, True)]),
        (b"\n\n", [(b"", None, True)]),
        (b"\n\ndata: x\n\n\n\ndata: y\n\n", [(b"", b"x", True), (b"", b"y", True)]),
        (BOM + b"data: x\n\n", [(b"", b"x", True)]),
        (BOM + b"data: x\r\n\r\n", [(b"", b"x", True)]),
        (b"data: x\n\n<html>\n\n", [(b"", b"x", True), (b"", None, False)]),
        (b'{"error":{}}\n\n', [(b"", None, False)]),
        (b"data: x\noops\n\n", [(b"", b"x", False)]),
        (b"data: last", [(b"", b"last", True)]),
        (b"data: last\r\n", [(b"", b"last", True)]),
        (b"event: e\ndata: last\n", [(b"e", b"last", True)]),
        (b"", []),
    ],
)
def test_a_block_reads_as_the_standard_says(
    block: bytes, expected: list[tuple[bytes, bytes | None, bool]]
) -> None:
    assert said(block) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"data: x\n\n", (b"", b"x")),
        (b"data: x\r\n\r\n", (b"", b"x")),
        (b"event: e\ndata: x\n\n", (b"e", b"x")),
        (b"data: \n\n", (b"", b"")),
        (b"data:x\n\n", None),
        (b"data: x\n", None),
        (b"data: x\r\n", None),
        (b"data: x\ndata: y\n\n", None),
        (b"data: x\n\ndata: y\n\n", None),
        (b"data: x\ry\n\n", None),
        (b"event: e\n\n", None),
        (b"event: e\ndata: x\nid: 1\n\n", None),
        (b": ping\n\n", None),
        (b"", None),
        (b"\n", None),
    ],
)
def test_single_takes_exactly_one_plain_event(
    data: bytes, expected: tuple[bytes, bytes] | None
) -> None:
    assert single(data) == expected


CHARACTER = "日\U0001f600é".encode()
LINES = st.sampled_from(
    [
        b"data: x",
        b"data:" + CHARACTER,
        b"data: " + CHARACTER * 3,
        b"data",
        b"event: delta",
        b"event:",
        b"id: 1",
        b"retry: 5",
        b": comment",
        b"data: {}: []",
        b"nonsense",
        b"",
    ]
)
STREAMS = st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r\n", b"\r"])), max_size=12).map(
    lambda lines: b"".join(line + newline for line, newline in lines)
)
CUTS = st.lists(st.integers(0, 200), max_size=8)


def cut(stream: bytes, cuts: list[int]) -> list[bytes]:
    ends = [*sorted(min(at, len(stream)) for at in cuts), len(stream)]
    return [stream[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]


@settings(deadline=None)
@given(STREAMS, CUTS)
def test_no_cut_changes_what_a_stream_says(stream: bytes, cuts: list[int]) -> None:
    # The last line may be a data line with no blank line after it; a blank pair closes it.
    stream += b"\n\n"

    found, held = fed(cut(stream, cuts))
    each, left = fed([stream[at : at + 1] for at in range(len(stream))])

    assert found == each == dispatched(events(stream))
    assert held == left == b""
    assert last_boundary(stream) == len(stream)


@settings(deadline=None)
@given(STREAMS)
def test_the_events_of_a_block_leave_no_gap(stream: bytes) -> None:
    found = events(stream)

    assert [event.start for event in found[1:]] == [event.end for event in found[:-1]]
    assert not found or (found[0].start == 0 and found[-1].end == len(stream))


@settings(deadline=None)
@given(STREAMS)
def test_boundaries_only_grow_and_a_cut_there_is_clean(stream: bytes) -> None:
    end = last_boundary(stream)

    assert 0 <= end <= len(stream)
    assert dispatched(events(stream[:end])) + dispatched(events(stream[end:])) == dispatched(
        events(stream)
    )


@settings(deadline=None)
@given(STREAMS)
def test_single_agrees_with_events(stream: bytes) -> None:
    found = single(stream)

    if found is not None:
        assert dispatched(events(stream)) == [found]
        assert last_boundary(stream) == len(stream)


@given(st.binary(max_size=60))
def test_any_bytes_can_be_read(data: bytes) -> None:
    end = last_boundary(data)

    assert 0 <= end <= len(data)
    events(data)
    single(data)
