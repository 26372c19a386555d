"""What a client reads: every byte of a head, and how a body is framed for it."""

from __future__ import annotations

import re
import subprocess
import sys
import uuid
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import pytest

from proxy.gateway.exchange import Exchange, new_request_id, render_response
from tests.gateway.asked import CHAT, exchange, raw, written

JSON = [(b"content-type", b"application/json")]


def lines(head: bytes) -> list[str]:
    assert head.endswith(b"\r\n\r\n")
    return head.decode("latin-1").split("\r\n")[:-2]


def asked(*fields: str, method: str = "POST", version: str = "HTTP/1.1") -> Exchange:
    return exchange(raw(method, CHAT, b'{"model":"m"}', *fields, version=version))


# --- request ids ---


def test_request_ids_are_uuids_of_version_7_that_sort_by_time() -> None:
    ids = [new_request_id() for _ in range(1000)]

    parsed = [uuid.UUID(one) for one in ids]
    assert {one.version for one in parsed} == {7}
    assert {one.variant for one in parsed} == {uuid.RFC_4122}
    assert len(set(ids)) == 1000
    times = [one.int >> 80 for one in parsed]
    assert times == sorted(times)
    now = datetime.now(UTC).timestamp() * 1000
    assert abs(times[-1] - now) < 60_000


FORKED = """
import os
from proxy.gateway.exchange import new_request_id
new_request_id()
reader, writer = os.pipe()
if os.fork() == 0:
    os.write(writer, new_request_id().encode())
    os._exit(0)
os.wait()
child = os.read(reader, 100).decode()
assert child[15:] != new_request_id()[15:], child
"""


def test_a_forked_process_does_not_repeat_the_ids_of_its_parent() -> None:
    subprocess.run([sys.executable, "-c", FORKED], check=True, timeout=20)


@pytest.mark.parametrize("given", ["abc", "A.b_c-9", "x" * 128])
async def test_a_clients_own_id_is_kept(given: str) -> None:
    assert asked(f"X-Request-Id: {given}").id == given


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a/b", "\u00e4", "a;b", "<script>"])
async def test_an_id_that_could_do_harm_is_replaced(given: str) -> None:
    assert uuid.UUID(asked(f"X-Request-Id: {given}").id).version == 7


# --- heads ---


async def test_a_head_has_what_every_answer_has() -> None:
    one = asked("X-Request-Id: abc")

    head = lines(one.head(200, JSON, 5))

    assert head[0] == "HTTP/1.1 200 OK"
    assert set(head) >= {
        "x-request-id: abc",
        "cache-control: no-store",
        "x-content-type-options: nosniff",
        "x-accel-buffering: no",
        "content-type: application/json",
        "content-length: 5",
    }
    dates = [line for line in head if line.startswith("date: ")]
    assert len(dates) == 1
    sent = parsedate_to_datetime(dates[0].removeprefix("date: "))
    assert abs((datetime.now(UTC) - sent).total_seconds()) < 60
    assert (one.status, one.head_sent, one.chunked) == (200, True, False)


async def test_every_status_has_a_line() -> None:
    for status in (*map(int, HTTPStatus), 299, 499, 529, 599):
        head = asked().head(status, [], 0)
        assert re.match(rb"HTTP/1\.1 %d [^\r\n]*\r\ndate: " % status, head)


async def test_a_body_of_unknown_length_is_chunked() -> None:
    one = asked()

    head = lines(one.head(200, [], None))

    assert "transfer-encoding: chunked" in head
    assert not any(line.startswith("content-length") for line in head)
    assert one.chunked
    assert one.keep_alive


async def test_for_an_old_client_such_a_body_ends_with_the_connection() -> None:
    one = asked("Connection: keep-alive", version="HTTP/1.0")

    head = lines(one.head(200, [], None))

    assert "connection: close" in head
    assert not any(line.startswith(("transfer-encoding", "content-length")) for line in head)
    assert (one.chunked, one.keep_alive) == (False, False)


@pytest.mark.parametrize(
    ("version", "connection", "said", "kept"),
    [
        ("HTTP/1.1", "", None, True),
        ("HTTP/1.1", "close", "close", False),
        ("HTTP/1.0", "", "close", False),
        ("HTTP/1.0", "keep-alive", "keep-alive", True),
    ],
)
async def test_the_connection_is_kept_as_the_client_asks(
    version: str, connection: str, said: str | None, kept: bool
) -> None:
    one = asked(*([f"Connection: {connection}"] if connection else []), version=version)

    head = lines(one.head(200, [], 0))

    expected = [] if said is None else [f"connection: {said}"]
    assert [line for line in head if line.startswith("connection:")] == expected
    assert one.keep_alive is kept


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\nb", b"a\rb", b"a\0b"])
async def test_a_value_that_would_split_the_head_is_left_out(value: bytes) -> None:
    head = asked().head(200, [(b"x-bad", value), (b"x-good", b"1")], 0)

    assert b"x-bad" not in head
    assert b"set-cookie" not in head
    assert b"\r\nx-good: 1\r\n" in head


# --- bodies ---


async def test_a_whole_answer_is_one_write() -> None:
    one = asked()

    one.respond(200, JSON, b"{}")

    assert len(one.transport.writes) == 1  # type: ignore[attr-defined]
    assert written(one).endswith(b"\r\n\r\n{}")
    assert b"content-length: 2\r\n" in written(one)
    assert (one.status, one.bytes_out) == (200, 2)


async def test_chunks_are_framed_and_the_end_is_the_last_chunk() -> None:
    one = asked()
    one.head(200, [], None)

    one.transport.write(one.frame(b"x" * 26))
    one.finish(one.frame(b"yz"))

    assert written(one) == b"1a\r\n" + b"x" * 26 + b"\r\n2\r\nyz\r\n0\r\n\r\n"


async def test_without_chunks_the_bytes_are_as_they_are() -> None:
    one = asked(version="HTTP/1.0")
    one.head(200, [], None)

    one.transport.write(one.frame(b"abc"))
    one.finish()
    one.finish(b"d")

    assert written(one) == b"abcd"


async def test_an_abandoned_answer_has_no_last_chunk_and_is_not_reset() -> None:
    one = asked()
    one.head(200, [], None)
    one.transport.write(one.frame(b"abc"))

    one.abandon()

    assert written(one) == b"3\r\nabc\r\n"
    assert (one.transport.closed, one.transport.aborted) == (True, False)  # type: ignore[attr-defined]
    assert not one.keep_alive


# --- answers that are no exchange ---


@pytest.mark.parametrize("close", [False, True])
def test_a_page_is_rendered_whole(close: bool) -> None:
    response = render_response(404, JSON, b"{}", "id-1", close=close)

    head, _, body = response.partition(b"\r\n\r\n")
    fields = lines(head + b"\r\n\r\n")
    assert fields[0] == "HTTP/1.1 404 Not Found"
    assert set(fields) >= {
        "x-request-id: id-1",
        "content-type: application/json",
        "content-length: 2",
        "cache-control: no-store",
        "x-content-type-options: nosniff",
    }
    assert ("connection: close" in fields) is close
    assert body == b"{}"


# --- what is known from the start ---


async def test_the_path_names_the_model_and_the_mode() -> None:
    one = exchange(raw("POST", "/v1beta/models/gemini-x:streamGenerateContent?alt=sse", b"{}"))

    assert (one.model, one.stream, one.query) == ("gemini-x", True, "alt=sse")
