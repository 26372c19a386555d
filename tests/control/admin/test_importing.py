from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from proxy.control.admin import body, export, importing, resources
from proxy.control.admin.access import Role
from proxy.core.virtual_key import Pepper, digest
from tests.control.admin.desk import OURS, Desk, Said, open_desk

CONTENT = """
providers:
  openai:
    preset: openai
    credentials: [sk-first-0123456789, sk-second-0123456789]
models:
  gpt: {fallbacks: [other], deployments: [{provider: openai}]}
  other: {deployments: [{provider: openai, model: o}]}
keys:
  - {name: team-a, key: sk-client-0123456789}
"""
ROUTES = (*OURS, *resources.ROUTES, *export.ROUTES, *importing.ROUTES)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path, ROUTES) as one:
        yield one


async def take(
    desk: Desk, content: str | dict[str, Any], query: str = "", kind: str = "application/yaml"
) -> Said:
    raw = content.encode() if isinstance(content, str) else orjson.dumps(content)
    path = f"/admin/config/import?{query}"
    return await desk.owner("POST", path, raw, content_type=kind)


def counts(said: Said) -> list[int]:
    assert said.status == 200, said.body
    return [said.json[action] for action in importing.ACTIONS]


async def exported(desk: Desk, secrets: str) -> str:
    return (await desk.owner("GET", f"/admin/config/export?secrets={secrets}")).body.decode()


async def objects(desk: Desk) -> int:
    return int((await desk.store.fetch("SELECT count(*) FROM objects WHERE deleted = 0"))[0][0])


# --- taking in ---


async def test_a_document_is_taken_in_and_served(desk: Desk) -> None:
    said = await take(desk, CONTENT)

    assert counts(said) == [8, 0, 0, 0]
    assert said.json["ok"]
    assert said.json["revision"] == desk.services.sync.mirror.revision == 8
    assert [one["at"] for one in said.json["edits"]] == [
        "providers.openai",
        "providers.openai.credentials[0]",
        "providers.openai.credentials[1]",
        "models.other",
        "models.other.deployments[0]",
        "models.gpt",
        "models.gpt.deployments[0]",
        "keys[0]",
    ]


async def test_the_same_again_changes_nothing(desk: Desk) -> None:
    first = await take(desk, CONTENT)

    again = await take(desk, CONTENT)

    assert counts(again) == [0, 0, 0, 8]
    assert again.json["revision"] == first.json["revision"]


async def test_the_same_again_by_another_worker_that_is_behind_changes_nothing(
    desk: Desk, tmp_path: Path
) -> None:
    async with open_desk(tmp_path, ROUTES) as other:
        await take(desk, CONTENT)
        assert counts(await take(other, CONTENT, "dry_run=true")) == [0, 0, 0, 8]
        more = CONTENT.replace("456789]", "456789, sk-third-0123456789]").replace(
            "openai}]}\n  other", "openai}, {provider: openai, model: p}]}\n  other"
        )
        assert counts(await take(desk, more)) == [2, 0, 0, 8]

        assert counts(await take(other, more)) == [0, 0, 0, 10]


@pytest.mark.parametrize("mode", ["merge", "replace"])
@pytest.mark.parametrize("secrets", ["references", "encrypted", "omit"])
async def test_an_export_changes_nothing_where_it_comes_from(
    desk: Desk, secrets: str, mode: str
) -> None:
    await take(desk, CONTENT)

    said = await take(desk, await exported(desk, secrets), f"mode={mode}")

    assert counts(said)[:3] == [0, 0, 0]


async def test_many_objects_hold_nobody_up(desk: Desk) -> None:
    """The guard against blocking the loop watches."""
    keys = [{"name": f"k{number}", "key": f"sk-client-{number:08}"} for number in range(2500)]

    first = await take(desk, {"keys": keys}, kind="application/json")
    again = await take(desk, {"keys": keys}, kind="application/json")

    assert (first.status, again.status) == (200, 200)
    assert b'"create":0,"update":0,"delete":0,"unchanged":2500' in again.body


async def test_json_is_taken_too(desk: Desk) -> None:
    said = await take(desk, {"models": {"m": {}}}, kind="application/json")

    assert counts(said) == [1, 0, 0, 0]


async def test_other_gateways_path_means_the_same(desk: Desk) -> None:
    raw = b"models: {m: {}}"
    said = await desk.owner("POST", "/api/config/import", raw, content_type="text/yaml")

    assert counts(said) == [1, 0, 0, 0]


async def test_replacing_deletes_what_is_not_named(desk: Desk) -> None:
    await take(desk, CONTENT)

    said = await take(desk, "models: {other: {}}", "mode=replace")

    assert counts(said) == [0, 0, 4, 1]
    assert await objects(desk) == 1


async def test_a_moved_installation_serves_the_keys_of_its_clients(
    desk: Desk, tmp_path: Path
) -> None:
    await take(desk, CONTENT)
    document = await exported(desk, "encrypted")
    (tmp_path / "other").mkdir()

    async with open_desk(tmp_path / "other", ROUTES) as other:
        assert counts(await take(other, document)) == [8, 0, 0, 0]

        mine, theirs = other.services.sync.peppers, desk.services.sync.peppers
        assert {pepper.id for pepper in mine} > {pepper.id for pepper in theirs}
        assert _kept(other, mine) & _kept(desk, theirs)
        assert counts(await take(other, document)) == [0, 0, 0, 8]
        assert await exported(other, "references") == await exported(desk, "references")


def _kept(desk: Desk, peppers: tuple[Pepper, ...]) -> set[str]:
    """What the client's key is looked up by, where it is known."""
    record = desk.services.sync.mirror.get("key", "team-a")
    assert record is not None
    found = {digest("sk-client-0123456789", pepper).hex() for pepper in peppers}
    return {one for one in found if one.encode() in record.private}


# --- looking first ---


async def test_one_sealed_key_is_one_key(desk: Desk) -> None:
    await take(desk, CONTENT)
    [key] = importing.read_yaml(await exported(desk, "encrypted"))["keys"]
    await desk.owner("DELETE", "/admin/keys/team-a")

    said = await take(desk, {"keys": [key, {**key, "name": "b"}]}, kind="application/json")

    assert said.status == 400
    assert said.json["errors"] == [
        {
            "field": "keys[1].key",
            "message": "this key is there already, and is called 'team-a'",
        }
    ]


async def test_a_dry_run_says_everything_and_writes_nothing(desk: Desk) -> None:
    await take(desk, CONTENT)
    before = await desk.store.fetch("SELECT * FROM objects")
    audited = await desk.store.fetch("SELECT count(*) FROM audit")

    changed = CONTENT.replace("model: o", "model: o, weight: 3").replace("team-a", "team-b")
    changed = changed.replace("sk-client", "sk-another")
    said = await take(desk, changed, "dry_run=true&mode=replace")

    assert counts(said) == [1, 1, 1, 6]
    assert {one["action"]: one["at"] for one in said.json["edits"]} | {"unchanged": ""} == {
        "delete": "keys.team-a",
        "update": "models.other.deployments[0]",
        "create": "keys[0]",
        "unchanged": "",
    }
    changes = {one["action"]: one["changes"] for one in said.json["edits"]}
    assert changes["update"] == [{"field": "weight", "before": None, "after": 3.0}]
    assert changes["delete"] == changes["unchanged"] == []
    assert {"field": "key", "before": None, "after": "***"} in changes["create"]
    assert await desk.store.fetch("SELECT * FROM objects") == before
    assert await desk.store.fetch("SELECT count(*) FROM audit") == audited


async def test_a_dry_run_says_every_problem(desk: Desk) -> None:
    said = await take(desk, _WRONG, "dry_run=true")

    assert said.status == 200
    assert not said.json["ok"]
    assert said.json["edits"] == []
    assert {one["field"] for one in said.json["problems"]} == _FIELDS


async def test_a_document_with_problems_changes_nothing(desk: Desk) -> None:
    said = await take(desk, _WRONG)

    assert (said.status, said.code) == (400, "invalid")
    assert {one["field"] for one in said.json["errors"]} == _FIELDS
    assert await objects(desk) == 0


_WRONG = """
typo: 1
providers:
  inside: {base_url: "http://169.254.169.254"}
  good: {preset: openai, credentials: ["${HEADRACE_GOOD_KEY_1}"]}
  env: {preset: openai, credential_env: [PATH]}
models:
  m: {deployments: [{provider: good}], fallbacks: [nothing]}
  n: {deployments: [{provider: nobody}]}
keys:
  - {name: k, key: sk-client-0123456789, cidrs: [nowhere]}
"""
_FIELDS = {
    "typo",
    "providers.inside.base_url",
    "providers.good.credentials[0].key",
    "providers.env.credential_env",
    "models.m.fallbacks[0]",
    "models.n.deployments[0].provider",
    "keys[0].cidrs[0]",
}


async def test_a_name_of_the_configuration_file_is_read_only(tmp_path: Path) -> None:
    async with open_desk(tmp_path, ROUTES) as desk:
        desk.services.sync.config.models["gpt"] = desk.services.sync.config.models.get(
            "gpt", _model()
        )

        said = await take(desk, CONTENT, "dry_run=true")

        assert [one["field"] for one in said.json["problems"]][:1] == ["models.gpt"]
        assert "configuration file" in said.json["problems"][0]["message"]


def _model() -> Any:
    from proxy.core.config.schema import Model

    return Model()


# --- what is no document ---


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "a: 1\n---\nb: 1",
        "models: {a: !!python/object/apply:os.system ['true']}",
        "models: {a: !!python/name:os.system x}",
        "models: !!binary eA==",
        "models: {a: !include /etc/passwd}",
        "models: {a: {}, a: {}}",
        "models: {a: *nowhere}",
        "? [a]\n: b",
        "a: \x00",
        "[" * 1000,
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(
            f"{chr(98 + number)}: &{chr(98 + number)} [{','.join(['*' + chr(97 + number)] * 9)}]\n"
            for number in range(9)
        ),
    ],
)
async def test_yaml_that_is_more_than_data_is_refused(desk: Desk, text: str) -> None:
    said = await take(desk, text)

    assert (said.status, said.code) == (400, "invalid")
    assert "line " in said.json["errors"][0]["message"]


async def test_a_document_that_is_no_text_is_refused(desk: Desk) -> None:
    raw = b"models: {\xff: {}}"
    said = await desk.owner("POST", "/admin/config/import", raw, content_type="application/yaml")

    assert (said.status, said.code) == (400, "invalid")


async def test_a_document_that_is_too_large_is_refused(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "LIMIT", 100)

    assert (await take(desk, "#" * 101)).status == 413


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""],
)
async def test_what_a_form_can_send_is_refused(desk: Desk, kind: str) -> None:
    said = await take(desk, "models: {m: {}}", kind=kind)

    assert (said.status, said.code) == (415, "unsupported_media_type")


@pytest.mark.parametrize("query", ["mode=append", "dry_run=maybe"])
async def test_a_choice_that_is_none_is_refused(desk: Desk, query: str) -> None:
    assert (await take(desk, CONTENT, query)).status == 400


@pytest.mark.parametrize("query", ["dryrun=true", "dry-run=true", "Mode=replace", "mode=merge&x="])
async def test_a_parameter_that_is_none_is_refused_before_anything_is_written(
    desk: Desk, query: str
) -> None:
    said = await take(desk, CONTENT, query)

    assert (said.status, said.code) == (400, "invalid")
    assert await objects(desk) == 0


def test_its_parameters_and_what_it_takes_are_in_the_description() -> None:
    [route] = importing.ROUTES

    assert set(route.query) == {"mode", "dry_run"}
    assert set(route.takes) == {"application/json", "application/yaml"}
    assert route.body is not None


@pytest.mark.parametrize("text", ["", "{}", "# nothing\n", "null"])
async def test_nothing_is_a_document_too(desk: Desk, text: str) -> None:
    assert counts(await take(desk, text)) == [0, 0, 0, 0]


@pytest.mark.parametrize(
    "text",
    [
        "providers: {p: {base_url: '${HOME}'}}",
        "providers: {p: {base_url: 'https://p.example', credentials: ['x${PATH}']}}",
        "providers: {p: {base_url: 'https://p.example', headers: {x: 'file:/etc/hostname'}}}",
        "models: {m: {description: 'file:/etc/hostname'}}",
    ],
)
async def test_nothing_of_this_machine_is_read_for_a_caller(desk: Desk, text: str) -> None:
    said = await take(desk, text)

    assert (said.status, said.code) == (400, "invalid")


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.VIEWER, Role.KEY_MANAGER, Role.METRICS])
async def test_who_may_not_configure_imports_nothing(desk: Desk, role: Role) -> None:
    who = await desk.token("t", role, team="a")

    said = await desk.ask("POST", "/admin/config/import", b"{}", who, content_type="text/yaml")

    assert said.status == 403


async def test_without_a_database_there_is_nowhere_to_import_to(desk: Desk) -> None:
    await desk.cut()

    assert (await take(desk, CONTENT)).status == 503
