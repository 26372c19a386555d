"""Refusals at a glance say what ordinary ones say, and nothing is refused so that another reader would read otherwise."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, cast

import orjson
import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.core.model import Snapshot, VirtualKey
from proxy.core.virtual_key import digest
from proxy.gateway import glance as module
from proxy.gateway.connection import ClientConnection
from proxy.gateway.glance import IN_FULL, REST, Glance
from proxy.state.memory import FULL
from proxy.state.state import State
from tests.gateway.asked import CHAT, PEPPER, provider, raw, snapshot, state
from tests.gateway.served import Provider, Served, serving, virtual_key, whole
from tests.line.harness import Answer, Raw, scripted, until
from tests.upstream.wires import Wire

BODY = orjson.dumps({"model": "m", "messages": []})
ASKED = raw("POST", CHAT, BODY)
PLACES = {
    "openai": CHAT,
    "anthropic": "/v1/messages",
    "gemini": "/v1beta/models/m:generateContent",
    "mcp": "/mcp/tools",
}


class Client:
    """As much of a connection as a glance looks at."""

    def __init__(self) -> None:
        self.received_at = 0.0
        self.answered = 0
        self.let_in = 0
        self.rest = 0


def shut(state: State) -> None:
    """Nobody may begin."""
    state.lag.share, state.lag.quota = 1.0, 0.0


def open_(state: State) -> None:
    """There is a quota, and nobody meets it."""
    state.lag.share, state.lag.quota = 1.0, 1e9


def looking(made: Snapshot) -> tuple[Glance, State]:
    """A glance of a worker where nobody may begin, behind those that go the ordinary way."""
    one = state(made)
    shut(one)
    found = Glance(one)
    for _ in range(IN_FULL):
        assert glanced(found, ASKED) is None
    return found, one


def glanced(found: Glance, data: bytes) -> bytes | None:
    return found.refusal(data, cast("ClientConnection", Client()))


async def ordinary(served: Served, client: Raw, data: bytes = ASKED) -> list[Answer]:
    """Those that are not looked at."""
    answers = []
    for _ in range(IN_FULL):
        client.send(data)
        answers.append(await client.answer())
    return answers


def same(answer: Answer) -> tuple[int, dict[str, str], str]:
    """Without what is each answer's own."""
    own = answer.headers["x-request-id"]
    headers = {name: text.replace(own, "ID") for name, text in answer.headers.items()}
    del headers["date"]
    return answer.status, headers, answer.body.decode().replace(own, "ID")


@pytest.mark.parametrize("family", PLACES)
async def test_it_says_what_is_said_otherwise_and_keeps_the_connection(family: str) -> None:
    data = raw("POST", PLACES[family], BODY)
    async with serving(snapshot(provider())) as served:
        shut(served.state)
        client = await served.client()
        expected = (await ordinary(served, client, data))[-1]
        before = served.state.metrics.shed.child("loop_lag").value
        answers = []
        for _ in range(3):
            client.send(data)
            answers.append(await client.answer())

        assert served.state.metrics.shed.child("loop_lag").value == before + 3
    assert expected.status == (529 if family == "anthropic" else 503)
    assert expected.headers["retry-after"] == "1"
    assert "connection" not in expected.headers
    assert [same(answer) for answer in answers] == [same(expected)] * 3
    assert len({answer.headers["x-request-id"] for answer in answers}) == 3


async def test_both_are_counted_alike() -> None:
    async with serving(snapshot(provider())) as served:
        shut(served.state)
        client = await served.client()
        bundle = served.state.metrics.exchange(CHAT, "", "", False)
        await ordinary(served, client)
        each = bundle.requests(503).value
        client.send(ASKED)
        await client.answer()

    assert each == IN_FULL
    assert bundle.requests(503).value == IN_FULL + 1


async def test_a_client_names_its_request() -> None:
    async with serving(snapshot(provider())) as served:
        shut(served.state)
        client = await served.client()
        await ordinary(served, client)
        client.send(raw("POST", "/v1/messages", BODY, "X-Request-Id: mine-1"))
        answer = await client.answer()
        client.send(raw("POST", "/v1/messages", BODY, "X-Request-Id: not/mine"))
        other = await client.answer()

    assert answer.headers["x-request-id"] == answer.headers["request-id"] == "mine-1"
    assert answer.json["request_id"] == "mine-1"
    assert len(other.headers["x-request-id"]) == 36


async def test_who_may_begin_is_asked_once_and_served() -> None:
    async with scripted(Provider(whole())) as url, serving(snapshot(provider(url))) as served:
        open_(served.state)
        client = await served.client()
        await ordinary(served, client)
        asked: list[str] = []
        demand = served.state.lag.demand
        before = dict(demand._counts)
        client.send(ASKED)
        answer = await client.answer()
        asked = [name for _, name in demand._counts]

        assert demand._counts[1, ""][1] == IN_FULL + 1
    assert before
    assert asked == [""]
    assert answer.status == 200


async def test_who_has_begun_is_no_excuse_for_the_next() -> None:
    async with scripted(Provider(whole())) as url, serving(snapshot(provider(url))) as served:
        open_(served.state)
        client = await served.client()
        await ordinary(served, client)
        client.send(ASKED)
        first = await client.answer()
        shut(served.state)
        served.state.lag._left = (0.0, 0.0)
        # In two reads: no glance sees it, so it has to be refused where the others are.
        client.send(ASKED[:40])
        await until(lambda: any(one.busy for one in served.gateway._connections()))
        client.send(ASKED[40:])
        second = await client.answer()

    assert (first.status, second.status) == (200, 503)


async def test_each_key_has_its_share() -> None:
    keys = virtual_key("sk-one") | {
        digest("sk-two", PEPPER): VirtualKey("two", digest("sk-two", PEPPER), id="2")
    }
    found, one = looking(replace(snapshot(provider()), keys=keys, require_auth=True))
    one.lag.demand._counts.clear()
    for field in (
        "Authorization: Bearer sk-two",
        "X-Api-Key: sk-two",
        "authorization: bearer  sk-two ",
    ):
        assert glanced(found, raw("POST", CHAT, BODY, field))
    assert glanced(found, raw("POST", CHAT, BODY, "X-Api-Key: sk-two", "X-Priority: Batch"))

    assert one.lag.demand._counts == {(1, "2"): [0, 3, 1]}


@pytest.mark.parametrize(
    ("fields", "changes"),
    [
        ((), {}),
        (("Authorization: Bearer sk-none",), {}),
        (("Authorization: Basic sk-app",), {}),
        (("Authorization: Bearer sk-app", "X-Api-Key: sk-app"), {}),
        (("Authorization: Bearer sk-app",), {"enabled": False}),
        (("Authorization: Bearer sk-app",), {"expires": 1.0}),
        (("Authorization: Bearer sk-app",), {"routes": ("chat",)}),
    ],
    ids=["none", "unknown", "no bearer", "two", "disabled", "expired", "for some routes"],
)
async def test_who_is_not_simply_known_goes_the_ordinary_way(
    fields: tuple[str, ...], changes: dict[str, Any]
) -> None:
    keys = {name: replace(key, **changes) for name, key in virtual_key("sk-app").items()}
    found, _ = looking(replace(snapshot(provider()), keys=keys, require_auth=True))

    assert glanced(found, raw("POST", CHAT, BODY, *fields)) is None


async def test_a_key_is_forgotten_with_its_snapshot() -> None:
    keyed = replace(snapshot(provider()), keys=virtual_key("sk-app"), require_auth=True)
    found, one = looking(keyed)
    asked = raw("POST", CHAT, BODY, "Authorization: Bearer sk-app")
    assert glanced(found, asked)
    one.use(replace(keyed, keys={}))

    assert glanced(found, asked) is None


async def test_an_unknown_key_opens_nothing_where_none_is_asked_for() -> None:
    found, one = looking(snapshot(provider()))
    one.lag.demand._counts.clear()

    assert glanced(found, raw("POST", CHAT, BODY, "Authorization: Bearer whatever"))
    assert one.lag.demand._counts == {(1, ""): [0, 1, 0]}


HEAD, _, _ = ASKED.partition(b"\r\n\r\n")


@pytest.mark.parametrize(
    "data",
    [
        raw("GET", "/v1/models"),
        raw("POST", "/health", BODY),
        raw("POST", "/v1/nothing", BODY),
        raw("POST", "/v1/messages/count_tokens", BODY),
        raw("POST", CHAT + "?key=sk", BODY),
        raw("POST", CHAT, BODY, version="HTTP/1.0"),
        raw("POST", CHAT, BODY, "Expect: 100-continue"),
        raw("POST", CHAT, BODY, "Transfer-Encoding: chunked"),
        raw("POST", CHAT, BODY, "Connection: close"),
        raw("POST", CHAT, BODY, "Connection: upgrade", "Upgrade: websocket"),
        raw("POST", CHAT, BODY, "Host: other"),
        raw("POST", CHAT, BODY, f"Content-Length: {len(BODY)}"),
        raw("POST", CHAT, b"", f"Content-Length: {REST + 1}"),
        raw("POST", CHAT, b"", "Content-Length: 007"),
        raw("POST", CHAT, BODY, "X : y"),
        raw("POST", CHAT, BODY, "X: y\r\n folded"),
        raw("POST", CHAT, BODY, "X: y\nZ: z"),
        raw("POST", CHAT, BODY, "X: \0"),
        raw("POST", CHAT, BODY).replace(b"Host: localhost", b"Host: a/b"),
        raw("POST", CHAT, BODY).replace(b"Host: localhost\r\n", b""),
        ASKED + b"P",
        ASKED + ASKED,
        HEAD,
        HEAD + b"\r\n",
        b"",
    ],
)
async def test_what_is_not_plain_goes_the_ordinary_way(data: bytes) -> None:
    found, _ = looking(snapshot(provider()))

    assert glanced(found, ASKED)
    assert glanced(found, data) is None


@pytest.mark.parametrize("what", ["memory", "draining", "exempt"])
async def test_there_are_other_reasons_to_look_closer(what: str) -> None:
    found, one = looking(snapshot(provider()))
    if what == "memory":
        one.memory.level = FULL
    elif what == "draining":
        one.draining = True
    else:
        one.snapshot = replace(one.snapshot, exempt=frozenset({CHAT}))

    assert glanced(found, ASKED) is None


NASTY = (
    "Host: other",
    "Content-Length: 0",
    "Content-Length: +7",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding : chunked",
    "transfer-encoding:\tidentity",
    "Transfer\x0bEncoding: chunked",
    "Connection: close",
    "Connection: Upgrade\r\nUpgrade: websocket",
    "Proxy-Connection: close",
    "X: a\r\n folded",
    "X: a\nContent-Length: 0",
    "X: a\rContent-Length: 0",
    "X: \0",
    "X",
    ": x",
    " X: x",
)
CHARACTERS = st.one_of(st.sampled_from(" \t:\r\n\0\x7f\xe1"), st.characters(max_codepoint=255))
FIELD = st.one_of(
    st.sampled_from(NASTY),
    st.builds("X{}: x".format, CHARACTERS),
    st.builds("X: {}x".format, CHARACTERS),
    st.text(CHARACTERS, max_size=8),
)


def parsed(data: bytes) -> tuple[Any, Any] | None:
    """The one request that aiohttp finds in these bytes, if they are just that."""
    loop = asyncio.get_running_loop()
    protocol = BaseProtocol(loop)
    protocol.connection_made(Wire())
    parser = HttpRequestParser(protocol, loop, 64 * 1024, auto_decompress=False)
    try:
        messages, upgraded, tail = parser.feed_data(data)
    except HttpProcessingError:
        return None
    return messages[0] if len(messages) == 1 and not upgraded and not tail else None


@given(st.lists(FIELD, min_size=1, max_size=2), st.binary(max_size=3), st.binary(max_size=2))
def test_whatever_is_refused_is_one_whole_request_to_anybody(
    fields: list[str], body: bytes, more: bytes
) -> None:
    async def check() -> None:
        found, _ = looking(snapshot(provider()))
        lines = (f"POST {CHAT} HTTP/1.1", "Host: a", f"Content-Length: {len(body)}", *fields)
        data = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body + more
        if glanced(found, data) is not None:
            seen = parsed(data)
            assert seen is not None
            message, payload = seen
            assert payload.is_eof()
            assert payload.read_nowait() == body
            assert not more
            assert not message.should_close

    asyncio.run(check())


async def test_the_log_says_how_many_there_were(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PERIOD", 0.05)
    caplog.set_level(logging.WARNING, "headrace")
    found, _ = looking(snapshot(provider()))
    for _ in range(3):
        assert glanced(found, ASKED)
    await until(lambda: bool(caplog.messages))

    assert caplog.messages == ["refused 3 requests in a second: there are more than can be done"]
    assert glanced(found, ASKED) is None  # the first of the next second


@pytest.mark.parametrize("behind", [b"", ASKED], ids=["nothing", "the next"])
async def test_the_rest_of_its_body_is_read_and_forgotten(behind: bytes) -> None:
    body = b"POST /v1/messages HTTP/1.1\r\n" * 9000
    data = raw("POST", CHAT, body)
    async with serving(snapshot(provider())) as served:
        shut(served.state)
        await ordinary(served, await served.client())
        client = await served.client()
        client.send(data[:200])
        assert (await client.answer()).status == 503
        (connection,) = (one for one in served.gateway._connections() if not one.answered)
        assert connection.busy
        client.send(data[200:] + behind)
        await until(lambda: not connection.busy)
        if not behind:
            client.send(ASKED)
        assert (await client.answer()).status == 503

        assert served.state.metrics.shed.child("loop_lag").value == IN_FULL + 2


async def test_who_does_not_send_the_rest_has_to_go() -> None:
    made = snapshot(provider())
    async with serving(replace(made, server=replace(made.server, head_timeout=0.2))) as served:
        shut(served.state)
        await ordinary(served, await served.client())
        client = await served.client()
        client.send(ASKED[:-1])
        assert (await client.answer()).status == 503

        assert await asyncio.wait_for(client.reader.read(), 5.0) == b""


async def test_a_refused_client_stays_no_longer_than_others() -> None:
    made = snapshot(provider())
    async with serving(replace(made, server=replace(made.server, keepalive=0.2))) as served:
        shut(served.state)
        await ordinary(served, await served.client())
        client = await served.client()
        client.send(ASKED)
        assert (await client.answer()).status == 503
        (connection,) = (one for one in served.gateway._connections() if not one.answered)
        assert not connection.busy
        assert connection.idle_since is not None

        assert await asyncio.wait_for(client.reader.read(), 5.0) == b""
