"""The admin listener over real sockets: who may read the pages, what a body may be, what every answer carries."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer

from proxy.control import listener
from proxy.control.admin import body
from proxy.control.listener import OPEN, Page, Said
from proxy.core import certificates
from proxy.core.model import TLS
from proxy.core.tls import Identity, Termination
from tests.control.admin.desk import MASTER, OWNER, TOKEN, Desk, open_desk
from tests.line.harness import Answer, Process, Raw, free_port, until
from tests.upstream.certificates import Authority

PAGES: dict[str, Page] = {
    "/metrics": lambda: (200, "text/plain; version=0.0.4", b"a 1\n"),
    "/health": lambda: (503, "application/json", b"{}"),
    **dict.fromkeys(OPEN, lambda: (200, "application/json", b"{}")),
}
BEARER = f"Bearer {TOKEN}"


class Admin:
    """The listener under test."""

    def __init__(self, desk: Desk, port: int) -> None:
        self.desk = desk
        self.port = port

    async def get(
        self, path: str, authorization: str | None = None, method: str = "GET", **options: Any
    ) -> tuple[int, aiohttp.ClientResponse, bytes]:
        headers = {} if authorization is None else {"Authorization": authorization}
        headers |= options.pop("headers", {})
        async with self.desk.http.request(
            method, f"http://127.0.0.1:{self.port}{path}", headers=headers, **options
        ) as answer:
            return answer.status, answer, await answer.read()


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[Admin]:
    async with open_desk(tmp_path) as desk:
        app = listener.admin_app(desk.services, PAGES, ["POST /v1/chat/completions"])
        server = listener.admin_server(app)
        async with RawTestServer(server.request_handler) as serving:
            assert serving.port is not None
            yield Admin(desk, serving.port)


@pytest.mark.parametrize(
    "authorization", [BEARER, BEARER.replace("Bearer", "bearer"), BEARER + " "]
)
async def test_the_token_opens_every_page(admin: Admin, authorization: str) -> None:
    status, answer, content = await admin.get("/metrics?x=1", authorization)

    assert (status, content) == (200, b"a 1\n")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["x-request-id"]


async def test_a_page_has_a_status_of_its_own(admin: Admin) -> None:
    assert (await admin.get("/health", BEARER))[0] == 503


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", TOKEN, "Basic dDprZW4=", BEARER + "x"],
)
@pytest.mark.parametrize("path", ["/metrics", "/health", "/none", "/admin/keys"])
async def test_without_it_not_even_what_there_is_can_be_seen(
    admin: Admin, path: str, authorization: str | None
) -> None:
    status, answer, content = await admin.get(path, authorization)

    assert status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert TOKEN.encode() not in content


@pytest.mark.parametrize("path", [*sorted(OPEN), "/docs", "/swagger", "/openapi.json"])
async def test_some_pages_need_no_token(admin: Admin, path: str) -> None:
    assert (await admin.get(path))[0] == 200


async def test_there_is_nothing_at_other_paths(admin: Admin) -> None:
    status, answer, content = await admin.get("/none", BEARER)

    assert (status, answer.headers["content-type"]) == (
        404,
        "application/problem+json; charset=utf-8",
    )
    assert b"urn:headrace:problem:not_found" in content


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_pages_are_only_read(admin: Admin, method: str) -> None:
    status, answer, _ = await admin.get("/metrics", BEARER, method)

    assert (status, answer.headers["allow"]) == (405, "GET, HEAD")


async def test_of_a_page_the_head_alone_may_be_asked_for(admin: Admin) -> None:
    status, answer, content = await admin.get("/metrics", BEARER, "HEAD")

    assert (status, answer.headers["content-length"], content) == (200, "4", b"")


async def test_a_token_of_odd_bytes_is_merely_wrong(admin: Admin) -> None:
    client = await Raw.open(admin.port)
    client.send(b"GET /metrics HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \xff\xfe\r\n\r\n")

    answer = await client.answer()
    client.close()

    assert answer.status == 401


async def test_a_body_is_not_waited_for_from_strangers(admin: Admin) -> None:
    client = await Raw.open(admin.port)
    client.send(
        b"POST /admin/keys HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        b"Content-Length: 100000\r\n\r\n{"
    )

    answer = await asyncio.wait_for(client.answer(), 5)
    client.close()

    assert answer.status == 401


async def test_who_waits_for_a_word_before_the_body_gets_one(admin: Admin) -> None:
    client = await Raw.open(admin.port)
    client.send(
        b"POST /admin/keys HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        b"Content-Length: 14\r\nExpect: 100-continue\r\nAuthorization: "
        + BEARER.encode()
        + b"\r\n\r\n"
    )
    assert (await client.reader.readline()) == b"HTTP/1.1 100 Continue\r\n"
    await client.reader.readline()
    client.send(b'{"name":"app"}')

    answer = await client.answer()
    client.close()

    assert answer.status == 201


@pytest.mark.parametrize("is_declared", [True, False])
async def test_a_body_that_is_too_large_is_refused(admin: Admin, is_declared: bool) -> None:
    big = b'{"name": "' + b"x" * body.LIMIT + b'"}'

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(big), 1 << 18):
            yield big[start : start + (1 << 18)]

    data: Any = BytesIO(big) if is_declared else pieces()
    status, _, content = await admin.get(
        "/admin/keys", BEARER, "POST", data=data, headers={"content-type": "application/json"}
    )

    assert status == 413
    assert b"too_large" in content


async def test_a_compressed_body_is_refused(admin: Admin) -> None:
    status, _, content = await admin.get(
        "/admin/keys",
        BEARER,
        "POST",
        data=b"\x1f\x8b",
        headers={"content-type": "application/json", "content-encoding": "gzip"},
    )

    assert (status, b"unsupported_encoding" in content) == (415, True)


async def test_a_repeated_parameter_counts_once(admin: Admin) -> None:
    status, _, content = await admin.get("/admin/keys?limit=0&limit=2", BEARER)

    assert (status, content) == (200, b'{"data":[],"next":null}')


def test_a_page_nobody_thought_of_is_for_readers() -> None:
    routes = {
        route.path: route.permission
        for route in listener.page_routes({**PAGES, "/x": PAGES["/health"]})
    }

    assert routes["/metrics"] == "metrics"
    assert routes["/x"] == "read"
    assert {routes[path] for path in OPEN} == {"public"}


async def test_the_documentation_alone_is_for_the_port_of_the_api(admin: Admin) -> None:
    app = listener.admin_app(admin.desk.services, PAGES, [])
    rest = listener.documentation(app, admin.desk.services)

    assert {route.path for route in rest.routes} == {
        "/docs",
        "/openapi.json",
        "/assets/{digest}/{name:path}",
    }
    assert rest.serves("GET", "/swagger")
    assert not rest.serves("GET", "/admin/keys")
    assert OWNER.headers["authorization"] == BEARER


async def test_a_browser_is_led_to_the_dashboard_and_a_program_is_not(admin: Admin) -> None:
    browser, led, _ = await admin.get(
        "/", headers={"Accept": "text/html,*/*"}, allow_redirects=False
    )
    program, _, _ = await admin.get("/", headers={"Accept": "*/*"}, allow_redirects=False)

    assert (browser, led.headers["location"]) == (303, "/dashboard")
    assert program == 401


# --- how many, and for how long ---


class Port:
    """The listener as a worker opens it. `/slow` is answered when `goes_on` is set, `/long` is more than a socket holds."""

    def __init__(self, port: int, server: web.Server, tls: Termination) -> None:
        self.port = port
        self.server = server
        self.tls = tls
        self.goes_on = asyncio.Event()
        self.clients: list[Raw] = []

    async def client(self, path: str = "") -> Raw:
        """One that asks for this, or for nothing."""
        client = await Raw.open(self.port)
        self.clients.append(client)
        if path:
            self.ask(client, path)
        return client

    def ask(self, client: Raw, path: str) -> None:
        client.send(f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: {BEARER}\r\n\r\n".encode())

    async def is_closed(self, client: Raw) -> bool:
        """Within three seconds."""
        try:
            async with asyncio.timeout(3):
                return not await client.reader.read(1)
        except ConnectionError:
            return True
        except TimeoutError:
            return False


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[Port]:
    async with open_desk(tmp_path) as desk:

        async def slow() -> Said:
            await found.goes_on.wait()
            return 200, "text/plain", b"at last"

        pages = {**PAGES, "/slow": slow, "/long": lambda: (200, "text/plain", bytes(1 << 24))}
        server = listener.admin_server(listener.admin_app(desk.services, pages, []))
        tls = Termination("admin")
        serving = await asyncio.get_running_loop().create_server(
            server.entrance(tls), "127.0.0.1", 0
        )
        found = Port(serving.sockets[0].getsockname()[1], server, tls)
        try:
            yield found
        finally:
            found.goes_on.set()
            for client in found.clients:
                client.close()
            serving.close()
            await server.shutdown(1)


@pytest.mark.parametrize("sent", [b"", b"GET /metrics HTTP/1.1\r\nHost:"])
async def test_a_head_is_not_waited_for_without_end(
    port: Port, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(listener, "HEAD_SECONDS", 0.05)
    client = await port.client()
    client.send(sent)

    assert await port.is_closed(client)


async def test_neither_is_that_of_a_further_request(
    port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "HEAD_SECONDS", 0.05)
    client = await port.client("/metrics")
    assert (await client.answer()).status == 200
    client.send(b"GET /metrics HTTP/1.1\r\nHost:")

    assert await port.is_closed(client)


async def test_who_asks_nothing_more_leaves(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "KEEPALIVE", 0.05)
    client = await port.client("/metrics")
    assert (await client.answer()).status == 200

    assert await port.is_closed(client)


async def test_an_answer_may_take_longer_than_a_head(
    port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "HEAD_SECONDS", 0.05)
    monkeypatch.setattr(listener, "KEEPALIVE", 0.05)
    patient = await port.client("/slow")
    assert await port.is_closed(await port.client())

    port.goes_on.set()

    assert (await patient.answer()).body == b"at last"


async def test_who_takes_nothing_of_an_answer_is_cut_off(
    port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "STALL", 0.1)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", port.port))
        head = f"GET /long HTTP/1.1\r\nHost: a\r\nAuthorization: {BEARER}\r\n\r\n"
        await loop.sock_sendall(client, head.encode())
        await until(lambda: bool(port.server.connections))

        await until(lambda: not port.server.connections)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "MOST", 2)


@pytest.mark.usefixtures("few")
async def test_who_has_been_idle_longest_makes_room(port: Port) -> None:
    first, second = [await port.client("/metrics") for _ in range(2)]
    for client in (first, second):
        assert (await client.answer()).status == 200

    third = await port.client("/metrics")

    assert (await third.answer()).status == 200
    assert await port.is_closed(first)
    port.ask(second, "/metrics")
    assert (await second.answer()).status == 200


@pytest.mark.usefixtures("few")
async def test_where_nobody_can_be_spared_who_comes_is_closed_at_once(port: Port) -> None:
    busy = [await port.client("/slow") for _ in range(2)]
    await until(lambda: port.server.requests_count == 2)

    assert await port.is_closed(await port.client())
    port.goes_on.set()

    assert [(await client.answer()).body for client in busy] == [b"at last"] * 2
    assert (await (await port.client("/metrics")).answer()).status == 200


@pytest.mark.usefixtures("few")
@pytest.mark.allow_blocking("a certificate is made in the loop")
async def test_who_is_not_done_with_a_handshake_makes_room(port: Port, tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path).issue()
    wanted = TLS(certificate=str(certificate), key=str(key))
    port.tls.identity = Identity(*certificates.load(wanted))
    first = await port.client()
    await until(lambda: len(port.tls.shaking) == 1)
    await port.client()
    await until(lambda: len(port.tls.shaking) == 2)

    await port.client()

    assert await port.is_closed(first)
    assert len(port.tls.shaking) == 2


def test_a_process_of_few_descriptors_has_some_for_clients() -> None:
    assert listener.most(1 << 20) == 256
    assert listener.most(400) == 100


# --- one port for both ---


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """`headrace serve` with `admin.port` the same as `server.port`."""
    port = free_port()
    content = {
        "server": {"host": "127.0.0.1", "port": port},
        "admin": {"port": port, "token": TOKEN},
        "secrets": {"keys": [MASTER]},
        "keys": [{"name": "app", "key": "sk-a-key-for-the-api-1"}],
        "providers": {
            "lab": {"base_url": "http://127.0.0.1:9", "allow_private": True, "credentials": ["x"]}
        },
        "models": {"m": {"deployments": [{"provider": "lab"}]}},
    }
    process = Process(content, tmp_path_factory.mktemp("shared"))
    yield port
    assert process.stop() == 0


async def _ask(port: int, method: str, target: str, token: str = "", body: bytes = b"") -> Answer:
    client = await Raw.open(port)
    lines = [
        f"{method} {target} HTTP/1.1",
        "Host: a",
        "Connection: close",
        f"Content-Length: {len(body)}",
    ]
    lines += [f"Authorization: Bearer {token}"] * bool(token)
    lines += ["Content-Type: application/json"] * bool(body)
    client.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    try:
        return await client.answer()
    finally:
        client.close()


@pytest.mark.parametrize(
    ("method", "target", "token", "status"),
    [
        ("GET", "/admin/keys", TOKEN, 200),
        ("GET", "/admin/keys", "", 401),
        ("GET", "/admin/keys", "sk-a-key-for-the-api-1", 401),
        ("GET", "/admin/none", TOKEN, 404),
        ("GET", "/admin/none", "", 401),
        ("GET", "/api/providers", TOKEN, 200),
        ("GET", "/v1/stats", TOKEN, 200),
        ("POST", "/v1/models/clear-cache", TOKEN, 200),
        ("GET", "/docs", "", 200),
        ("GET", "/health", "", 200),
        ("GET", "/metrics", "", 200),
        ("GET", "/v1/models", "sk-a-key-for-the-api-1", 200),
        ("GET", "/v1/models", TOKEN, 401),
        ("GET", "/none", "", 404),
        ("GET", "/admin/models/..%2f..%2fetc%2fpasswd", TOKEN, 404),
        ("GET", "/admin/../v1/models", TOKEN, 404),
        ("GET", "/admin%2fkeys", TOKEN, 404),
        ("GET", "//admin/keys", TOKEN, 404),
        ("GET", "/v1/../admin/keys", TOKEN, 404),
    ],
)
async def test_each_gets_what_is_its_own(
    shared: int, method: str, target: str, token: str, status: int
) -> None:
    assert (await _ask(shared, method, target, token)).status == status


async def test_an_object_is_made_and_gone_on_a_shared_port(shared: int) -> None:
    made = await _ask(shared, "POST", "/admin/models", TOKEN, b'{"name": "new"}')
    gone = await _ask(shared, "DELETE", "/admin/models/new", TOKEN)

    assert (made.status, gone.status) == (201, 204)
    assert made.headers["location"].startswith("/admin/models/")
    assert made.headers["content-security-policy"].startswith("default-src 'none'")
