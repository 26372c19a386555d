"""How this installation is, in one place and by provider and by model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proxy import __version__
from proxy.control.admin.status import named
from proxy.core.clock import monotonic
from proxy.core.errors import Cause
from proxy.state.rests import Refusal
from tests.control.admin.counted import broken, snapshot, tried
from tests.control.admin.desk import MASTER, Desk
from tests.control.admin.foreign import open_foreign

PROVIDERS: dict[str, Any] = {
    name: {"base_url": f"https://{name}.example.com", "credentials": [f"sk-of-{name}-0001"]}
    for name in ("first", "second")
}
MODELS: dict[str, Any] = {
    "both": {
        "aliases": ["either/one"],
        "deployments": [{"provider": "first"}, {"provider": "second", "model": "up"}],
    },
    "wild/*": {"deployments": [{"provider": "first", "model": "*"}]},
}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_foreign(tmp_path, providers=PROVIDERS, models=MODELS) as one:
        yield one


async def seen(desk: Desk, path: str) -> dict[str, Any]:
    said = await desk.owner("GET", path)
    assert said.status == 200, said.body
    content: dict[str, Any] = said.json
    return content


def out(desk: Desk, provider: str) -> None:
    """Take its deployment of `both` out."""
    state = desk.services.state
    for one in state.snapshot.models["both"].tiers[0]:
        if one.provider.name == provider:
            broken(state, one)


async def test_everything_at_once(desk: Desk) -> None:
    await desk.owner("POST", "/admin/providers", {"name": "stored", "preset": "ollama"})

    content = await seen(desk, "/admin/status")

    assert (content["status"], content["version"]) == ("ok", __version__)
    assert content["uptime"] >= 0
    assert content["counts"] == {
        "providers": 3,
        "models": 2,
        "deployments": 3,
        "virtual_keys": 1,
    }
    assert set(content["providers"]) == {"first", "second", "stored"}
    assert content["problems"] == []
    assert [one["for"] for one in content["listeners"]] == ["clients", "operators"]
    store = content["store"]
    assert (store["backend"], store["up"], store["source"]) == ("sqlite", True, "store")
    assert store["objects"] == {
        "provider": 1,
        "credential": 0,
        "model": 0,
        "deployment": 0,
        "key": 0,
        "setting": 0,
    }
    assert store["revision"] == desk.services.sync.revision > 0


async def test_no_secret_is_in_the_status(desk: Desk) -> None:
    said = await desk.owner("GET", "/admin/status")

    for secret in (MASTER, "sk-of-first-0001", "sk-test-of-the-file-0001"):
        assert secret.encode() not in said.body


async def test_what_is_wrong_is_said(desk: Desk) -> None:
    out(desk, "first")
    content = await seen(desk, "/admin/status")

    assert content["status"] == "degraded"
    assert content["providers"]["first"]["status"] == "degraded"


async def test_every_provider_and_what_it_serves(desk: Desk) -> None:
    out(desk, "second")

    content = await seen(desk, "/v1/health/providers")

    assert content["providers"] == {
        "first": {
            "status": "healthy",
            "health_status": "healthy",
            "models": ["both", "wild/*"],
            "base_url": "https://first.example.com",
            "keys": {"usable": 1, "cooling": 0, "bad": 0},
            "last_check": None,
        },
        "second": {
            "status": "unhealthy",
            "health_status": "unhealthy",
            "models": ["both"],
            "base_url": "https://second.example.com",
            "keys": {"usable": 1, "cooling": 0, "bad": 0},
            "last_check": None,
        },
    }
    for alias in ("/api/providers/health", "/admin/health/providers"):
        assert (await seen(desk, alias))["providers"] == content["providers"]


@pytest.mark.parametrize("name", ["both", "either/one", "either%2Fone"])
async def test_one_model_under_any_of_its_names(desk: Desk, name: str) -> None:
    out(desk, "second")

    content = await seen(desk, f"/v1/health/models/{name}")

    timestamp, deployments = content.pop("timestamp"), content.pop("deployments")
    assert timestamp > 1e9
    assert [(one["provider"], one["status"], one["circuit"]) for one in deployments] == [
        ("first", "healthy", "closed"),
        ("second", "unhealthy", "open"),
    ]
    assert content == {
        "model_name": name.replace("%2F", "/"),
        "status": "degraded",
        "providers": {"first": "healthy", "second": "unhealthy"},
        "healthy_providers": 1,
        "total_providers": 2,
    }


async def test_a_model_of_which_all_is_out_is_unhealthy(desk: Desk) -> None:
    for provider in PROVIDERS:
        out(desk, provider)

    assert (await seen(desk, "/v1/health/models/both"))["status"] == "unhealthy"


@pytest.mark.parametrize("name", ["wild/7", "wild/*", "wild/%2A"])
async def test_a_wildcard_is_a_model_under_every_name_it_fits(desk: Desk, name: str) -> None:
    assert (await seen(desk, f"/v1/health/models/{name}"))["status"] == "healthy"


async def test_all_models_in_short(desk: Desk) -> None:
    content = await seen(desk, "/v1/health/models")

    assert content["models"] == {
        "both": {"status": "healthy", "healthy_providers": 2, "total_providers": 2},
        "wild/*": {"status": "healthy", "healthy_providers": 1, "total_providers": 1},
    }


async def test_a_model_nobody_has_is_not_found(desk: Desk) -> None:
    for path in ("/v1/health/models/nobody", "/admin/providers/nobody"):
        assert (await desk.owner("GET", path)).status == 404


async def test_the_providers_of_a_model(tmp_path: Path) -> None:
    nothing = {"path": ""}
    async with open_foreign(tmp_path, providers=PROVIDERS, models=MODELS, ledger=nothing) as desk:
        state = desk.services.state
        first = next(
            one for one in state.snapshot.models["both"].tiers[0] if one.provider.name == "first"
        )
        tried(state, first, "ok", 2)
        out(desk, "second")

        content = await seen(desk, "/admin/providers/both")

    assert (content["model"], content["scope"], content["strategy"]) == ("both", "worker", "p2c")
    one, other = sorted(content["providers"], key=lambda each: str(each["name"]))
    assert one == {
        "name": "first",
        "endpoint": "https://first.example.com",
        "model": "both",
        "priority": 1,
        "weight": 10,
        "enabled": True,
        "status": "healthy",
        "available": True,
        "circuit": "closed",
        "requests": 2,
        "tokens": 0,
        "inflight": 0,
        "limit_requests": None,
        "limit_tokens": None,
    }
    assert (other["status"], other["circuit"], other["model"]) == ("unhealthy", "open", "up")


async def test_a_provider_whose_credentials_rest_is_not_available(desk: Desk) -> None:
    state, moment = desk.services.state, monotonic()
    refused = Refusal(Cause.AUTH, moment, 401)
    state.live.accounts["first#0"].state("both").cool(refused, moment, state.rng)

    providers = (await seen(desk, "/admin/providers/both"))["providers"]

    assert {one["name"]: one["available"] for one in providers} == {"first": False, "second": True}


async def test_how_providers_are_is_known_without_a_database(desk: Desk) -> None:
    tried(desk.services.state, desk.services.state.snapshot.wildcards[0][1].tiers[0][0], "ok")
    await desk.cut()

    content = await seen(desk, "/admin/providers/wild%2F7")

    assert (content["scope"], content["providers"][0]["requests"]) == ("worker", 1)


async def test_a_provider_goes_before_a_model_of_the_same_name(tmp_path: Path) -> None:
    models = {"first": {"deployments": [{"provider": "first"}]}}
    async with open_foreign(tmp_path, providers=PROVIDERS, models=models) as desk:
        assert (await seen(desk, "/admin/providers/first"))["kind"] == "provider"


def test_the_longest_wildcard_that_fits_is_the_one() -> None:
    served = snapshot()

    assert (named(served, "alias"), named(served, "w/x")) == (
        served.models["m"],
        served.wildcards[0][1],
    )
    assert named(served, "x") is None
