"""The answer reader: however the bytes are cut, the body is the same."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.response import Response

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges) if start < end]


def chunked(parts: list[bytes], extension: bytes = b"") -> bytes:
    framed = b"".join(b"%x%s\r\n%s\r\n" % (len(part), extension, part) for part in parts if part)
    return HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + framed + b"0\r\n\r\n"


def read(pieces: list[bytes]) -> tuple[bytes, list[bool]]:
    response = Response()
    body = b""
    complete = []
    for piece in pieces:
        body += response.feed(piece)
        complete.append(response.complete)
    return body, complete


@given(st.lists(st.binary(max_size=40), max_size=8), st.lists(st.integers(0, 10**6), max_size=20))
def test_a_chunked_body_is_the_same_however_it_is_cut(
    parts: list[bytes], places: list[int]
) -> None:
    body, complete = read(cut(chunked(parts), places))

    assert body == b"".join(parts)
    assert complete[-1]
    assert not any(complete[:-1])


@given(st.binary(min_size=1, max_size=200), st.lists(st.integers(0, 10**6), max_size=20))
def test_a_body_with_a_length_is_the_same_however_it_is_cut(body: bytes, places: list[int]) -> None:
    answer = HEAD + b"content-length: %d\r\n\r\n%s" % (len(body), body)

    found, complete = read(cut(answer, places))

    assert found == body
    assert complete[-1]
    assert not any(complete[:-1])


def test_a_chunk_extension_is_skipped() -> None:
    assert read([chunked([b"abc"], b";name=value")])[0] == b"abc"


def test_a_trailer_belongs_to_the_answer() -> None:
    answer = chunked([b"abc"])[:-2] + b"X-Late: 1\r\n\r\n"

    assert read([answer[:-2], answer[-2:]]) == (b"abc", [False, True])


def test_an_empty_body_is_complete_with_its_head() -> None:
    assert read([HEAD + b"Content-Length: 0\r\n\r\n"]) == (b"", [True])


def test_a_body_without_a_length_ends_with_the_connection() -> None:
    response = Response()
    response.feed(HEAD + b"\r\nabc")
    assert not response.complete

    response.end()

    assert response.complete


def test_a_chunked_body_does_not_end_with_the_connection() -> None:
    response = Response()
    response.feed(chunked([b"abc"])[:-5])

    response.end()

    assert not response.complete


def test_a_reader_can_be_used_again() -> None:
    response = Response()
    response.feed(chunked([b"abc"]))

    response.reset()

    assert response.feed(HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\nxy") == b"xy"
    assert response.complete
    assert response.closes


@pytest.mark.parametrize("answer", [b"nonsense\r\n\r\n", chunked([])[:-5] + b"xyz\r\n"])
def test_what_is_not_http_is_refused(answer: bytes) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        Response().feed(answer)
