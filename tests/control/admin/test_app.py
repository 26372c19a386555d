"""From a request to an answer: nobody gets in unasked, nothing gets out that should not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp.test_utils import RawTestServer

from proxy.control.admin.access import Permission
from proxy.control.admin.app import AdminApp
from proxy.control.admin.services import Services
from proxy.control.admin.web import Answer, Fault, Problem, Request, Route
from proxy.control.listener import admin_server
from proxy.store.base import StoreDown
from tests.control.admin.desk import OWNER, Desk, open_desk


async def echo(request: Request, _services: Services) -> Answer:
    return Answer({"body": request.body.decode(), "params": request.params, "peer": request.peer})


async def broken(_request: Request, _services: Services) -> Answer:
    raise RuntimeError("the password is hunter2")


async def away(_request: Request, _services: Services) -> Answer:
    raise StoreDown("host=10.0.0.1 password=hunter2")


async def refusing(_request: Request, _services: Services) -> Answer:
    raise Problem(409, "taken", "It is taken.", (Fault("a.b", "no"),), {"retry-after": "1"})


async def unknown(_request: Request, _services: Services) -> Answer:
    return Answer(object())


async def page(_request: Request, _services: Services) -> Answer:
    return Answer(
        b"<p>", kind="text/html", headers={"content-security-policy": "default-src 'self'"}
    )


async def slow(_request: Request, _services: Services) -> Answer:
    await asyncio.Event().wait()
    raise AssertionError


ROUTES = (
    Route("POST", "/open", Permission.PUBLIC, echo, "x"),
    Route("POST", "/echo/{id:path}", Permission.READ, echo, "x"),
    Route("GET", "/broken", Permission.READ, broken, "x"),
    Route("GET", "/away", Permission.READ, away, "x"),
    Route("POST", "/refusing", Permission.READ, refusing, "x"),
    Route("GET", "/unknown", Permission.READ, unknown, "x"),
    Route("GET", "/page", Permission.PUBLIC, page, "x"),
)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path, ROUTES) as desk:
        yield desk


async def test_a_handler_gets_the_request_whole(served: Desk) -> None:
    said = await served.owner("POST", "/echo/a%2Fb/c?x=1", b'{"a": 1}')

    assert said.json == {"body": '{"a": 1}', "params": {"id": "a/b/c"}, "peer": "127.0.0.1"}


async def test_an_exception_is_logged_and_not_shown(
    served: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        said = await served.owner("GET", "/broken")

    assert (said.status, said.code) == (500, "internal")
    assert b"hunter2" not in said.body
    assert said.json["request_id"] == said.headers["x-request-id"]
    [record] = [one for one in caplog.records if one.exc_info]
    assert said.json["request_id"] in record.getMessage()


async def test_an_answer_that_is_no_json_is_an_exception_too(
    served: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.CRITICAL):
        said = await served.owner("GET", "/unknown")

    assert said.status == 500


async def test_while_the_store_is_away_one_is_told_to_come_back(served: Desk) -> None:
    said = await served.owner("GET", "/away")

    assert (said.status, said.code, said.headers["retry-after"]) == (503, "store_down", "2")
    assert b"10.0.0.1" not in said.body


async def test_a_problem_says_all_it_has(served: Desk, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        said = await served.owner("POST", "/refusing")

    assert said.headers["content-type"] == "application/problem+json; charset=utf-8"
    assert said.headers["retry-after"] == "1"
    assert said.json == {
        "type": "urn:headrace:problem:taken",
        "title": "Conflict",
        "status": 409,
        "detail": "It is taken.",
        "errors": [{"field": "a.b", "message": "no"}],
        "request_id": said.headers["x-request-id"],
    }
    # A write that was refused leaves a trace, if not in the audit log.
    assert "of token refused: POST /refusing: 409 taken" in caplog.text


async def test_a_page_for_people_brings_its_own_policy(served: Desk) -> None:
    said = await served.ask("GET", "/page")

    assert said.headers["content-security-policy"] == "default-src 'self'"
    assert (said.headers["content-type"], said.body) == ("text/html", b"<p>")


async def test_a_public_route_asks_nobody_who_they_are(served: Desk) -> None:
    said = await served.ask("POST", "/open", {"a": 1}, cookie="__Host-headrace=old")

    assert said.status == 200


@pytest.mark.parametrize("path", ["/echo/a", "/none", "/broken"])
async def test_whoever_is_nobody_learns_nothing(served: Desk, path: str) -> None:
    said = [await served.ask(method, path) for method in ("GET", "POST", "DELETE", "OPTIONS")]

    assert {(one.status, one.code) for one in said} == {(401, "unauthenticated")}


async def test_a_body_of_another_kind_is_refused_by_its_head(served: Desk) -> None:
    said = await served.ask("POST", "/echo/a", b"a=1", OWNER, content_type="text/plain")

    assert (said.status, said.code) == (415, "unsupported_media_type")


async def test_a_client_that_leaves_stops_nothing_else(tmp_path: Path) -> None:
    routes = [Route("GET", "/slow", Permission.PUBLIC, slow, "x"), *ROUTES]
    async with open_desk(tmp_path) as desk:
        server = admin_server(AdminApp(routes, desk.services))
        async with RawTestServer(server.request_handler) as listener:
            _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            writer.write(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
            writer.close()
            async with desk.http.get(listener.make_url("/page")) as answer:
                assert answer.status == 200


def test_a_route_without_a_permission_stops_the_start(tmp_path: Path) -> None:
    naked = Route("GET", "/a", "", echo, "")  # type: ignore[arg-type]

    with pytest.raises(ValueError, match="no permission"):
        AdminApp([naked], None)  # type: ignore[arg-type]


def test_two_routes_at_one_path_stop_the_start() -> None:
    with pytest.raises(ValueError, match="twice"):
        AdminApp([*ROUTES, ROUTES[0]], None)  # type: ignore[arg-type]
