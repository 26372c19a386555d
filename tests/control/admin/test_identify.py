"""Who asks, and what is asked of them besides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from proxy.control.admin.access import Role
from proxy.control.admin.lockout import PER_MINUTE
from proxy.control.admin.sessions import COOKIE
from proxy.core.secret import Secret
from proxy.core.virtual_key import ADMIN_PREFIX, PREFIX, mint
from tests.control.admin.desk import OWNER, PASSWORD, TOKEN, Desk, Who, bearer, open_desk

READ = "/admin/probe/read"


async def _name(desk: Desk, who: Who | None, method: str = "GET", **headers: str) -> object:
    """Who it is taken for; or the status of the refusal."""
    said = await desk.ask(method, READ, who=who, **headers)
    return said.json["name"] if said.status == 200 else said.status


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {TOKEN}"},
        {"authorization": f"bearer   {TOKEN} "},
        {"x-api-key": TOKEN},
        {"authorization": f"Bearer {TOKEN}", "x-api-key": TOKEN},
        {"authorization": f"Bearer {TOKEN}", "cookie": f"{COOKIE}=something"},
    ],
)
async def test_the_token_of_the_configuration_opens(desk: Desk, headers: dict[str, str]) -> None:
    assert await _name(desk, Who(headers)) == "token"
    # A program has no page to be tricked into sending this, so it owes no proof of one.
    assert await _name(desk, Who(headers), "POST") == "token"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": TOKEN},
        {"authorization": "Bearer"},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Bearer {TOKEN}x"},
        {"authorization": f"Basic {TOKEN}"},
        {"x-api-key": ""},
        {"authorization": f"Bearer {TOKEN}", "x-api-key": "another"},
        {"x-admin-token": TOKEN},
        {"api-key": TOKEN},
        {"cookie": f"{COOKIE}={TOKEN}"},
        {"authorization": "Bearer \u00e9"},
    ],
)
async def test_nothing_else_does(desk: Desk, headers: dict[str, str]) -> None:
    said = await desk.ask("GET", READ, who=Who(headers))

    assert (said.status, said.code) == (401, "unauthenticated")
    assert said.headers["www-authenticate"] == "Bearer"
    assert TOKEN.encode() not in said.body


async def test_a_token_in_the_query_is_none(desk: Desk) -> None:
    for name in ("key", "api_key", "token", "access_token"):
        assert (await desk.ask("GET", f"{READ}?{name}={TOKEN}")).status == 401


async def test_a_virtual_key_is_nobody_here(desk: Desk) -> None:
    assert await _name(desk, bearer(mint(PREFIX).reveal())) == 401
    assert await _name(desk, bearer(mint(ADMIN_PREFIX).reveal())) == 401


async def test_a_token_that_was_changed_holds_at_once(desk: Desk) -> None:
    state = desk.services.state
    state.snapshot = replace(
        state.snapshot, admin=replace(state.snapshot.admin, token=Secret("another"))
    )

    assert await _name(desk, OWNER) == 401
    assert await _name(desk, bearer("another")) == "token"


async def test_without_any_token_nobody_is_let_in(tmp_path: Path) -> None:
    async with open_desk(tmp_path, port=8001) as desk:
        assert await _name(desk, None) == 401
        assert await _name(desk, bearer("None")) == 401


# --- guesses ---


async def test_who_guesses_is_told_to_wait_and_who_knows_is_not(desk: Desk) -> None:
    service = await desk.token("ci", Role.VIEWER)
    fresh = await desk.token("new", Role.VIEWER)
    assert await _name(desk, service) == "service:ci"
    for _ in range(PER_MINUTE):
        assert await _name(desk, bearer("wrong")) == 401

    said = await desk.ask("GET", READ, who=bearer("wrong"))

    assert (said.status, said.code) == (429, "too_many")
    assert 0 < int(said.headers["retry-after"]) <= 60
    assert await _name(desk, OWNER) == "token"
    assert await _name(desk, service) == "service:ci"
    # It looks like one of ours, and so does anything a flood makes up: it costs no query now.
    assert await _name(desk, fresh) == 429


# --- sessions owe more ---


async def test_a_session_reads_with_its_cookie_alone(desk: Desk) -> None:
    await desk.user("anna")
    anna = await desk.session("anna")

    assert await _name(desk, Who({"cookie": anna.headers["cookie"]})) == "user:anna"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"origin": "{own}"}, 200),
        ({"sec-fetch-site": "same-origin", "origin": "{own}"}, 200),
        # What a page of somebody else makes a browser send.
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "none"}, 403),
        ({"sec-fetch-site": ""}, 403),
        ({"sec-fetch-site": "cross-site", "origin": "{own}"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"origin": "http://127.0.0.1"}, 403),
        ({"origin": "file://"}, 403),
        # An old browser, which says nothing.
        ({}, 403),
    ],
)
async def test_a_change_with_a_session_comes_from_a_page_of_ours(
    desk: Desk, headers: dict[str, str], status: int
) -> None:
    await desk.user("anna", Role.OWNER)
    anna = await desk.session("anna")
    sent = {name: value.format(own=desk.url) for name, value in headers.items()}
    kept = {name: anna.headers[name] for name in ("cookie", "x-headrace-csrf")}

    said = await desk.ask("POST", "/admin/probe/users", who=Who(kept | sent))

    assert said.status == status
    if status == 403:
        assert said.code == "csrf"


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://ops.example.com", 200),
        ("http://ops.example.com", 403),
        ("https://ops.example.com.evil.example", 403),
    ],
)
async def test_a_proxy_may_change_the_host_where_the_configuration_says_so(
    tmp_path: Path, origin: str, status: int
) -> None:
    admin: dict[str, Any] = {"token": TOKEN, "origins": ["https://ops.example.com"]}
    async with open_desk(tmp_path, **admin) as desk:
        await desk.user("anna", Role.OWNER)
        anna = await desk.session("anna")
        kept = {name: anna.headers[name] for name in ("cookie", "x-headrace-csrf")}
        content = {"username": "anna", "password": PASSWORD}

        changed = await desk.ask("POST", "/admin/probe/users", who=Who(kept | {"origin": origin}))
        signed_in = await desk.ask("POST", "/admin/login", content, origin=origin)

        assert (changed.status, signed_in.status) == (status, status)
        # What a browser says of itself counts before.
        said = {"origin": origin, "sec-fetch-site": "cross-site"}
        assert (await desk.ask("POST", "/admin/probe/users", who=Who(kept | said))).status == 403


@pytest.mark.parametrize("csrf", [None, "", "wrong", "\u00e9"])
@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_a_change_with_a_session_brings_its_csrf_token(
    desk: Desk, method: str, csrf: str | None
) -> None:
    await desk.user("anna", Role.OWNER)
    anna = await desk.session("anna")
    sent = {name: value for name, value in anna.headers.items() if name != "x-headrace-csrf"}
    if csrf is not None:
        sent["x-headrace-csrf"] = csrf

    assert (await desk.ask(method, "/admin/probe/users", who=Who(sent))).code == "csrf"


async def test_the_csrf_token_of_another_session_is_none(desk: Desk) -> None:
    await desk.user("anna", Role.OWNER)
    first, second = await desk.session("anna"), await desk.session("anna")
    mixed = dict(first.headers) | {"x-headrace-csrf": second.headers["x-headrace-csrf"]}

    assert (await desk.ask("POST", READ, who=Who(mixed))).status == 403
    assert (await desk.ask("POST", READ, who=first)).status == 200


async def test_a_token_beside_a_cookie_counts_alone(desk: Desk) -> None:
    await desk.user("anna", Role.OWNER)
    anna = await desk.session("anna")
    viewer = await desk.token("ci", Role.VIEWER)
    both = Who(dict(anna.headers) | dict(viewer.headers))

    assert await _name(desk, both) == "service:ci"
    assert (await desk.ask("GET", "/admin/probe/users", who=both)).status == 403
    wrong = Who(dict(anna.headers) | {"authorization": "Bearer wrong"})
    assert await _name(desk, wrong) == 401


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("application/merge-patch+json", 200),
        ("application/yaml", 200),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("text/plain", 415),
        ("text/plain; application/json", 415),
        ("application/jsonp", 415),
        ("", 415),
    ],
)
async def test_a_body_is_of_no_type_that_a_form_can_send(
    desk: Desk, kind: str, status: int
) -> None:
    said = await desk.ask("POST", READ, b"{}", OWNER, content_type=kind)

    assert said.status == status


# --- other origins ---


async def test_no_answer_lets_another_origin_read_it(desk: Desk) -> None:
    evil = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    nobody, owner = Who(evil), Who(evil | dict(OWNER.headers))

    for said in (
        await desk.ask("GET", READ, who=owner),
        await desk.ask("GET", READ, who=nobody),
        await desk.ask("OPTIONS", READ, who=owner),
        await desk.ask("OPTIONS", "/admin/login", who=nobody),
        await desk.ask("POST", "/admin/login", {}, nobody),
    ):
        assert not [name for name in said.headers if name.lower().startswith("access-control-")]
        assert said.status != 204

    assert (await desk.ask("OPTIONS", READ, who=owner)).status == 405
    assert (await desk.ask("OPTIONS", READ, who=nobody)).status == 401


# --- anonymous ---


async def test_on_this_machine_anonymous_may_everything_where_the_configuration_says_so(
    tmp_path: Path,
) -> None:
    async with open_desk(tmp_path, anonymous=True) as desk:
        assert await _name(desk, None) == "anonymous"
        assert (await desk.ask("DELETE", "/admin/probe/users")).status == 200
        # A token that is wrong is wrong, and not nobody's.
        assert await _name(desk, bearer("wrong")) == 401
        # A cookie from before is nothing.
        assert await _name(desk, Who({"cookie": f"{COOKIE}=old"})) == "anonymous"


@pytest.mark.parametrize(
    "headers",
    [
        # DNS rebinding: a page whose name was made to mean this machine.
        {"host": "evil.example"},
        {"host": "evil.example:8001"},
        {"host": "127.0.0.1.evil.example"},
        {"host": "localhost.evil.example"},
        # Behind a proxy everybody comes from this machine.
        {"x-forwarded-for": "192.0.2.1"},
        {"forwarded": "for=192.0.2.1"},
        {"x-real-ip": "192.0.2.1"},
        {"via": "1.1 proxy"},
    ],
)
async def test_anonymous_is_nobody_from_elsewhere(tmp_path: Path, headers: dict[str, str]) -> None:
    async with open_desk(tmp_path, anonymous=True) as desk:
        assert await _name(desk, Who(headers)) == 401


async def test_anonymous_is_asked_for_who_they_are_on_a_listener_that_others_reach(
    tmp_path: Path,
) -> None:
    async with open_desk(tmp_path, anonymous=True) as desk:
        state = desk.services.state
        for server, admin in (
            ({}, {"host": "0.0.0.0"}),
            ({}, {"host": "::"}),
            ({"host": "0.0.0.0", "port": 8001}, {"port": 8001}),
        ):
            before = state.snapshot
            state.snapshot = replace(
                before,
                server=replace(before.server, **server),
                admin=replace(before.admin, **admin),
            )
            assert await _name(desk, None) == 401
            state.snapshot = before
        assert await _name(desk, None) == "anonymous"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"origin": "{own}"}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
async def test_a_foreign_page_changes_nothing_as_anonymous(
    tmp_path: Path, headers: dict[str, str], status: int
) -> None:
    async with open_desk(tmp_path, anonymous=True) as desk:
        sent = {name: value.format(own=desk.url) for name, value in headers.items()}

        assert (await desk.ask("POST", READ, who=Who(sent))).status == status


# --- without the store ---


async def test_while_the_store_is_away_only_the_token_of_the_configuration_is_known(
    desk: Desk, tmp_path: Path
) -> None:
    await desk.user("anna", Role.OWNER)
    anna = await desk.session("anna")
    service = await desk.token("ci", Role.OWNER)

    await desk.cut()

    assert await _name(desk, OWNER) == "token"
    for who in (anna, service):
        said = await desk.ask("GET", READ, who=who)
        assert (said.status, said.code) == (503, "store_down")
    assert (await desk.login("anna")).status == 503
    # What is no token of ours needs no store to be refused.
    assert await _name(desk, bearer(mint(PREFIX).reveal())) == 401
    assert await _name(desk, None) == 401
