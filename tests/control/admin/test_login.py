"""Signing in, and what one may do about oneself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from argon2 import PasswordHasher
from msgspec.structs import replace

from proxy.control.admin import passwords
from proxy.control.admin.access import Role
from proxy.control.admin.lockout import PER_MINUTE, Peers
from proxy.control.admin.passwords import QUEUE, THREADS, is_stale
from proxy.core.clock import Hands
from proxy.core.secret import Secret
from tests.control.admin.desk import OWNER, PASSWORD, Desk, Who, open_desk, with_session

HASHED = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1).hash(PASSWORD)
WEAK = PasswordHasher(time_cost=1, memory_cost=8_192, parallelism=1).hash(PASSWORD)


async def test_who_knows_the_password_is_told_who_they_are(desk: Desk) -> None:
    id = await desk.user("anna", Role.OPERATOR, team="red")

    said = await desk.login("anna")
    again = await desk.ask("GET", "/admin/session", who=with_session(said))

    assert said.status == 200
    assert said.json["name"] == "user:anna"
    assert (said.json["id"], said.json["role"], said.json["team"]) == (id, "operator", "red")
    assert "keys" in said.json["permissions"]
    assert "configure" not in said.json["permissions"]
    assert again.json["csrf"] == said.json["csrf"]


async def test_what_is_wrong_is_not_said(desk: Desk) -> None:
    await desk.user("anna")
    await desk.user("berta", enabled=False)

    refusals = [
        await desk.login("anna", "wrong"),
        await desk.login("nobody", "wrong"),
        await desk.login("berta", "wrong"),
        await desk.login("berta"),
        await desk.login("anna", ""),
        await desk.login("ANNA"),
    ]

    assert {said.status for said in refusals} == {401}
    assert all(said.problem == refusals[0].problem for said in refusals)
    assert refusals[0].code == "wrong_credentials"
    assert not [said for said in refusals if "set-cookie" in said.headers]
    assert desk.services.state.metrics.auth_failures.child("admin_login").value == 6


async def test_an_account_that_is_none_costs_a_hash_too(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.user("anna")
    await desk.user("berta", enabled=False)
    verified: list[str] = []
    real = passwords._hasher().verify

    class Counting:
        def verify(self, kept: str, password: bytes) -> bool:
            verified.append(kept[:40])
            return real(kept, password)

    monkeypatch.setattr(passwords, "_hasher", Counting)
    for name in ("anna", "berta", "nobody"):
        assert (await desk.login(name, "wrong")).status == 401

    assert len(verified) == 3
    assert len({kept.rpartition("$")[0] for kept in verified}) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"username":"anna"}',
        b'{"username":"anna","password":null}',
        b'{"username":"anna","password":1}',
        b'{"username":["anna"],"password":"x"}',
        b'{"username":"anna\\u0000","password":"x"}',
        b'{"username":"anna","password":"\\ud800"}',
        b'{"username":"anna","password":"correct horse battery staple","role":"owner"}',
        b'{"username":"anna","password":"x","username":"berta"}',
        b"username=anna&password=x",
    ],
)
async def test_a_body_that_is_none_is_refused_and_not_repeated(desk: Desk, body: bytes) -> None:
    said = await desk.ask("POST", "/admin/login", body, Who(desk.origin))

    assert said.status == 400
    assert b"correct horse" not in said.body


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data", ""]
)
async def test_a_form_signs_nobody_in(desk: Desk, kind: str) -> None:
    await desk.user("anna")

    said = await desk.login("anna", content_type=kind)

    assert said.status == 415


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "none"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
    ],
)
async def test_a_page_of_somebody_else_signs_nobody_in(desk: Desk, headers: dict[str, str]) -> None:
    await desk.user("anna")
    content = {"username": "anna", "password": PASSWORD}

    said = await desk.ask("POST", "/admin/login", content, Who(headers))

    assert (said.status, said.code) == (403, "csrf")
    assert "set-cookie" not in said.headers


async def test_a_program_names_the_origin(desk: Desk) -> None:
    await desk.user("anna")
    content = {"username": "anna", "password": PASSWORD}

    assert (await desk.ask("POST", "/admin/login", content, origin=desk.url)).status == 200


async def test_an_old_cookie_or_a_wrong_token_keeps_nobody_from_signing_in(desk: Desk) -> None:
    await desk.user("anna")

    assert (await desk.login("anna", cookie="__Host-headrace=old")).status == 200
    assert (await desk.login("anna", authorization="Bearer wrong")).status == 200


async def test_a_weak_hash_is_made_anew_when_its_password_is_there(desk: Desk) -> None:
    await desk.user("anna")
    await desk.store.execute("UPDATE users SET password = $1", WEAK)

    assert (await desk.login("anna", "wrong")).status == 401
    assert await desk.store.fetch("SELECT password FROM users") == [(WEAK,)]
    assert (await desk.login("anna")).status == 200

    kept = (await desk.store.fetch("SELECT password FROM users"))[0][0]
    assert not is_stale(kept)
    assert (await desk.login("anna")).status == 200


class Held:
    """The real hasher, whose verdict on a password is kept back until it is asked for."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Barrier(2)
        self.hash = passwords._hasher().hash
        self.check_needs_rehash = passwords._hasher().check_needs_rehash
        self._verify = passwords._hasher().verify

    def verify(self, kept: str, password: bytes) -> bool:
        verdict = self._verify(kept, password)
        self.begun.set()
        self.go_on.wait(20.0)
        return verdict


async def test_a_password_that_is_changed_while_it_is_verified_opens_nothing(
    either: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await either.user("anna")
    held = Held()
    monkeypatch.setattr(passwords, "_hasher", lambda: held)
    signing_in = asyncio.ensure_future(either.login("anna"))
    await asyncio.to_thread(held.begun.wait, 20.0)

    reset = await either.owner("PATCH", "/admin/users/anna", {"password": "another long password"})
    await asyncio.to_thread(held.go_on.wait, 20.0)

    assert reset.status == 200
    assert (await signing_in).status == 401
    assert await either.store.fetch("SELECT id FROM sessions") == []


async def test_a_password_that_an_owner_gave_meanwhile_stays(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.user("anna")
    anna = await desk.session("anna")
    held = Held()
    monkeypatch.setattr(passwords, "_hasher", lambda: held)
    content = {"current": PASSWORD, "password": "a password of anna's"}
    changing = asyncio.ensure_future(desk.ask("PUT", "/admin/me/password", content, anna))
    await asyncio.to_thread(held.begun.wait, 20.0)

    reset = await desk.owner("PATCH", "/admin/users/anna", {"password": "another long password"})
    await asyncio.to_thread(held.go_on.wait, 20.0)

    assert reset.status == 200
    assert (await changing).status == 403
    monkeypatch.undo()
    assert (await desk.login("anna", "another long password")).status == 200


async def test_two_who_sign_in_by_a_weak_hash_at_once_are_both_in(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.user("anna")
    await desk.store.execute("UPDATE users SET password = $1", WEAK)
    held = Held()
    monkeypatch.setattr(passwords, "_hasher", lambda: held)

    both = await asyncio.gather(desk.login("anna"), desk.login("anna"))

    assert [said.status for said in both] == [200, 200]


# --- brakes ---


async def test_the_fifth_failure_locks_even_the_right_password_out(
    desk: Desk, hands: Hands
) -> None:
    await desk.user("anna")
    for _ in range(5):
        assert (await desk.login("anna", "wrong")).status == 401

    said = await desk.login("anna")
    assert (said.status, said.code, said.headers["retry-after"]) == (429, "too_many", "1")

    hands.advance(1.0)
    assert (await desk.login("anna")).status == 200


async def test_an_account_that_is_none_is_locked_alike(desk: Desk) -> None:
    await desk.user("anna")
    answers = {}
    for name in ("anna", "nobody"):
        for _ in range(5):
            await desk.login(name, "wrong")
        desk.services.door.logins._seen.clear()
        said = await desk.login(name, "wrong")
        answers[name] = (said.status, said.problem, said.headers.get("retry-after"))

    assert answers["anna"] == answers["nobody"]
    assert answers["anna"][0] == 429


async def test_an_owner_unlocks_an_account(desk: Desk) -> None:
    await desk.user("anna")
    for _ in range(6):
        await desk.login("anna", "wrong")

    assert (await desk.owner("POST", "/admin/users/anna/unlock")).status == 204

    assert (await desk.login("anna")).status == 200


async def test_an_address_has_ten_tries_a_minute_whatever_the_names(
    desk: Desk, hands: Hands
) -> None:
    await desk.user("anna")
    for number in range(PER_MINUTE):
        assert (await desk.login(f"name{number}", "wrong")).status == 401

    said = await desk.login("anna")
    assert (said.status, said.headers["retry-after"]) == (429, "60")

    content = {"username": "anna", "password": PASSWORD}
    connector = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
    async with (
        aiohttp.ClientSession(connector=connector) as other,
        other.post(f"{desk.url}/admin/login", json=content, headers=desk.origin) as answer,
    ):
        assert answer.status == 200

    hands.advance(60.0)
    assert (await desk.login("anna")).status == 200


async def test_a_crowd_is_told_to_come_back_and_locks_no_account(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.user("anna")
    gate = desk.services.door.gate
    monkeypatch.setattr(gate, "_taken", THREADS + QUEUE)

    for _ in range(20):
        # From everywhere, as it were.
        desk.services.door.logins = Peers()
        said = await desk.login("anna")
        assert (said.status, said.headers["retry-after"]) == (429, "1")

    monkeypatch.setattr(gate, "_taken", 0)
    desk.services.door.logins = Peers()
    assert (await desk.login("anna")).status == 200


async def test_while_passwords_are_hashed_other_requests_go_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    class Stuck:
        def verify(self, kept: str, password: bytes) -> bool:
            return go_on.wait(20.0)

    monkeypatch.setattr(passwords, "_hasher", Stuck)
    logins = [asyncio.ensure_future(desk.login(f"n{n}", "wrong")) for n in range(PER_MINUTE)]
    try:
        for _ in range(20):
            assert (await desk.ask("GET", "/admin/probe/read", who=OWNER)).status == 200
        assert not any(one.done() for one in logins)
    finally:
        go_on.set()

    assert {(await one).status for one in logins} == {401}


# --- the configuration's own account ---


@pytest.fixture(params=[PASSWORD, HASHED, WEAK], ids=["plain", "hashed", "weak"])
async def own(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path, username="root", password=request.param, token="t" * 20) as one:
        yield one


async def test_the_account_of_the_configuration_is_an_owner(own: Desk) -> None:
    said = await own.login("root")

    assert (said.status, said.json["role"], said.json["id"]) == (200, "owner", None)
    assert (await own.ask("POST", "/admin/probe/users", who=with_session(said))).status == 200


async def test_its_session_ends_when_its_browser_signs_somebody_else_in(own: Desk) -> None:
    root = with_session(await own.login("root"))
    anna = {"name": "anna", "role": "viewer", "password": PASSWORD}
    assert (await own.ask("POST", "/admin/users", anna, root)).status == 201

    assert (await own.login("anna", cookie=root.headers["cookie"])).status == 200

    assert (await own.ask("GET", "/admin/me", who=root)).status == 401


@pytest.mark.parametrize(
    ("name", "password"),
    [("root", "wrong"), ("root", ""), ("root", HASHED), ("root", WEAK), ("admin", PASSWORD)],
    ids=["wrong", "empty", "its hash", "a weak hash", "another name"],
)
async def test_only_with_its_password(own: Desk, name: str, password: str) -> None:
    assert (await own.login(name, password)).status == 401


async def test_it_is_changed_in_the_configuration(own: Desk) -> None:
    root = with_session(await own.login("root"))
    content = {"current": PASSWORD, "password": "another long password"}

    for said in (
        await own.ask("PUT", "/admin/me/password", content, root),
        await own.ask("PUT", "/admin/me", {"name": "boss"}, root),
    ):
        assert (said.status, said.code) == (409, "no_user")


async def test_its_name_is_taken(own: Desk) -> None:
    root = with_session(await own.login("root"))
    content = {"name": "root", "role": "viewer", "password": "another long password"}

    said = await own.ask("POST", "/admin/users", content, root)

    assert (said.status, said.code) == (409, "conflict")
    assert "admin.username" in said.json["detail"]


async def test_a_user_of_its_name_from_before_does_not_stand_in_for_it(own: Desk) -> None:
    await own.store.execute(
        "INSERT INTO users (name, password, role, created, updated) VALUES ($1, $2, $3, $4, $4)",
        "root",
        PasswordHasher(time_cost=1, memory_cost=8_192, parallelism=1).hash("the users own word"),
        "viewer",
        0.0,
    )

    assert (await own.login("root", "the users own word")).status == 401
    assert (await own.login("root")).json["role"] == "owner"


async def test_its_password_changes_no_users_of_the_same_name(desk: Desk) -> None:
    await desk.user("root")
    session = await desk.session("root")
    state = desk.services.state
    admin = replace(state.snapshot.admin, username="root", password=Secret("of the configuration"))
    state.snapshot = replace(state.snapshot, admin=admin)
    content = {"current": "of the configuration", "password": "another long password"}

    said = await desk.ask("PUT", "/admin/me/password", content, session)

    assert (said.status, said.code) == (403, "wrong_password")


# --- oneself ---


async def test_everybody_says_who_they_are(desk: Desk) -> None:
    assert (await desk.ask("GET", "/admin/me", who=OWNER)).json["name"] == "token"
    service = await desk.token("ci", Role.VIEWER)
    said = await desk.ask("GET", "/admin/session", who=service)
    assert (said.json["name"], said.json["csrf"]) == ("service:ci", None)


async def test_another_password_is_given_with_the_one_so_far(desk: Desk) -> None:
    await desk.user("anna")
    one, other = await desk.session("anna"), await desk.session("anna")
    content = {"current": PASSWORD, "password": "another long password"}

    said = await desk.ask("PUT", "/admin/me/password", content, one)

    assert said.status == 200
    fresh = with_session(said)
    for old in (one, other):
        assert (await desk.ask("GET", "/admin/me", who=old)).status == 401
    assert (await desk.ask("POST", "/admin/probe/read", who=fresh)).status == 200
    assert (await desk.login("anna")).status == 401
    assert (await desk.login("anna", "another long password")).status == 200


async def test_another_name_is_no_more_guesses(either: Desk) -> None:
    await either.user("anna")
    anna = await either.session("anna")
    content = {"current": "wrong", "password": "another long password"}
    for _ in range(5):
        await either.ask("PUT", "/admin/me/password", content, anna)

    for who, path, name in (
        (anna, "/admin/me", "anne"),
        (OWNER, "/admin/users/anne", "anja"),
    ):
        await either.login(name, "wrong")  # what others tried under it
        method = "PUT" if who is anna else "PATCH"
        assert (await either.ask(method, path, {"name": name}, who)).status == 200
        said = await either.ask("PUT", "/admin/me/password", content, anna)
        assert (said.status, said.code) == (429, "too_many")


async def test_without_it_there_is_none_and_guesses_are_counted(desk: Desk) -> None:
    await desk.user("anna")
    anna = await desk.session("anna")
    content = {"current": "wrong", "password": "another long password"}

    said = [await desk.ask("PUT", "/admin/me/password", content, anna) for _ in range(6)]

    assert [one.code for one in said] == ["wrong_password"] * 5 + ["too_many"]
    assert (await desk.ask("GET", "/admin/me", who=anna)).status == 200


@pytest.mark.parametrize("password", ["short", "anna-anna-anna", "aaaaaaaaaaaaaaaa", "x" * 257])
async def test_a_password_that_is_tried_first_is_none(desk: Desk, password: str) -> None:
    await desk.user("anna-anna-anna")
    anna = await desk.session("anna-anna-anna")
    content = {"current": PASSWORD, "password": password}

    said = await desk.ask("PUT", "/admin/me/password", content, anna)

    assert (said.status, said.code) == (400, "invalid")
    assert said.json["errors"][0]["field"] == "password"
    assert password.encode() not in said.body


@pytest.mark.parametrize(
    "extra", [{"role": "owner"}, {"team": "blue"}, {"enabled": True}, {"id": 1}, {"password": "x"}]
)
async def test_nobody_says_of_themselves_what_they_may(desk: Desk, extra: dict[str, Any]) -> None:
    await desk.user("anna")
    anna = await desk.session("anna")

    said = await desk.ask("PUT", "/admin/me", {"name": "anne"} | extra, anna)

    assert (said.status, said.code) == (400, "invalid")
    assert (await desk.ask("GET", "/admin/me", who=anna)).json["role"] == "viewer"
    assert (await desk.ask("GET", "/admin/me", who=anna)).json["name"] == "user:anna"


async def test_another_name_is_ones_own_affair_unless_it_is_taken(desk: Desk) -> None:
    await desk.user("anna")
    await desk.user("berta")
    anna = await desk.session("anna")

    assert (await desk.ask("PUT", "/admin/me", {"name": "berta"}, anna)).status == 409
    assert (await desk.ask("PUT", "/admin/me", {"name": "anne"}, anna)).status == 200
    assert (await desk.ask("GET", "/admin/me", who=anna)).json["name"] == "user:anne"


async def test_what_happened_is_in_the_audit_log_without_a_secret(desk: Desk) -> None:
    await desk.user("anna")
    anna = await desk.session("anna")
    content = {"current": PASSWORD, "password": "another long password"}
    await desk.ask("PUT", "/admin/me/password", content, anna)

    rows = await desk.store.fetch("SELECT action, kind, principal, peer FROM audit ORDER BY id")
    everything = repr(await desk.store.fetch("SELECT * FROM audit"))

    assert rows == [
        ("create", "user", "token", "127.0.0.1"),
        ("login", "session", "user:anna", "127.0.0.1"),
        ("password", "user", "user:anna", "127.0.0.1"),
    ]
    for secret in (PASSWORD, "another long password", "argon2", anna.headers["x-headrace-csrf"]):
        assert secret not in everything


async def test_the_token_of_the_configuration_begins_a_session(desk: Desk) -> None:
    said = await desk.ask("POST", "/admin/session", who=OWNER)
    again = await desk.ask("GET", "/admin/session", who=with_session(said))

    assert (said.status, said.json["name"], said.json["role"]) == (200, "token", "owner")
    assert (again.status, again.json["name"], again.json["csrf"]) == (
        200,
        "token",
        said.json["csrf"],
    )
    assert (await desk.ask("POST", "/admin/logout", who=with_session(said))).status == 204
    assert (await desk.ask("GET", "/admin/session", who=with_session(said))).status == 401


async def test_a_session_of_a_token_ends_with_the_token(desk: Desk) -> None:
    said = await desk.ask("POST", "/admin/session", who=OWNER)
    state = desk.services.state
    admin = replace(state.snapshot.admin, token=Secret("another-token-of-the-admin"))
    state.use(replace(state.snapshot, admin=admin))

    assert (await desk.ask("GET", "/admin/session", who=with_session(said))).status == 401


async def test_only_the_token_of_the_configuration_begins_one(desk: Desk) -> None:
    await desk.user("anna", Role.OWNER)
    mine = with_session(await desk.login("anna"))

    assert (await desk.ask("POST", "/admin/session", who=mine)).code == "no_session"
    assert (await desk.ask("POST", "/admin/session", who=Who())).status == 401
