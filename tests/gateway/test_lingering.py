"""An answer nobody waits for is read on where that is wanted, as far as it is wanted, and its cost is known then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from proxy.core.model import Ledger as Settings
from proxy.core.model import Price, Snapshot
from proxy.ledger.records import Tokens
from tests.gateway.asked import CHAT, provider, raw, snapshot
from tests.gateway.recorded import Ledger, recording
from tests.gateway.served import CHUNK, COMPLETION, FINISH, STREAM, Served, chunk, whole
from tests.line.harness import read_request, scripted, until

WHOLE = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
STREAMING = b'{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true}'
MESSAGES = b'{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi"}]}'
USED = 7 * 3 + 2 * 15


class Slow:
    """A provider that says the rest when it is told to, and knows whether it was heard to the end."""

    def __init__(self, first: bytes, rest: bytes = b"") -> None:
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()
        self.left = asyncio.Event()
        self.connections = 0
        self._first, self._rest = first, rest

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                await read_request(reader)
                writer.write(self._first)
                self.asked.set()
                go_on = asyncio.ensure_future(self.go_on.wait())
                gone = asyncio.ensure_future(reader.read(1))
                await asyncio.wait({go_on, gone}, return_when=asyncio.FIRST_COMPLETED)
                gone.cancel()
                await asyncio.wait({gone})
                if not go_on.done():
                    go_on.cancel()
                    break
                writer.write(self._rest)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.left.set()


def settings(
    url: str, policy: str = "drain", seconds: float = 30.0, tokens: int = 4096
) -> Snapshot:
    ledger = Settings(client_gone=policy, drain_seconds=seconds, drain_tokens=tokens)
    return replace(snapshot(provider(url), price=Price(input=3.0, output=15.0)), ledger=ledger)


async def leave(
    served: Served, slow: Slow, body: bytes, after: bytes = b"", path: str = CHAT
) -> None:
    """Ask, and be gone once the provider has begun (and the client has seen `after`)."""
    client = await served.client()
    client.send(raw("POST", path, body))
    await slow.asked.wait()
    if after:
        await client.reader.readuntil(after)
    client.reset()
    await until(lambda: not client_is_known(served))


def client_is_known(served: Served) -> bool:
    return served.gateway.connections > 0


STREAMS = (STREAM + chunk(CHUNK), chunk(CHUNK) + chunk(FINISH) + b"0\r\n\r\n")


async def test_a_stream_is_read_on_and_charged_as_reported(ledger: Ledger) -> None:
    slow = Slow(*STREAMS)
    async with scripted(slow) as url, recording(settings(url), ledger) as served:
        await leave(served, slow, STREAMING, b"hello")
        assert len(served.state.lingering) == 1
        assert ledger.ends == []
        slow.go_on.set()
        end = await ledger.end()
        assert not served.state.lingering
        assert served.state.metrics.client_gone.child("relay").value == 1

        # Its connection went back to the pool: the next request needs no other one.
        assert (await served.ask(raw("POST", CHAT, STREAMING))).complete
        assert slow.connections == 1

    assert (end.status, end.outcome, end.source) == (499, "client_gone", "reported")
    assert (end.tokens, end.cost, end.estimate) == (Tokens(input=7, output=2), USED, -1)


@pytest.mark.parametrize("cut", [1, 60, -1], ids=["early", "middle", "late"])
async def test_what_was_half_read_is_not_lost(cut: int, ledger: Ledger) -> None:
    # The event that had come in half when the client left goes on behind that place.
    body = CHUNK + FINISH
    part = CHUNK[:cut]
    slow = Slow(STREAM + chunk(CHUNK) + chunk(part), chunk(body[len(part) :]) + b"0\r\n\r\n")
    async with scripted(slow) as url, recording(settings(url), ledger) as served:
        await leave(served, slow, STREAMING, b"hello")
        slow.go_on.set()
        end = await ledger.end()

    assert (end.source, end.tokens) == ("reported", Tokens(input=7, output=2))


async def test_a_whole_answer_is_waited_for(ledger: Ledger) -> None:
    slow = Slow(b"", whole())
    async with scripted(slow) as url, recording(settings(url), ledger) as served:
        await leave(served, slow, WHOLE)
        slow.go_on.set()
        end = await ledger.end()

    assert (end.status, end.outcome, end.source, end.cost) == (499, "client_gone", "reported", USED)


async def test_so_is_the_first_word_of_a_stream(ledger: Ledger) -> None:
    slow = Slow(STREAM, chunk(CHUNK) + chunk(FINISH) + b"0\r\n\r\n")
    async with scripted(slow) as url, recording(settings(url), ledger) as served:
        await leave(served, slow, STREAMING)
        slow.go_on.set()
        end = await ledger.end()

    assert (end.outcome, end.source, end.cost) == ("client_gone", "reported", USED)


LONG_COMMENT = b": " + b"x" * (len(CHUNK) + 100) + b"\n\n"


@pytest.mark.parametrize("first", [CHUNK[:60], LONG_COMMENT], ids=["half an event", "a comment"])
async def test_nor_is_what_follows_a_read_in_which_there_was_no_word_yet(
    first: bytes, ledger: Ledger
) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(STREAM)
        slow.asked.set()
        await slow.go_on.wait()
        writer.write(chunk(first))
        await seen.wait()
        rest = (CHUNK + FINISH).removeprefix(first)
        writer.write(chunk(rest) + b"0\r\n\r\n")
        await reader.read()

    slow, seen = Slow(b""), asyncio.Event()
    async with scripted(script) as url, recording(settings(url), ledger) as served:
        await leave(served, slow, STREAMING)
        (one,) = served.state.lingering
        slow.go_on.set()
        await until(lambda: bool(one._gate.held or one._attempt.late_bytes))
        seen.set()
        end = await ledger.end()

    assert (end.source, end.tokens) == ("reported", Tokens(input=7, output=2))


async def test_a_translated_stream_is_read_in_the_words_of_its_provider(ledger: Ledger) -> None:
    slow = Slow(*STREAMS)
    async with scripted(slow) as url:
        place = provider(url, dialects={"openai.chat": "/v1"})
        known = replace(
            snapshot(place, price=Price(input=3.0, output=15.0)), ledger=settings(url).ledger
        )
        async with recording(known, ledger) as served:
            await leave(served, slow, MESSAGES, b"hello", "/v1/messages")
            slow.go_on.set()
            end = await ledger.end()

    assert (end.outcome, end.source, end.cost) == ("client_gone", "reported", USED)


def too_long(url: str) -> Snapshot:
    return settings(url, seconds=0.05)


def too_much(url: str) -> Snapshot:
    return settings(url, tokens=1)


@pytest.mark.parametrize("limited", [too_long, too_much])
async def test_no_longer_and_no_further_than_was_allowed(
    limited: Callable[[str], Snapshot], ledger: Ledger
) -> None:
    slow = Slow(STREAM + chunk(CHUNK), chunk(CHUNK) * 5)
    async with scripted(slow) as url, recording(limited(url), ledger) as served:
        await leave(served, slow, STREAMING, b"hello")
        if limited is too_much:
            slow.go_on.set()
        end = await ledger.end()
        slow.go_on.set()
        await slow.left.wait()
        assert not served.state.lingering

    assert (end.outcome, end.source) == ("client_gone", "estimated")
    assert end.cost == end.estimate > 0


async def test_what_breaks_off_meanwhile_is_estimated(ledger: Ledger) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(STREAM + chunk(CHUNK))
        slow.asked.set()
        await slow.go_on.wait()
        writer.close()

    slow = Slow(b"")
    async with scripted(script) as url, recording(settings(url), ledger) as served:
        await leave(served, slow, STREAMING, b"hello")
        slow.go_on.set()
        end = await ledger.end()

    assert (end.outcome, end.source) == ("client_gone", "estimated")


async def test_a_worker_that_leaves_waits_for_no_answer_of_nobody(ledger: Ledger) -> None:
    slow = Slow(*STREAMS)
    async with scripted(slow) as url, recording(settings(url), ledger) as served:
        await leave(served, slow, STREAMING, b"hello")
        served.state.draining = True
        await served.gateway.drain(0.0)
        end = await ledger.end()
        await slow.left.wait()

    assert (end.outcome, end.source) == ("client_gone", "estimated")


@pytest.mark.parametrize(
    ("policy", "charged"), [("estimate", True), ("cancel", False)], ids=["estimate", "cancel"]
)
async def test_else_the_provider_is_stopped(policy: str, charged: bool, ledger: Ledger) -> None:
    slow = Slow(*STREAMS)
    async with scripted(slow) as url, recording(settings(url, policy), ledger) as served:
        await leave(served, slow, STREAMING, b"hello")
        async with asyncio.timeout(5):
            await slow.left.wait()
        end = await ledger.end()

        metrics = served.state.metrics
        assert (metrics.wasted_cost.child("m", "p", "client_gone").value > 0) is not charged
        assert (metrics.cost.child("m", "p", "estimated").value > 0) is charged

    assert (end.outcome, end.source) == ("client_gone", "estimated")
    assert end.estimate > 0
    assert end.cost == (end.estimate if charged else 0)


async def test_whoever_left_is_not_served_any_more_meanwhile(ledger: Ledger) -> None:
    slow = Slow(b"", whole(COMPLETION))
    async with scripted(slow) as url, recording(settings(url), ledger) as served:
        await leave(served, slow, WHOLE)
        gauges = served.state.metrics.registry.snapshot
        await until(lambda: not any(gauges()["headrace_inflight_requests"].values.values()))
        assert ledger.ends == []
        slow.go_on.set()
        await ledger.end()
