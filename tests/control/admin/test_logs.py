"""The log of requests over the API: filters, pages, one request, and who may see what."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.control.admin import logs
from proxy.control.admin.access import Principal, Role
from proxy.control.admin.web import Request
from proxy.ledger.records import Content, Record
from proxy.store.ledger.booking import book
from tests.control.admin.office import Office, open_office, problem
from tests.store.ledger.made import AT, HOST, end, progress, start

RECORDS: list[Record] = [
    end("a", AT + 1),
    end(
        "b", AT + 2, key_id="8", key="k8", team="red", model="n", deployment="lab/n", cost=5_000_000
    ),
    end("c", AT + 2, status=503, outcome="failed", cause="no_up", provider="", cost=-1, team=""),
    end("d", AT + 3, status=429, outcome="refused", stream=False, cost=0),
    start("e", AT + 4, stream=False),
    progress("f", AT + 5),
    Content("a", AT + 1, '{"model":"m"}', '{"answer":1}'),
]


@pytest.fixture
async def office(tmp_path: Path, store_url: str) -> AsyncIterator[Office]:
    async with open_office(tmp_path, store_url) as one:
        await book(one.store, HOST, RECORDS)
        yield one


def rids(page: Any) -> str:
    return "".join(item["rid"] for item in page["items"])


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", "fedcba"),
        (f"since={AT + 2}&until={AT + 4}", "dcb"),
        ("key=k7", "edca"),
        ("key_id=8", "b"),
        ("team=red", "b"),
        ("team=", "fc"),
        ("model=n&provider=lab", "b"),
        ("deployment=lab/n", "b"),
        ("status=200", "ba"),
        ("status=4xx", "d"),
        ("status=5xx", "c"),
        ("status=2xx&outcome=ok", "ba"),
        ("outcome=failed&cause=no_up", "c"),
        ("failed=true", "dc"),
        ("open=true", "fe"),
        ("stream=true", "cba"),
        ("stream=false", "fed"),
        ("rid=c", "c"),
        ("min_cost=0.00007", "ba"),
        ("min_cost=5", "b"),
        ("min_cost=1e-400000000", "fdba"),
        ("min_cost=5.000001", ""),
        ("model=' OR 1=1 --", ""),
    ],
)
async def test_it_is_searched(office: Office, query: str, found: str) -> None:
    assert rids(await office.shown(f"/admin/logs?{query}")) == found


async def test_a_request_says_what_it_cost(office: Office) -> None:
    (one,) = (await office.shown("/api/logs?rid=a"))["items"]
    (unknown,) = (await office.shown("/api/logs?rid=c"))["items"]
    (running,) = (await office.shown("/api/logs?rid=f"))["items"]

    assert (one["cost"], one["cost_micro"], one["cost_upstream_micro"]) == (0.00007, 70, 90)
    assert (one["estimate_micro"], one["stream"], one["state"]) == (None, True, "ended")
    assert (one["ttft_ms"], one["connect_ms"]) == (250.0, None)
    assert (unknown["cost"], unknown["cost_micro"]) == (None, None)
    assert running["state"] == "running"


@given(st.integers(0, 10**12))
def test_a_cost_as_it_is_shown_is_at_least_itself(micro: int) -> None:
    principal = Principal("token", Role.OWNER)
    request = Request("GET", "/admin/logs", {}, {}, b"", "", "", principal=principal)

    assert logs.filters(request, {"min_cost": repr(micro / 1_000_000)}).min_cost == micro


async def test_it_is_read_in_pages_that_nothing_shifts(office: Office) -> None:
    first = await office.shown("/admin/logs?limit=2")
    await book(office.store, HOST, [end("late", AT + 9)])
    second = await office.shown(f"/admin/logs?limit=2&after={first['next']}")
    third = await office.shown(f"/admin/logs?limit=2&after={second['next']}")

    assert [rids(page) for page in (first, second, third)] == ["fe", "dc", "ba"]
    assert third["next"] is None


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("since=x&until=nan", ["since", "until"]),
        ("until=-1", ["until"]),
        ("status=6xx", ["status"]),
        ("status=4x", ["status"]),
        ("status=abc", ["status"]),
        ("stream=1", ["stream"]),
        ("min_cost=-1", ["min_cost"]),
        ("min_cost=inf", ["min_cost"]),
        ("model=%00", ["model"]),
        (f"rid={'x' * 1001}", ["rid"]),
        ("who=me", ["who"]),
        ("limit=0", ["limit"]),
        ("after=x", ["after"]),
        ("after=WzEsN10", ["after"]),  # [1,7]: of the audit log
        ("after=WzAsIngiXQ", ["after"]),  # [0,"x"]: of a list of the file's objects
        ("after=WzAsIm5hbiB4Il0", ["after"]),  # [0,"nan x"]
    ],
)
async def test_a_search_that_cannot_be_meant_is_refused(
    office: Office, query: str, fields: list[str]
) -> None:
    said = await office.owner("GET", f"/admin/logs?{query}")

    assert problem(said) == (400, "invalid", fields)


async def test_one_request_has_its_attempts(office: Office) -> None:
    one = await office.shown("/admin/logs/b")

    assert [(each["number"], each["status"], each["outcome"]) for each in one["attempts"]] == [
        (1, 503, "retry"),
        (2, 200, "ok"),
    ]
    assert one["attempts"][1]["cost_micro"] == 45
    assert (one["rid"], one["content"]) == ("b", None)
    assert problem(await office.owner("GET", "/admin/logs/none")) == (404, "not_found", [])


async def test_what_was_said_is_for_those_who_may_change_anything(office: Office) -> None:
    viewer, operator = (
        await office.token("viewer", Role.VIEWER),
        await office.token("operator", Role.OPERATOR),
    )
    admin = await office.token("admin", Role.ADMIN)

    for who in (viewer, operator):
        said = await office.ask("GET", "/admin/logs/a", None, who)
        assert (said.status, "content" in said.json) == (200, False)
        assert b"answer" not in said.body
    assert await office.trail(action="log.content") == []
    said = await office.ask("GET", "/admin/logs/a", None, admin)

    assert said.json["content"] == {"request": '{"model":"m"}', "response": '{"answer":1}'}
    (row,) = await office.trail(action="log.content")
    assert (row["principal"], row["kind"], row["name"]) == ("service:admin", "request", "a")
    assert b"answer" not in (await office.owner("GET", "/admin/logs?rid=a")).body


@pytest.mark.parametrize("role", [Role.VIEWER, Role.ADMIN])
async def test_who_has_a_team_sees_its_requests_alone(office: Office, role: Role) -> None:
    red = await office.token("red", role, team="red")

    async def ask(path: str) -> Any:
        return await office.ask("GET", path, None, red)

    assert rids((await ask("/admin/logs")).json) == "b"
    assert rids((await ask("/admin/logs?team=red")).json) == "b"
    assert rids((await ask("/admin/logs?team=blue")).json) == ""
    assert rids((await ask("/admin/logs?team=")).json) == ""
    assert (await ask("/admin/logs/b")).status == 200
    of_others = [(await ask(f"/admin/logs/{rid}")).problem for rid in ("a", "c", "x")]
    assert [one["status"] for one in of_others] == [404, 404, 404]
    assert of_others[0] == {**of_others[2], "detail": "There is no request 'a'."}


@pytest.mark.parametrize(
    ("logging", "says"),
    [
        ({}, "standard error"),
        ({"file": "/tmp/headrace-test.log"}, "the file /tmp/headrace-test.log"),
        ({"requests": False}, "logging.requests is false"),
    ],
)
@pytest.mark.parametrize(
    ("without", "why"),
    [({"ledger": {"path": ""}}, "ledger.path is empty"), ({"store": {"url": ""}}, "no store")],
)
async def test_where_nothing_is_kept_it_says_where_requests_are(
    tmp_path: Path, logging: dict[str, Any], says: str, without: dict[str, Any], why: str
) -> None:
    async with open_office(tmp_path, logging=logging, **without) as office:
        page = await office.shown("/api/logs")

    assert (page["items"], page["next"]) == ([], None)
    assert says in page["note"]
    assert why in page["note"]
