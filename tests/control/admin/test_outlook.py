"""How objects are, beside what they are."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.core.clock import monotonic, now
from proxy.core.errors import Cause
from proxy.state.checks import Check
from proxy.state.health import NO_PROBE
from proxy.state.rests import Refusal
from tests.control.admin.desk import Said
from tests.control.admin.office import Office, problem

LIMITS = {"key": "sk-limited-credential", "rpm": 60, "quota": {"requests": 10}}


async def shown(office: Office, path: str) -> Any:
    """`live` of an object."""
    return (await office.shown(f"{path}?live=true"))["live"]


async def listed(office: Office, path: str) -> list[Any]:
    sign = "&" if "?" in path else "?"
    return (await office.shown(f"{path}{sign}live=true"))["data"]  # type: ignore[no-any-return]


def trip(office: Office, id: str) -> None:
    """Take a deployment out."""
    state = office.services.state
    for _ in range(5):
        state.live.deployments[id].bad(monotonic(), 1.0, NO_PROBE, state.rng)


async def test_it_is_said_only_where_it_is_asked_for(office: Office) -> None:
    provider = await office.lab("m")

    assert "live" not in await office.shown("/admin/providers/lab")
    assert all("live" not in one for one in (await office.shown("/admin/models"))["data"])
    for wrong in (
        "/admin/keys?live=true",
        "/admin/providers?live=yes",
        "/admin/settings?live=true",
    ):
        assert problem(await office.owner("GET", wrong)) == (400, "invalid", ["live"])
    fresh: Said = await office.owner(
        "GET", "/admin/providers/lab?live=true", None, if_none_match=f'"{provider["revision"]}"'
    )
    assert fresh.status == 200


async def test_a_provider_that_is_well(office: Office) -> None:
    await office.lab("m", "n")

    live = await shown(office, "/admin/providers/lab")

    assert (live["served"], live["status"], live["why"]) == (True, "healthy", "")
    assert live["deployments"] == {"healthy": 2}
    assert live["models"] == ["m", "n"]
    assert live["credentials"] == {"usable": 1}
    assert live["usable"] == 2
    assert (live["since"], live["retry_at"], live["inflight"], live["last_check"]) == (
        None,
        None,
        0,
        None,
    )
    assert live["inflight_of"] == "host"
    file = {one["name"]: one["live"]["status"] for one in await listed(office, "/admin/providers")}
    assert file == {"filed": "healthy", "lab": "healthy"}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"enabled": False, "credentials": ["sk-some-credential"]}, "disabled"),
        ({}, "no credential"),
    ],
)
async def test_a_provider_out_of_use_says_why(office: Office, body: Any, why: str) -> None:
    await office.made(
        "/admin/providers", {"name": "p", "base_url": "https://p.example.com", **body}
    )
    await office.made("/admin/models", {"name": "m", "deployments": [{"provider": "p"}]})

    assert await shown(office, "/admin/providers/p") == {
        "served": False,
        "status": "unused",
        "why": why,
    }
    (deployment,) = await listed(office, "/admin/deployments?provider=p")
    assert (deployment["live"]["served"], deployment["live"]["why"]) == (
        False,
        "provider out of use",
    )
    assert (await shown(office, "/admin/models/m"))["served"] is False
    for credential in await listed(office, "/admin/credentials?provider=p"):
        assert credential["live"]["state"] == "unused"


@pytest.mark.parametrize(
    ("body", "why"), [({"enabled": False}, "disabled"), ({"weight": 0}, "no weight")]
)
async def test_a_deployment_that_is_left_out_says_why(office: Office, body: Any, why: str) -> None:
    await office.lab()
    await office.made("/admin/models", {"name": "m", "deployments": [{"provider": "lab", **body}]})

    (deployment,) = await listed(office, "/admin/deployments?model=m")

    assert (deployment["live"]["served"], deployment["live"]["why"]) == (False, why)


async def test_a_deployment_that_is_out(office: Office) -> None:
    await office.lab("team/m")
    (before,) = await listed(office, "/admin/deployments?provider=lab")
    id = before["live"]["deployment"]
    assert id == f"team/m/{before['id']}:lab"
    trip(office, id)

    (one,) = await listed(office, "/admin/deployments?provider=lab")

    live = one["live"]
    assert (live["status"], live["circuit"]) == ("unhealthy", "open")
    assert abs(live["since"] - now()) < 5
    assert 0 < live["retry_at"] - live["since"] < 5
    for path in ("/admin/providers/lab", "/admin/models/team/m"):
        above = await shown(office, path)
        assert (above["status"], above["deployments"]) == ("unhealthy", {"unhealthy": 1})
        assert above["retry_at"] == pytest.approx(live["retry_at"], abs=0.1)


async def test_as_good_as_all_of_them(office: Office) -> None:
    await office.lab()
    two = [{"provider": "lab", "model": "a"}, {"provider": "lab", "model": "b", "priority": 2}]
    await office.made("/admin/models", {"name": "m", "deployments": two})
    first, _ = await listed(office, "/admin/deployments?model=m")
    trip(office, first["live"]["deployment"])

    live = await shown(office, "/admin/models/m")

    assert (live["status"], live["strategy"], live["usable"]) == ("degraded", "p2c", 1)
    assert live["deployments"] == {"unhealthy": 1, "healthy": 1}


async def test_a_credential_rests_for_a_model_or_for_all(office: Office) -> None:
    await office.lab("m")
    (one,) = await listed(office, "/admin/credentials?provider=lab")
    assert (one["live"]["state"], one["live"]["rests"], one["live"]["usage"]) == (
        "usable",
        [],
        None,
    )
    state = office.services.state
    account = state.live.accounts[f"lab#{one['id']}"]
    account.state("m").cool(
        Refusal(Cause.RATE_LIMIT, monotonic(), 429, 60.0), monotonic(), state.rng
    )

    live = await shown(office, f"/admin/credentials/{one['id']}")

    assert live["state"] == "cooling"
    (rest,) = live["rests"]
    assert (rest["model"], rest["cause"]) == ("m", "http_429")
    assert abs(rest["since"] - now()) < 5
    assert 55 < rest["until"] - rest["since"] < 75
    (deployment,) = await listed(office, "/admin/deployments?provider=lab")
    assert deployment["live"]["credentials"] == {"cooling": 1}
    assert (deployment["live"]["status"], deployment["live"]["usable"]) == ("healthy", 0)
    assert (await shown(office, "/admin/models/m"))["usable"] == 0

    account.state("m").cool(Refusal(Cause.AUTH, monotonic(), 401), monotonic(), state.rng)

    assert (await shown(office, "/admin/providers/lab"))["credentials"] == {"bad": 1}
    rests = (await shown(office, f"/admin/credentials/{one['id']}"))["rests"]
    assert {rest["model"]: rest["cause"] for rest in rests} == {None: "http_401", "m": "http_429"}


async def test_what_is_used_of_limits_is_told(office: Office) -> None:
    provider = await office.lab()
    credential = await office.made("/admin/credentials", {"provider": provider["id"], **LIMITS})
    body = {"name": "m", "deployments": [{"provider": "lab", "concurrency": 5}]}
    await office.made("/admin/models", body)

    usage = (await shown(office, f"/admin/credentials/{credential['id']}"))["usage"]
    (deployment,) = await listed(office, "/admin/deployments?model=m")

    assert (usage["rpm"], usage["quota"]["limit_requests"], usage["quota"]["requests"]) == (
        60,
        10,
        0,
    )
    assert deployment["live"]["usage"]["concurrency"] == 5


async def test_the_last_check_and_a_ceiling(office: Office) -> None:
    await office.lab()
    body = {"name": "wild/*", "overload": {"enabled": True, "start": 7}}
    await office.made("/admin/models", {**body, "deployments": [{"provider": "lab", "model": "*"}]})
    (one,) = await listed(office, "/admin/deployments?model=wild/*")
    state = office.services.state.live.deployments[one["live"]["deployment"]]
    state.note_check(monotonic(), Check.OK)

    (one,) = await listed(office, "/admin/deployments?model=wild/*")

    assert one["live"]["last_check"]["outcome"] == "ok"
    assert one["live"]["ceiling"] in (7, None)
    assert (await shown(office, "/admin/providers/lab"))["last_check"]["outcome"] == "ok"
    assert (await shown(office, "/admin/models/wild/*"))["served"] is True
