"""Statistics in the shapes of two other gateways: of one worker where nothing is booked, null for what is not known."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proxy.control.admin.access import Role
from proxy.core.model import Deployment
from tests.control.admin.counted import broken, finished, tried, used
from tests.control.admin.desk import Desk
from tests.control.admin.foreign import open_foreign

PLACES = [
    "/admin/stats",
    "/v1/stats",
    "/v1/providers/stats/overview",
    "/v1/providers/from-file/performance",
    "/v1/load-balancing/statistics",
]
NOTHING = {"path": ""}
"""Is booked."""
PROVIDERS: dict[str, Any] = {
    name: {"base_url": f"https://{name}.example.com", "credentials": [f"sk-of-{name}-0001"]}
    for name in ("from-file", "second", "unused")
}
MODELS: dict[str, Any] = {
    "filed": {
        "strategy": "round_robin",
        "deployments": [
            {"provider": "from-file", "weight": 7},
            {"provider": "second", "model": "up", "priority": 2},
        ],
    },
    "other": {"deployments": [{"provider": "second"}]},
}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """Three good answers and a bad one of the first provider, two bad ones of the second, which is out."""
    async with open_foreign(tmp_path, providers=PROVIDERS, models=MODELS, ledger=NOTHING) as one:
        state = one.services.state
        first, second = deployments(one)
        tried(state, first, "ok", 3)
        tried(state, first, "switch")
        tried(state, second, "final_error", 2)
        used(state, first, 10, 5)
        finished(state, 200, 3)
        finished(state, 502, 3)
        broken(state, second)
        yield one


def deployments(desk: Desk) -> list[Deployment]:
    tiers = desk.services.state.snapshot.models["filed"].tiers
    return [one for tier in tiers for one in tier]


async def seen(desk: Desk, path: str) -> dict[str, Any]:
    said = await desk.owner("GET", path)
    assert said.status == 200, said.body
    content: dict[str, Any] = said.json
    return content


async def test_what_was_used_by_model_and_provider(desk: Desk) -> None:
    content = await seen(desk, "/admin/stats")

    since = content["filed"]["second"]["last_reset"]
    nothing = {
        "requests": 0,
        "tokens": 0,
        "last_reset": since,
        "limit_requests": None,
        "limit_tokens": None,
    }
    assert content == {
        "filed": {
            "from-file": {**nothing, "requests": 4, "tokens": 16},
            "second": {**nothing, "requests": 2},
        },
        "other": {"second": nothing},
    }


async def test_deployments_of_one_provider_are_added(tmp_path: Path) -> None:
    twice = [{"provider": "second", "model": name} for name in ("one", "other")]
    async with open_foreign(
        tmp_path, providers=PROVIDERS, models={"filed": {"deployments": twice}}, ledger=NOTHING
    ) as desk:
        state = desk.services.state
        for deployment, times in zip(deployments(desk), (2, 3), strict=True):
            tried(state, deployment, "ok", times)
        content = await seen(desk, "/admin/stats")
        balanced = await seen(desk, "/v1/load-balancing/statistics")

    assert content["filed"]["second"]["requests"] == 5
    assert [one["share"] for one in balanced["models"]["filed"]["deployments"]] == [0.4, 0.6]


async def test_routing(desk: Desk) -> None:
    content = await seen(desk, "/v1/stats")

    assert content.keys() == {"timestamp", "scope", "since", "use_database", "stats"}
    assert (content["scope"], content["use_database"]) == ("worker", True)
    stats = content["stats"]
    assert (stats["requests"], stats["succeeded"], stats["failed"]) == (6, 3, 3)
    assert stats["cost"] is None
    model = stats["models"]["filed"]
    providers = model.pop("providers")
    assert model == {
        "requests": 6,
        "succeeded": 3,
        "failed": 3,
        "success_rate": 0.5,
        "average_ttft_seconds": 0.25,
        "inflight": 0,
        "selections": 6,
        "cost": None,
        "tokens": 16,
        "strategy": "round_robin",
    }
    assert (providers["from-file"]["success_rate"], providers["from-file"]["tokens"]) == (0.75, 16)
    assert (providers["second"]["success_rate"], providers["second"]["tokens"]) == (0.0, 0)
    assert stats["models"]["other"]["success_rate"] is None


async def test_an_overview_of_providers(desk: Desk) -> None:
    content = await seen(desk, "/v1/providers/stats/overview")

    assert (
        content.items()
        >= {
            "total_providers": 3,
            "healthy_providers": 1,
            "degraded_providers": 1,
            "unhealthy_providers": 0,
            "unused_providers": 1,
            "average_score": 0.6667,
        }.items()
    )
    assert content["health_distribution"]["healthy_percentage"] == 33.33
    assert content["providers"]["from-file"]["requests"] == 4
    assert content["providers"]["unused"]["success_rate"] is None


async def test_one_provider(desk: Desk) -> None:
    content = await seen(desk, "/v1/providers/second/performance")

    assert (content["provider_name"], content["status"]) == ("second", "degraded")
    assert (content["requests"], content["success_rate"], content["tokens"]) == (2, 0.0, 0)
    assert content["average_ttft_seconds"] is None
    assert content["keys"] == {"usable": 1, "cooling": 0, "bad": 0}
    assert [(one["model"], one["requests"]) for one in content["models"]] == [
        ("filed", 2),
        ("other", 0),
    ]


async def test_who_was_chosen(desk: Desk) -> None:
    content = await seen(desk, "/v1/load-balancing/statistics")

    assert content["strategies"] == {"round_robin": 1, "p2c": 1}
    first, second = content["models"]["filed"]["deployments"]
    assert first == {
        "provider": "from-file",
        "model": "filed",
        "priority": 1,
        "weight": 7,
        "selections": 4,
        "inflight": 0,
        "ewma_ttft_seconds": 0.25,
        "health": 1.0,
        "opened": 0,
        "share": 0.6667,
    }
    assert (second["ewma_ttft_seconds"], second["health"], second["opened"]) == (None, 0.0, 1)
    assert content["models"]["other"]["deployments"][0]["share"] is None


async def test_whole_answers_have_no_first_piece(desk: Desk) -> None:
    state, other = desk.services.state, deployments(desk)[1]
    state.metrics.attempts("filed", other.id, "second").ttft.observe(2.0)

    content = await seen(desk, "/v1/load-balancing/statistics?model_name=filed")

    assert content["models"]["filed"]["deployments"][1]["ewma_ttft_seconds"] is None


async def test_one_models_choices(desk: Desk) -> None:
    content = await seen(desk, "/v1/load-balancing/statistics?model_name=filed")

    assert list(content["models"]) == ["filed"]
    assert (
        await desk.owner("GET", "/v1/load-balancing/statistics?model_name=nobody")
    ).status == 404


@pytest.mark.parametrize("path", PLACES[2:])
async def test_the_same_is_to_be_had_below_admin(desk: Desk, path: str) -> None:
    there = await seen(desk, path)
    here = await seen(desk, path.replace("/v1/", "/admin/"))

    assert {**here, "timestamp": 0} == {**there, "timestamp": 0}


async def test_a_reset_begins_anew(desk: Desk) -> None:
    assert (await desk.owner("POST", "/v1/stats/reset")).status == 200

    stats = (await seen(desk, "/v1/stats"))["stats"]
    assert stats["requests"] == 0
    assert stats["models"]["filed"]["selections"] == 0
    used_since = (await seen(desk, "/admin/stats"))["filed"]["from-file"]
    assert (used_since["requests"], used_since["tokens"]) == (0, 0)


async def test_a_provider_that_is_not_in_use_is_not_found(desk: Desk) -> None:
    assert (await desk.owner("GET", "/v1/providers/nobody/performance")).status == 404


async def test_without_a_provider_there_is_nothing_to_divide_by(tmp_path: Path) -> None:
    async with open_foreign(tmp_path, providers={}, models={}) as empty:
        content = await seen(empty, "/v1/providers/stats/overview")
        balanced = await seen(empty, "/v1/load-balancing/statistics")
        stats = await seen(empty, "/admin/stats")

    assert content["average_score"] is None
    assert set(content["health_distribution"].values()) == {None}
    assert (balanced["models"], stats) == ({}, {})


@pytest.mark.parametrize("path", PLACES)
async def test_rights(desk: Desk, path: str) -> None:
    keys, viewer = (
        await desk.token("keys", Role.KEY_MANAGER, team="blue"),
        await desk.token("viewer", Role.VIEWER),
    )

    assert (await desk.ask("GET", path)).status == 401
    assert (await desk.ask("GET", path, who=keys)).status == 403
    assert (await desk.ask("GET", path, who=viewer)).status == 200
