"""Sessions: how they begin, end, and what opens one."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from proxy.control.admin.access import Role
from proxy.control.admin.sessions import COOKIE, IDLE, LONGEST, SEEN_EVERY, STEP, name_of, presented
from proxy.control.admin.web import Request
from proxy.core.clock import Hands
from proxy.core.secret import Secret
from tests.control.admin.desk import PASSWORD, Desk, Who, open_desk, with_session

ME = "/admin/me"


async def _is_in(desk: Desk, who: Who) -> bool:
    status = (await desk.ask("GET", ME, who=who)).status
    assert status in (200, 401)
    return status == 200


def _cookie(value: str) -> Who:
    return Who({"cookie": f"{COOKIE}={value}"})


async def test_the_cookie_is_for_this_host_alone_and_for_no_script(desk: Desk) -> None:
    await desk.user("anna")

    said = await desk.login("anna")

    parts = said.headers["set-cookie"].split("; ")
    assert parts[0].startswith("__Host-headrace=")
    assert set(parts[1:]) == {"Path=/", "Secure", "HttpOnly", "SameSite=Strict"}
    # 256 bits in base64.
    assert len(said.cookie) == 43
    assert said.headers["cache-control"] == "no-store"


async def test_the_store_has_a_hash_and_that_opens_nothing(either: Desk) -> None:
    await either.user("anna")
    said = await either.login("anna")

    rows = await either.store.fetch("SELECT id FROM sessions")

    assert rows == [(name_of(said.cookie),)]
    assert said.cookie not in rows[0][0]
    assert await _is_in(either, _cookie(said.cookie))
    assert not await _is_in(either, _cookie(rows[0][0]))
    assert not await _is_in(either, Who({"authorization": f"Bearer {rows[0][0]}"}))
    assert not await _is_in(either, Who({"authorization": f"Bearer {said.cookie}"}))


@pytest.mark.parametrize(
    "cookie",
    [
        "",
        f"{COOKIE}",
        f"{COOKIE}=",
        f"{COOKIE}=guess",
        "headrace={good}",
        "__Host-headrace2={good}",
        "{good}",
        # Put beside ours by somebody: it is not for us to choose.
        f"{COOKIE}={{good}}; {COOKIE}=other",
        f"{COOKIE}=other; {COOKIE}={{good}}",
        f'{COOKIE}="{{good}}"',
    ],
)
async def test_another_cookie_is_none(desk: Desk, cookie: str) -> None:
    await desk.user("anna")
    good = (await desk.login("anna")).cookie

    assert not await _is_in(desk, Who({"cookie": cookie.format(good=good)}))
    assert await _is_in(desk, Who({"cookie": f"theme=dark; {COOKIE}={good};x=1"}))


async def test_half_an_hour_of_silence_ends_it(either: Desk, hands: Hands) -> None:
    await either.user("anna")
    anna = await either.session("anna")

    hands.advance(IDLE - 1)
    assert await _is_in(either, anna)
    hands.advance(IDLE + STEP)
    assert await _is_in(either, anna)
    hands.advance(IDLE + STEP + 1)
    assert not await _is_in(either, anna)


async def test_twelve_hours_end_it_however_busy_it_is(desk: Desk, hands: Hands) -> None:
    await desk.user("anna")
    anna = await desk.session("anna")

    for _ in range(int(LONGEST / 900)):
        hands.advance(900)
        assert await _is_in(desk, anna)
    hands.advance(STEP + 1)
    assert not await _is_in(desk, anna)


@pytest.mark.parametrize(("step", "stays"), [(-STEP, True), (STEP, True), (-STEP - 1, False)])
async def test_a_clock_may_jump_a_minute(
    desk: Desk, hands: Hands, step: float, stays: bool
) -> None:
    await desk.user("anna")
    anna = await desk.session("anna")

    hands.set_wall(hands.now() + step)

    assert await _is_in(desk, anna) is stays


async def test_that_it_was_used_is_noted_once_a_minute(desk: Desk, hands: Hands) -> None:
    await desk.user("anna")
    anna = await desk.session("anna")
    began = hands.now()

    async def seen() -> float:
        await desk.ask("GET", ME, who=anna)
        return float((await desk.store.fetch("SELECT seen FROM sessions"))[0][0])

    hands.advance(SEEN_EVERY - 1)
    assert await seen() == began
    hands.advance(1)
    assert await seen() == began + SEEN_EVERY


async def test_signing_in_gives_another_id_and_ends_the_one_that_was_sent(either: Desk) -> None:
    await either.user("anna")
    first = await either.login("anna")

    second = await either.login("anna", cookie=f"{COOKIE}={first.cookie}")

    assert second.cookie != first.cookie
    assert second.json["csrf"] != first.json["csrf"]
    assert not await _is_in(either, _cookie(first.cookie))
    assert await _is_in(either, _cookie(second.cookie))


async def test_an_id_that_somebody_chose_is_never_taken_over(desk: Desk) -> None:
    await desk.user("anna")

    said = await desk.login("anna", cookie=f"{COOKIE}=chosen-by-somebody-else")

    assert said.cookie != "chosen-by-somebody-else"
    assert not await _is_in(desk, _cookie("chosen-by-somebody-else"))


async def test_signing_out_ends_it_on_our_side(desk: Desk) -> None:
    await desk.user("anna")
    one, other = await desk.session("anna"), await desk.session("anna")

    said = await desk.ask("POST", "/admin/logout", who=one)

    assert said.status == 204
    assert said.headers["set-cookie"].startswith(f"{COOKIE}=; Max-Age=0; ")
    assert not await _is_in(desk, one)
    assert await _is_in(desk, other)


async def test_signing_out_needs_the_csrf_token_too(desk: Desk) -> None:
    await desk.user("anna")
    anna = await desk.session("anna")
    cookie = Who({"cookie": anna.headers["cookie"], "sec-fetch-site": "same-origin"})

    assert (await desk.ask("POST", "/admin/logout", who=cookie)).code == "csrf"
    assert await _is_in(desk, anna)


@pytest.mark.parametrize(
    "change",
    [
        {"role": "operator"},
        {"team": "red"},
        {"enabled": False},
        {"password": "another long password"},
    ],
)
async def test_what_changes_an_account_ends_its_sessions(
    desk: Desk, change: dict[str, object]
) -> None:
    await desk.user("anna")
    await desk.user("berta")
    sessions = [await desk.session("anna"), await desk.session("anna")]
    berta = await desk.session("berta")

    assert (await desk.owner("PATCH", "/admin/users/anna", change)).status == 200

    assert [await _is_in(desk, one) for one in sessions] == [False, False]
    assert await _is_in(desk, berta)


async def test_another_name_alone_ends_none(desk: Desk) -> None:
    await desk.user("anna")
    anna = await desk.session("anna")

    assert (await desk.owner("PATCH", "/admin/users/anna", {"name": "anne"})).status == 200

    assert (await desk.ask("GET", ME, who=anna)).json["name"] == "user:anne"


async def test_deleting_a_user_ends_its_sessions(either: Desk) -> None:
    await either.user("anna")
    anna = await either.session("anna")

    assert (await either.owner("DELETE", "/admin/users/anna")).status == 204

    assert not await _is_in(either, anna)


async def test_an_owner_signs_somebody_out(desk: Desk) -> None:
    await desk.user("anna")
    anna = await desk.session("anna")

    listed = (await desk.owner("GET", "/admin/users/anna/sessions")).json["data"]
    ended = await desk.owner("DELETE", "/admin/users/anna/sessions")

    assert [one["peer"] for one in listed] == ["127.0.0.1"]
    assert "id" not in listed[0]
    assert ended.json == {"ended": 1}
    assert not await _is_in(desk, anna)


async def test_a_session_of_a_row_that_says_nonsense_is_none(desk: Desk) -> None:
    await desk.user("anna")
    anna = await desk.session("anna")
    for change, back in (
        ("role = 'emperor'", "role = 'viewer'"),
        ("enabled = 0", "enabled = 1"),
    ):
        await desk.store.execute("UPDATE users SET " + change)
        assert not await _is_in(desk, anna)
        await desk.store.execute("UPDATE users SET " + back)
        assert await _is_in(desk, anna)

    # No user, and not made by the account of the configuration either.
    await desk.store.execute("UPDATE sessions SET user_id = 0")
    assert not await _is_in(desk, anna)


def test_of_two_different_cookies_none_is_taken() -> None:
    def cookie(text: str) -> str:
        return presented(Request("GET", "/", {}, {"cookie": text}, b"", "", ""))

    for first, second in product("abcdefgh", repeat=2):
        found = cookie(f"{COOKIE}={first}; x=y; {COOKIE}={second}")
        assert found == (first if first == second else "")


async def test_an_odd_browser_signs_in_as_well(either: Desk) -> None:
    await either.user("anna")

    said = await either.login("anna", user_agent="Mozilla/5.0 \u00e9\u202e" + "x" * 500)

    assert said.status == 200
    agent = (await either.store.fetch("SELECT agent FROM sessions"))[0][0]
    assert agent.startswith("Mozilla/5.0 ")
    assert len(agent) <= 200
    assert "\u202e" not in agent


async def test_all_workers_know_at_once(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as one, open_desk(tmp_path) as other:
        await one.user("anna")
        anna = await one.session("anna")
        service = await one.token("ci", Role.VIEWER)
        assert await _is_in(other, anna)
        assert await _is_in(other, service)

        await other.ask("POST", "/admin/logout", who=anna)
        await other.owner("DELETE", "/admin/tokens/ci")
        for _ in range(5):
            await other.login("anna", "wrong")

        assert not await _is_in(one, anna)
        assert not await _is_in(one, service)
        assert (await one.login("anna")).status == 429


# --- the configuration's own account ---

OWN: dict[str, Any] = {"username": "root", "password": PASSWORD}


async def test_another_password_in_the_configuration_ends_its_sessions(tmp_path: Path) -> None:
    async with open_desk(tmp_path, **OWN) as desk:
        root = with_session(await desk.login("root"))
        assert (await desk.ask("GET", ME, who=root)).json["role"] == "owner"

        state = desk.services.state
        admin = replace(state.snapshot.admin, password=Secret("now another password"))
        state.snapshot = replace(state.snapshot, admin=admin)
        assert not await _is_in(desk, root)

        state.snapshot = replace(state.snapshot, admin=replace(admin, password=None))
        assert not await _is_in(desk, root)


async def test_its_session_is_found_and_ended_like_others(tmp_path: Path) -> None:
    async with open_desk(tmp_path, **OWN) as desk:
        root = with_session(await desk.login("root"))
        assert (await desk.ask("POST", "/admin/logout", who=root)).status == 204

        assert not await _is_in(desk, root)
        assert await desk.store.fetch("SELECT id FROM sessions") == []


async def test_one_that_is_over_is_nowhere_that_a_user_is_signed_in(
    either: Desk, hands: Hands
) -> None:
    await either.user("anna")
    await either.session("anna")
    path = "/admin/users/anna/sessions"
    assert len((await either.owner("GET", path)).json["data"]) == 1

    hands.advance(IDLE + STEP + 1)

    assert (await either.owner("GET", path)).json["data"] == []
