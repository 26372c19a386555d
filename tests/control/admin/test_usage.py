"""Who is limited and what they have taken, and a quota or a budget begun anew: here, and in the database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from proxy.control.admin.access import Role
from proxy.core.clock import Hands, now
from proxy.core.model import Budget, Limits
from proxy.ledger.reading import Reader
from proxy.ledger.records import Charged
from proxy.ledger.spool import Full, Spool
from proxy.limits.accounts import Accounts, Ask, Used
from proxy.limits.subjects import of_credential, of_deployment, of_key, of_team
from proxy.store.ledger.booking import book
from tests.control.admin.office import Office, open_office, problem
from tests.store.ledger.made import counted, end

LIMITED: dict[str, Any] = {
    "providers": {
        "lab": {
            "base_url": "http://127.0.0.1:9",
            "allow_private": True,
            "credentials": [{"key": "sk-of-the-lab-00001", "quota": {"requests": 100}}],
        }
    },
    "models": {
        "m": {
            "rpm": 600,
            "deployments": [
                {"provider": "lab", "quota": {"requests": 10, "tokens": 5000}},
                {"provider": "lab", "model": "other"},
            ],
        }
    },
    "teams": {"red": {"budget": {"usd": 50}}, "blue": {"concurrency": 5}},
    "keys": [
        {"name": "app", "key": "sk-key-of-the-app-01", "team": "red", "budget": {"usd": 3.5}},
        {"name": "fast", "key": "sk-key-of-the-fast-1", "team": "blue", "rpm": 60},
        {"name": "free", "key": "sk-key-of-the-free-1"},
    ],
    "limits": {"concurrency": 100},
}
DEPLOYMENT = "m/0:lab"


@pytest.fixture
async def office(tmp_path: Path, store_url: str, hands: Hands) -> AsyncIterator[Office]:
    """Half past an hour, so no window ends."""
    hands.advance(1800 - now() % 3600)
    async with open_office(tmp_path, store_url, **LIMITED) as one:
        state = one.services.state
        state.accounts = Accounts.memory()
        state.spool = await asyncio.to_thread(Spool, tmp_path / "ledger", "0", size=1 << 28)
        yield one
        await asyncio.to_thread(state.spool.close)
        state.accounts.close()


def use(office: Office, tokens: int = 100, micro: int = 1_000_000, times: int = 3) -> None:
    """Requests of `app` at the first deployment; one more is under way."""
    state = office.services.state
    snapshot, accounts = state.snapshot, state.accounts
    assert accounts is not None
    deployment = snapshot.models["m"].tiers[0][0]
    key = next(one for one in snapshot.keys.values() if one.name == "app")
    subjects = [
        of_key(key),
        of_team("red", snapshot.teams["red"]),
        of_deployment(deployment),
        of_credential(deployment.provider.credentials[0]),
    ]
    for number in range(times + 1):
        hold = accounts.admit([one for one in subjects if one is not None], Ask(tokens, 5, 50))
        if number < times:
            accounts.settle(hold, Used(tokens, micro))


async def usage(office: Office, query: str = "") -> dict[str, Any]:
    page = await office.shown(f"/admin/usage?limit=1000&{query}")
    return {f"{one['scope']}:{one['name']}": one for one in page["data"]}


async def test_everybody_who_is_limited_is_listed(office: Office) -> None:
    found = await usage(office)

    assert list(found) == [
        "credential:lab#0",
        f"deployment:{DEPLOYMENT}",
        "global:global",
        "key:app",
        "key:fast",
        "model:m",
        "team:blue",
        "team:red",
    ]
    assert (found["model:m"]["rpm"], found["team:blue"]["concurrency"]) == (600, 5)
    assert (await office.shown("/admin/limits"))["known"] is True


async def test_what_they_have_taken(office: Office) -> None:
    use(office)

    found = await usage(office)

    app, deployment = found["key:app"], found[f"deployment:{DEPLOYMENT}"]
    start, ends = app["budget"].pop("start"), app["budget"].pop("ends")
    assert start <= now() < ends
    assert app["inflight"] == 1
    assert app["budget"] == {
        "limit": 3.5,
        "spent": 3.0,
        "spent_micro": 3_000_000,
        "reserved": 0.000005,
        "remaining": 0.5,
        "strict": False,
    }
    assert found["team:red"]["budget"]["remaining"] == 47.0
    quota = deployment["quota"]
    assert (quota["requests"], quota["limit_requests"]) == (3, 10)
    assert (quota["tokens"], quota["limit_tokens"]) == (300, 5000)
    assert quota["ends"] - quota["start"] == 86_400
    assert found["credential:lab#0"]["quota"]["limit_tokens"] is None
    assert found["team:blue"]["budget"] is None


async def test_it_is_searched_and_read_in_pages(office: Office) -> None:
    assert list(await usage(office, "scope=key")) == ["key:app", "key:fast"]
    assert list(await usage(office, "name=red")) == ["team:red"]
    assert list(await usage(office, "scope=key&ids=fast,free,nobody")) == ["key:fast"]
    assert list(await usage(office, "scope=key&ids=")) == []
    assert list(await usage(office, "team=red")) == ["key:app", "team:red"]

    seen: list[str] = []
    path = "/admin/usage?limit=3"
    while path:
        page = await office.shown(path)
        seen += [one["name"] for one in page["data"]]
        path = page["next"] and f"/admin/usage?limit=3&after={page['next']}"
    assert len(seen) == len(set(seen)) == 8


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("scope=all", "scope"),
        ("after=WzEsN10", "after"),
        ("kind=key", "kind"),
        ("limit=0", "limit"),
    ],
)
async def test_what_cannot_be_meant_is_refused(office: Office, query: str, field: str) -> None:
    said = await office.owner("GET", f"/admin/usage?{query}")

    assert problem(said) == (400, "invalid", [field])


async def test_who_has_a_team_sees_it_and_its_keys(office: Office) -> None:
    red = await office.token("red", Role.OPERATOR, team="red")

    page = (await office.ask("GET", "/admin/usage", None, red)).json
    of_others = [
        await office.ask("POST", "/admin/usage/reset", {scope: name}, red)
        for scope, name in (("team", "blue"), ("deployment", DEPLOYMENT), ("key", "fast"))
    ]
    own = await office.ask("POST", "/admin/usage/reset", {"key": "app"}, red)

    assert [one["name"] for one in page["data"]] == ["app", "red"]
    assert [said.status for said in of_others] == [404, 404, 404]
    assert own.status == 200


async def test_among_many_keys_others_have_a_turn(office: Office) -> None:
    rows = [{"name": f"k{number:04}", "rpm": 5} for number in range(1000)]
    for first in (0, 1000):
        body = [{**row, "name": f"{row['name']}-{first}"} for row in rows]
        assert (await office.owner("POST", "/admin/keys/batch", body)).status < 300

    found = await usage(office, "scope=key")  # the guard of the loop would say

    assert len(found) == 1000
    assert list(found) == sorted(found, key=lambda name: found[name]["id"])


# --- of a key ---


async def test_a_key_says_what_it_has_used(office: Office) -> None:
    made = await office.made("/admin/keys", {"name": "stored", "budget": {"usd": 10}})
    use(office)

    stored = await office.owner("GET", "/admin/keys/stored")
    again = await office.owner("GET", "/admin/keys/stored", if_none_match=stored.headers["etag"])
    filed = await office.shown("/admin/keys/app")
    free = await office.shown("/admin/keys/free")

    assert stored.json["usage"]["budget"]["remaining"] == 10.0
    assert again.status == 200
    assert filed["usage"]["budget"]["spent"] == 3.0
    assert filed["usage"]["inflight"] == 1
    assert free["usage"] is None
    assert "usage" not in made


async def test_a_key_may_be_sent_back_as_it_came(office: Office) -> None:
    await office.made("/admin/keys", {"name": "stored", "budget": {"usd": 10}})
    shown = await office.shown("/admin/keys/stored")

    said = await office.owner("PUT", "/admin/keys/stored", shown)

    assert (said.status, said.json["revision"]) == (200, shown["revision"])


# --- resets ---


async def recorded(office: Office) -> list[Any]:
    """What the spool has."""
    spool = office.services.state.spool
    assert spool is not None
    await asyncio.to_thread(spool.close)
    batch = await asyncio.to_thread(Reader(office.folder / "ledger").take, 100)
    return [] if batch is None else list(batch.records)


async def test_a_quota_begins_anew_and_the_database_follows(office: Office) -> None:
    use(office)
    deployment = (await usage(office))[f"deployment:{DEPLOYMENT}"]
    window = deployment["quota"]["start"], deployment["quota"]["ends"]
    charges = (Charged(f"deployment:{DEPLOYMENT}", *window),)
    await book(office.store, "here", [end(f"{n}", now(), charges=charges) for n in range(2)])
    await book(office.store, "there", [end("3", now(), charges=charges)])

    said = await office.owner("POST", "/admin/usage/reset", {"deployment": DEPLOYMENT})

    assert said.status == 200, said.body
    assert said.json["before"]["quota"]["requests"] == 3
    assert (said.json["now"]["quota"]["requests"], said.json["now"]["quota"]["tokens"]) == (0, 0)
    assert (await usage(office))["key:app"]["budget"]["spent"] == 3.0
    await book(office.store, "here", await recorded(office))
    assert await counted(office.store, f"deployment:{DEPLOYMENT}") == (0, -90, 210)
    (row,) = await office.trail(action="usage.reset")
    assert (row["kind"], row["name"], row["principal"]) == ("deployment", DEPLOYMENT, "token")
    assert row["before"]["quota"]["requests"] == 3


async def test_a_budget_begins_anew(office: Office) -> None:
    use(office)

    said = await office.owner("POST", "/admin/usage/reset", {"key": "app"})

    assert said.json["now"]["budget"]["spent"] == 0.0
    assert said.json["now"]["budget"]["remaining"] == 3.5
    assert (await usage(office))["team:red"]["budget"]["spent"] == 3.0
    (record,) = await recorded(office)
    assert (record.charge.subject, record.requests, record.tokens, record.cost) == (
        "key:app",
        0,
        0,
        -3_000_000,
    )


async def test_a_team_reads_of_what_was_reset_for_it_alone(office: Office) -> None:
    office.services.state.use(
        replace(
            office.services.state.snapshot,
            teams={name: Limits(budget=Budget(9.0, "day")) for name in ("red", "blue")},
        )
    )
    for body in ({"key": "app"}, {"team": "red"}, {"team": "blue"}):
        assert (await office.owner("POST", "/admin/usage/reset", body)).status == 200
    admins = {team: await office.token(team, Role.ADMIN, team=team) for team in ("red", "blue")}

    told = {
        team: (await office.ask("GET", "/admin/audit?action=usage.reset", None, who)).json["data"]
        for team, who in admins.items()
    }

    seen = {team: [(row["kind"], row["name"]) for row in rows] for team, rows in told.items()}
    assert seen == {"red": [("team", "red"), ("key", "app")], "blue": [("team", "blue")]}


async def test_nothing_that_was_used_leaves_no_record(office: Office) -> None:
    assert (await office.owner("POST", "/admin/usage/reset", {"credential": "lab#0"})).status == 200

    assert await recorded(office) == []


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, (400, "invalid", [""])),
        ({"key": "app", "team": "red"}, (400, "invalid", [""])),
        ({"user": "anna"}, (400, "invalid", ["user"])),
        ({"key": 7}, (400, "invalid", ["key"])),
        ({"global": "yes"}, (400, "invalid", ["global"])),
        ({"key": "nobody"}, (404, "not_found", [])),
        ({"key": "fast"}, (409, "conflict", [])),
        ({"key": "free"}, (404, "not_found", [])),
        ({"deployment": "m/1:lab"}, (409, "conflict", [])),
        ({"global": True}, (409, "conflict", [])),
    ],
)
async def test_what_cannot_begin_anew(office: Office, body: Any, expected: Any) -> None:
    said = await office.owner("POST", "/admin/usage/reset", body)

    assert problem(said) == expected
    assert await office.trail(action="usage.reset") == []


async def test_what_cannot_be_recorded_is_not_done(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(office)
    spool = office.services.state.spool
    assert spool is not None
    await asyncio.to_thread(spool.close)  # from now on it has no room
    with pytest.raises(Full):
        spool.append(b"x" * 100, vital=True)

    said = await office.owner("POST", "/admin/usage/reset", {"deployment": DEPLOYMENT})

    assert (said.status, said.code) == (503, "store_down")
    quota = (await usage(office))[f"deployment:{DEPLOYMENT}"]["quota"]
    assert (quota["requests"], quota["tokens"]) == (3, 300)


async def test_where_nothing_is_counted_nothing_is_reset(tmp_path: Path) -> None:
    async with open_office(tmp_path, **LIMITED) as office:
        said = await office.owner("POST", "/admin/usage/reset", {"key": "app"})
        page = await office.shown("/admin/usage?scope=key&name=app")

    assert (said.status, said.code) == (409, "conflict")
    assert page["known"] is False
    assert page["data"][0]["budget"]["spent"] == 0.0


async def test_what_nobody_knows_yet_is_not_reset(tmp_path: Path) -> None:
    async with open_office(tmp_path, **LIMITED) as office:
        state = office.services.state
        state.accounts = await asyncio.to_thread(Accounts.open, tmp_path / "limits.shm", 0, 1)
        said = await office.owner("POST", "/admin/usage/reset", {"key": "app"})
        state.accounts.close()

    assert said.status == 503
