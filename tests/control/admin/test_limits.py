"""Limits, prices and budgets over the admin API: every kind of object has them, and settings are three more."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.control.admin.export import Secrets
from proxy.control.admin.transfer import Mode
from proxy.core.model import Budget, Limits, Price, Quota
from tests.control.admin.office import Office, problem
from tests.control.admin.stocked import Stocked
from tests.control.admin.test_operations import rewrite

PACE = {"rpm": 5, "tpm": 6, "concurrency": 7}
QUOTA = {"requests": 8, "cron": "0 6 * * *", "tz": "Europe/Berlin"}
PRICE = {"input": 2.5, "image": 0.04, "above": {"200000": {"input": 5}}}
BUDGET = {"usd": 9, "cron": "0 6 * * 1", "tz": "Europe/Berlin", "strict": True}


# --- objects ---


@pytest.mark.parametrize(
    ("kind", "path", "fields"),
    [
        ("keys", "app", PACE | {"budget": BUDGET}),
        ("models", "m", PACE),
        ("deployments", "", PACE | {"quota": QUOTA, "price": PRICE}),
        ("credentials", "", PACE | {"quota": QUOTA}),
    ],
)
async def test_fields_are_taken_shown_changed_and_taken_away(
    office: Office, kind: str, path: str, fields: dict[str, Any]
) -> None:
    await office.lab("m")
    await office.made("/admin/keys", {"name": "app"})
    if not path:
        path = str((await office.shown(f"/admin/{kind}?source=store"))["data"][0]["id"])
    at = f"/admin/{kind}/{path}"
    before = await office.shown(at)

    said = await office.owner("PATCH", at, fields)
    again = await office.owner("PUT", at, said.json)
    fewer = await office.owner("PATCH", at, {"rpm": None})
    none = await office.owner("PATCH", at, dict.fromkeys(fields))

    assert all(before[name] is None for name in fields)
    assert {name: said.json[name] for name in fields} == fields
    assert again.json["revision"] == said.json["revision"]
    assert (fewer.json["rpm"], fewer.json["tpm"]) == (None, 6)
    assert all(none.json[name] is None for name in fields)


async def test_they_reach_what_serves(office: Office) -> None:
    await office.lab("m")
    [deployment] = (await office.shown("/admin/deployments?source=store"))["data"]
    [credential] = (await office.shown("/admin/credentials?source=store"))["data"]

    await office.owner("PATCH", "/admin/models/m", PACE)
    await office.owner(
        "PATCH", f"/admin/deployments/{deployment['id']}", PACE | {"quota": QUOTA, "price": PRICE}
    )
    await office.owner("PATCH", f"/admin/credentials/{credential['id']}", {"quota": QUOTA})
    await office.made("/admin/keys", {"name": "app", "budget": BUDGET})

    snapshot = office.services.state.snapshot
    model = snapshot.models["m"]
    assert model.limits == Limits(5, 6, 7)
    served = model.tiers[0][0]
    assert (served.limits, served.quota) == (
        Limits(5, 6, 7),
        Quota(8, 0, "0 6 * * *", "Europe/Berlin"),
    )
    assert served.price == Price(
        input=2.5, image=40_000.0, above=((200_000, Price(input=5.0, image=40_000.0)),)
    )
    assert served.provider.credentials[0].quota == served.quota
    [key] = [key for key in snapshot.keys.values() if key.name == "app"]
    assert key.budget == Budget(9.0, "month", "0 6 * * 1", "Europe/Berlin", True)


@pytest.mark.parametrize(
    ("kind", "fields", "field"),
    [
        ("keys", {"budget": {"usd": -1}}, "budget.usd"),
        ("keys", {"budget": {"usd": 1, "cron": "5 * * * *"}}, "budget.cron"),
        ("keys", {"budget": {"usd": 1, "tz": "Mars"}}, "budget.tz"),
        ("keys", {"budget": {"usd": 1, "cron": "0 0 * * *", "period": "day"}}, "budget.cron"),
        ("keys", {"budget": {"strict": True}}, "budget.usd"),
        ("keys", {"burst": 5}, "burst"),
        ("models", {"rpm": 0}, "rpm"),
        ("models", {"budget": BUDGET}, "budget"),
        ("settings", {"name": "limits", "budget": {"usd": 1, "tz": "Mars"}}, "budget.tz"),
        ("settings", {"name": "teams", "a": {"rmp": 1}}, "a.rmp"),
        ("settings", {"name": "teams", "a": 5}, "a"),
        ("settings", {"name": "teams", "keys": {"rpm": 1}}, "keys"),
        ("settings", {"name": "prices", "m": {"above": {"5": {"input": 1}}}}, "m.above"),
        ("settings", {"name": "prices", "a*b": {"input": 1}}, '"a*b"'),
        ("settings", {"name": "ledger", "path": "/etc"}, "name"),
        ("settings", {"name": "shared", "url": "redis://h"}, "name"),
        ("settings", {"name": "defaults", "price_unknown": "ask"}, "price_unknown"),
    ],
)
async def test_what_is_wrong_is_named(
    office: Office, kind: str, fields: dict[str, Any], field: str
) -> None:
    body = {"name": "new"} | fields
    said = await office.owner("POST", f"/admin/{kind}", body)

    assert problem(said)[0] == 400
    assert field in problem(said)[2]


# --- settings ---


async def test_limits_teams_and_prices_are_settings(office: Office) -> None:
    for name, fields in (
        ("limits", PACE | {"burst": 3, "budget": BUDGET}),
        ("teams", {"research": PACE, "sales": {"budget": {"usd": 5}}}),
        ("prices", {"gpt-*": PRICE, "m": {"output": 3}}),
        ("defaults", {"price_unknown": {"input": 4}}),
    ):
        said = await office.owner("PUT", f"/admin/settings/{name}", fields)
        assert said.json.items() >= fields.items()
        assert said.json["read_only"] is False

    snapshot = office.services.state.snapshot
    budget = Budget(9.0, "month", "0 6 * * 1", "Europe/Berlin", True)
    assert snapshot.limits == Limits(5, 6, 7, 3, budget)
    assert snapshot.teams == {"research": Limits(5, 6, 7), "sales": Limits(budget=Budget(5.0))}
    assert snapshot.prices["m"] == Price(output=3.0)
    assert snapshot.price_unknown == Price(input=4.0)


async def test_one_team_is_changed_and_taken_away_by_itself(office: Office) -> None:
    await office.owner("PUT", "/admin/settings/teams", {"a": {"rpm": 1, "tpm": 2}, "b": {"rpm": 3}})

    await office.owner("PATCH", "/admin/settings/teams", {"a": {"rpm": 9}})
    said = await office.owner("PATCH", "/admin/settings/teams", {"b": None})

    assert said.json["a"] == {"rpm": 9, "tpm": 2}
    assert "b" not in said.json
    assert office.services.state.snapshot.teams == {"a": Limits(9, 2)}


async def test_a_page_of_teams_may_be_sent_back(office: Office) -> None:
    first = await office.owner("PUT", "/admin/settings/teams", {"a": {"rpm": 1}})

    again = await office.owner("PUT", "/admin/settings/teams", first.json)

    assert again.json["revision"] == first.json["revision"]


async def test_the_files_teams_win_and_are_read_only(office: Office) -> None:
    rewrite(office, teams={"filed": {"rpm": 1}}, prices={"m": PRICE}, limits={"rpm": 4})
    await office.owner("POST", "/admin/reload")

    said = await office.owner(
        "PUT", "/admin/settings/teams", {"filed": {"rpm": 9, "tpm": 2}, "stored": {"rpm": 3}}
    )
    filed = (await office.shown("/admin/settings?source=file"))["data"]

    assert said.json["warnings"] == ["filed: the configuration file says it too, and wins"]
    assert {one["name"] for one in filed} >= {"teams", "prices", "limits"}
    assert all(one["read_only"] for one in filed)
    assert [one["m"]["above"] for one in filed if one["name"] == "prices"] == [PRICE["above"]]
    assert office.services.state.snapshot.teams == {"filed": Limits(1, 2), "stored": Limits(3)}


async def test_the_files_credentials_are_shown_with_their_limits(office: Office) -> None:
    provider = {
        "base_url": "https://a.example",
        "credentials": [{"key": "sk-filed-000001", **PACE, "quota": QUOTA}],
    }
    rewrite(office, providers={"filed": provider})
    await office.owner("POST", "/admin/reload")

    [shown] = (await office.shown("/admin/credentials?source=file"))["data"]

    assert shown.items() >= (PACE | {"quota": QUOTA, "key": "***"}).items()


# --- export and import ---

DOCUMENT: dict[str, Any] = {
    "defaults": {"price_unknown": {"input": 4}},
    "limits": PACE | {"budget": BUDGET},
    "teams": {"research": PACE, "on": {"budget": {"usd": 5}}},
    "prices": {"gpt-*": PRICE},
    "providers": {
        "p": {
            "base_url": "https://a.example",
            "credentials": [{"key": "sk-first-0123456789", **PACE, "quota": QUOTA}],
        }
    },
    "models": {
        "m": {
            **PACE,
            "deployments": [{"provider": "p", **PACE, "quota": QUOTA, "price": PRICE}],
        }
    },
    "keys": [{"name": "k", "key": "sk-client-0123456789", **PACE, "budget": BUDGET}],
}


def test_an_export_has_all_of_it_and_an_import_takes_it_back() -> None:
    one, other = Stocked(), Stocked()
    one.take(DOCUMENT)

    other.take_text(one.shown(Secrets.ENCRYPTED))

    assert other.opened() == one.opened()
    content = other.opened()
    assert content["limits"] == DOCUMENT["limits"]
    assert content["teams"] == DOCUMENT["teams"]
    assert content["prices"] == DOCUMENT["prices"]
    assert content["models"]["m"] == DOCUMENT["models"]["m"]
    assert content["keys"][0].items() >= (PACE | {"budget": BUDGET}).items()
    for secrets in Secrets:
        assert one.take_text(one.shown(secrets), Mode.REPLACE) == 0


@pytest.mark.parametrize("section", [{"ledger": {"path": "/x"}}, {"shared": {"url": "redis://h"}}])
def test_what_is_of_one_machine_is_left_out_of_an_import(section: dict[str, Any]) -> None:
    plan = Stocked().planned(section)

    assert not plan.steps
    assert not plan.faults
    assert "it is in the configuration file alone" in plan.warnings[0]
