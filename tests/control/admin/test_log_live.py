"""Requests watched as they end: each once, only those asked for, and only those one may see."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from proxy.control.admin import feed, log_live
from proxy.control.admin.access import Role
from proxy.control.tailing import Teller
from proxy.core import unix
from proxy.store.ledger import tail
from proxy.store.ledger.booking import book
from proxy.store.opening import open_store
from tests.control.admin.office import Office, open_office, problem
from tests.control.admin.watching import Watcher, watching
from tests.store.ledger.made import AT, HOST, end, start

PATH = "/admin/logs/live"


@pytest.fixture
async def office(
    tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Office]:
    monkeypatch.setattr(feed, "PAUSE", 0.05)
    async with open_office(tmp_path, store_url) as one:
        await book(one.store, HOST, [end("old", AT), start("long", AT - 100)])
        yield one


async def rids(watcher: Watcher) -> list[str]:
    return [one["rid"] for one in (await watcher.data("rows"))["items"]]


async def test_they_are_told_as_the_page_has_them(office: Office) -> None:
    async with watching(office, PATH) as one:
        await one.data("ready")
        await book(office.store, HOST, [end("a", AT + 1), end("long", AT - 100)])
        told = await one.data("rows")
        while len(told["items"]) < 2:  # it was looked for while they were booked
            told["items"] += (await one.data("rows"))["items"]

    page = (await office.shown("/admin/logs"))["items"]
    new = sorted(told["items"], key=lambda row: -row["at"])
    assert (new, told["more"]) == ([row for row in page if row["rid"] != "old"], 0)
    assert [row["rid"] for row in new] == ["a", "long"]


async def test_only_the_fields_that_are_asked_for_are_told(office: Office) -> None:
    names = "rid,state,stream,cost,cost_micro"
    async with watching(office, f"{PATH}?fields={names}") as one, watching(office, PATH) as whole:
        await one.data("ready")
        await whole.data("ready")
        await book(office.store, HOST, [end("a", AT + 1)])
        (some,), (all_,) = (await one.data("rows"))["items"], (await whole.data("rows"))["items"]

    assert some == {name: all_[name] for name in names.split(",")}


async def test_the_process_that_ships_is_asked_where_there_is_one(
    office: Office, tmp_path: Path, store_url: str
) -> None:
    state = office.services.state
    state.use(replace(state.snapshot, ledger=replace(state.snapshot.ledger, path=str(tmp_path))))
    other = open_store(store_url)
    teller = Teller(other)
    await teller.listen(tmp_path / unix.TAIL)
    try:
        async with watching(office, f"{PATH}?fields=rid,state") as one:
            await one.data("ready")
            await book(office.store, HOST, [end("a", AT + 1)])

            assert await one.data("rows") == {"items": [{"rid": "a", "state": "ended"}], "more": 0}
            await teller.close()
            assert "detail" in await one.data("trouble")
    finally:
        await teller.close()
        await other.close()


@pytest.mark.parametrize("left", ["nothing", "a socket"])
async def test_where_nobody_ships_any_more_the_database_is_asked(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    """A socket is left of one that was killed."""
    monkeypatch.setattr(log_live, "STALE", 0.2)
    state = office.services.state
    state.use(replace(state.snapshot, ledger=replace(state.snapshot.ledger, path=str(tmp_path))))
    teller = Teller(office.store)
    await teller.listen(tmp_path / unix.TAIL)
    try:
        async with watching(office, f"{PATH}?fields=rid") as one:
            await one.data("ready")
            await teller.close()
            if left == "a socket":
                unix.listen(tmp_path / unix.TAIL).close()
            await one.data("trouble")

            await one.data("ready")
            await book(office.store, HOST, [end("a", AT + 1)])
            assert await rids(one) == ["a"]
    finally:
        await teller.close()


async def test_who_may_have_missed_something_is_told_that_nothing_is_missed_from_now_on(
    office: Office, tmp_path: Path
) -> None:
    state = office.services.state
    state.use(replace(state.snapshot, ledger=replace(state.snapshot.ledger, path=str(tmp_path))))
    teller = Teller(office.store)
    await teller.listen(tmp_path / unix.TAIL)
    try:
        async with watching(office, f"{PATH}?fields=rid") as one:
            await one.data("ready")
            await teller.close()
            await one.data("trouble")
            await book(office.store, HOST, [end("a", AT + 1)])
            await teller.listen(tmp_path / unix.TAIL)

            assert await one.event("ready", "rows") == ("ready", {})
            await book(office.store, HOST, [end("b", AT + 2)])
            assert await rids(one) == ["b"]
            await teller.close()
            await one.data("trouble")
    finally:
        await teller.close()


async def test_each_watches_what_they_asked_for(office: Office) -> None:
    async with (
        watching(office, f"{PATH}?status=5xx") as failed,
        watching(office, f"{PATH}?model=n") as other,
        watching(office, PATH) as all_,
    ):
        for one in (failed, other, all_):
            await one.data("ready")
        await book(office.store, HOST, [end("a", AT + 1, status=503), end("b", AT + 2, model="n")])

        assert await rids(failed) == ["a"]
        assert await rids(other) == ["b"]
        assert await rids(all_) == ["b", "a"]


async def test_a_team_sees_its_own(office: Office) -> None:
    red = await office.token("ci", Role.VIEWER, team="red")
    async with (
        watching(office, PATH, red) as one,
        watching(office, f"{PATH}?team=blue", red) as two,
    ):
        await one.data("ready")
        await two.data("ready")
        await book(
            office.store, HOST, [end("a", AT + 1, team="blue"), end("b", AT + 2, team="red")]
        )
        assert await rids(one) == ["b"]
        await book(office.store, HOST, [end("c", AT + 3, team="red")])

        assert await rids(one) == ["c"]


async def test_more_than_can_be_read_are_counted(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "MOST", 2)
    async with watching(office, PATH) as one:
        await one.data("ready")
        await book(office.store, HOST, [end(f"r{number}", AT + number) for number in range(1, 6)])
        told = await one.data("rows")

    assert ([row["rid"] for row in told["items"]], told["more"]) == (["r5", "r4"], 3)


async def test_a_database_that_is_away_is_said(office: Office) -> None:
    async with watching(office, PATH) as one:
        await one.data("ready")
        await office.store.execute("ALTER TABLE requests RENAME TO gone")
        assert "detail" in await one.data("trouble")


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("status=x", ["status"]),
        ("after=1", ["after"]),
        ("limit=1", ["limit"]),
        ("fields=rid,phase", ["fields"]),
    ],
)
async def test_a_query_is_wrong(office: Office, query: str, wrong: list[str]) -> None:
    assert problem(await office.owner("GET", f"{PATH}?{query}")) == (400, "invalid", wrong)


async def test_without_a_log_it_says_where_requests_are(office: Office) -> None:
    state = office.services.state
    state.use(replace(state.snapshot, ledger=replace(state.snapshot.ledger, path="")))
    said = await office.owner("GET", PATH)

    assert problem(said) == (503, "no_log", [])
    assert "ledger.path is empty" in said.json["detail"]
