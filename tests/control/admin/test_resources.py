"""Lists, single objects, and what every answer about one carries."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.control.admin.access import Role
from proxy.control.admin.resources import RESOURCES
from tests.control.admin.desk import Who
from tests.control.admin.office import CREDENTIAL, LAB, Office, problem


async def test_objects_of_the_file_are_listed_first_and_are_read_only(office: Office) -> None:
    await office.lab("m")
    await office.made("/admin/keys", {"name": "app"})

    for resource in RESOURCES[:-1]:
        shown = (await office.shown(resource.path))["data"]
        assert [one["source"] for one in shown] == ["file", "store"], resource.plural
        assert [one["read_only"] for one in shown] == [True, False]
        assert {one["kind"] for one in shown} == {resource.kind}


async def test_the_file_shows_no_secret(office: Office) -> None:
    said = [(await office.owner("GET", resource.path)).body for resource in RESOURCES]

    text = b"".join(said).decode()
    for secret in ("filed-secret-0001", "filed-header", "sk-filed-key-000001"):
        assert secret not in text
    assert '"headers":{"x-team":"***"}' in text
    assert '"last4":"0001"' in text


@pytest.mark.parametrize(
    ("path", "id"),
    [
        ("/admin/providers/filed", "filed"),
        ("/admin/credentials/filed%230", "filed#0"),
        ("/admin/models/filed/model", "filed/model"),
        ("/admin/deployments/filed/model/0:filed", "filed/model/0:filed"),
        ("/admin/keys/filed", "filed"),
    ],
)
async def test_an_object_of_the_file_is_found(office: Office, path: str, id: str) -> None:
    shown = await office.shown(path)

    assert (shown["id"], shown["source"]) == (id, "file")


async def test_a_new_object_says_where_it_is(office: Office) -> None:
    said = await office.owner("POST", "/admin/models", {"name": "a/b"})

    assert said.status == 201
    assert said.headers["location"] == "/admin/models/1"
    assert said.headers["etag"] == '"1"'
    assert (
        (await office.shown("/admin/models/1"))
        == said.json
        == await office.shown("/admin/models/a/b")
    )


@pytest.mark.parametrize(
    ("given", "status"),
    [('"1"', 304), ('W/"1"', 304), ('"9", "1"', 304), ("*", 304), ('"9"', 200), ("", 200)],
)
async def test_what_has_not_changed_is_not_sent_again(
    office: Office, given: str, status: int
) -> None:
    await office.made("/admin/models", {"name": "m"})

    said = await office.owner("GET", "/admin/models/m", if_none_match=given)

    assert (said.status, said.headers["etag"]) == (status, '"1"')
    assert bool(said.body) == (status == 200)


@pytest.mark.parametrize(
    ("path", "parent"),
    [("/admin/credentials/2", "/admin/providers/lab"), ("/admin/deployments/4", "/admin/models/m")],
)
async def test_what_shows_the_name_above_it_changes_with_that(
    office: Office, path: str, parent: str
) -> None:
    await office.made("/admin/providers", {**LAB, "credentials": [CREDENTIAL]})
    deployment = {"provider": "filed", "model": "up"}
    await office.made("/admin/models", {"name": "m", "deployments": [deployment]})
    before = (await office.owner("GET", path)).headers["etag"]
    same = await office.owner("GET", path, if_none_match=before)
    await office.owner("PATCH", parent, {"name": "other"})

    after = await office.owner("GET", path, if_none_match=before)
    again = await office.owner("GET", path, if_none_match=after.headers["etag"])
    body = {"weight": 3}
    old = await office.owner("PATCH", path, body, if_match=before)
    written = await office.owner("PATCH", path, {"weight": 4}, if_match=old.headers["etag"])
    shown = await office.owner("GET", path, if_none_match=written.headers["etag"])
    late = await office.owner("PATCH", path, body, if_match=after.headers["etag"])

    assert (same.status, after.status, again.status) == (304, 200, 304)
    assert "other" in (after.json.get("provider"), after.json.get("public_model"))
    assert (old.status, written.status, shown.status, late.status) == (200, 200, 304, 412)


@pytest.mark.parametrize(
    ("given", "status"), [('"1"', 200), ("1", 200), ("*", 200), ('"2"', 412), ("x", 412), ("", 412)]
)
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_a_change_may_ask_for_the_version_it_saw(
    office: Office, method: str, given: str, status: int
) -> None:
    await office.made("/admin/models", {"name": "m"})

    body = None if method == "DELETE" else {"strict": True}
    said = await office.owner(method, "/admin/models/m", body, if_match=given)

    assert said.status == (204 if (method, status) == ("DELETE", 200) else status)


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", [resource.path for resource in RESOURCES[:-1]])
@pytest.mark.parametrize(
    "id", ["none", "999", "..%2f..%2fetc%2fpasswd", "..", "%2e%2e/%2e%2e", "99999999999999999999"]
)
async def test_what_is_not_there_is_not_found(
    office: Office, path: str, method: str, id: str
) -> None:
    said = await office.ask(
        method,
        f"{path}/{id}",
        None if method in ("GET", "DELETE") else {},
        who=Who({"authorization": "Bearer the token of the configuration"}),
    )

    # The client takes dots out of a path before it sends it; they are sent as they are in test_listener.
    assert said.status in (404, 405)


FILTERS: list[tuple[str, list[str]]] = [
    ("/admin/keys", ["filed", "alpha", "beta"]),
    ("/admin/keys?source=store", ["alpha", "beta"]),
    ("/admin/keys?source=file", ["filed"]),
    ("/admin/keys?name=beta", ["beta"]),
    ("/admin/keys?q=ET", ["beta"]),
    ("/admin/keys?q=%25", []),
    ("/admin/keys?q=_", []),
    ("/admin/keys?enabled=false", ["beta"]),
    ("/admin/keys?enabled=true", ["filed", "alpha"]),
    ("/admin/keys?team=red", ["filed", "alpha"]),
    ("/admin/keys?team=red&q=al", ["alpha"]),
    ("/admin/keys?team=", ["beta"]),
]


@pytest.mark.parametrize(("path", "names"), FILTERS)
async def test_lists_are_filtered(office: Office, path: str, names: list[str]) -> None:
    await office.made("/admin/keys", {"name": "alpha", "team": "red"})
    await office.made("/admin/keys", {"name": "beta", "enabled": False})

    assert await office.names(path) == names


@pytest.mark.parametrize("said", ["off", "no", "0", 0])
async def test_what_is_off_in_another_word_is_off_on_every_page(office: Office, said: Any) -> None:
    shown = await office.made("/admin/keys", {"name": "beta", "enabled": said})

    assert shown["enabled"] is False
    assert await office.names("/admin/keys?enabled=false") == ["beta"]
    assert await office.names("/admin/keys?enabled=true") == ["filed"]


async def test_children_are_filtered_by_what_they_belong_to(office: Office) -> None:
    await office.lab("m", "n")

    async def ids(path: str) -> list[Any]:
        return [one["id"] for one in (await office.shown(path))["data"]]

    assert await ids("/admin/credentials?provider=lab") == [2]
    assert await ids("/admin/credentials?provider=filed") == ["filed#0"]
    assert await ids("/admin/deployments?model=n") == [6]
    assert await ids("/admin/deployments?provider=lab") == [4, 6]
    assert await ids("/admin/targets?provider=lab&model=m") == [4]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=-1", "limit"),
        ("limit=1e2", "limit"),
        ("limit=%D9%A1", "limit"),
        ("after=x", "after"),
        ("after=WzIsMV0", "after"),
        ("after=WzEsImEiXQ", "after"),
        (f"q={'x' * 65}", "q"),
        ("enabled=yes", "enabled"),
        ("teams=red", "teams"),
        ("source=db", "source"),
    ],
)
async def test_a_query_that_cannot_be_meant_is_refused(
    office: Office, query: str, field: str
) -> None:
    said = await office.owner("GET", f"/admin/keys?{query}")

    assert problem(said) == (400, "invalid", [field])


async def test_a_page_follows_where_the_last_one_ended_whatever_happens_between(
    office: Office,
) -> None:
    for number in range(7):
        await office.made("/admin/keys", {"name": f"k{number}"})

    first = await office.shown("/admin/keys?limit=3")
    await office.owner("DELETE", "/admin/keys/k0")
    await office.owner("DELETE", "/admin/keys/k2")
    await office.made("/admin/keys", {"name": "late"})
    second = await office.shown(f"/admin/keys?limit=3&after={first['next']}")
    third = await office.shown(f"/admin/keys?limit=3&after={second['next']}")

    pages = [[one["name"] for one in page["data"]] for page in (first, second, third)]
    assert pages == [["filed", "k0", "k1"], ["k3", "k4", "k5"], ["k6", "late"]]
    assert third["next"] is None


async def test_a_provider_asked_for_by_a_model_is_that_models_providers(office: Office) -> None:
    await office.lab("m")

    shown = await office.shown("/admin/providers/m")
    own = await office.shown("/admin/providers/lab")

    assert shown["model"] == "m"
    assert own["kind"] == "provider"


@pytest.mark.parametrize("body", [[], "x", 1, None])
async def test_an_object_is_an_object(office: Office, body: Any) -> None:
    said = await office.owner("POST", "/admin/models", b"null" if body is None else body)

    assert problem(said)[:2] == (400, "invalid")


async def test_a_wrong_field_is_named_where_it_is(office: Office) -> None:
    said = await office.owner(
        "POST",
        "/admin/providers",
        {
            **LAB,
            "timeouts": {"ttft": -1},
            "credentials": ["good-key-of-lab", {"key": CREDENTIAL, "weight": 0}],
            "base": 1,
        },
    )

    status, code, fields = problem(said)
    assert (status, code) == (400, "invalid")
    assert set(fields) == {"timeouts.ttft", "base", "credentials[1].weight"}


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("name", ["auth", "nothing", None, 3])
async def test_a_setting_is_called_what_it_is(
    office: Office, method: str, there: bool, name: Any
) -> None:
    if there:
        await office.owner("PUT", "/admin/settings/limits", {"rpm": 5})

    said = await office.owner(method, "/admin/settings/limits", {"name": name})

    assert problem(said) == (400, "invalid", ["name"])
    assert await office.names("/admin/settings") == ["limits"] * there
    again = await office.owner(method, "/admin/settings/limits", {"name": "limits", "rpm": 6})
    assert (again.status, again.json["rpm"]) == (200 if there else 201, 6)


# --- whose keys they are ---


async def test_a_key_manager_has_the_keys_of_one_team(office: Office) -> None:
    await office.made("/admin/keys", {"name": "theirs", "team": "red", "owner": "anna"})
    await office.made("/admin/keys", {"name": "others", "team": "blue"})
    await office.made("/admin/keys", {"name": "nobodys"})
    manager = await office.token("manager", Role.KEY_MANAGER, team="red")

    async def ask(method: str, path: str, body: Any = None) -> int:
        return (await office.ask(method, path, body, manager)).status

    listed = (await office.ask("GET", "/admin/keys", None, manager)).json["data"]
    assert [one["name"] for one in listed] == ["filed", "theirs"]
    assert await ask("GET", "/admin/keys/theirs") == 200
    assert await ask("PATCH", "/admin/keys/theirs", {"enabled": False}) == 200
    assert await ask("POST", "/admin/keys/theirs/rotate") == 200
    assert await ask("POST", "/admin/keys/theirs/enable") == 200
    assert await ask("PUT", "/admin/keys/theirs", {"owner": "anna"}) == 200
    assert (await office.shown("/admin/keys/theirs"))["team"] == "red"
    for name in ("others", "nobodys"):
        assert await ask("GET", f"/admin/keys/{name}") == 404
        assert await ask("PATCH", f"/admin/keys/{name}", {"team": "red"}) == 404
        assert await ask("PUT", f"/admin/keys/{name}", {"team": "red"}) == 404
        assert await ask("DELETE", f"/admin/keys/{name}") == 404
        assert await ask("POST", f"/admin/keys/{name}/rotate") == 404
        assert await ask("POST", f"/admin/keys/{name}/disable") == 404
        assert await ask("DELETE", "/admin/keys/batch", ["theirs", name]) == 404
    for field in ("team", "owner"):
        assert await ask("PATCH", "/admin/keys/theirs", {field: "blue"}) == 403
    assert await ask("PATCH", "/admin/keys/theirs", {"team": None}) == 403
    assert await ask("POST", "/admin/keys", {"name": "new", "team": "blue"}) == 403
    made = await office.ask("POST", "/admin/keys", {"name": "new"}, manager)
    assert (made.status, made.json["team"]) == (201, "red")
    assert await ask("DELETE", "/admin/keys/new") == 204
    assert await ask("GET", "/admin/providers") == 403
    assert await ask("POST", "/admin/models", {"name": "m"}) == 403


async def test_an_operator_switches_a_provider_and_does_not_change_it(office: Office) -> None:
    await office.lab()
    operator = await office.token("operator", Role.OPERATOR)

    switched = await office.ask("POST", "/admin/providers/lab/disable", None, operator)
    moved = await office.ask(
        "PATCH", "/admin/providers/lab", {"base_url": "http://127.0.0.2:9"}, operator
    )

    assert (switched.status, switched.json["enabled"]) == (200, False)
    assert moved.status == 403


@pytest.mark.parametrize(
    "field",
    [
        "id",
        "kind",
        "revision",
        "created",
        "updated",
        "source",
        "read_only",
        "set",
        "last4",
        "key_id",
    ],
)
async def test_what_is_only_shown_is_not_set(office: Office, field: str) -> None:
    said = await office.owner("POST", "/admin/keys", {"name": "app", field: "mine"})

    assert said.status == 201
    assert said.json[field] != "mine"


@pytest.mark.parametrize("field", ["private", "digest", "sealed", "deleted", "spec"])
async def test_what_is_only_stored_is_not_set_either(office: Office, field: str) -> None:
    said = await office.owner("POST", "/admin/keys", {"name": "app", field: "mine"})

    assert problem(said) == (400, "invalid", [field])
