"""Writes: all or nothing, checked against what is there, audited, and served when they are answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proxy.control.admin import changes
from proxy.control.admin.access import Principal, Role
from proxy.control.admin.draft import Draft
from proxy.control.admin.edits import Create, Delete, Edit, Update
from proxy.control.admin.overlay import Overlay
from proxy.control.admin.web import Problem, Request
from proxy.core import virtual_key
from proxy.store import delta, objects
from proxy.store.base import Row, Session
from tests.control.admin.office import CREDENTIAL, LAB, Office, open_office, problem
from tests.control.syncing import until


@pytest.fixture
async def office(tmp_path: Path, store_url: str) -> AsyncIterator[Office]:
    async with open_office(tmp_path, store_url) as one:
        yield one


def asked(role: Role = Role.OWNER) -> Request:
    return Request("POST", "/x", {}, {}, b"", "127.0.0.1", "r-9", principal=Principal("me", role))


async def test_an_answer_is_given_when_it_is_served(office: Office) -> None:
    await office.lab("m")

    snapshot = office.services.state.snapshot
    [[deployment]] = snapshot.models["m"].tiers
    assert deployment.provider.credentials[0].secret.reveal() == CREDENTIAL
    assert snapshot.revision == office.services.sync.revision == 4


async def test_a_key_opens_from_its_answer_on_and_not_from_its_deletion_on(office: Office) -> None:
    made = await office.made("/admin/keys", {"name": "app"})
    digest = virtual_key.digest(made["key"], office.services.sync.peppers[0])
    assert office.services.state.snapshot.keys[digest].name == "app"

    assert (await office.owner("DELETE", "/admin/keys/app")).status == 204

    assert digest not in office.services.state.snapshot.keys


async def test_a_store_that_is_away_for_a_moment_makes_an_answer_late_not_out_of_date(
    office: Office,
) -> None:
    sync = office.services.sync
    await office.lab("before")
    await office.store.execute("ALTER TABLE peppers RENAME TO hidden")
    model = {"name": "m", "deployments": [{"provider": "lab"}]}
    making = asyncio.ensure_future(office.made("/admin/models", model))
    await until(lambda: not sync.up)
    await office.store.execute("ALTER TABLE hidden RENAME TO peppers")

    await making

    assert "m" in office.services.state.snapshot.models
    assert sync.up


async def test_one_wrong_edit_stops_all(office: Office) -> None:
    before = await objects.mark(office.store)

    said = await office.owner(
        "POST",
        "/admin/models/batch",
        [{"name": "a"}, {"name": "b", "strategy": "best"}, {"name": "a"}],
    )

    assert problem(said) == (409, "conflict", ["[1].strategy", "[2]"])
    assert await objects.mark(office.store) == before
    assert await office.trail(kind="model") == []
    assert "a" not in await office.names("/admin/models")


async def test_what_was_worked_out_before_others_added_to_it_is_refused(office: Office) -> None:
    await office.lab("m")
    since = office.services.sync.mirror.revision
    made = {"public_model": "m", "provider": "lab", "model": "n"}
    await office.made("/admin/deployments", made)
    edit = Create("deployment", "", {"provider": "lab", "model": "n"}, "m")

    with pytest.raises(Problem) as refused:
        await changes.apply(asked(), office.services, [edit], since=since)

    assert (refused.value.status, refused.value.code) == (409, "outrun")
    assert len(await changes.apply(asked(), office.services, [edit], since=since + 1)) == 1


class Heard:
    """A session that counts what it is asked."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.times = 0

    async def fetch(self, sql: str, *values: Any) -> list[Row]:
        self.times += 1
        return await self.session.fetch(sql, *values)


async def test_a_database_hears_of_who_works_out_much(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "QUIET", 0.0)
    edits = [Create("model", f"m{number}", {}) for number in range(3)]
    seen = Overlay(office.services.sync.mirror)
    draft = Draft(seen, office.services.sync.revision, changes._means(asked(), office.services))

    async with office.store.transaction() as session:
        heard: Any = Heard(session)
        written = await changes._worked_out(heard, draft, edits, ["", "", ""])

    assert [one.record.name for one in written] == ["m0", "m1", "m2"]
    assert heard.times == 3


async def test_later_edits_see_earlier_ones(office: Office) -> None:
    edits: list[Edit] = [
        Create("provider", "p", {**LAB, "name": None}),
        Create("credential", "", {"key": CREDENTIAL}, "@0"),
        Create("model", "m", {}),
        Create("deployment", "", {"provider": "p"}, "@2"),
        Update("model", "m", {"aliases": ["n"]}, merge=True),
        Delete("credential", "2"),
    ]

    written = await changes.apply(asked(), office.services, edits)

    assert [one.record.kind for one in written] == [
        "provider",
        "credential",
        "model",
        "deployment",
        "model",
        "credential",
    ]
    assert written[2].record is written[4].record
    assert written[5].record.deleted
    assert set(office.services.state.snapshot.models) >= {"filed/model"}


async def test_a_name_goes_from_one_to_another_in_one_batch(office: Office) -> None:
    [a, b] = await changes.apply(
        asked(), office.services, [Create("model", "a", {}), Create("model", "b", {})]
    )
    first, second = str(a.record.id), str(b.record.id)
    edits: list[Edit] = [
        Update("model", second, {}, merge=True, name="c"),
        Update("model", first, {}, merge=True, name="b"),
        Update("model", second, {"strict": True}, merge=True),
    ]

    written = await changes.apply(asked(), office.services, edits)

    assert [one.record.name for one in written] == ["c", "b", "c"]
    assert set(await office.names("/admin/models")) >= {"b", "c"}
    assert (await office.shown("/admin/models/c"))["id"] == b.record.id
    read = await delta.read(office.store, delta.NEVER)
    assert [record.revision for record in read.records] == [4, 5]


async def test_two_change_their_names_in_one_batch(office: Office) -> None:
    [a, b] = await changes.apply(
        asked(), office.services, [Create("model", "a", {}), Create("model", "b", {})]
    )
    first, second = str(a.record.id), str(b.record.id)
    edits: list[Edit] = [
        Update("model", first, {}, merge=True, name="c"),
        Update("model", second, {}, merge=True, name="a"),
        Update("model", first, {}, merge=True, name="b"),
    ]

    await changes.apply(asked(), office.services, edits)

    assert (await office.shown("/admin/models/a"))["id"] == b.record.id
    assert (await office.shown("/admin/models/b"))["id"] == a.record.id


async def test_a_rehearsal_changes_nothing_and_finds_everything(office: Office) -> None:
    said = await office.owner("POST", "/admin/keys?dry_run=true", {"name": "app"})
    refused = await office.owner("POST", "/admin/keys?dry_run=true", {"name": "filed"})

    assert (said.status, said.json["name"]) == (200, "app")
    assert refused.status == 409
    assert await office.names("/admin/keys") == ["filed"]
    assert await office.trail() == []


async def test_what_another_worker_wrote_is_seen_before_this_one_was_told(
    office: Office, tmp_path: Path, store_url: str
) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    async with open_office(folder, store_url) as other:
        await other.lab("m", "old")
        await other.owner("PATCH", "/admin/models/m", {"aliases": ["n"]})
        await other.owner("DELETE", "/admin/models/old")
        # Nobody has woken this worker yet.
        assert office.services.sync.mirror.get("model", "m") is None

        taken = await office.owner("POST", "/admin/models", {"name": "m"})
        alias = await office.owner("POST", "/admin/models", {"name": "n"})
        referred = await office.owner("DELETE", "/admin/providers/lab")
        free = await office.owner("POST", "/admin/models", {"name": "old"})
        changed = await office.owner("PATCH", "/admin/models/m", {"strict": True})

    assert problem(taken)[:2] == (409, "conflict")
    assert problem(alias)[:2] == (400, "invalid")
    assert problem(referred)[:2] == (409, "referenced")
    assert free.status == 201
    assert (changed.status, changed.json["aliases"]) == (200, ["n"])


async def test_a_key_that_another_worker_has_just_taken_is_taken(
    office: Office, tmp_path: Path, store_url: str
) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    key = {"key": "sk-of-a-client-0123456789"}
    async with open_office(folder, store_url) as other:
        await other.made("/admin/keys", {"name": "first", **key})
        assert office.services.sync.mirror.get("key", "first") is None

        said = await office.owner("POST", "/admin/keys", {"name": "second", **key})

    assert problem(said)[:2] == (409, "conflict")


async def test_writers_at_the_same_time_each_get_revisions_of_their_own(office: Office) -> None:
    made = await asyncio.gather(
        *(office.made("/admin/keys", {"name": f"k{number}"}) for number in range(20))
    )

    assert sorted(one["id"] for one in made) == list(range(1, 21))
    read = await delta.read(office.store, delta.NEVER)
    assert [record.revision for record in read.records] == list(range(1, 21))


async def test_of_two_who_changed_the_same_version_one_is_refused(office: Office) -> None:
    await office.lab()

    said = await asyncio.gather(
        *(
            office.owner("PATCH", "/admin/providers/lab", {"note": str(number)}, if_match='"1"')
            for number in range(5)
        )
    )

    assert sorted(one.status for one in said) == [200, 412, 412, 412, 412]


async def test_without_a_principal_nothing_is_written(office: Office) -> None:
    request = asked()
    request.principal = None

    with pytest.raises(Problem) as caught:
        await changes.apply(request, office.services, [Create("model", "m", {})])

    assert caught.value.status == 401


@pytest.mark.parametrize(
    "kind", ["provider", "credential", "model", "deployment", "key", "setting"]
)
async def test_a_route_that_asks_for_too_little_gives_no_more_right(
    office: Office, kind: str
) -> None:
    with pytest.raises(Problem) as caught:
        await changes.apply(asked(Role.VIEWER), office.services, [Delete(kind, "1")])

    assert caught.value.status == 403


async def test_while_the_store_is_away_nothing_is_written_and_everything_is_read(
    tmp_path: Path,
) -> None:
    async with open_office(tmp_path) as office:
        await office.lab("m")
        await office.cut()

        written = [
            await office.owner("POST", "/admin/models", {"name": "n"}),
            await office.owner("PATCH", "/admin/models/m", {"strict": True}),
            await office.owner("DELETE", "/admin/models/m"),
            await office.owner("POST", "/admin/keys/batch", [{"name": "a"}]),
        ]
        read = await office.names("/admin/models")

    assert {(one.status, one.code) for one in written} == {(503, "store_down")}
    assert {one.headers["retry-after"] for one in written} == {"2"}
    assert read == ["filed/model", "m"]


async def test_a_secret_that_does_not_open_stays_where_it_is(office: Office) -> None:
    await office.lab()
    await office.owner("PATCH", "/admin/providers/lab", {"headers": {"x-a": "a-hidden-value"}})
    # As if its row had been moved, or its master key lost.
    await office.store.execute("UPDATE objects SET sealed = 'v1.x.y.z' WHERE id IN (1, 2)")
    await office.store.execute("UPDATE objects SET revision = revision + 10 WHERE id IN (1, 2)")
    await office.store.execute("UPDATE revision SET revision = 20")
    await office.services.sync.refresh(20)

    around = await office.owner("PATCH", "/admin/providers/lab", {"note": "moved"})
    weight = await office.owner("PATCH", "/admin/credentials/2", {"weight": 5})
    mask = await office.owner("PATCH", "/admin/providers/lab", {"headers": {"x-a": "***"}})
    again = await office.owner("PATCH", "/admin/credentials/2", {"key": CREDENTIAL})

    assert (around.status, around.json["set"], weight.status) == (200, True, 200)
    assert "problem" in weight.json
    assert problem(mask) == (400, "invalid", ["headers.x-a"])
    assert (again.json["weight"], again.json["last4"]) == (5, "1234")
    rows = await office.store.fetch("SELECT sealed FROM objects WHERE id = 1")
    assert rows == [("v1.x.y.z",)]


async def test_a_key_with_a_budget_is_told_what_it_cannot_be_spent_on(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    await office.lab("m")
    paid = {"name": "paid", "deployments": [{"provider": "lab", "price": {"input": 1}}]}
    await office.made("/admin/models", paid)
    budget = {"budget": {"usd": 5}}
    rich = {"name": "rich", "models": ["m"], **budget}
    careful = {"name": "careful", "models": ["paid"], **budget}
    free = {"name": "free", "models": ["m"]}

    rehearsed = await office.owner("POST", "/admin/keys?dry_run=true", rich)
    silent = caplog.messages == []
    made = [await office.owner("POST", "/admin/keys", body) for body in (rich, careful, free)]
    later = await office.owner("PATCH", "/admin/keys/free", budget)

    warning = (
        "no price is known of 'm': keys with a budget are refused; "
        "give it a price, or set defaults.price_unknown"
    )
    assert [one.json.get("warnings") for one in (rehearsed, *made, later)] == [
        [warning],
        [warning],
        None,
        None,
        [warning],
    ]
    assert silent
    assert caplog.messages == [f"key '{name}': {warning}" for name in ("rich", "free")]
