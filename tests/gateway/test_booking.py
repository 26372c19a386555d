"""What is written down of a request, before its client can see the end, and once whatever happens to it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.core.errors import Cause
from proxy.core.model import Price, Snapshot, Timeouts
from proxy.gateway import booking
from proxy.gateway.attempt import Attempt
from proxy.gateway.exchange import Exchange
from proxy.gateway.meter import Meter
from proxy.ledger.records import Tokens
from proxy.ledger.spool import Spool
from proxy.limits.accounts import Accounts
from tests.gateway.asked import CHAT, exchange, provider, raw, snapshot
from tests.gateway.recorded import Ledger, recording
from tests.gateway.rig import Rig
from tests.gateway.served import (
    CHUNK,
    COMPLETION,
    FINISH,
    STREAM,
    STREAMED,
    Provider,
    chunk,
    virtual_key,
    whole,
)
from tests.gateway.test_translating import ASKED, LANGUAGES, TERMINAL
from tests.line.harness import scripted, until
from tests.line.streams import CHUNKED, LAST_CHUNK, STREAMS, WRITINGS
from tests.line.streams import chunk as framed

BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
STREAMING = b'{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true}'
PRICE = Price(input=3.0, output=15.0)
USED = 7 * 3 + 2 * 15


def priced(*urls: str, **fields: Any) -> Snapshot:
    """A model served by these, the first one first, at PRICE."""
    places = [provider(url, name) for url, name in zip(urls, "pqrs", strict=False)]
    return snapshot(*places, price=PRICE, **fields)


# --- before the client can see the end ---


class Watched:
    """Books that remember what the client had when they were told that all is over."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self.told: list[tuple[str, int, bytes]] = []

    def over(self, outcome: str = "", more: int = 0) -> None:
        size = self._rig.exchange.bytes_out + more
        self.told.append((outcome, size, self._rig.down.written))

    def linger(self) -> bool:
        return False


LAST = {"chat": b"[DONE]", "responses": b"response.completed", "messages": b"message_stop"}


def watched(rig: Rig) -> Watched:
    books = Watched(rig)
    rig.exchange.books = books
    return books


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted({0, len(data), *(at % len(data) for at in cuts)})
    return [data[start:end] for start, end in pairwise(ends)]


def check(rig: Rig, books: Watched, terminal: bytes) -> None:
    outcome, size, before = books.told[0]
    assert outcome == "ok"
    assert terminal in rig.down.written
    assert terminal not in before
    assert len(rig.body) == rig.exchange.bytes_out >= size > len(before) - len(rig.head) - 200


@settings(max_examples=100)
@given(
    st.sampled_from(list(STREAMS)),
    st.sampled_from(list(WRITINGS)),
    st.lists(st.integers(1, 4000), max_size=20),
    st.integers(0, 5),
)
def test_the_books_are_told_before_the_terminal_event_is_written(
    name: str, writing: str, reads: list[int], late: int
) -> None:
    loop = asyncio.new_event_loop()
    stream = STREAMS[name]
    body = WRITINGS[writing](stream.whole)
    rig = Rig(loop, name)
    books = watched(rig)

    rig.feed(*pieces(CHUNKED + framed(body) + LAST_CHUNK, reads), late=late)
    rig.open()

    # Google's streams have no last event: they end when the body does.
    check(rig, books, b"\r\n" + LAST_CHUNK if name == "gemini" else LAST[name])
    rig.close()
    loop.close()


@settings(max_examples=60)
@given(
    st.sampled_from([(one, other) for one in LANGUAGES for other in STREAMS if one != other]),
    st.lists(st.integers(1, 4000), max_size=20),
    st.integers(0, 5),
)
def test_the_same_where_it_is_translated(
    pair: tuple[str, str], reads: list[int], late: int
) -> None:
    loop = asyncio.new_event_loop()
    client, name = pair
    rig = Rig(loop, client, language=LANGUAGES[name], body=ASKED[client])
    books = watched(rig)

    data = CHUNKED + framed(STREAMS[name].whole) + LAST_CHUNK
    rig.feed(*pieces(data, reads), late=late)
    rig.open()

    check(rig, books, TERMINAL[client])
    rig.close()
    loop.close()


def test_an_event_too_long_to_be_held_is_booked_before_its_end_is_written() -> None:
    loop = asyncio.new_event_loop()
    stream = STREAMS["responses"]
    text = b"x" * 100_000
    end = stream.end.replace(b'"output":[]', b'"output":[{"type":"message","text":"%b"}]' % text)
    assert len(end) > len(text)
    rig = Rig(loop, "responses")
    books = watched(rig)

    whole = stream.whole.replace(stream.end, end)
    rig.feed(CHUNKED, *(framed(whole[at : at + 5000]) for at in range(0, len(whole), 5000)))
    rig.feed(LAST_CHUNK)

    check(rig, books, end[-30:])
    rig.close()
    loop.close()


async def test_a_whole_answer_is_booked_before_it_is_written() -> None:
    one = exchange(raw("POST", CHAT, BODY))
    told: list[int] = []

    class Books:
        def over(self, outcome: str = "", more: int = 0) -> None:
            told.append(len(one.transport.writes))  # type: ignore[attr-defined]
            assert (one.status, one.bytes_out) == (200, len(COMPLETION))

        def linger(self) -> bool:
            return False

    one.books = Books()
    one.respond(200, [], COMPLETION)

    assert told == [0]


async def test_who_reads_the_end_of_an_answer_finds_it_on_the_disk(ledger: Ledger) -> None:
    async with (
        scripted(Provider(whole(), STREAMED)) as url,
        recording(priced(url), ledger) as served,
    ):
        for body, last in ((BODY, COMPLETION[-20:]), (STREAMING, b"[DONE]")):
            client = await served.client()
            client.send(raw("POST", CHAT, body))
            await client.reader.readuntil(last)
            assert len(ledger.ends) == 1 + (body is STREAMING)
            client.close()


@pytest.mark.parametrize("body", [BODY, STREAMING])
async def test_nothing_of_it_is_left_to_the_garbage_collector(body: bytes, ledger: Ledger) -> None:
    def alive() -> list[object]:
        return [one for one in gc.get_objects() if isinstance(one, Exchange | Meter | Attempt)]

    gc.collect()
    kept = alive()  # what other tests keep, and so stays
    before = set(map(id, kept))
    gc.disable()
    try:
        async with (
            scripted(Provider(STREAMED if body is STREAMING else whole())) as url,
            recording(priced(url), ledger) as served,
        ):
            await served.ask(raw("POST", CHAT, body))
            await ledger.end()
            await until(lambda: before.issuperset(map(id, alive())))
    finally:
        gc.enable()
        kept.clear()


# --- what is in it ---


async def test_a_request_is_recorded_with_all_that_is_known_of_it(ledger: Ledger) -> None:
    async with scripted(Provider(whole())) as url:
        settings = replace(priced(url), keys=virtual_key("sk-1"))
        async with recording(settings, ledger) as served:
            await served.ask(
                raw("POST", CHAT, BODY, "Authorization: Bearer sk-1", "User-Agent: test/1")
            )
            end = await ledger.end()
            [start] = ledger.starts

    assert (start.rid, start.at) == (end.rid, end.at)
    assert (start.attempt, start.key, start.asked, start.model) == (1, "app", "m", "m")
    assert (start.deployment, start.provider, start.upstream_model) == ("m/0:p", "p", "up")
    assert start.prompt > 0
    assert start.likely == start.prompt * 3
    assert (end.key, end.route, end.operation, end.dialect) == ("app", CHAT, "chat", "openai.chat")
    assert (end.asked, end.model, end.deployment, end.upstream_model) == ("m", "m", "m/0:p", "up")
    assert (end.status, end.outcome, end.cause, end.finish) == (200, "ok", "", "stop")
    assert (end.tokens, end.source) == (Tokens(input=7, output=2), "reported")
    assert (end.cost, end.estimate, end.cost_upstream) == (USED, -1, USED)
    assert (end.bytes_in, end.bytes_out) == (len(BODY), len(COMPLETION))
    assert (end.client, end.user_agent, end.stream) == ("127.0.0.1", "test/1", False)
    assert end.ttft_ms == -1
    assert 0 <= end.queue_ms <= end.total_ms
    assert 0 <= end.overhead_ms <= end.total_ms
    [tried] = end.tries
    assert (tried.number, tried.credential, tried.status, tried.outcome) == (1, "p#0", 200, "ok")
    assert 0 <= tried.connect_ms <= tried.ttft_ms <= tried.total_ms <= end.total_ms


async def test_clients_who_name_their_requests_alike_are_charged_for_each(ledger: Ledger) -> None:
    async with (
        scripted(Provider(whole())) as url,
        recording(priced(url), ledger) as served,
    ):
        for _ in range(3):
            answer = await served.ask(raw("POST", CHAT, BODY, "X-Request-Id: mine"))
            assert answer.headers["x-request-id"] == "mine"
        await until(lambda: len(ledger.ends) == 3)

    rids = {end.rid for end in ledger.ends}
    assert len(rids) == 3
    assert all(rid.endswith(":mine") for rid in rids)
    assert rids == {start.rid for start in ledger.starts}


async def test_what_comes_from_outside_is_cut_and_can_be_written(ledger: Ledger) -> None:
    async with (
        scripted(Provider(whole())) as url,
        recording(priced(url), ledger) as served,
    ):
        field = b"user-agent: \xff\xfe sk-proj-abcdefghijklmnop " + b"x" * 4000 + b"\r\n"
        data = raw("POST", CHAT, BODY).replace(
            b"Host: localhost\r\n", b"Host: localhost\r\n" + field
        )
        await served.ask(data)
        end = await ledger.end()

    assert len(end.user_agent) <= 300
    assert "sk-proj" not in end.user_agent


async def test_attempts_that_failed_are_recorded_beside_the_one_that_answered(
    ledger: Ledger,
) -> None:
    async with (
        scripted(Provider(whole(b"{}", 500))) as bad,
        scripted(Provider(whole(b"{}", 503))) as worse,
        scripted(Provider(whole())) as good,
        recording(priced(bad, worse, good), ledger) as served,
    ):
        await served.ask(raw("POST", CHAT, BODY))
        end = await ledger.end()
        starts = ledger.starts

    assert [one.attempt for one in starts] == list(range(1, len(starts) + 1))
    assert [one.number for one in end.tries] == [one.attempt for one in starts]
    assert [one.deployment for one in end.tries] == [one.deployment for one in starts]
    assert (end.tries[0].status, end.tries[-1].status) == (500, 200)
    assert (end.tries[0].cause, end.tries[-1].outcome) == ("http_5xx", "ok")
    assert {one.cost for one in end.tries[:-1]} == {0}
    assert (end.provider, end.cost, end.cost_upstream) == ("r", USED, USED)
    assert (end.outcome, end.cause) == ("ok", "")


async def test_an_attempt_cut_after_content_costs_nobody_knows_what(ledger: Ledger) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(whole()[:-20])
        writer.close()

    async with (
        scripted(script) as bad,
        scripted(Provider(whole())) as good,
        recording(priced(bad, good), ledger) as served,
    ):
        await served.ask(raw("POST", CHAT, BODY))
        end = await ledger.end()

    assert end.tries[0].cost == -1
    assert (end.cost, end.cost_upstream) == (USED, -1)


async def test_what_a_request_uses_is_given_back_to_limits_before_its_end_is_written(
    ledger: Ledger,
) -> None:
    async with scripted(Provider(STREAMED)) as url:
        [(digest, key)] = virtual_key("sk-1").items()
        settings = replace(priced(url), keys={digest: replace(key, id="k1", concurrency=1)})
        async with recording(settings, ledger) as served:
            served.state.accounts = Accounts.memory()
            for _ in range(20):
                client = await served.client()
                client.send(raw("POST", CHAT, STREAMING, "Authorization: Bearer sk-1"))
                await client.reader.readuntil(b"[DONE]")
                client.close()
            assert {end.status for end in ledger.ends} == {200}
            assert len(ledger.ends) == 20


# --- once, however it ends ---


async def begun(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A provider that begins a stream and says no more."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(STREAM + chunk(CHUNK))
    await reader.read()


async def test_a_client_that_leaves_before_an_answer(ledger: Ledger) -> None:
    sent = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        sent.set()
        await reader.read()

    async with scripted(script) as url, recording(priced(url), ledger) as served:
        client = await served.client()
        client.send(raw("POST", CHAT, BODY))
        await sent.wait()
        client.reset()
        end = await ledger.end()

    assert (end.status, end.outcome, end.source) == (499, "client_gone", "estimated")
    [tried] = end.tries
    assert (tried.outcome, tried.status, tried.ttft_ms) == ("cancelled", 0, -1)
    assert end.tokens == Tokens(input=ledger.starts[0].prompt)
    assert end.cost == end.estimate == ledger.starts[0].likely


async def test_a_client_that_leaves_in_the_middle(ledger: Ledger) -> None:
    async with scripted(begun) as url, recording(priced(url), ledger) as served:
        client = await served.client()
        client.send(raw("POST", CHAT, STREAMING))
        await client.reader.readuntil(b"hello")
        client.reset()
        end = await ledger.end()

    assert (end.status, end.outcome, end.source) == (499, "client_gone", "estimated")
    assert end.tokens.output >= 1
    assert end.cost == end.estimate > 0
    assert end.ttft_ms >= 0


@pytest.mark.parametrize(
    ("rest", "outcome", "cause"),
    [
        (b"", "truncated", Cause.TRUNCATED),
        (chunk(b'data: {"error":{"message":"no"}}\n\n'), "upstream_error", Cause.IN_BAND),
        (chunk(b"data: {nonsense\n\n"), "upstream_error", Cause.MALFORMED),
    ],
    ids=["cut", "error", "malformed"],
)
async def test_a_stream_that_a_provider_breaks_off(
    rest: bytes, outcome: str, cause: Cause, ledger: Ledger
) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(STREAM + chunk(CHUNK))
        await seen.wait()
        writer.write(rest)
        writer.close()

    seen = asyncio.Event()
    async with scripted(script) as url, recording(priced(url), ledger) as served:
        client = await served.client()
        client.send(raw("POST", CHAT, STREAMING))
        await client.reader.readuntil(b"hello")
        seen.set()
        end = await ledger.end()

    assert (end.status, end.outcome) == (200, outcome)
    assert (end.tries[0].outcome, end.tries[0].cause) == ("final_error", end.cause)
    assert end.cause == cause
    assert (end.cost, end.cost_upstream, end.source) == (0, -1, "estimated")
    assert end.estimate > 0


@pytest.mark.parametrize(
    ("limits", "cause"),
    [
        (Timeouts(idle=0.05), Cause.TIMEOUT_IDLE),
        (Timeouts(total=0.05), Cause.TIMEOUT_TOTAL),
    ],
    ids=["idle", "deadline"],
)
async def test_a_stream_that_takes_too_long(limits: Timeouts, cause: Cause, ledger: Ledger) -> None:
    async with (
        scripted(begun) as url,
        recording(priced(url, timeouts=limits), ledger) as served,
    ):
        await served.ask(raw("POST", CHAT, STREAMING))
        end = await ledger.end()

    assert (end.outcome, end.cause) == ("truncated", cause)


async def test_a_request_that_nobody_could_serve(ledger: Ledger) -> None:
    async with (
        scripted(Provider(whole(b"{}", 500))) as url,
        recording(priced(url), ledger) as served,
    ):
        answer = await served.ask(raw("POST", CHAT, BODY))
        end = await ledger.end()

    assert end.status == answer.status >= 500
    assert (end.outcome, end.cause, end.model) == ("failed", "http_5xx", "m")
    assert (end.cost, end.cost_upstream, end.source) == (0, 0, "none")
    assert end.tries[-1].outcome == "final_error"


async def test_a_request_that_the_provider_refuses(ledger: Ledger) -> None:
    refusal = b'{"error":{"message":"too long","code":"context_length_exceeded"}}'
    async with (
        scripted(Provider(whole(refusal, 400))) as url,
        recording(priced(url), ledger) as served,
    ):
        answer = await served.ask(raw("POST", CHAT, BODY))
        end = await ledger.end()

    assert (end.status, end.outcome, end.cost) == (answer.status, "refused", 0)


async def test_a_request_that_was_never_sent_has_an_end_alone(ledger: Ledger) -> None:
    [(digest, key)] = virtual_key("sk-1").items()
    async with scripted(Provider(whole())) as url:
        settings = replace(priced(url), keys={digest: replace(key, id="k", rpm=1)})
        async with recording(settings, ledger) as served:
            served.state.accounts = Accounts.memory()
            for _ in range(2):
                await served.ask(raw("POST", CHAT, BODY, "Authorization: Bearer sk-1"))
            await until(lambda: len(ledger.ends) == 2)
            starts, ends = ledger.starts, ledger.ends

    assert len(starts) == 1
    [refused] = [end for end in ends if end.rid != starts[0].rid]
    assert (refused.status, refused.outcome, refused.cost) == (429, "rejected", 0)
    assert (refused.model, refused.deployment, refused.tries, refused.charges) == ("m", "", (), ())


@pytest.mark.parametrize(
    "request_",
    [
        raw("GET", "/v1/models"),
        raw("POST", CHAT, b'{"model":"nothing","messages":[]}'),
        raw("POST", CHAT, b"{"),
        raw("GET", "/nowhere"),
        raw("POST", CHAT, BODY, "Authorization: Bearer wrong"),
    ],
    ids=["models", "no model", "no json", "no route", "no key"],
)
async def test_what_reaches_no_model_is_not_recorded(request_: bytes, ledger: Ledger) -> None:
    settings = priced("http://127.0.0.1:9")
    if b"wrong" in request_:
        settings = replace(settings, keys=virtual_key("sk-1"), require_auth=True)
    async with recording(settings, ledger) as served:
        await served.ask(request_)
        assert ledger.records == []


async def test_a_count_of_our_own_is_free(ledger: Ledger) -> None:
    place = provider(dialects={"openai.chat": ""})
    async with recording(snapshot(place, price=PRICE), ledger) as served:
        body = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
        answer = await served.ask(raw("POST", "/v1/messages/count_tokens", body))
        end = await ledger.end()

    assert answer.status == 200
    assert (end.status, end.outcome, end.cost, end.source) == (200, "ok", 0, "none")


async def test_a_worker_that_leaves_ends_what_it_had_begun(ledger: Ledger) -> None:
    async with scripted(begun) as url, recording(priced(url), ledger) as served:
        client = await served.client()
        client.send(raw("POST", CHAT, STREAMING))
        await client.reader.readuntil(b"hello")
        served.state.draining = True
        await served.gateway.drain(0.0)
        end = await ledger.end()

    assert (end.status, end.outcome, end.cost) == (200, "truncated", 0)


async def test_where_there_is_no_room_the_request_is_served(ledger: Ledger, no_room: Spool) -> None:
    async with (
        scripted(Provider(whole())) as url,
        recording(priced(url), ledger) as served,
    ):
        served.state.spool = no_room
        answer = await served.ask(raw("POST", CHAT, BODY))
        assert answer.status == 200
        assert (no_room.written, no_room.dropped) == (0, 2)


@pytest.fixture
def no_room(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "full", "0", size=0, emergency=0)
    yield spool
    spool.close()


# --- in between ---


async def test_the_progress_of_a_stream_is_written_down_now_and_then(ledger: Ledger) -> None:
    more = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(STREAM + chunk(CHUNK))
        await more.wait()
        text = CHUNK.replace(b"hello", b"x" * booking.LEAP)
        writer.write(chunk(text) + chunk(FINISH) + b"0\r\n\r\n")

    async with scripted(script) as url, recording(priced(url), ledger) as served:
        client = await served.client()
        client.send(raw("POST", CHAT, STREAMING))
        await client.reader.readuntil(b"hello")
        booking.tick(served.state)
        assert ledger.progress == []  # it has just begun

        [meter] = served.state.streams
        meter.progress(meter.attempt.answered_at + booking.PAUSE)
        [first] = ledger.progress
        assert first.tokens.output >= 1
        assert first.cost == first.tokens.input * 3 + first.tokens.output * 15

        meter.progress(meter.attempt.answered_at + 2 * booking.PAUSE)
        assert len(ledger.progress) == 1  # nothing came
        more.set()
        await client.reader.readuntil(b"[DONE]")
        end = await ledger.end()
        assert end.rid == first.rid
        assert not served.state.streams


async def test_much_of_an_answer_is_progress_at_once(ledger: Ledger) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(STREAM + chunk(CHUNK))
        for _ in range(8):
            writer.write(chunk(CHUNK.replace(b"hello", b"x" * 40_000)))
        await reader.read()

    async with scripted(script) as url, recording(priced(url), ledger) as served:
        client = await served.client()
        client.send(raw("POST", CHAT, STREAMING))
        await client.reader.readexactly(booking.LEAP + 20_000)
        booking.tick(served.state)
        [one] = ledger.progress
        assert one.tokens.output > booking.LEAP / 8
