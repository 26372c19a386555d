"""The little HTTP of the simulator."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.simulator.http import (
    Chunks,
    Malformed,
    body_length,
    chunk,
    date,
    field,
    form,
    pairs,
    status_line,
)

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nX-Two:  b \r\nx-two: c\r\nEmpty:"


def test_headers_keep_their_order_and_case() -> None:
    assert pairs(HEAD) == [("Host", "a"), ("X-Two", "b"), ("x-two", "c"), ("Empty", "")]


def test_a_header_is_found_whatever_its_case() -> None:
    assert field(HEAD, HEAD.lower(), b"x-two") == b"b"
    assert field(HEAD, HEAD.lower(), b"empty") == b""
    assert field(HEAD, HEAD.lower(), b"none") == b""


@pytest.mark.parametrize(
    ("lines", "length"),
    [(b"", 0), (b"\r\ncontent-length: 7", 7), (b"\r\ntransfer-encoding: chunked\r\na: b", -1)],
)
def test_the_body_has_a_length_or_chunks(lines: bytes, length: int) -> None:
    assert body_length(b"post / http/1.1" + lines) == length


@pytest.mark.parametrize(
    "lines",
    [
        b"\r\ncontent-length: -1",
        b"\r\ncontent-length: x",
        b"\r\ntransfer-encoding: gzip",
        b"\r\ncontent-length: 1\r\ntransfer-encoding: chunked",
    ],
)
def test_an_ambiguous_length_is_malformed(lines: bytes) -> None:
    with pytest.raises(Malformed):
        body_length(b"post / http/1.1" + lines)


@given(st.lists(st.binary(min_size=1)), st.lists(st.integers(0, 400)), st.booleans())
def test_chunks_are_joined_however_they_are_cut(
    pieces: list[bytes], cuts: list[int], trailer: bool
) -> None:
    end = b"0\r\nx: y\r\n\r\n" if trailer else b"0\r\n\r\n"
    wire = b"".join(map(chunk, pieces)) + end + b"next"
    places = sorted({0, *cuts, len(wire)})
    chunks = Chunks()
    rest: bytes | None = None

    for start, stop in pairwise(places):
        rest = chunks.feed(wire[start:stop]) if rest is None else rest + wire[start:stop]

    assert bytes(chunks.body) == b"".join(pieces)
    assert rest == b"next"


@pytest.mark.parametrize("wire", [b"zz\r\n", b"\r\n", b"-1\r\n", b"2\r\nabc\r\n", b"0x2\r\nab\r\n"])
def test_broken_chunks_are_malformed(wire: bytes) -> None:
    with pytest.raises(Malformed):
        Chunks().feed(wire)


@given(st.binary())
def test_any_bytes_are_chunks_or_malformed(wire: bytes) -> None:
    try:
        Chunks().feed(wire)
    except Malformed:
        pass


def test_a_form_gives_its_short_fields() -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nsim-n2\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n\0\r\n\r\n\r\n--b--\r\n'
    )

    assert form(body, b'multipart/form-data; boundary="b"') == {"model": "sim-n2"}
    assert form(body, b"text/plain") == {}


@given(st.binary(), st.binary(max_size=4))
def test_any_bytes_are_a_form(body: bytes, boundary: bytes) -> None:
    form(body, b"multipart/form-data; boundary=" + boundary)


def test_dates_and_status_lines_are_what_http_says() -> None:
    ahead = parsedate_to_datetime(date(60)) - parsedate_to_datetime(date())

    assert 58 < ahead.total_seconds() < 62
    assert status_line(429) == b"HTTP/1.1 429 Too Many Requests\r\n"
    assert status_line(599).startswith(b"HTTP/1.1 599 ")
