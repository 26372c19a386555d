"""Providers whose response heads never end, or have too much in them (fault rows B14 and B15)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.line.asking import (
    CHAT,
    DIALECTS,
    GOOD,
    assert_error,
    assert_good,
    fleet,
    replying,
    response,
    row,
    text_of,
)
from tests.line.harness import Simulator, read_request, scripted, serving

NO_RETRY = {"defaults__retry": {"count": 0}}
STATUS = b"HTTP/1.1 200 OK\r\n"
HINT = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"


# B14: interim answers


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("stream", [False, True])
async def test_b14_an_interim_answer_is_stepped_over(
    sim: Simulator, tmp_path: Path, stream: bool, dialect: str
) -> None:
    async with row(sim, tmp_path, "1xx") as one:
        answer = await DIALECTS[dialect].ask(one.proxy, stream=stream)

        assert_good(DIALECTS[dialect], answer, stream=stream)
        assert b"103" not in answer.body
        assert "link" not in answer.headers
        assert one.tried() == 1


@pytest.mark.parametrize(
    ("interim", "borne"),
    [(b"HTTP/1.1 100 Continue\r\n\r\n", True), (HINT * 32, True), (HINT * 33, False)],
    ids=["one", "32", "33"],
)
async def test_b14_some_interim_answers_are_borne(
    tmp_path: Path, interim: bytes, borne: bool
) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(interim + GOOD)

    async with scripted(script) as url, serving(fleet((url, "a"), **NO_RETRY), tmp_path) as proxy:
        answer = await CHAT.ask(proxy)

    if borne:
        assert text_of(answer) == "good"
    else:
        assert_error(CHAT, answer, "bad_up")


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_b14_interim_answers_without_end_are_none(
    sim: Simulator, tmp_path: Path, dialect: str
) -> None:
    # Nothing but the count ends it: there are 3,600 seconds for a first content.
    async with row(
        sim, tmp_path, "1xx_flood", defaults__timeouts={"ttft": 3600, "request": 3600}, **NO_RETRY
    ) as one:
        answer = await DIALECTS[dialect].ask(one.proxy, stream=True)

        assert_error(DIALECTS[dialect], answer, "bad_up")
        assert one.tried(reason="malformed") == one.failures() == 1


async def test_b14_a_flood_of_interim_answers_sends_the_request_elsewhere(
    sim: Simulator, tmp_path: Path
) -> None:
    async with row(sim, tmp_path, "1xx_flood", "") as one:
        assert_good(CHAT, await CHAT.ask(one.proxy))

        assert one.tried(0, reason="malformed") >= 1
        assert one.tried(1, outcome="ok") == 1


# B15: heads that are too long, and heads that do not end


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", ["bighdr", "manyhdr"])
async def test_b15_a_head_with_too_much_in_it_is_none(
    sim: Simulator, tmp_path: Path, dialect: str, stream: bool, fault: str
) -> None:
    async with row(sim, tmp_path, fault, **NO_RETRY) as one:
        answer = await DIALECTS[dialect].ask(one.proxy, stream=stream)

        assert_error(DIALECTS[dialect], answer, "bad_up")
        assert one.tried(reason="malformed") == one.failures() == 1


@pytest.mark.parametrize(
    ("fields", "size", "good"),
    [(100, 100, True), (140, 1, False), (7, 8000, True), (1, 8200, False)],
)
async def test_b15_heads_of_the_usual_size_are_borne(
    tmp_path: Path, fields: int, size: int, good: bool
) -> None:
    more = {f"x_{at}": "a" * size for at in range(fields)}
    body = GOOD.partition(b"\r\n\r\n")[2]
    reply = response(200, body, **more)
    async with (
        scripted(replying(lambda head, body: reply)) as url,
        serving(fleet((url, "a"), **NO_RETRY), tmp_path) as proxy,
    ):
        answer = await CHAT.ask(proxy)

    if good:
        assert_good(CHAT, answer)
        assert "x-0" not in answer.headers
    else:
        assert_error(CHAT, answer, "bad_up")


@pytest.mark.parametrize(
    "lines",
    [
        b"".join(b"x-%d: %b\r\n" % (at, b"a" * 100) for at in range(700)),
        b"x: " + b"a" * 70_000,
        b"x" * 70_000,
    ],
    ids=["many fields", "a value without an end", "a name without an end"],
)
async def test_b15_a_head_without_an_end_ends_with_its_connection(
    tmp_path: Path, lines: bytes
) -> None:
    """Nothing but its size ends it, and the connection is not used again."""
    closed = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        if not connections:
            connections.append(writer)
            writer.write(STATUS + lines)
            assert await reader.read() == b""
            closed.set()
            return
        writer.write(GOOD)
        await reader.read()

    connections: list[asyncio.StreamWriter] = []
    async with scripted(script) as url, serving(fleet((url, "a"), **NO_RETRY), tmp_path) as proxy:
        assert_error(CHAT, await CHAT.ask(proxy), "bad_up")
        await asyncio.wait_for(closed.wait(), 5)
        assert text_of(await CHAT.ask(proxy)) == "good"


@pytest.mark.parametrize("alternative", [True, False])
async def test_b15_a_head_that_comes_slowly_has_the_time_of_the_first_content(
    tmp_path: Path, alternative: bool
) -> None:
    """Every byte is a sign of life, and none of them is an answer."""

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(STATUS)
        while not reader.at_eof():
            writer.write(b"x-slow: 1\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    async def good(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + WHOLE)

    async with scripted(slow) as first, scripted(good) as second:
        members = [(first, "a"), (second, "b")] if alternative else [(first, "a")]
        timeouts = {"providers__p0__timeouts": {"ttft": 0.15}}
        async with serving(fleet(*members, **timeouts), tmp_path) as proxy:
            answer = await CHAT.ask(proxy, stream=True)

            tried = proxy.metric("headrace_upstream_attempts_total", reason="timeout_ttft")
            assert tried == 1
    if alternative:
        assert_good(CHAT, answer, stream=True)
    else:
        assert_error(CHAT, answer, "up_time")


WHOLE = (
    b'data: {"choices":[{"index":0,"delta":{"content":"good"},"finish_reason":"stop"}]}\n\n'
    b"data: [DONE]\n\n"
)
