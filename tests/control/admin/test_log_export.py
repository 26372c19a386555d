"""The log of requests as a file: all of it, whatever its length, and nothing a spreadsheet would run."""

from __future__ import annotations

import csv
import io
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.control.admin import log_export
from proxy.control.admin.access import Role
from proxy.control.admin.log_export import COLUMNS, cell
from proxy.store.ledger.booking import book
from tests.control.admin.desk import OWNER
from tests.control.admin.office import Office, open_office, problem
from tests.store.ledger.made import AT, HOST, end


@pytest.fixture
async def office(tmp_path: Path, store_url: str) -> AsyncIterator[Office]:
    async with open_office(tmp_path, store_url) as one:
        yield one


async def fill(office: Office, count: int) -> None:
    for first in range(0, count, 500):
        numbers = range(first, min(first + 500, count))
        await book(
            office.store, HOST, [end(f"r{number:05}", AT + number // 3) for number in numbers]
        )


def table(text: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.decode(), newline="")))


@pytest.mark.parametrize("count", [0, 1, 5, 6, 7])
async def test_every_page_is_in_it_once(
    office: Office, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_export, "SIZE", 3)
    await fill(office, count)

    said = await office.owner("GET", "/admin/logs/export")
    lines = await office.owner("GET", "/api/logs/export?format=ndjson")

    wanted = [f"r{number:05}" for number in reversed(range(count))]
    assert [row["rid"] for row in table(said.body)] == wanted
    assert [orjson.loads(line)["rid"] for line in lines.body.splitlines()] == wanted
    assert said.headers["content-type"].startswith("text/csv")
    assert lines.headers["content-type"].startswith("application/x-ndjson")
    assert said.headers["content-disposition"].endswith('"headrace-requests.csv"')
    assert said.body.split(b"\r\n")[0].decode().split(",") == list(COLUMNS)


async def test_both_say_what_the_page_says(office: Office) -> None:
    await book(office.store, HOST, [end("a", user_agent='say "hi", =you\r\nthere', cost=-1)])

    (shown,) = (await office.shown("/admin/logs"))["items"]
    (row,) = table((await office.owner("GET", "/admin/logs/export")).body)
    line = orjson.loads((await office.owner("GET", "/admin/logs/export?format=ndjson")).body)

    assert line == shown
    assert row == {
        name: "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in shown.items()
    }


async def test_it_takes_the_filters_of_the_log(office: Office) -> None:
    await book(
        office.store, HOST, [end("a", team="red"), end("b", status=503, team="red"), end("c")]
    )
    red = await office.token("red", Role.VIEWER, team="red")

    async def rids(query: str) -> list[str]:
        said = await office.ask("GET", f"/admin/logs/export?{query}", None, red)
        assert said.status == 200
        return sorted(row["rid"] for row in table(said.body))

    assert await rids("") == ["a", "b"]
    assert await rids("status=5xx") == ["b"]
    assert await rids("team=blue") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [("format=xml", "format"), ("limit=1", "limit"), ("after=x", "after"), ("status=x", "status")],
)
async def test_what_cannot_be_meant_is_refused(office: Office, query: str, field: str) -> None:
    assert problem(await office.owner("GET", f"/admin/logs/export?{query}")) == (
        400,
        "invalid",
        [field],
    )


async def test_of_it_the_head_alone_may_be_asked_for(office: Office) -> None:
    await fill(office, 5)

    said = await office.owner("HEAD", "/admin/logs/export")

    assert (said.status, said.body) == (200, b"")
    assert said.headers["content-type"].startswith("text/csv")


async def test_its_length_costs_no_memory(office: Office) -> None:
    async def most() -> tuple[int, int]:
        """Bytes of an export, and the most that were in memory at once."""
        size = 0
        tracemalloc.start()
        try:
            async with office.http.get(
                f"{office.url}/admin/logs/export?format=ndjson", headers=OWNER.headers
            ) as answer:
                async for piece in answer.content.iter_any():
                    size += len(piece)
            return size, tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    await fill(office, 500)
    short, needed = await most()
    await fill(office, 3000)
    long, needed_then = await most()

    assert long == 6 * short
    assert needed_then < 2 * needed


async def test_a_database_that_is_away_is_said_before(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        await fill(office, 3)
        await office.cut()

        assert problem(await office.owner("GET", "/admin/logs/export")) == (503, "store_down", [])


async def test_one_that_goes_away_in_the_middle_cuts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_office(tmp_path) as office:
        await fill(office, 10_000)
        monkeypatch.setattr(log_export, "SIZE", 500)
        async with office.http.get(
            f"{office.url}/admin/logs/export?format=ndjson",
            headers=OWNER.headers,
        ) as answer:
            assert answer.status == 200
            await answer.content.readany()
            await office.cut()
            with pytest.raises((aiohttp.ClientError, ConnectionError)):
                await answer.content.read()

    assert "an answer of the admin API was cut" in caplog.text


@given(st.text())
def test_no_cell_is_a_formula(text: str) -> None:
    shown = cell(text)

    assert not shown.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r"))
    assert shown in (text, f"'{text}")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (True, "true"),
        (-1.5, -1.5),
        (7, 7),
        ("=1+1", "'=1+1"),
        (" @x", "' @x"),
        ("a-b", "a-b"),
    ],
)
def test_a_cell(value: object, shown: object) -> None:
    assert cell(value) == shown
