"""What a client is given instead of an answer, and how an answer made here is given."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import orjson
import pytest

from proxy.core.errors import Cause, ProxyError, UpstreamError
from proxy.gateway.response import pass_on, reject
from tests.gateway.rig import Rig


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that does not run: nothing between these calls waits for anything."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def test_an_error_of_ours_closes_where_its_row_says(loop: asyncio.AbstractEventLoop) -> None:
    rig = Rig(loop)
    reject(rig.exchange, ProxyError("too_big"))

    assert rig.head.startswith(b"HTTP/1.1 413 ")
    assert b"\r\nconnection: close" in rig.head
    assert not rig.exchange.keep_alive
    rig.close()


@pytest.mark.parametrize("status", [400, 422, 500])
def test_a_refusal_is_passed_on_as_it_came(status: int, loop: asyncio.AbstractEventLoop) -> None:
    body = b'{"error":{"message":"No."}}'
    headers = ((b"content-type", b"application/json"), (b"set-cookie", b"a=b"))
    rig = Rig(loop)
    pass_on(rig.exchange, UpstreamError(Cause.CLIENT, status=status, headers=headers, body=body))

    assert rig.head.startswith(b"HTTP/1.1 %d " % status)
    assert b"content-type: application/json" in rig.head
    assert b"set-cookie" not in rig.head
    assert rig.body == body
    rig.close()


def test_a_refusal_from_inside_a_stream_has_a_content_type(
    loop: asyncio.AbstractEventLoop,
) -> None:
    rig = Rig(loop)
    pass_on(rig.exchange, UpstreamError(Cause.IN_BAND, status=400, body=b'{"error":{}}'))

    assert b"\r\ncontent-type: application/json" in rig.head
    rig.close()


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'"no"', b"\xff"])
@pytest.mark.parametrize(("status", "told"), [(404, 404), (503, 502)])
def test_a_refusal_that_is_no_object_is_not_passed_on(
    body: bytes, status: int, told: int, loop: asyncio.AbstractEventLoop
) -> None:
    rig = Rig(loop)
    pass_on(rig.exchange, UpstreamError(Cause.CLIENT, status=status, body=body))

    assert rig.head.startswith(b"HTTP/1.1 %d " % told)
    assert set(orjson.loads(rig.body)["error"]) == {"message", "type", "param", "code"}
    rig.close()


@pytest.mark.parametrize(
    ("name", "shape"),
    [("chat", {"error"}), ("messages", {"type", "error", "request_id"}), ("gemini", {"error"})],
)
def test_a_refusal_in_another_dialect_is_said_again_in_the_clients(
    name: str, shape: set[str], loop: asyncio.AbstractEventLoop
) -> None:
    rig = Rig(loop, name)
    body = b'{"message":"The model is busy."}'
    headers = ((b"content-type", b"application/x-amz-json-1.1"), (b"retry-after", b"7"))
    error = UpstreamError(Cause.RATE_LIMIT, status=429, headers=headers, body=body)
    error.foreign = True

    pass_on(rig.exchange, error)

    assert rig.head.startswith(b"HTTP/1.1 429 ")
    assert b"\r\nretry-after: 7" in rig.head
    assert rig.head.count(b"content-type:") == 1
    assert set(orjson.loads(rig.body)) == shape
    assert orjson.loads(rig.body)["error"]["message"] == "The model is busy."
    rig.close()


@pytest.mark.parametrize("query", ["alt=sse", ""])
def test_an_error_behind_signs_of_life_comes_inside_the_stream(
    query: str, loop: asyncio.AbstractEventLoop
) -> None:
    rig = Rig(loop, "gemini", query=query)
    rig.down.write(rig.exchange.head(200, [], None))

    reject(rig.exchange, ProxyError("no_up"))

    assert b"connection: close" not in rig.head
    assert rig.down.closed
    said = rig.down.written.partition(b"\r\n\r\n")[2].split(b"\r\n")[1]
    found = orjson.loads(said.removeprefix(b"data: "))
    assert (found if query else found[0])["error"]["message"] == ProxyError("no_up").message
    rig.close()
