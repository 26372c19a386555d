"""Conversations are begun, each for one request, some of them ahead of need."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import orjson
import pytest
from msgspec.structs import replace

from proxy.core import clock, tasks
from proxy.core.errors import Cause, UpstreamError
from proxy.core.model import Auth, Conversation, Create, Credential
from proxy.core.secret import Secret
from proxy.upstream.conversations import Conversations, Limits
from proxy.upstream.pool import Upstream
from tests.line.harness import free_port, read_request, scripted, until
from tests.upstream.places import exchange, upstream

A, B = Credential("p#0", Secret("token-a")), Credential("p#1", Secret("token-b"))
LIMITS = Limits(5.0, 5.0)
SETTINGS = Conversation(
    create=Create("/conversations", ("data", "id")), body="{prompt}", text=(("text",),)
)

Answer = tuple[int, bytes]


class Service:
    """A chat service: begins a conversation for whoever asks, and remembers who did."""

    def __init__(self, answer: Callable[[int], Answer] | None = None) -> None:
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.answer = answer or self.begin
        self.held: asyncio.Event | None = None

    def begin(self, number: int) -> Answer:
        return 200, b'{"data": {"id": "c%d"}}' % number

    async def script(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, body = await read_request(reader)
            self.heads.append(head.decode())
            self.bodies.append(body)
            status, answer = self.answer(len(self.heads))
            if self.held is not None:
                await self.held.wait()
            line = b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n" % (status, len(answer))
            writer.write(line + answer)


@asynccontextmanager
async def conversations(
    service: Service, settings: Conversation = SETTINGS, **provider: Any
) -> AsyncIterator[tuple[Conversations, Upstream]]:
    async with (
        scripted(service.script) as url,
        upstream(url, conversation=settings, **provider) as one,
    ):
        assert one.conversations is not None
        yield one.conversations, one


def ahead(count: int, **changes: Any) -> Conversation:
    return replace(SETTINGS, prefetch=count, **changes)


async def quiet() -> None:
    """Wait until nothing is begun ahead of need any more."""
    await until(lambda: not any("conversation" in task.get_name() for task in tasks.running()))


# --- the call ---


async def test_every_request_has_a_conversation_of_its_own() -> None:
    service = Service()
    async with conversations(service) as (those, one):
        first = await those.take(A, "m", LIMITS)
        second = await those.take(A, "m", LIMITS)

        assert [first.id, second.id] == ["c1", "c2"]
        assert UUID(first.message) != UUID(second.message)
        assert one.busy == 0


async def test_a_call_carries_what_is_configured() -> None:
    service = Service()
    settings = replace(
        SETTINGS,
        create=Create(
            "/{model}/new",
            ("data", "id"),
            "PUT",
            {"id": "{message_id}", "model": "{model}", "n": 1},
            {"X-Model": "{model}"},
        ),
    )
    async with conversations(
        service,
        settings,
        headers={"x-title": "t"},
        query={"v": "1"},
        auth={"conversation": Auth("bearer")},
    ) as (those, _):
        opened = await those.take(A, "a b\r\né", LIMITS)

    (head,) = service.heads
    assert head.startswith("PUT /a%20b%0D%0A%C3%A9/new?v=1 HTTP/1.1\r\n")
    fields = dict(re.findall(r"(?m)^([\w-]+): (.*)\r$", head.lower()))
    assert fields["authorization"] == "bearer token-a"
    assert fields["x-title"] == "t"
    assert fields["x-model"] == "a b%0d%0a%c3%a9"
    assert fields["content-type"] == "application/json"
    assert fields["accept-encoding"] == "identity"
    assert fields["user-agent"].startswith("headrace/")
    body = orjson.loads(service.bodies[0])
    assert UUID(body.pop("id")) != UUID(opened.message)
    assert body == {"model": "a b\r\né", "n": 1}


async def test_nothing_is_sent_where_nothing_is_configured() -> None:
    service = Service()
    async with conversations(service) as (those, _):
        await those.take(None, "m", LIMITS)

    assert service.bodies == [b""]
    assert "authorization" not in service.heads[0].lower()
    assert "content-type: application/json" not in service.heads[0].lower()


async def test_a_number_is_an_id_and_stays_one() -> None:
    async with conversations(Service(lambda _: (201, b'{"data": {"id": 17}}'))) as (those, _):
        assert (await those.take(A, "m", LIMITS)).id == 17


async def test_the_question_goes_on_the_connection_of_the_call() -> None:
    async with conversations(Service()) as (those, one):
        await those.take(A, "m", LIMITS)

        assert (await exchange(one)).ended
        assert one.opened == 0
        assert one.idle == 1


async def test_a_connection_that_went_stale_is_no_failure() -> None:
    calls = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        for _ in range(2 if calls == 0 else 1):
            await read_request(reader)
            calls += 1
            if calls == 2:
                return
            writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 22\r\n\r\n{"data": {"id": "c1"}}')

    async with scripted(script) as url, upstream(url, conversation=SETTINGS) as one:
        assert one.conversations is not None
        for _ in range(2):
            assert (await one.conversations.take(A, "m", LIMITS)).id == "c1"

    assert calls == 3


# --- failures ---


@pytest.mark.parametrize(
    ("status", "body", "cause", "shown"),
    [
        (401, b'{"msg": "no"}', Cause.AUTH, 401),
        (403, b"", Cause.AUTH, 403),
        (402, b"", Cause.QUOTA, 402),
        (429, b"", Cause.RATE_LIMIT, 429),
        (500, b"", Cause.SERVER, 500),
        (302, b"", Cause.REDIRECT, 302),
        # Nothing in this call is the client's.
        (400, b'{"error": "bad"}', Cause.SERVER, 502),
        (404, b"", Cause.SERVER, 502),
        (422, b"", Cause.SERVER, 502),
        (200, b'{"code": 401, "msg": "token expired"}', Cause.IN_BAND, 401),
        (200, b'{"code": 404, "msg": "?"}', Cause.SERVER, 502),
        (200, b'{"data": {}}', Cause.IN_BAND, 502),
        (200, b'{"data": {"id": ""}}', Cause.IN_BAND, 502),
        (200, b'{"data": {"id": true}}', Cause.IN_BAND, 502),
        (200, b'{"data": {"id": ".."}}', Cause.IN_BAND, 502),
        (200, b'{"data": {"id": "a\\r\\nb: c"}}', Cause.IN_BAND, 502),
        (200, b"<html>", Cause.MALFORMED, 200),
        (200, b"", Cause.MALFORMED, 200),
        (200, b"{" + b" " * 1024 * 1024, Cause.MALFORMED, 200),
    ],
)
async def test_a_refusal_says_whose_fault_it_is(
    status: int, body: bytes, cause: Cause, shown: int
) -> None:
    async with conversations(Service(lambda _: (status, body))) as (those, one):
        with pytest.raises(UpstreamError) as caught:
            await those.take(A, "m", LIMITS)

        assert (caught.value.cause, caught.value.status) == (cause, shown)
        assert caught.value.foreign is (cause is not Cause.MALFORMED)
        assert one.busy == 0


async def test_nobody_there_is_a_failure_to_connect() -> None:
    async with upstream(f"http://127.0.0.1:{free_port()}", conversation=SETTINGS) as one:
        assert one.conversations is not None
        with pytest.raises(UpstreamError) as caught:
            await one.conversations.take(A, "m", LIMITS)

    assert (caught.value.cause, caught.value.sent) == (Cause.CONNECT, False)


async def test_an_answer_that_does_not_come_in_time_is_given_up() -> None:
    service = Service()
    service.held = asyncio.Event()
    async with conversations(service) as (those, one):
        with pytest.raises(UpstreamError) as caught:
            await those.take(A, "m", Limits(5.0, 0.05))

        assert caught.value.cause is Cause.TIMEOUT_TTFT
        assert (one.busy, one.idle) == (0, 0)


async def test_waiting_for_a_connection_that_others_hold_says_so() -> None:
    async with conversations(Service(), max_connections=1) as (those, one):
        _, release = await one.connect(5.0)
        with pytest.raises(UpstreamError) as caught:
            await those.take(A, "m", Limits(0.05, 5.0))
        release()

    assert (caught.value.cause, caught.value.sent) == (Cause.POOL, False)


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{", Cause.TRUNCATED),
        (b"", Cause.CONNECT),
        (b"nonsense\r\n\r\n", Cause.MALFORMED),
    ],
)
async def test_an_answer_that_breaks_off_is_a_failure(answer: bytes, cause: Cause) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer)
        await writer.drain()

    async with scripted(script) as url, upstream(url, conversation=SETTINGS) as one:
        assert one.conversations is not None
        with pytest.raises(UpstreamError) as caught:
            await one.conversations.take(A, "m", LIMITS)

    assert caught.value.cause is cause


# --- ahead of need ---


async def test_the_next_request_does_not_wait() -> None:
    service = Service()
    async with conversations(service, ahead(2)) as (those, _):
        assert (await those.take(A, "m", LIMITS)).id == "c1"
        await quiet()
        assert len(service.heads) == 3
        service.held = asyncio.Event()

        ids = {(await those.take(A, "m", LIMITS)).id for _ in range(2)}

        assert ids == {"c2", "c3"}


async def test_what_is_ready_belongs_to_its_credential() -> None:
    service = Service()
    async with conversations(service, ahead(1)) as (those, _):
        await those.take(A, "m", LIMITS)
        await quiet()

        await those.take(B, "m", LIMITS)
        await quiet()

    assert [re.findall("token-.", head)[0] for head in service.heads] == [
        "token-a",
        "token-a",
        "token-b",
        "token-b",
    ]


async def test_what_is_ready_is_for_any_model_unless_it_is_about_one() -> None:
    for body, calls in ((None, 3), ({"model": "{model}"}, 4)):
        service = Service()
        settings = ahead(1, create=Create("/c", ("data", "id"), body=body))
        async with conversations(service, settings) as (those, _):
            await those.take(A, "m", LIMITS)
            await quiet()
            await those.take(A, "n", LIMITS)
            await quiet()

        assert len(service.heads) == calls


async def test_what_waited_too_long_is_not_used() -> None:
    service = Service()
    with clock.held() as hands:
        async with conversations(service, ahead(1, expire=30.0)) as (those, _):
            await those.take(A, "m", LIMITS)
            await quiet()
            hands.advance(31.0)

            assert (await those.take(A, "m", LIMITS)).id == "c3"


async def test_a_failure_ahead_of_need_is_nobodys_and_not_repeated() -> None:
    service = Service()
    async with conversations(service, ahead(1)) as (those, _):
        service.answer = lambda number: service.begin(number) if number != 2 else (401, b"")
        await those.take(A, "m", LIMITS)
        await quiet()
        assert len(service.heads) == 2

        assert (await those.take(A, "m", LIMITS)).id == "c3"
        await quiet()
        assert (await those.take(A, "m", LIMITS)).id == "c4"


async def test_no_more_are_begun_than_are_wanted() -> None:
    service = Service()
    async with conversations(service, ahead(2)) as (those, _):
        await asyncio.gather(*(those.take(A, "m", LIMITS) for _ in range(5)))
        await quiet()

        assert len(service.heads) == 7


async def test_none_are_begun_after_the_end() -> None:
    service = Service()
    async with conversations(service, ahead(3)) as (those, one):
        await those.take(A, "m", LIMITS)
        service.held = asyncio.Event()
        await until(lambda: one.busy > 0)

    await quiet()
    assert tasks.running() == frozenset()


async def test_the_kinds_that_are_held_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.upstream.conversations._MOST_KINDS", 2)
    settings = ahead(1, create=Create("/{model}", ("data", "id")), expire=30.0)
    service = Service()
    with clock.held() as hands:
        async with conversations(service, settings) as (those, _):
            for model in ("a", "b", "c"):
                await those.take(A, model, LIMITS)
                await quiet()
            assert len(service.heads) == 5  # none ahead for the third
            hands.advance(31.0)

            await those.take(A, "c", LIMITS)
            await quiet()
            await those.take(A, "c", LIMITS)

            assert service.heads[-1].startswith("POST /c ")
            assert len(service.heads) == 7
