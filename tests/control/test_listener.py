"""Operators' pages: who may read them, and what the answers look like."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp.test_utils import RawTestServer

from proxy.control.listener import OPEN, Page, admin_server
from proxy.core.secret import Secret
from tests.line.harness import Raw

PAGES: dict[str, Page] = {
    "/metrics": lambda: (200, "text/plain; version=0.0.4", b"a 1\n"),
    "/health": lambda: (503, "application/json", b"{}"),
    **dict.fromkeys(OPEN, lambda: (200, "application/json", b"{}")),
}
TOKEN = Secret("t0ken-\u00e9")


class Admin:
    """The listener under test; its token may change while it serves."""

    def __init__(self) -> None:
        self.token: Secret | None = TOKEN
        self.url = ""

    async def get(
        self, path: str, authorization: str | None = None, method: str = "GET"
    ) -> tuple[int, aiohttp.ClientResponse, bytes]:
        headers = {} if authorization is None else {"Authorization": authorization}
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.url + path, headers=headers) as answer,
        ):
            return answer.status, answer, await answer.read()


@pytest.fixture
async def admin() -> AsyncIterator[Admin]:
    one = Admin()
    server = admin_server(PAGES, lambda: one.token)
    async with RawTestServer(server.request_handler) as listener:
        one.url = str(listener.make_url("")).rstrip("/")
        yield one


BEARER = f"Bearer {TOKEN.reveal()}"


@pytest.mark.parametrize(
    "authorization", [BEARER, BEARER.replace("Bearer", "bearer"), BEARER + " "]
)
async def test_the_token_opens_every_page(admin: Admin, authorization: str) -> None:
    status, answer, body = await admin.get("/metrics?x=1", authorization)

    assert (status, body) == (200, b"a 1\n")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_page_has_a_status_of_its_own(admin: Admin) -> None:
    assert (await admin.get("/health", BEARER))[0] == 503


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", TOKEN.reveal(), "Basic dDprZW4=", BEARER + "x"],
)
@pytest.mark.parametrize("path", ["/metrics", "/health", "/none"])
async def test_without_it_not_even_what_there_is_can_be_seen(
    admin: Admin, path: str, authorization: str | None
) -> None:
    status, answer, body = await admin.get(path, authorization)

    assert status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert b"invalid_api_key" in body
    assert TOKEN.reveal().encode() not in body


@pytest.mark.parametrize("path", sorted(OPEN))
async def test_an_orchestrator_needs_no_token(admin: Admin, path: str) -> None:
    assert (await admin.get(path))[0] == 200


async def test_there_is_nothing_at_other_paths(admin: Admin) -> None:
    status, answer, body = await admin.get("/none", BEARER)

    assert (status, answer.headers["content-type"]) == (404, "application/json; charset=utf-8")
    assert b"unknown_url" in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_pages_are_only_read(admin: Admin, method: str) -> None:
    status, answer, _ = await admin.get("/metrics", BEARER, method)

    assert (status, answer.headers["allow"]) == (405, "GET, HEAD")


async def test_of_a_page_the_head_alone_may_be_asked_for(admin: Admin) -> None:
    status, answer, body = await admin.get("/metrics", BEARER, "HEAD")

    assert (status, answer.headers["content-length"], body) == (200, "4", b"")


async def test_a_token_of_odd_bytes_is_merely_wrong(admin: Admin) -> None:
    client = await Raw.open(int(admin.url.rpartition(":")[2]))
    client.send(b"GET /metrics HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \xff\xfe\r\n\r\n")

    answer = await client.answer()
    client.close()

    assert answer.status == 401


async def test_a_changed_token_holds_at_once(admin: Admin) -> None:
    admin.token = Secret("another")

    assert (await admin.get("/metrics", BEARER))[0] == 401
    assert (await admin.get("/metrics", "Bearer another"))[0] == 200


async def test_without_a_token_pages_are_open(admin: Admin) -> None:
    admin.token = None

    assert (await admin.get("/metrics"))[0] == 200
