"""What an edit may do to the objects, and why it may not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proxy.control.admin.access import Role
from proxy.control.admin.draft import merged
from tests.control.admin.office import CREDENTIAL, LAB, Office, open_office, problem

# --- names ---


@pytest.mark.parametrize("name", ["", " x", "x ", "a\tb", "a\u0000b", "x" * 201, "\u202e"])
async def test_a_name_is_something_one_can_read(office: Office, name: str) -> None:
    said = await office.owner("POST", "/admin/models", {"name": name})

    assert problem(said) == (400, "invalid", ["name"])


@pytest.mark.parametrize("name", ["a/b", "models/../x", "a b", "batch", "7", "ä", "{{7}}", "'; --"])
async def test_any_other_name_will_do_and_is_found_again(office: Office, name: str) -> None:
    from urllib.parse import quote

    await office.made("/admin/models", {"name": name})

    assert (await office.shown(f"/admin/models/{quote(name, safe='')}"))["name"] == name


@pytest.mark.parametrize("name", ["1", "@0", "@cf/x"])
async def test_a_deployment_is_of_the_model_it_names(office: Office, name: str) -> None:
    first = await office.made("/admin/models", {"name": "first"})
    await office.made("/admin/providers", {**LAB, "name": "p"})
    model = await office.made("/admin/models", {"name": name})
    assert first["id"] == 1

    made = await office.made("/admin/deployments", {"public_model": name, "provider": "p"})
    back = await office.owner("PUT", f"/admin/deployments/{made['id']}", made)
    by_id = await office.made(
        "/admin/deployments", {"public_model": model["id"], "provider": "p", "model": "m"}
    )
    by_text = await office.made(
        "/admin/deployments", {"public_model": str(model["id"]), "provider": "p", "model": "n"}
    )

    assert made["public_model"] == by_id["public_model"] == by_text["public_model"] == name
    assert (back.status, back.json["revision"]) == (200, made["revision"])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/admin/providers", {**LAB, "name": "filed"}),
        ("/admin/models", {"name": "filed/model"}),
        ("/admin/keys", {"name": "filed"}),
        ("/admin/credentials", {"provider": "filed", "key": CREDENTIAL}),
        ("/admin/deployments", {"public_model": "filed/model", "provider": "filed"}),
    ],
)
async def test_the_file_cannot_be_added_to(office: Office, path: str, body: Any) -> None:
    said = await office.owner("POST", path, body)

    assert problem(said)[:2] == (409, "read_only")
    assert "filed" in said.json["detail"]
    assert "configuration file" in said.json["detail"]


@pytest.mark.parametrize(
    "path",
    [
        "/admin/providers/filed",
        "/admin/credentials/filed%230",
        "/admin/models/filed/model",
        "/admin/deployments/filed/model/0:filed",
        "/admin/keys/filed",
    ],
)
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_what_is_in_the_file_is_changed_there(office: Office, path: str, method: str) -> None:
    said = await office.owner(method, path, {"weight": 2} if method != "DELETE" else None)

    assert problem(said)[:2] == (409, "read_only")


async def test_a_renamed_object_is_found_by_its_new_name_alone(office: Office) -> None:
    made = await office.made("/admin/models", {"name": "old"})

    said = await office.owner("PATCH", "/admin/models/old", {"name": "new"})

    assert (said.json["id"], said.json["name"]) == (made["id"], "new")
    assert (await office.owner("GET", "/admin/models/old")).status == 404
    assert (await office.shown("/admin/models/new"))["id"] == made["id"]
    await office.made("/admin/models", {"name": "old"})


async def test_no_name_is_taken_from_another(office: Office) -> None:
    await office.made("/admin/models", {"name": "a"})
    await office.made("/admin/models", {"name": "b"})

    said = await office.owner("PATCH", "/admin/models/b", {"name": "a"})
    filed = await office.owner("PATCH", "/admin/models/b", {"name": "filed/model"})

    assert problem(said)[:2] == (409, "conflict")
    assert problem(filed)[:2] == (409, "read_only")


async def test_an_operator_who_switches_a_provider_gives_it_no_other_name(office: Office) -> None:
    made = await office.lab("m")
    operator = await office.token("operator", Role.OPERATOR)
    path = f"/admin/groups/{made['id']}"

    switched = await office.ask("PUT", path, {"enabled": False}, operator)
    renamed = await office.ask("PUT", path, {"groupName": "new", "enabled": True}, operator)

    assert switched.status == 200
    assert renamed.status == 403
    assert "lab" in await office.names("/admin/providers")


# --- references ---


async def test_what_others_name_keeps_its_name(office: Office) -> None:
    await office.lab("m", "other")
    await office.owner("PATCH", "/admin/models/m", {"aliases": ["n"]})
    await office.owner("PATCH", "/admin/models/other", {"fallbacks": ["n"]})

    provider = await office.owner("PATCH", "/admin/providers/lab", {"name": "new"})
    alias = await office.owner("PATCH", "/admin/models/m", {"aliases": []})
    renamed = await office.owner("PATCH", "/admin/models/m", {"name": "m2"})

    assert problem(provider)[:2] == (409, "referenced")
    assert "deployment 4 of model 'm'" in provider.json["detail"]
    assert problem(alias)[:2] == (409, "referenced")
    assert "fallbacks of model 'other'" in alias.json["detail"]
    assert renamed.status == 200


@pytest.mark.parametrize("path", ["/admin/providers/lab", "/admin/models/m"])
async def test_what_others_name_is_not_deleted(office: Office, path: str) -> None:
    await office.lab("m", "other")
    await office.owner("PATCH", "/admin/models/other", {"fallbacks_context": ["m"]})

    said = await office.owner("DELETE", path)

    assert problem(said)[:2] == (409, "referenced")
    assert (await office.owner("GET", path)).status == 200


@pytest.mark.parametrize("change", [{"name": "tame/*"}, None])
async def test_a_wildcard_that_a_fallback_needs_stays(office: Office, change: Any) -> None:
    await office.lab("wild/*", "other")
    await office.owner("PATCH", "/admin/models/other", {"fallbacks": ["wild/x", "filed/model"]})

    method = "DELETE" if change is None else "PATCH"
    said = await office.owner(method, "/admin/models/wild%2F%2A", change)
    cascaded = await office.owner("DELETE", "/admin/models/wild%2F%2A?cascade=true")

    assert problem(said)[:2] == (409, "referenced")
    assert cascaded.status == 204
    assert (await office.shown("/admin/models/other"))["fallbacks"] == ["filed/model"]
    # What names nothing that is gone can still be changed.
    assert (await office.owner("PATCH", "/admin/models/other", {"strict": True})).status == 200


async def test_a_provider_goes_with_all_that_is_its(office: Office) -> None:
    await office.lab("m")

    assert (await office.owner("DELETE", "/admin/providers/lab?cascade=true")).status == 204

    assert (await office.shown("/admin/credentials?source=store"))["data"] == []
    assert (await office.shown("/admin/deployments?source=store"))["data"] == []
    assert "m" in await office.names("/admin/models")
    actions = [one["action"] for one in await office.trail()][:3]
    assert sorted(actions) == ["credential.delete", "deployment.delete", "provider.delete"]


async def test_a_model_goes_out_of_the_fallbacks_of_others(office: Office) -> None:
    await office.lab("m", "other")
    await office.owner(
        "PATCH",
        "/admin/models/other",
        {"fallbacks": ["filed/model", "m"], "fallbacks_content": ["m"]},
    )

    assert (await office.owner("DELETE", "/admin/models/m?cascade=true")).status == 204

    other = await office.shown("/admin/models/other")
    assert (other["fallbacks"], other["fallbacks_content"]) == (["filed/model"], [])


# --- replacing and changing ---


async def test_put_replaces_all_and_patch_some(office: Office) -> None:
    await office.made(
        "/admin/models", {"name": "m", "aliases": ["a"], "timeouts": {"ttft": 5, "idle": 6}}
    )

    patched = await office.owner(
        "PATCH", "/admin/models/m", {"timeouts": {"ttft": None, "total": 9}}
    )
    replaced = await office.owner("PUT", "/admin/models/m", {"strict": True})

    assert (patched.json["aliases"], patched.json["timeouts"]) == (["a"], {"idle": 6, "total": 9})
    assert (replaced.json["aliases"], replaced.json["timeouts"]) == ([], {})
    assert replaced.json["strict"] is True


@pytest.mark.parametrize("kind", ["providers", "credentials", "models", "deployments", "keys"])
async def test_an_object_sent_back_as_it_came_is_no_change(office: Office, kind: str) -> None:
    await office.owner("PUT", "/admin/settings/defaults", {"max_tokens": 9})
    await office.lab("m")
    await office.made("/admin/keys", {"name": "app", "team": "red", "rpm": 5})
    [shown] = (await office.shown(f"/admin/{kind}?source=store"))["data"]

    said = await office.owner("PUT", f"/admin/{kind}/{shown['id']}", shown)

    assert said.status == 200, said.body
    assert {**said.json, "warnings": None} == {**shown, "warnings": None}


async def test_what_is_written_twice_is_one_revision(office: Office) -> None:
    first = await office.owner("PUT", "/admin/settings/defaults", {"max_tokens": 9})
    again = await office.owner("PUT", "/admin/settings/defaults", {"max_tokens": 9})

    assert (first.status, again.status) == (201, 200)
    assert first.headers["etag"] == again.headers["etag"]
    assert len(await office.trail()) == 1


async def test_a_setting_may_be_in_the_file_too(tmp_path: Path) -> None:
    async with open_office(tmp_path, defaults={"max_tokens": 7}) as office:
        shown = await office.shown("/admin/settings/defaults")
        said = await office.owner("PUT", "/admin/settings/defaults", {"max_tokens": 9})

    assert (shown["source"], shown["max_tokens"]) == ("file", 7)
    assert said.status == 201
    assert any("max_tokens" in one for one in said.json["warnings"])


async def test_a_child_stays_with_its_parent(office: Office) -> None:
    await office.lab("a", "b")
    [deployment] = (await office.shown("/admin/deployments?model=a"))["data"]

    said = await office.owner(
        "PATCH", f"/admin/deployments/{deployment['id']}", {"public_model": "b"}
    )

    assert problem(said) == (400, "invalid", ["public_model"])


def test_a_merge_patch_is_that_of_rfc_7396() -> None:
    before = {"a": "b", "c": {"d": "e", "f": "g"}, "h": [1, 2]}

    assert merged(before, {"a": "z", "c": {"f": None}, "h": [3], "i": {"j": None, "k": 1}}) == {
        "a": "z",
        "c": {"d": "e"},
        "h": [3],
        "i": {"k": 1},
    }


# --- secrets ---


async def test_a_provider_sent_elsewhere_takes_no_keys_along(office: Office) -> None:
    await office.made(
        "/admin/providers",
        {**LAB, "credentials": [CREDENTIAL], "headers": {"x-a": "secret-header"}},
    )
    await office.made("/admin/models", {"name": "m", "deployments": [{"provider": "lab"}]})

    said = await office.owner("PATCH", "/admin/providers/lab", {"base_url": "http://127.0.0.1:10"})

    [credential] = (await office.shown("/admin/credentials?provider=lab"))["data"]
    assert (said.json["set"], credential["set"]) == (False, False)
    assert said.json["warnings"] == [
        "Its requests take another way now, so what was secret on the old one is gone: give headers.x-a, and the keys "
        "of credentials 2, once more."
    ]
    assert "m" not in office.services.state.snapshot.models
    cleared, changed = (await office.trail())[:2]
    assert (cleared["action"], cleared["after"]["secrets"]) == ("credential.clear", "cleared")
    assert (changed["action"], changed["after"]["secrets"]) == ("provider.update", "cleared")


@pytest.mark.parametrize("said", [False, "false", "Off", 0])
async def test_a_provider_whose_certificate_nobody_checks_takes_none_along_either(
    office: Office, said: Any
) -> None:
    body = {"name": "far", "base_url": "https://far.example.com", "credentials": [CREDENTIAL]}
    await office.made("/admin/providers", body)

    changed = await office.owner("PATCH", "/admin/providers/far", {"verify_tls": said})

    [credential] = (await office.shown("/admin/credentials?provider=far"))["data"]
    assert (changed.status, changed.json["verify_tls"], credential["set"]) == (200, False, False)


async def test_what_a_provider_loses_on_its_way_is_named(office: Office) -> None:
    body = {**LAB, "headers": {"x-a": "one", "x-b": "two"}, "query": {"k": "three"}}
    await office.made("/admin/providers", {**body, "proxy": "http://127.0.0.1:3128"})

    moved = {"base_url": "http://127.0.0.1:10", "headers": {"x-a": "new"}, "query": None}
    said = await office.owner("PATCH", "/admin/providers/lab", moved)
    again = await office.owner("PATCH", "/admin/providers/lab", {"base_url": "http://127.0.0.1:11"})
    nothing = await office.owner("PATCH", "/admin/providers/lab", {"base_url": LAB["base_url"]})

    assert [one.json.get("warnings") for one in (said, again, nothing)] == [
        [
            "Its requests take another way now, so what was secret on the old one is gone: "
            "give headers.x-b and proxy once more."
        ],
        [
            "Its requests take another way now, so what was secret on the old one is gone: "
            "give headers.x-a once more."
        ],
        None,
    ]


async def test_it_keeps_those_that_come_with_it(office: Office) -> None:
    await office.lab()
    await office.owner("PATCH", "/admin/providers/lab", {"headers": {"x-a": "old-header-value"}})

    said = await office.owner(
        "PATCH",
        "/admin/providers/lab",
        {"base_url": "http://127.0.0.1:10", "headers": {"x-b": "new"}},
    )
    again = await office.owner("PATCH", "/admin/credentials/2", {"key": CREDENTIAL + "x"})

    assert said.json["headers"] == {"x-b": "***"}
    assert (again.status, again.json["last4"]) == (200, "234x")


@pytest.mark.parametrize(
    "change",
    [
        {"base_url": "http://127.0.0.1:9/other/path"},
        {"base_url": "HTTP://127.0.0.1:9"},
        {"note": "moved"},
        {"timeouts": {"ttft": 9}},
    ],
)
async def test_at_the_same_host_they_stay(office: Office, change: Any) -> None:
    await office.lab()

    said = await office.owner("PATCH", "/admin/providers/lab", change)

    [credential] = (await office.shown("/admin/credentials?provider=lab"))["data"]
    assert (said.status, credential["set"]) == (200, True)


async def test_a_secret_goes_in_and_never_comes_out(office: Office) -> None:
    secrets = (CREDENTIAL, "secret-of-a-header", "secret-of-a-query", "secret-of-a-proxy")
    body = {
        **LAB,
        "credentials": [secrets[0]],
        "headers": {"x-a": secrets[1]},
        "query": {"k": secrets[2]},
        "proxy": f"http://user:{secrets[3]}@127.0.0.1:3128",
    }

    said = await office.owner("POST", "/admin/providers", body)

    assert said.status == 201, said.body
    assert said.json["headers"] == {"x-a": "***"}
    assert said.json["proxy"] == "***"
    for path in ("/admin/providers", "/admin/credentials", "/admin/audit", "/admin/providers/lab"):
        text = (await office.owner("GET", path)).body.decode()
        assert not [secret for secret in secrets if secret in text], path
    rows = await office.store.fetch("SELECT spec, sealed, private FROM objects")
    assert not [secret for secret in secrets if secret in repr(rows)]


async def test_without_a_master_key_no_secret_is_taken(tmp_path: Path, postgres_url: str) -> None:
    async with open_office(tmp_path, postgres_url, sealing=False) as office:
        plain = await office.owner("POST", "/admin/providers", {**LAB, "auth": "none"})
        secret = await office.owner(
            "POST", "/admin/credentials", {"provider": "lab", "key": CREDENTIAL}
        )
        key = await office.owner("POST", "/admin/keys", {"name": "app"})

    assert plain.status == 201
    assert problem(secret)[:2] == problem(key)[:2] == (409, "no_master_key")
    assert "HEADRACE_MASTER_KEY" in secret.json["detail"]


async def test_templates_and_tags_are_only_text(office: Office) -> None:
    texts = [
        "{{7*7}}",
        "#{7*7}",
        "!!python/object/apply:os.system ['id']",
        "<script>alert(1)</script>",
        "%(x)s",
    ]

    for number, text in enumerate(texts):
        await office.made("/admin/models", {"name": f"m{number}", "description": text})

    shown = (await office.shown("/admin/models?source=store"))["data"]
    assert [one["description"] for one in shown] == texts


@pytest.mark.parametrize("value", ["${HOME}", "file:/etc/passwd", "a ${PATH} b"])
async def test_this_machine_is_not_read(office: Office, value: str) -> None:
    provider = await office.owner("POST", "/admin/providers", {**LAB, "note": value})
    credential = await office.owner("POST", "/admin/providers", {**LAB, "credentials": [value]})

    assert problem(provider) == (400, "invalid", ["note"])
    assert problem(credential) == (400, "invalid", ["credentials[0].key"])
