"""Bodies that come compressed, that go on behind their end, that are too much for others, or that nobody reads (fault rows
C20 to C22 and C25 to C27)."""

from __future__ import annotations

import asyncio
import itertools
import re
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import orjson
import pytest

from proxy.gateway import event_relay
from proxy.upstream import connection
from tests.line.asking import (
    CHAT,
    DIALECTS,
    GEMINI,
    GOOD,
    assert_error,
    assert_good,
    fleet,
    refused,
    replying,
    response,
    row,
)
from tests.line.harness import (
    Proxy,
    Raw,
    Simulator,
    config,
    read_request,
    request,
    scripted,
    serving,
    until,
)
from tests.line.streams import CHAT as CHAT_STREAM
from tests.line.streams import CHUNKED, LAST_CHUNK, STREAMS, chunk

every_dialect = pytest.mark.parametrize("name", DIALECTS)
each_way = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
NO_RETRY = {"defaults__retry": {"count": 0}}
_ids = itertools.count(1)
PLAIN = GOOD.partition(b"\r\n\r\n")[2]


def question(name: str, model: str = "m") -> bytes:
    """A stream is asked for."""
    dialect = DIALECTS[name]
    body = dict(dialect.body)
    if dialect is not GEMINI:
        body |= {"model": model, "stream": True}
    return request("POST", dialect.stream_path.format(model=model), orjson.dumps(body))


def packed(plain: bytes, bits: int = 31) -> bytes:
    packer = zlib.compressobj(wbits=bits)
    return packer.compress(plain) + packer.flush()


# C20: compressed, although nobody asked for it


@every_dialect
@each_way
async def test_c20_what_is_compressed_is_passed_on_plain(
    sim: Simulator, tmp_path: Path, name: str, stream: bool
) -> None:
    async with row(sim, tmp_path, "gzip", **NO_RETRY) as one:
        answer = await DIALECTS[name].ask(one.proxy, stream=stream)

        assert_good(DIALECTS[name], answer, stream=stream)
        assert "content-encoding" not in answer.headers
        assert one.proxy.metric("headrace_tokens_total", type="output") == 4, "usage was read"


@pytest.mark.parametrize(("coding", "bits"), [("gzip", 31), ("x-gzip", 31), ("deflate", 15)])
@each_way
async def test_c20_it_is_byte_for_byte_what_it_was(
    tmp_path: Path, coding: str, bits: int, stream: bool
) -> None:
    plain = CHAT_STREAM.whole if stream else PLAIN
    kind = "text/event-stream" if stream else "application/json"
    said = response(200, packed(plain, bits), kind, content_encoding=coding)
    async with (
        scripted(replying(lambda head, body: said)) as url,
        serving(fleet((url, "a"), **NO_RETRY), tmp_path) as proxy,
    ):
        answer = await CHAT.ask(proxy, stream=stream)

    assert answer.complete
    assert answer.body == plain


async def test_c20_each_event_of_a_compressed_stream_is_passed_on_when_it_comes(
    tmp_path: Path,
) -> None:
    packer = zlib.compressobj(wbits=31)
    go = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = CHUNKED.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n")
        await read_request(reader)
        begun = packer.compress(CHAT_STREAM.begun) + packer.flush(zlib.Z_SYNC_FLUSH)
        writer.write(head + chunk(begun))
        await go.wait()
        writer.write(chunk(packer.compress(CHAT_STREAM.rest) + packer.flush()) + LAST_CHUNK)
        await reader.read()

    async with scripted(script) as url, serving(fleet((url, "a")), tmp_path) as proxy:
        client = await proxy.raw()
        client.send(question("chat"))
        await client.reader.readuntil(CHAT_STREAM.content[2])
        go.set()
        await client.reader.readuntil(CHAT_STREAM.end)
        client.close()


@every_dialect
@pytest.mark.parametrize("status", [400, 429, 500])
async def test_c20_a_compressed_refusal_is_read(tmp_path: Path, name: str, status: int) -> None:
    error = orjson.dumps({"error": {"message": "So it is.", "type": "x", "code": None}})
    said = response(status, packed(error), content_encoding="gzip", retry_after="30")
    async with (
        scripted(replying(lambda head, body: said)) as url,
        serving(fleet((url, "a"), **NO_RETRY), tmp_path) as proxy,
    ):
        answer = await DIALECTS[name].ask(proxy)

    if status == 429:
        assert_error(DIALECTS[name], answer, "limit")
    else:
        assert answer.status == status
        assert answer.json["error"]["message"] == "So it is."


@each_way
@pytest.mark.parametrize(
    ("name", "coding"),
    [("chat", coding) for coding in ("br", "zstd", "gzip, br")]
    + [(name, "br") for name in DIALECTS if name != "chat"],
)
async def test_c20_what_nobody_here_can_undo_is_no_answer(
    sim: Simulator, tmp_path: Path, name: str, stream: bool, coding: str
) -> None:
    kind = "text/event-stream" if stream else "application/json"
    said = response(200, b"\x28\xb5\x2f\xfd\x04\x00", kind, content_encoding=coding)
    tag = f"sim-coding{next(_ids)}-n2"
    async with (
        scripted(replying(lambda head, body: said)) as url,
        serving(fleet((url, "a"), (sim.url, tag), **NO_RETRY), tmp_path) as proxy,
    ):
        answer = await DIALECTS[name].ask(proxy, stream=stream)

        assert_good(DIALECTS[name], answer, stream=stream)
        assert proxy.metric("headrace_upstream_attempts_total", reason="malformed") == 1


@every_dialect
@each_way
async def test_c20_a_coding_that_does_not_exist_has_a_true_status(
    sim: Simulator, tmp_path: Path, name: str, stream: bool
) -> None:
    async with row(sim, tmp_path, "badenc", **NO_RETRY) as one:
        answer = await DIALECTS[name].ask(one.proxy, stream=stream)

        assert_error(DIALECTS[name], answer, "bad_up")


# C21: compressed, and cut


@every_dialect
@pytest.mark.parametrize("alternative", [True, False])
async def test_c21_half_of_a_compressed_answer_is_none(
    sim: Simulator, tmp_path: Path, name: str, alternative: bool
) -> None:
    faults = ("split50-gztrunc", "") if alternative else ("split50-gztrunc",)
    async with row(sim, tmp_path, *faults, **NO_RETRY) as one:
        answer = await DIALECTS[name].ask(one.proxy)

        if alternative:
            assert_good(DIALECTS[name], answer)
        else:
            assert_error(DIALECTS[name], answer, "bad_up")
        assert one.tried(0, outcome="ok") == 0


@every_dialect
async def test_c21_half_of_a_compressed_stream_is_a_cut_one(
    sim: Simulator, tmp_path: Path, name: str
) -> None:
    async with row(sim, tmp_path, "gztrunc") as one:
        client = await one.proxy.raw()
        client.send(question(name))
        answer = await client.answer()

        assert not answer.complete
        assert DIALECTS[name].terminal not in answer.body
        assert b"error" in answer.body
        assert one.proxy.metric("headrace_stream_terminations_total", reason="truncated") == 1


@pytest.mark.parametrize(
    "body",
    [
        packed(PLAIN)[:-9],
        packed(PLAIN)[:12],
        b"",
        PLAIN,
        packed(PLAIN) + b"more",
        packed(PLAIN, 15),
    ],
    ids=["cut", "almost nothing", "nothing", "plain", "more", "deflate"],
)
async def test_c21_a_right_length_does_not_make_it_whole(tmp_path: Path, body: bytes) -> None:
    """Common clients read such an answer as an empty one."""
    said = response(200, body, content_encoding="gzip")
    async with (
        scripted(replying(lambda head, body: said)) as url,
        serving(fleet((url, "a"), **NO_RETRY), tmp_path) as proxy,
    ):
        assert_error(CHAT, await CHAT.ask(proxy), "bad_up")


# C22: a megabyte that is a gigabyte


@every_dialect
@each_way
async def test_c22_a_bomb_is_no_answer(
    sim: Simulator, tmp_path: Path, name: str, stream: bool
) -> None:
    async with row(sim, tmp_path, "gzbomb", "") as one:
        answer = await DIALECTS[name].ask(one.proxy, stream=stream)

        assert_good(DIALECTS[name], answer, stream=stream)
        assert one.tried(0, reason="malformed") >= 1


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs /proc of Linux")
@each_way
async def test_c22_bombs_take_no_memory(sim: Simulator, tmp_path: Path, stream: bool) -> None:
    async with row(sim, tmp_path, "gzbomb", health__enabled=False, **NO_RETRY) as one:
        before = memory("VmRSS")
        forget_the_peak()
        asked = (CHAT.ask(one.proxy, stream=stream) for _ in range(4))
        assert [answer.status for answer in await asyncio.gather(*asked)] == [502] * 4

        assert memory("VmHWM") - before < 80 << 10


def forget_the_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def memory(field: str) -> int:
    """A line of /proc/self/status, in KiB."""
    found = re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1])


# C25: more behind the end


@pytest.mark.parametrize("name", [name for name in DIALECTS if name != "gemini"])
async def test_c25_what_comes_behind_the_end_reaches_nobody(
    sim: Simulator, tmp_path: Path, name: str
) -> None:
    async with row(sim, tmp_path, "after_done") as one:
        answers = [await DIALECTS[name].ask(one.proxy, stream=True) for _ in range(2)]

        for answer in answers:
            assert_good(DIALECTS[name], answer, stream=True)
            assert b"late" not in answer.body
        assert one.proxy.metric("headrace_stream_terminations_total", reason="done") == 2
        assert one.proxy.metric("headrace_tokens_total", type="output") == 8
        assert one.failures() == 0


class Talker:
    """A provider that says more when it has said the last, and whose last chunk never comes unless it is told to."""

    def __init__(self, whole: bytes, late: bytes) -> None:
        self.whole = whole
        self.late = late
        self.go = asyncio.Event()
        self.connections = 0
        self.endless = False

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while True:
            await read_request(reader)
            writer.write(CHUNKED + chunk(self.whole))
            await self.go.wait()
            writer.write(chunk(self.late))
            while self.endless:
                writer.write(chunk(self.late))
                await writer.drain()
            writer.write(LAST_CHUNK)


@asynccontextmanager
async def talking(
    folder: Path, name: str, late: bytes, *, endless: bool = False
) -> AsyncIterator[tuple[Talker, Proxy, Raw]]:
    """A client of such a provider that has just read the terminal event."""
    stream = STREAMS[name]
    talker = Talker(stream.whole, late)
    talker.endless = endless
    async with scripted(talker) as url, serving(fleet((url, "m")), folder) as proxy:
        client = await proxy.raw()
        client.send(question(name))
        await client.reader.readuntil(stream.end)
        talker.go.set()
        yield talker, proxy, client


LATE = CHAT_STREAM.content[0]
once = pytest.mark.parametrize("name", ["chat", "responses", "messages"])


@once
@pytest.mark.parametrize(
    "late", [LATE, b"data: oops\n\n", b"<html>", b": ping\n\n" + LATE], ids=range(4)
)
async def test_c25_whoever_goes_on_talking_is_not_asked_again_on_that_connection(
    tmp_path: Path, name: str, late: bytes
) -> None:
    async with talking(tmp_path, name, late) as (talker, proxy, client):
        assert await client.reader.readuntil(LAST_CHUNK) == b"\r\n" + LAST_CHUNK
        answer = await DIALECTS[name].ask(proxy, stream=True)

        assert_good(DIALECTS[name], answer, stream=True)
        assert answer.body == STREAMS[name].whole
        assert talker.connections == 2


@once
@pytest.mark.parametrize("late", [b"\n", b": bye\n\n", b"data: [DONE]\n\n"], ids=range(3))
async def test_c25_what_says_nothing_may_follow(tmp_path: Path, name: str, late: bytes) -> None:
    async with talking(tmp_path, name, late) as (talker, proxy, client):
        assert await client.reader.readuntil(LAST_CHUNK) == b"\r\n" + chunk(late) + LAST_CHUNK
        assert_good(DIALECTS[name], await DIALECTS[name].ask(proxy, stream=True), stream=True)

        assert talker.connections == 1


@once
async def test_c25_talk_without_end_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(event_relay, "AFTER_FINISH", 60.0)  # it is how much, not how long
    late = LATE * 50
    async with (
        asyncio.timeout(10),
        talking(tmp_path, name, late, endless=True) as (_, proxy, client),
    ):
        assert await client.reader.readuntil(LAST_CHUNK) == b"\r\n" + LAST_CHUNK

        assert proxy.metric("headrace_stream_terminations_total", reason="done") == 1
        assert proxy.worker.pool.upstreams()[0].idle == 0


# C26: a hog, and who stands beside it


async def test_c26_a_hog_and_a_reader_that_stopped_are_nobody_elses_trouble(
    tmp_path: Path,
) -> None:
    """One stream of tokens as fast as they can be sent, one whose client reads nothing: everybody else goes on between."""
    sent = itertools.count()
    last = 0

    async def hog(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal last
        await read_request(reader)
        writer.write(CHUNKED + chunk(b"".join(CHAT_STREAM.opening)))
        token = b"".join(chunk(event) for event in CHAT_STREAM.content)
        while True:
            writer.write(token * 20)
            await writer.drain()
            await asyncio.sleep(0)  # it shares its loop with those it is to be measured against
            last = next(sent)

    good = replying(lambda head, body: CHUNKED + chunk(CHAT_STREAM.whole) + LAST_CHUNK)
    async with scripted(hog) as fast, scripted(good) as well:
        content = fleet((fast, "m"))
        content["providers"]["well"] = {**config(well)["providers"]["p0"]}
        content["models"]["well"] = {"deployments": [{"provider": "well"}]}
        async with serving(content, tmp_path) as proxy:
            deaf, greedy = await proxy.raw(), await proxy.raw()
            for client in (deaf, greedy):
                client.send(question("chat"))
            deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]

            async def read() -> None:
                while await greedy.reader.read(1 << 20):
                    pass

            reading = asyncio.ensure_future(read())
            await until(lambda: last > 10)
            for _ in range(5):
                some = (CHAT.ask(proxy, "well", stream=True) for _ in range(10))
                for answer in await asyncio.gather(*some):
                    assert answer.body == CHAT_STREAM.whole
            assert not reading.done()
            reading.cancel()


# C27: a provider that does not read


@every_dialect
async def test_c27_a_refusal_before_the_request_was_read_is_passed_on(
    sim: Simulator, tmp_path: Path, name: str
) -> None:
    dialect = DIALECTS[name]
    body = orjson.loads(orjson.dumps(dialect.body).replace(b'"hi"', b'"%b"' % (b"x" * (1 << 20))))
    async with row(sim, tmp_path, "early_413") as one:
        answer = await dialect._replace(body=body).ask(one.proxy)

        assert answer.status == 413, answer
        assert answer.json["error"]["message"]
        assert one.tried() == 1
        assert one.failures() == 0


HUGE = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * (8 << 20)}]})
"""More than all buffers of the kernel hold."""
huge = pytest.mark.allow_blocking("sends and reads eight megabytes in this loop")


@huge
@pytest.mark.parametrize("said", [GOOD, refused(413)], ids=["200", "413"])
async def test_c27_nothing_is_kept_for_a_provider_that_answers_without_reading(
    tmp_path: Path, said: bytes
) -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if gone:
            await read_request(reader)
            writer.write(GOOD)
            return
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(said)
        await ended.wait()
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        size = 0
        with suppress(ConnectionError):
            while data := await reader.read(1 << 20):
                size += len(data)
        gone.append(size)

    gone: list[int] = []
    ended = asyncio.Event()
    async with scripted(deaf) as url, serving(fleet((url, "m")), tmp_path) as proxy:
        answer = await proxy.post(CHAT.path, HUGE)
        assert answer.status == (200 if said is GOOD else 413)
        ended.set()
        await until(lambda: bool(gone))
        assert gone[0] < len(HUGE), "what was not sent by then never was"
        assert_good(CHAT, await CHAT.ask(proxy))


@huge
@pytest.mark.parametrize("alternative", [True, False])
async def test_c27_a_provider_that_takes_nothing_of_the_request_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alternative: bool
) -> None:
    monkeypatch.setattr(connection, "STALL", 0.1)

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    members = ["deaf", "good"] if alternative else ["deaf"]
    good = replying(lambda head, body: GOOD)
    async with scripted(deaf) as silent, scripted(good) as other:
        urls = {"deaf": silent, "good": other}
        content = fleet(*((urls[one], "m") for one in members))
        async with serving(content, tmp_path) as proxy:
            answer = await proxy.post(CHAT.path, HUGE)

            tried = proxy.metric("headrace_upstream_attempts_total", target="m/0:p0")
            assert tried == 1
    if alternative:
        assert_good(CHAT, answer)
    else:
        assert_error(CHAT, answer, "up_time")
