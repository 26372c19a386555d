"""One try at one deployment: an answer, or the reason why there is none, and nothing left behind."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proxy.core.errors import Cause
from proxy.core.model import Auth, Credential, Timeouts
from proxy.core.secret import Secret
from proxy.gateway import routing
from proxy.gateway.attempt import Attempt
from proxy.state.live import Live
from proxy.upstream.pool import Upstream
from tests.gateway.asked import CHAT, exchange, provider, raw, snapshot
from tests.gateway.served import (
    CHUNK,
    COMPLETION,
    FINISH,
    STREAM,
    STREAMED,
    chunk,
    serving,
    silent,
    whole,
)
from tests.gateway.served import (
    Provider as Upstreams,
)
from tests.line.harness import free_port, read_request, scripted, until
from tests.upstream.places import exchange as ask

BODY = b'{"model":"m","messages":[]}'
STREAMING = b'{"model":"m","messages":[],"stream":true}'


@asynccontextmanager
async def attempts(
    url: str, body: bytes = BODY, timeouts: Timeouts | None = None
) -> AsyncIterator[tuple[Upstream, list[Attempt]]]:
    """The connections to a provider at `url`, and two attempts at it, to be made one after the other."""
    one = provider(url)
    settings = snapshot(one, timeouts=timeouts or Timeouts())
    live = Live(settings)
    made = []
    for _ in range(2):
        asked = exchange(raw("POST", CHAT, body))
        plan = routing.plan(settings, live, "m", None, asked.endpoint.dialect, random.Random(1))
        made.append(Attempt(asked, plan.first(0.0)))
    upstream = Upstream(one)
    try:
        yield upstream, made
    finally:
        for attempt in made:
            attempt.close()
        await upstream.close()


async def run(
    attempt: Attempt, upstream: Upstream, ttft: float = 5.0, *, eager: bool = True
) -> bool:
    return await attempt.run(upstream, ttft, eager=eager)


def cause(attempt: Attempt) -> Cause | None:
    return None if attempt.error is None else attempt.error.cause


# --- answers ---


async def test_a_whole_answer() -> None:
    async with scripted(Upstreams(whole())) as url, attempts(url) as (upstream, [attempt, _]):
        assert await run(attempt, upstream)

        assert (attempt.error, attempt.is_stream) == (None, False)
        assert attempt.gate.held == COMPLETION
        assert attempt.started <= attempt.connected_at <= attempt.answered_at
        assert (upstream.busy, upstream.idle) == (0, 1)


async def test_a_stream_that_breaks_between_two_answers_is_not_whole() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(STREAM + chunk(CHUNK + FINISH.partition(b"\n\n")[0] + b"\n\n"))
        await reader.read()

    body = STREAMING.replace(b"{", b'{"n":2,', 1)
    async with scripted(script) as url, attempts(url, body) as (upstream, [attempt, _]):
        assert await run(attempt, upstream)

        assert not attempt.gate.tap.complete()


async def test_a_stream_has_answered_with_its_first_content() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(STREAM + chunk(b": hello\n\n") + chunk(CHUNK))
        await reader.read()

    async with scripted(script) as url, attempts(url, STREAMING) as (upstream, [attempt, _]):
        assert await run(attempt, upstream)

        assert attempt.is_stream
        assert attempt.gate.held == b": hello\n\n" + CHUNK
        assert upstream.busy == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (whole(b"{}", 500), Cause.SERVER),
        (whole(b"{}", 401), Cause.AUTH),
        (whole(b"{}", 429), Cause.RATE_LIMIT),
        (whole(b"{}", 400), Cause.CLIENT),
        (whole(b""), Cause.EMPTY),
        (whole(b"not JSON"), Cause.MALFORMED),
        (whole()[:-1], Cause.TRUNCATED),
        (b"garbage\r\n\r\n", Cause.MALFORMED),
        (b"", Cause.CONNECT),
    ],
)
async def test_a_failure_has_a_cause(answer: bytes, reason: Cause) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer)

    async with scripted(script) as url, attempts(url) as (upstream, [attempt, _]):
        assert not await run(attempt, upstream)

        assert cause(attempt) is reason
        assert attempt.answered_at >= attempt.started
        assert upstream.busy == 0


async def test_a_refused_connection() -> None:
    async with attempts(f"http://127.0.0.1:{free_port()}") as (upstream, [attempt, _]):
        assert not await run(attempt, upstream)

        assert attempt.error is not None
        assert (attempt.error.cause, attempt.error.sent) == (Cause.CONNECT, False)


# --- stale connections ---


class Staling(Upstreams):
    """A provider that closes a connection instead of answering, but for its first request."""

    def __init__(self, *, always: bool = False) -> None:
        super().__init__(whole())
        self.always = always

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.requests.append(await read_request(reader))
        if self.connections == 1 or not self.always:
            writer.write(whole())
            self.requests.append(await read_request(reader))


async def test_a_stale_connection_is_no_failure_of_the_provider() -> None:
    script = Staling()
    async with scripted(script) as url, attempts(url) as (upstream, [first, second]):
        assert await run(first, upstream)
        assert await run(second, upstream)

        assert second.error is None
        assert script.connections == 2
        assert script.requests[1] == script.requests[2]


async def test_a_request_is_sent_once_more_and_not_twice() -> None:
    script = Staling(always=True)
    async with scripted(script) as url, attempts(url) as (upstream, [first, second]):
        assert await run(first, upstream)
        assert not await run(second, upstream)

        assert cause(second) is Cause.CONNECT
        assert (script.connections, len(script.requests)) == (2, 3)
        assert upstream.busy == 0


async def test_the_siblings_of_a_stale_connection_are_not_trusted() -> None:
    script = Staling()
    async with scripted(script) as url, attempts(url) as (upstream, [attempt, _]):
        await ask(upstream)
        # The one that was used is first in the queue, two that were not come after it.
        borrowed = [await upstream.connect(5.0) for _ in range(3)]
        for _, release in borrowed:
            release()
        assert upstream.idle == 3

        assert await run(attempt, upstream)

        assert (upstream.opened, upstream.idle) == (4, 1)


# --- time ---


async def test_a_stream_that_says_nothing_runs_out_of_time() -> None:
    async with scripted(silent) as url, attempts(url, STREAMING) as (upstream, [attempt, _]):
        assert not await run(attempt, upstream, ttft=0.02)

        assert cause(attempt) is Cause.TIMEOUT_TTFT
        assert upstream.busy == 0


async def test_only_the_whole_time_counts_where_nothing_is_streamed() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        asyncio.get_running_loop().call_later(0.03, writer.write, whole())
        await reader.read()

    async with scripted(script) as url, attempts(url) as (upstream, [attempt, _]):
        assert await run(attempt, upstream, ttft=0.001)


async def test_a_whole_answer_that_does_not_come_runs_out_of_time() -> None:
    timeouts = Timeouts(request=0.02)
    async with scripted(silent) as url, attempts(url, timeouts=timeouts) as (upstream, [one, _]):
        assert not await run(one, upstream)

        assert cause(one) is Cause.TIMEOUT_TTFT
        assert upstream.busy == 0


async def test_a_connection_that_is_not_made_in_time() -> None:
    timeouts = Timeouts(connect=0.02)
    async with (
        scripted(silent) as url,
        attempts(url.replace("http", "https"), timeouts=timeouts) as (upstream, [attempt, _]),
    ):
        assert not await run(attempt, upstream)

        assert cause(attempt) is Cause.TIMEOUT_CONNECT


# --- leaving ---


@pytest.mark.parametrize("body", [BODY, STREAMING], ids=["whole", "stream"])
async def test_a_cancelled_attempt_closes_its_connection(body: bytes) -> None:
    closed = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await silent(reader, writer)
        closed.set()

    async with scripted(script) as url, attempts(url, body) as (upstream, [attempt, _]):
        running = asyncio.ensure_future(run(attempt, upstream))
        await until(lambda: bool(attempt.connected_at))

        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

        await closed.wait()
        assert (upstream.busy, upstream.idle) == (0, 0)


async def test_an_answer_nobody_relays_is_closed() -> None:
    closed = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(STREAM + chunk(CHUNK))
        await reader.read()
        closed.set()

    async with scripted(script) as url, attempts(url, STREAMING) as (upstream, [attempt, _]):
        assert await run(attempt, upstream)

        attempt.close()
        attempt.close()

        await closed.wait()
        assert upstream.busy == 0


async def test_closing_an_attempt_takes_nothing_from_the_next_on_its_connection() -> None:
    async with (
        scripted(Upstreams(whole(), STREAMED)) as url,
        attempts(url) as (upstream, [first, second]),
    ):
        assert await run(first, upstream)
        second.exchange.stream = True
        running = asyncio.ensure_future(run(second, upstream))
        await until(lambda: bool(second.connected_at))
        first.close()

        assert await running
        assert upstream.opened == 1


async def test_an_attempt_that_was_never_made_can_be_closed() -> None:
    async with attempts("http://provider.invalid") as (_, [attempt, _other]):
        attempt.close()


# --- a reload that has the provider no more ---


async def test_its_connections_are_closed_when_all_have_their_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def bank(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        asked.set()
        await go_on.wait()
        writer.write(whole(b'{"access_token":"t","token_type":"Bearer","expires_in":3600}'))
        await reader.read()

    async with scripted(bank) as authority, scripted(Upstreams(whole())) as url:
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", authority)
        credential = Credential("p#0", Secret("tenant:client:secret"))
        one = provider(url, auth={"openai": Auth("entra")}, credentials=(credential,))
        async with serving(snapshot(one)) as served, asyncio.timeout(5):
            client = await served.client()
            client.send(raw("POST", CHAT, BODY))
            await asked.wait()
            upstream = served.pool.of(one)
            retired = asyncio.ensure_future(served.pool.retire(frozenset()))
            await asyncio.sleep(0)
            early = upstream.session.closed
            go_on.set()
            answer = await client.answer()
            await retired

    assert (early, answer.status, upstream.session.closed) == (False, 200, True)
