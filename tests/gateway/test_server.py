"""The API listener: which requests become exchanges, which are pages, and which are nothing."""

from __future__ import annotations

import asyncio
import os
import uuid

import orjson
import pytest
from aiohttp.web_request import BaseRequest
from msgspec.structs import replace

from proxy.core.model import Server, Snapshot
from proxy.gateway.server import Aside, Page
from tests.gateway.asked import CHAT, provider, raw, snapshot
from tests.gateway.served import COMPLETION, Provider, serving, virtual_key, whole
from tests.line.harness import Answer, read_request, scripted, until

BODY = b'{"model":"m","messages":[]}'
PAGES: dict[str, Page] = {
    "/health": lambda: (200, "application/json", b'{"status":"ok"}'),
    "/sick": lambda: (503, "text/plain", b"sick"),
    "/empty": lambda: (200, "text/plain", b""),
}
NOTHING = Snapshot()


# --- paths ---


@pytest.mark.parametrize("path", ["/v1beta/models/x:foo", "/gemini/v1beta/models/llama:latest"])
async def test_a_method_of_geminis_that_is_none_is_not_there(path: str) -> None:
    async with serving(NOTHING) as served:
        answer = await served.ask(raw("POST", path, b"{}"))

    error = answer.json["error"]
    assert (answer.status, error["code"], error["status"]) == (404, 404, "NOT_FOUND")
    assert "allow" not in answer.headers
    assert error["message"] == (
        f"There is no method '{path.rpartition(':')[2]}' of models here. There are generateContent, "
        "streamGenerateContent, countTokens, embedContent, batchEmbedContents."
    )


async def test_of_a_model_with_a_colon_there_is_no_other_method() -> None:
    async with serving(NOTHING) as served:
        answer = await served.ask(raw("DELETE", "/v1beta/models/llama:latest"))

    assert (answer.status, answer.headers["allow"]) == (405, "GET")


# --- pages ---


async def test_a_page_is_served_with_what_every_answer_has() -> None:
    async with serving(NOTHING, PAGES) as served:
        answer = await served.ask(raw("GET", "/health?verbose=1"))

    assert (answer.status, answer.body) == (200, b'{"status":"ok"}')
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert uuid.UUID(answer.headers["x-request-id"]).version == 7


async def test_a_page_has_a_status_of_its_own() -> None:
    async with serving(NOTHING, PAGES) as served:
        assert (await served.ask(raw("GET", "/sick"))).status == 503


@pytest.mark.parametrize("path", ["/health", "/empty"])
async def test_of_a_page_the_head_alone_may_be_asked_for(path: str) -> None:
    async with serving(NOTHING, PAGES) as served:
        client = await served.client()
        client.send(raw("HEAD", path) + raw("GET", "/sick"))

        head = await client.head()
        # What follows at once is the next answer: no body came between.
        following = await client.answer()

    page = PAGES[path]()
    assert isinstance(page, tuple)
    assert b"content-length: %d\r\n" % len(page[2]) in head
    assert following.body == b"sick"


async def test_a_connection_carries_pages_and_errors_one_after_another() -> None:
    async with serving(NOTHING, PAGES) as served:
        client = await served.client()
        for target, status in (("/health", 200), ("/none", 404), ("/sick", 503), ("/health", 200)):
            client.send(raw("GET", target))
            assert (await client.answer()).status == status
        assert served.gateway.connections == 1


async def test_a_client_that_wants_to_close_is_closed() -> None:
    async with serving(NOTHING, PAGES) as served:
        client = await served.client()
        client.send(raw("GET", "/health", b"", "Connection: close"))

        answer = await client.answer()
        assert answer.headers["connection"] == "close"
        assert await client.reader.read() == b""


# --- what is nothing ---


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("/none", {"message", "type", "param", "code"}),
        ("/v1/messages/none", {"message", "type"}),
        ("/v1beta/none", {"message", "code", "status"}),
    ],
)
async def test_an_unknown_path_is_told_in_the_words_of_its_dialect(
    path: str, keys: set[str]
) -> None:
    async with serving(NOTHING) as served:
        answer = await served.ask(raw("GET", path))

    assert answer.status == 404
    assert set(answer.json["error"]) == keys


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_a_known_path_says_which_methods_it_takes(method: str) -> None:
    async with serving(NOTHING) as served:
        answer = await served.ask(raw(method, CHAT))

    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert answer.json["error"]["code"] == "method_not_allowed"


@pytest.mark.parametrize(("path", "status"), [("/none", 404), (CHAT, 405), ("/v1/models", 405)])
async def test_of_an_error_the_head_alone_is_given_to_who_asks_for_it(
    path: str, status: int
) -> None:
    async with serving(NOTHING, PAGES) as served:
        client = await served.client()
        client.send(raw("HEAD", path) + raw("GET", "/sick"))

        head = await client.head()
        # A body would be read as the answer to what is asked next.
        following = await client.answer()

    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert following.body == b"sick"


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/v1/responses/resp_1"])
async def test_a_page_of_another_origin_is_allowed_nothing(path: str) -> None:
    """I15: no CORS header, whatever is asked; a preflight is refused."""
    origin = "Origin: https://evil.example"
    async with serving(NOTHING) as served:
        asked = await served.ask(
            raw("OPTIONS", path, b"", origin, "Access-Control-Request-Method: POST")
        )
        answer = await served.ask(raw("GET", path, b"", origin))

    assert asked.status == 405
    for said in (asked, answer):
        assert not [name for name in said.headers if name.startswith("access-control-")]


async def test_a_body_for_nothing_ends_the_connection() -> None:
    async with serving(NOTHING) as served:
        client = await served.client()
        client.send(raw("POST", "/none", b"", "Content-Length: 10"))

        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (404, "close")
        assert await client.reader.read() == b""


# --- what aiohttp lets through ---


def head(*fields: str, version: str = "HTTP/1.1") -> bytes:
    return "\r\n".join([f"GET /health {version}", *fields, "", ""]).encode()


BAD = {
    "no host": head(),
    "two hosts": head("Host: a", "Host: b"),
    "a host with a path": head("Host: a/b"),
    "a host with a user": head("Host: u@a"),
    "a host that is none": head("Host: a b"),
    "HTTP/1.2": head("Host: a", version="HTTP/1.2"),
    "HTTP/2.0": head("Host: a", version="HTTP/2.0"),
}


async def ask(served_pages: dict[str, Page], data: bytes) -> Answer:
    async with serving(NOTHING, served_pages) as served:
        return await served.ask(data)


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
async def test_a_request_two_readers_could_take_differently_is_refused(data: bytes) -> None:
    answer = await ask(PAGES, data)

    assert (answer.status, answer.headers["connection"]) == (400, "close")
    assert answer.json["error"]["code"] == "malformed_http"


@pytest.mark.parametrize(
    "data",
    [
        head("Host: a"),
        head("Host: a.b-c:8000"),
        head("Host: [::1]:8000"),
        head("Host:"),
        head(version="HTTP/1.0"),
        head("Host: a", version="HTTP/1.0"),
    ],
)
async def test_an_ordinary_host_is_served(data: bytes) -> None:
    assert (await ask(PAGES, data)).status == 200


async def test_a_head_of_too_many_bytes_is_refused() -> None:
    fields = [f"A{at}: {'x' * 8000}" for at in range(9)]

    answer = await ask(PAGES, head("Host: a", *fields))

    assert (answer.status, answer.json["error"]["code"]) == (431, "header_too_large")


async def test_malformed_http_is_answered_in_json_and_counted() -> None:
    async with serving(NOTHING) as served:
        answer = await served.ask(b"nonsense secret\r\n\r\n")

        assert answer.status == 400
        assert b"secret" not in answer.body
        assert served.state.metrics.bad_requests.child("malformed_http").value == 1


# --- exchanges ---


async def test_an_exchange_is_answered_and_its_connection_kept() -> None:
    upstream = Provider(whole())
    async with scripted(upstream) as url, serving(snapshot(provider(url))) as served:
        client = await served.client()
        for at in range(3):
            client.send(raw("POST", CHAT, BODY, f"X-Request-Id: id-{at}"))
            answer = await client.answer()
            assert (answer.status, answer.body) == (200, COMPLETION)
            assert answer.headers["x-request-id"] == f"id-{at}"

        assert (served.gateway.connections, upstream.connections) == (1, 1)


@pytest.mark.parametrize("asked", [True, False])
async def test_timing_is_told_to_who_asks(asked: bool) -> None:
    async with scripted(Provider(whole())) as url, serving(snapshot(provider(url))) as served:
        fields = ["X-Headrace-Timing: 1"] if asked else []
        answer = await served.ask(raw("POST", CHAT, BODY, *fields))

    assert ("server-timing" in answer.headers) is asked
    assert ("x-headrace-overhead-ms" in answer.headers) is asked


async def test_timing_can_be_told_to_everybody() -> None:
    async with scripted(Provider(whole())) as url:
        settings = replace(snapshot(provider(url)), server=Server(timing=True))
        async with serving(settings) as served:
            answer = await served.ask(raw("POST", CHAT, BODY))

    assert float(answer.headers["x-headrace-overhead-ms"]) >= 0
    assert answer.headers["server-timing"].startswith("upstream;dur=")


@pytest.mark.parametrize(("exempt", "status"), [(frozenset({CHAT}), 200), (frozenset(), 401)])
async def test_an_exempt_path_needs_no_key(exempt: frozenset[str], status: int) -> None:
    async with scripted(Provider(whole())) as url:
        settings = replace(
            snapshot(provider(url)), require_auth=True, keys=virtual_key("sk-1"), exempt=exempt
        )
        async with serving(settings) as served:
            assert (await served.ask(raw("POST", CHAT, BODY))).status == status


async def test_a_body_that_was_refused_unread_is_drained_a_little() -> None:
    settings = Snapshot(server=Server(max_body=10))
    async with serving(settings) as served:
        client = await served.client()
        client.send(raw("POST", CHAT, b"x" * 100_000))

        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        await client.reader.read()


# --- leaving ---


async def test_draining_waits_for_what_is_running_and_closes_what_is_idle() -> None:
    go = asyncio.Event()

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await go.wait()
        writer.write(whole())

    async with scripted(upstream) as url, serving(snapshot(provider(url)), PAGES) as served:
        idle, busy = await served.client(), await served.client()
        idle.send(raw("GET", "/health"))
        await idle.answer()
        busy.send(raw("POST", CHAT, BODY))
        await until(lambda: any(one.busy for one in served.pool.upstreams()))

        draining = asyncio.ensure_future(served.gateway.drain(5.0))
        assert await idle.reader.read() == b""
        assert not draining.done()
        go.set()

        assert (await busy.answer()).body == COMPLETION
        assert await busy.reader.read() == b""
        await draining
        assert served.gateway.connections == 0


async def test_an_idle_connection_is_left_open_for_a_while_and_what_comes_on_it_answered() -> None:
    async with scripted(Provider(whole())) as url, serving(snapshot(provider(url))) as served:
        client, quiet = await served.client(), await served.client()
        client.send(raw("POST", CHAT, BODY))
        assert "connection" not in (await client.answer()).headers
        patience = 600.0

        served.state.draining = True
        draining = asyncio.ensure_future(
            served.gateway.drain(600.0, lambda: patience, asyncio.Event())
        )
        client.send(raw("POST", CHAT, BODY))

        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await client.reader.read() == b""
        assert not draining.done()
        patience = 0.0
        assert await quiet.reader.read() == b""
        await draining


async def test_haste_closes_what_is_idle_at_once() -> None:
    async with serving(snapshot(), PAGES) as served:
        client, hurry = await served.client(), asyncio.Event()
        client.send(raw("GET", "/health"))
        await client.answer()
        draining = asyncio.ensure_future(served.gateway.drain(600.0, lambda: 600.0, hurry))
        await asyncio.sleep(0)
        assert not draining.done()

        hurry.set()

        assert await client.reader.read() == b""
        await draining


async def test_nothing_is_closed_under_a_request_that_is_not_read_yet() -> None:
    async with serving(snapshot(), PAGES) as served:
        client = await served.client()
        client.send(raw("GET", "/health"))
        await client.answer()
        sent = client.writer.get_extra_info("socket").fileno()
        served.state.draining = True

        # Past every loop: ours has had no turn to read it when the drain looks at the connection.
        os.write(sent, raw("GET", "/health"))
        await served.gateway.drain(5.0)

        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")


async def test_a_request_that_has_come_in_part_is_waited_for() -> None:
    async with serving(snapshot(), PAGES) as served:
        client = await served.client()
        request = raw("GET", "/health")
        client.send(request[:9])
        await until(lambda: any(one.busy for one in served.gateway._connections()))
        served.state.draining = True
        draining = asyncio.ensure_future(served.gateway.drain(5.0))
        await asyncio.sleep(0)

        client.send(request[9:])

        assert (await client.answer()).headers["connection"] == "close"
        await draining


async def test_what_takes_too_long_to_drain_is_cut() -> None:
    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        cut.set()

    cut = asyncio.Event()
    async with scripted(upstream) as url, serving(snapshot(provider(url))) as served:
        client = await served.client()
        client.send(raw("POST", CHAT, BODY))
        await until(lambda: any(one.busy for one in served.pool.upstreams()))

        served.state.draining = True
        await served.gateway.drain(0.01)

        answer = await client.answer()
        assert (answer.status, answer.json["error"]["code"]) == (503, "gateway_draining")
        assert await client.reader.read() == b""
        await cut.wait()


async def test_while_draining_an_answer_is_the_last_on_its_connection() -> None:
    async with scripted(Provider(whole())) as url, serving(snapshot(provider(url))) as served:
        served.state.draining = True
        client = await served.client()
        client.send(raw("POST", CHAT, BODY))

        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert orjson.loads(answer.body)["id"] == "c"
        assert await client.reader.read() == b""


# --- another application on the same port ---


def another(*paths: str) -> Aside:
    """Answers these paths with what it was sent."""

    async def echo(request: BaseRequest) -> tuple[int, dict[str, str], bytes]:
        content = await request.read()
        status = int(request.headers.get("x-status", "200"))
        headers = {
            "x-request-id": "r-1",
            "cache-control": "no-store",
            "content-type": "text/plain",
            "x-was": request.method,
        }
        return status, headers, b"" if status in (204, 304) else b"echo " + content

    return lambda request, path: echo(request) if path in paths else None


async def test_another_application_is_asked_before_the_api() -> None:
    async with serving(NOTHING, PAGES) as served:
        served.gateway.aside = another("/admin/x", CHAT, "/health")
        client = await served.client()
        client.send(
            raw("POST", "/admin/x", b"abc") + raw("POST", CHAT, BODY) + raw("GET", "/health")
        )

        first, second, page = [await client.answer() for _ in range(3)]
        elsewhere = await served.ask(raw("GET", "/admin/y"))
        client.send(raw("GET", "/admin/x"))
        head = await client.head()

    assert (first.status, first.body) == (200, b"echo abc")
    assert (first.headers["x-request-id"], first.headers["x-was"]) == ("r-1", "POST")
    assert head.count(b"cache-control") == head.count(b"x-request-id") == 1
    assert second.body == b"echo " + BODY
    assert page.body == b'{"status":"ok"}'
    assert elsewhere.status == 404


async def test_one_that_comes_last_gets_what_is_nothing_here() -> None:
    async with serving(NOTHING, PAGES) as served:
        served.gateway.beyond = another("/docs", CHAT)

        docs = await served.ask(raw("GET", "/docs"))
        chat = await served.ask(raw("POST", CHAT, BODY))

    assert docs.body == b"echo "
    assert chat.status == 404


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_a_body_says_no_length_of_one(status: int) -> None:
    async with serving(NOTHING, PAGES) as served:
        served.gateway.aside = another("/admin/x")
        client = await served.client()
        client.send(raw("GET", "/admin/x", b"", f"x-status: {status}") + raw("GET", "/sick"))

        head = await client.head()
        following = await client.answer()

    assert b"content-length" not in head.lower()
    assert following.body == b"sick"


async def test_of_its_answers_the_head_alone_may_be_asked_for_too() -> None:
    async with serving(NOTHING, PAGES) as served:
        served.gateway.aside = another("/admin/x")
        client = await served.client()
        client.send(raw("HEAD", "/admin/x") + raw("GET", "/sick"))

        head = await client.head()
        following = await client.answer()

    assert b"content-length: 5\r\n" in head
    assert following.body == b"sick"
