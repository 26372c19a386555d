"""The same pages where requests are booked in a database: of all workers and hosts, since somebody reset them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proxy.control.admin.access import Role
from proxy.control.admin.services import Services
from proxy.core.clock import Hands, now
from proxy.ledger.records import End, Tokens
from proxy.limits.accounts import Accounts, Ask, Used
from proxy.limits.subjects import of_deployment
from proxy.store.ledger.booking import book
from tests.control.admin.compat.test_statistics import MODELS, PROVIDERS, deployments, seen
from tests.control.admin.desk import Desk
from tests.control.admin.foreign import open_foreign
from tests.store.ledger.made import end

FIRST, SECOND = "filed/0:from-file", "filed/1:second"


def ended(rid: str, deployment: str = FIRST, **fields: Any) -> End:
    """A request of the model `filed`, just now."""
    provider = deployment.partition(":")[2]
    named = {"model": "filed", "deployment": deployment, "provider": provider}
    return end(rid, **{"at": now(), **named, **fields})


@pytest.fixture
async def desk(tmp_path: Path, hands: Hands) -> AsyncIterator[Desk]:
    """Two hosts have booked, and this worker has done nothing."""
    hands.advance(3600 - now() % 3600 + 1200.5)
    async with open_foreign(tmp_path, providers=PROVIDERS, models=MODELS) as one:
        await book(
            one.store, "here", [ended("a"), ended("b", team="red", tokens=Tokens(1, 2, 3, 4))]
        )
        others = [
            ended("c", status=502, outcome="upstream_error", cost=-1, ttft_ms=-1.0),
            ended("d", SECOND, outcome="client_gone", cost=-1),
            ended("e", "", outcome="refused", provider="", status=429, cost=0, ttft_ms=-1.0),
            ended("f", "filed/7:second", cost=30),
        ]
        await book(one.store, "there", others)
        yield one


async def test_routing(desk: Desk) -> None:
    content = await seen(desk, "/v1/stats")

    stats = content["stats"]
    model = stats.pop("models")["filed"]
    assert (content["scope"], content["use_database"]) == ("fleet", True)
    assert stats == {
        "requests": 6,
        "succeeded": 3,
        "failed": 1,
        "refused": 1,
        "client_gone": 1,
        "inflight": 0,
        "tokens": {
            "input": 51,
            "cached_input": 2,
            "cache_write": 3,
            "output": 304,
            "reasoning": 0,
        },
        "cost": 0.00017,
    }
    assert (model["requests"], model["succeeded"], model["tokens"]) == (4, 3, 290)
    assert (model["cost"], model["average_ttft_seconds"]) == (0.00017, 0.25)
    first, second = model["providers"]["from-file"], model["providers"]["second"]
    assert (first["requests"], first["success_rate"], first["cost"]) == (3, 0.6667, 0.00014)
    # That of a deployment which is no more is its provider's all the same.
    assert (second["requests"], second["selections"], second["cost"]) == (1, 2, 0.00003)


async def test_providers(desk: Desk) -> None:
    overview = await seen(desk, "/v1/providers/stats/overview")
    second = await seen(desk, "/v1/providers/second/performance")

    assert overview["providers"]["from-file"]["requests"] == 3
    assert overview["providers"]["unused"]["cost"] == 0.0
    assert (second["scope"], second["requests"], second["tokens"]) == ("fleet", 1, 140)
    assert [(one["model"], one["cost"]) for one in second["models"]] == [
        ("filed", 0.00003),
        ("other", 0.0),
    ]


async def test_who_was_chosen(desk: Desk) -> None:
    content = await seen(desk, "/v1/load-balancing/statistics")

    first, second = content["models"]["filed"]["deployments"]
    assert (first["selections"], first["share"]) == (3, 0.6)
    assert (second["selections"], second["share"]) == (2, 0.4)


async def test_a_cost_that_nobody_knows_is_null(tmp_path: Path) -> None:
    async with open_foreign(tmp_path, providers=PROVIDERS, models=MODELS) as desk:
        await book(desk.store, "here", [ended("a", cost=-1)])
        stats = (await seen(desk, "/v1/stats"))["stats"]

    assert stats["cost"] is None
    assert stats["models"]["filed"]["cost"] is None
    assert stats["models"]["other"]["cost"] == 0.0


async def test_a_reset_holds_for_every_worker_and_changes_no_book(desk: Desk, hands: Hands) -> None:
    hands.advance(10)
    assert (await desk.owner("POST", "/admin/stats/reset")).status == 200
    mark = now()
    hands.advance(0.25)
    await book(desk.store, "there", [ended("late", at=mark - 1), ended("g"), ended("h", SECOND)])
    hands.advance(7200)

    stats = await seen(desk, "/v1/stats")
    other = Services(desk.services.state, desk.services.sync)  # of a worker that began later
    assert other.marks.since > mark

    assert (stats["stats"]["requests"], stats["stats"]["cost"]) == (2, 0.00014)
    used = (await seen(desk, "/admin/stats"))["filed"]["from-file"]
    assert (used["requests"], used["tokens"], used["last_reset"]) == (1, 70, stats["since"])
    assert await desk.store.fetch("SELECT count(*) FROM requests") == [(9,)]
    whole = await seen(desk, f"/admin/statistics?span=0&since={mark - 3600}&until={now()}")
    assert whole["data"][0]["requests"] == 9


async def test_who_has_a_team_is_told_of_its_requests(desk: Desk) -> None:
    red = await desk.token("red", Role.VIEWER, team="red")

    said = await desk.ask("GET", "/v1/stats", who=red)

    assert said.json["stats"]["requests"] == 1
    assert said.json["stats"]["models"]["filed"]["tokens"] == 10


async def test_a_database_that_is_away_is_said(desk: Desk) -> None:
    await desk.cut()

    assert (await desk.owner("GET", "/v1/stats")).code == "store_down"


async def test_quotas(tmp_path: Path, hands: Hands) -> None:
    hands.advance(3600 - now() % 3600 + 1800)
    models: dict[str, Any] = {
        "filed": {
            "deployments": [
                {"provider": "from-file", "quota": {"requests": 10, "tokens": 500_000}},
                {"provider": "from-file", "model": "up", "quota": {"requests": 5}},
                {"provider": "second"},
            ]
        }
    }
    async with open_foreign(tmp_path, providers=PROVIDERS, models=models) as desk:
        accounts = desk.services.state.accounts = Accounts.memory()
        for deployment in deployments(desk)[:2]:
            subject = of_deployment(deployment)
            assert subject is not None
            accounts.settle(accounts.admit((subject,), Ask(10)), Used(300))
        await book(desk.store, "here", [ended("a"), ended("b", "filed/2:second")])
        content = (await seen(desk, "/admin/stats"))["filed"]
        of_model = await seen(desk, "/admin/providers/filed")
        second = of_deployment(deployments(desk)[1])
        assert second is not None
        for _ in range(4):
            accounts.settle(accounts.admit((second,), Ask(10)), Used(300))
        later = (await seen(desk, "/admin/providers/filed"))["providers"]

    limited = content["from-file"]
    assert (limited["requests"], limited["tokens"]) == (2, 600)
    assert (limited["limit_requests"], limited["limit_tokens"]) == (15, None)
    assert limited["last_reset"].endswith("T00:00:00+00:00")
    assert content["second"]["limit_requests"] is None
    assert (content["second"]["requests"], content["second"]["tokens"]) == (1, 70)
    shown = of_model["providers"]
    assert of_model["scope"] == "fleet"
    assert [(one["limit_requests"], one["limit_tokens"]) for one in shown] == [
        (10, 500_000),
        (5, None),
        (None, None),
    ]
    # What stands beside a limit is what counts against it; else it is everybody's, as on the other pages.
    assert [(one["requests"], one["tokens"]) for one in shown] == [(1, 300), (1, 300), (1, 70)]
    assert [one["available"] for one in shown] == [True, True, True]
    assert [(one["requests"], one["available"]) for one in later] == [
        (1, True),
        (5, False),
        (1, True),
    ]
