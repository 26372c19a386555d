"""The audit log: every write, by whom, from what to what, and never a secret."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.control.admin.access import Role
from tests.control.admin.office import CREDENTIAL, Office, open_office, problem


@pytest.fixture
async def office(tmp_path: Path, store_url: str) -> AsyncIterator[Office]:
    async with open_office(tmp_path, store_url) as one:
        yield one


async def test_every_write_leaves_one_row_for_each_object(office: Office) -> None:
    anna = await office.token("anna", Role.ADMIN)
    said = await office.ask("POST", "/admin/models", {"name": "m", "aliases": ["n"]}, anna)
    changed = await office.ask("PATCH", "/admin/models/m", {"aliases": []}, anna)
    await office.ask("DELETE", "/admin/models/m", None, anna)

    rows = await office.trail(kind="model")

    assert [row["action"] for row in rows] == ["model.delete", "model.update", "model.create"]
    assert {row["principal"] for row in rows} == {"service:anna"}
    assert {row["peer"] for row in rows} == {"127.0.0.1"}
    assert rows[1]["request"] == changed.headers["x-request-id"] != said.headers["x-request-id"]
    assert [(row["before"], row["after"]) for row in rows] == [
        ({"aliases": []}, None),
        ({"aliases": ["n"]}, {"aliases": []}),
        (None, {"aliases": ["n"]}),
    ]
    assert rows[2]["revision"] == rows[2]["object"] == said.json["id"]


async def test_what_is_refused_leaves_none(office: Office) -> None:
    await office.owner("POST", "/admin/models", {"name": "m", "strategy": "best"})
    await office.owner("DELETE", "/admin/providers/filed")

    assert await office.trail() == []


async def test_no_secret_is_in_it(office: Office) -> None:
    await office.lab()
    key = (await office.made("/admin/keys", {"name": "app"}))["key"]
    await office.made(
        "/admin/models", {"name": "m", "param_overrides": {"api_key": "hidden-in-a-parameter"}}
    )
    await office.owner("PATCH", "/admin/credentials/2", {"key": "sk-another-credential-1"})
    await office.owner("POST", "/admin/keys/app/rotate")

    text = repr(await office.store.fetch("SELECT * FROM audit"))

    for secret in (CREDENTIAL, "sk-another-credential-1", key, "hidden-in-a-parameter", "digest"):
        assert secret not in text
    [given, changed] = await office.trail(kind="credential")
    assert (changed["after"]["secrets"], given["after"]["secrets"]) == ("given", "changed")


async def test_it_is_read_in_pages_the_newest_first(office: Office) -> None:
    for number in range(5):
        await office.made("/admin/models", {"name": f"m{number}"})

    first = await office.shown("/admin/audit?limit=2")
    await office.made("/admin/models", {"name": "late"})
    second = await office.shown(f"/admin/audit?limit=2&after={first['next']}")
    third = await office.shown(f"/admin/audit?limit=2&after={second['next']}")

    assert [[row["name"] for row in page["data"]] for page in (first, second, third)] == [
        ["m4", "m3"],
        ["m2", "m1"],
        ["m0"],
    ]
    assert third["next"] is None


async def test_it_is_searched(office: Office) -> None:
    await office.made("/admin/models", {"name": "m"})
    await office.made("/admin/keys", {"name": "app"})
    await office.owner("DELETE", "/admin/models/m")

    async def actions(**filters: str) -> list[str]:
        return [row["action"] for row in await office.trail(**filters)]

    assert await actions(kind="model") == ["model.delete", "model.create"]
    assert await actions(name="app") == ["key.create"]
    assert await actions(action="model.delete") == ["model.delete"]
    assert await actions(object="1") == ["model.delete", "model.create"]
    assert await actions(principal="user:nobody") == []
    assert await actions(since="0", until="1") == []
    assert len(await actions(since="1000000000")) == 3
    assert await actions(name="' OR 1=1 --") == []
    assert await actions(name="%") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("object=x", "object"),
        ("since=x", "since"),
        ("since=nan", "since"),
        ("until=-1", "until"),
        ("after=x", "after"),
        ("after=WzAsImEiXQ", "after"),
        ("name=%00", "name"),
        ("who=me", "who"),
        ("limit=0", "limit"),
    ],
)
async def test_a_search_that_cannot_be_meant_is_refused(
    office: Office, query: str, field: str
) -> None:
    said = await office.owner("GET", f"/admin/audit?{query}")

    assert problem(said) == (400, "invalid", [field])


async def test_not_everybody_reads_it(office: Office) -> None:
    viewer = await office.token("viewer", Role.VIEWER)

    assert (await office.ask("GET", "/admin/audit", None, viewer)).status == 403
