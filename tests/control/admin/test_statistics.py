"""Sums over time over the API: of all hosts, by span and by group, and nothing of other teams."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proxy.control.admin import statistics
from proxy.control.admin.access import Role
from proxy.core.clock import Hands, now
from proxy.ledger.records import Tokens
from proxy.store.ledger.booking import book
from tests.control.admin.office import Office, open_office, problem
from tests.store.ledger.made import end

DAY = 86_400


@pytest.fixture
async def office(tmp_path: Path, store_url: str, hands: Hands) -> AsyncIterator[Office]:
    """Half past an hour. Two hosts have booked."""
    hands.advance(1800 - now() % 3600)
    at = now()
    async with open_office(tmp_path, store_url) as one:
        await book(
            one.store,
            "here",
            [
                end("a", at - 10, ttft_ms=100.0, total_ms=1000.0),
                end("b", at - 70, model="n", cost=-1, source="estimated", ttft_ms=-1.0),
            ],
        )
        await book(
            one.store,
            "there",
            [
                end("c", at - 3600, outcome="failed", status=503, tokens=Tokens(), cost=0),
                end("d", at - DAY - 7200, outcome="refused", status=429, team="red", cost=0),
                end("e", at - 10, outcome="client_gone", status=499, team="red", key="k8"),
            ],
        )
        yield one


async def ask(office: Office, query: str) -> Any:
    return (await office.shown(f"/admin/statistics?{query}"))["data"]


async def test_everything_of_a_day(office: Office) -> None:
    content = await office.shown("/admin/statistics?span=0")

    (one,) = content["data"]
    times, latency = one.pop("ttft"), one.pop("latency")
    assert one == {
        "start": 0,
        "requests": 4,
        "succeeded": 2,
        "failed": 1,
        "client_gone": 1,
        "refused": 0,
        "success_rate": 0.666667,
        "tokens": {
            "input": 30,
            "cache_read": 0,
            "cache_write": 0,
            "output": 180,
            "reasoning": 0,
            "total": 210,
        },
        "cost": 0.00014,
        "cost_micro": 140,
        "cost_upstream_micro": 360,
        "unknown_cost": 1,
        "estimated": 1,
    }
    assert (times["count"], latency["count"]) == (3, 4)
    assert times.keys() == latency.keys() == {"count", "mean", "p50", "p90", "p95", "p99"}
    assert times["p50"] <= times["p90"] <= times["p95"] <= times["p99"]
    assert (content["since"], content["until"]) == (now() - DAY - 1800, now() + 1800)
    assert content["since"] % 3600 == content["until"] % 3600 == 0


@pytest.mark.parametrize(
    ("span", "rows"), [("60", [1, 1, 2]), ("3600", [1, 3]), ("", [1, 3]), ("0", [4])]
)
async def test_spans(office: Office, span: str, rows: list[int]) -> None:
    query = f"since={now() - 7200}" + (f"&span={span}" if span else "")

    found = await ask(office, query)

    assert [one["requests"] for one in found] == rows
    assert all(one["start"] % int(span or 3600) == 0 for one in found if one["start"])


async def test_days_and_what_is_older(office: Office) -> None:
    found = await ask(office, f"span=86400&since={now() - 3 * DAY}")
    long_ago = await ask(office, f"span=0&since={now() - 100 * DAY}&until={now() - 100 * DAY + 60}")

    assert sum(one["requests"] for one in found) == 5
    assert all(one["start"] % DAY == 0 for one in found)
    assert [one["refused"] for one in found if one["refused"]] == [1]
    assert long_ago == []


async def test_an_hour_of_long_ago_is_counted_though_its_minutes_are_gone(
    office: Office, hands: Hands
) -> None:
    asked = f"span=0&since={now() - 3600}&until={now()}"
    hands.advance(4 * DAY)
    await office.store.execute("DELETE FROM statistics WHERE span = 60")

    assert [one["requests"] for one in await ask(office, asked)] == [4]


async def test_groups_and_filters(office: Office) -> None:
    grouped = await ask(office, "span=0&group_by=team,model")
    filtered = await ask(office, "span=0&model=n&team=blue")

    assert [(one["team"], one["model"], one["requests"]) for one in grouped] == [
        ("blue", "m", 2),
        ("blue", "n", 1),
        ("red", "m", 1),
    ]
    assert [(one["requests"], one["cost"], one["ttft"]) for one in filtered] == [(1, None, None)]


async def test_who_has_a_team_sees_its_own(office: Office) -> None:
    red = await office.token("red", Role.VIEWER, team="red")

    async def count(query: str) -> int:
        said = await office.ask("GET", f"/admin/statistics?span=0&{query}", None, red)
        assert said.status == 200
        return sum(one["requests"] for one in said.json["data"])

    assert await count("") == 1
    assert await count("team=red") == 1
    assert await count("team=blue") == 0
    assert await count("key=k7") == 0


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("since=x", ["since"]),
        ("since=nan&until=-1", ["until", "since"]),
        ("since=1e18", ["since"]),
        ("since=5&until=5", ["since"]),
        ("span=61", ["span"]),
        ("span=60&since=5", ["span"]),
        ("group_by=rid", ["group_by"]),
        ("group_by=team,team", ["group_by"]),
        ("team=%00", ["team"]),
        ("limit=5", ["limit"]),
    ],
)
async def test_what_cannot_be_meant_is_refused(
    office: Office, query: str, fields: list[str]
) -> None:
    said = await office.owner("GET", f"/admin/statistics?{query}")

    assert problem(said) == (400, "invalid", fields)


async def test_what_is_too_much_is_refused(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "MOST", 3)

    assert problem(
        await office.owner("GET", "/admin/statistics?span=60&group_by=team,key,model")
    ) == (
        400,
        "invalid",
        ["span"],
    )
    assert len(await ask(office, "span=0&group_by=team,model")) == 3


async def test_the_groups_with_most_alone(office: Office) -> None:
    found = await ask(office, f"since={now() - 3 * DAY}&span=0&group_by=model&top=1")
    spans = await ask(office, f"since={now() - 7200}&span=300&group_by=key&top=1&by=requests")

    assert [(row["model"], row["requests"]) for row in found] == [("m", 4)]
    assert {row["key"] for row in spans} == {"k7"}


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("group_by=model&top=0", ["top"]),
        ("group_by=model&top=101", ["top"]),
        ("group_by=model&top=x", ["top"]),
        ("group_by=model&top=\u0662", ["top"]),
        ("top=5", ["top"]),
        ("group_by=model&top=5&by=luck", ["by"]),
    ],
)
async def test_a_rank_that_is_none(office: Office, query: str, wrong: list[str]) -> None:
    said = await office.owner("GET", f"/admin/statistics?{query}")

    assert problem(said) == (400, "invalid", wrong)
