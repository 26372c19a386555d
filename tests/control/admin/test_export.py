from __future__ import annotations

import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from proxy.control.admin import batch, export, importing, resources
from proxy.control.admin.access import Role
from proxy.control.admin.export import Secrets, text
from proxy.control.admin.importing import read_yaml
from proxy.core.config import parse
from proxy.core.vault import kid_of
from tests.control.admin.desk import OURS, Desk, open_desk
from tests.control.admin.stocked import VAULT, Stocked

CONTENT = """
auth: {require: true}
providers:
  openai:
    preset: openai
    headers: {x-team: blue-secret}
    query: {tenant: green-secret}
    proxy: http://user:red-secret@proxy.example:3128
    credentials: [sk-first-0123456789, {key: sk-second-0123456789, weight: 3}]
models:
  gpt: {deployments: [{provider: openai}]}
keys:
  - {name: team a, key: sk-client-0123456789, models: [gpt]}
"""
HELD = ["blue-secret", "green-secret", "red-secret", "sk-first", "sk-second", "sk-client"]


def stocked() -> Stocked:
    one = Stocked()
    one.take_text(CONTENT)
    return one


# --- documents ---


@pytest.mark.parametrize("secrets", Secrets)
def test_no_export_has_a_secret_in_the_clear(secrets: Secrets) -> None:
    shown = stocked().shown(secrets)

    assert [secret for secret in HELD if secret in shown] == []


def test_references_name_what_is_to_be_filled_in() -> None:
    shown = read_yaml(stocked().shown(Secrets.REFERENCES))

    assert shown["providers"]["openai"] == {
        "preset": "openai",
        "headers": {"x-team": "${HEADRACE_OPENAI_HEADERS_X_TEAM}"},
        "query": {"tenant": "${HEADRACE_OPENAI_QUERY_TENANT}"},
        "proxy": "${HEADRACE_OPENAI_PROXY}",
        "credentials": [
            {"key": "${HEADRACE_OPENAI_KEY_1}"},
            {"key": "${HEADRACE_OPENAI_KEY_2}", "weight": 3},
        ],
    }
    assert shown["keys"] == [
        {"name": "team a", "key": "${HEADRACE_CLIENT_KEY_TEAM_A}", "models": ["gpt"]}
    ]


def test_with_its_variables_set_an_export_is_a_configuration_file() -> None:
    shown = stocked().shown(Secrets.REFERENCES)
    env = {
        "HEADRACE_OPENAI_HEADERS_X_TEAM": "blue",
        "HEADRACE_OPENAI_QUERY_TENANT": "green",
        "HEADRACE_OPENAI_PROXY": "http://proxy.example:3128",
        "HEADRACE_OPENAI_KEY_1": "sk-1",
        "HEADRACE_OPENAI_KEY_2": "sk-2",
        "HEADRACE_CLIENT_KEY_TEAM_A": "sk-3",
    }

    config = parse(shown, env=env).config

    provider = config.providers["openai"]
    assert [one.key.reveal() for one in provider.credentials] == ["sk-1", "sk-2"]
    assert provider.headers == {"x-team": "blue"}
    assert [(key.name, key.key.reveal()) for key in config.keys] == [("team a", "sk-3")]


def test_sealed_texts_name_the_master_key_they_need() -> None:
    shown = read_yaml(stocked().shown(Secrets.ENCRYPTED))

    sealed = [
        *shown["providers"]["openai"]["headers"].values(),
        *shown["providers"]["openai"]["query"].values(),
        shown["providers"]["openai"]["proxy"],
        *(one["key"] for one in shown["providers"]["openai"]["credentials"]),
        shown["keys"][0]["key"],
    ]
    assert {kid_of(one.removeprefix("headrace:")) for one in sealed} == set(VAULT.kids)


def test_nothing_of_a_secret_is_left_where_it_is_omitted() -> None:
    shown = read_yaml(stocked().shown(Secrets.OMIT))

    assert shown["providers"] == {"openai": {"preset": "openai"}}
    assert shown["keys"] == [{"name": "team a", "models": ["gpt"]}]


def test_the_same_objects_give_the_same_text_in_whatever_order_they_were_made() -> None:
    one, other = Stocked(), Stocked()
    one.take_text("models: {b: {}, a: {}}")
    other.take_text("models: {a: {}}")
    other.take_text("models: {b: {}}")

    assert one.shown() == other.shown()


def test_nothing_is_a_document_too() -> None:
    assert read_yaml(Stocked().shown()) == {}


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8")),
    st.sampled_from(
        ["1e5", "010", "0o17", "0x1F", ".5", "+1", "1_000", "yes", "off", "~", "<<", "=", "2026-01-01", "12:30", "!x", "&a", "*a", "%", "@", "`", "- a", "? a", "a: b", "a #b", "\u2028", "\x85", "\ufeff", "\x00", " a ", "a\n\nb\n", "'", '"']
    ),
)  # fmt: skip


@given(
    st.recursive(
        SCALARS,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1), inner, max_size=4),
        ),
        max_leaves=20,
    )
)
def test_what_is_written_is_read_as_the_same_values(value: Any) -> None:
    read = read_yaml(text({"value": value}))["value"]

    assert read == value
    assert type(read) is type(value)
    if isinstance(value, float):
        assert math.copysign(1, read) == math.copysign(1, value)


def test_a_value_that_stands_twice_is_written_twice() -> None:
    once = {"a": [1]}

    assert yaml.safe_load(text({"x": once, "y": once})) == {"x": once, "y": once}
    assert "&" not in text({"x": once, "y": once})


# --- the route ---


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    routes = (*OURS, *resources.ROUTES, *batch.ROUTES, *export.ROUTES, *importing.ROUTES)
    async with open_desk(tmp_path, routes) as one:
        said = await one.owner(
            "POST", "/admin/config/import", CONTENT.encode(), content_type="application/yaml"
        )
        assert said.status == 200, said.body
        yield one


@pytest.mark.parametrize("path", ["/admin/config/export", "/api/config/export"])
async def test_an_export_is_yaml_with_references(desk: Desk, path: str) -> None:
    said = await desk.owner("GET", path)

    assert said.status == 200
    assert said.headers["content-type"] == "application/yaml; charset=utf-8"
    assert said.headers["content-disposition"] == 'attachment; filename="headrace-export.yaml"'
    assert said.headers["cache-control"] == "no-store"
    assert said.body.decode() == stocked().shown()


async def test_json_says_the_same(desk: Desk) -> None:
    said = await desk.owner("GET", "/admin/config/export?format=json")

    assert said.json == read_yaml(stocked().shown())


@pytest.mark.parametrize("query", ["format=xml", "secrets=plain", "secrets=", "secret=omit"])
async def test_a_choice_that_is_none_is_refused(desk: Desk, query: str) -> None:
    said = await desk.owner("GET", f"/admin/config/export?{query}")

    assert (said.status, said.code) == (400, "invalid")


def test_its_parameters_are_in_the_description() -> None:
    [route] = export.ROUTES

    assert {name: schema["enum"] for name, schema in route.query.items()} == {
        "secrets": ["references", "encrypted", "omit"],
        "format": ["yaml", "json"],
    }


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.VIEWER, Role.KEY_MANAGER, Role.METRICS])
async def test_who_may_not_configure_gets_none(desk: Desk, role: Role) -> None:
    said = await desk.ask(
        "GET", "/admin/config/export", None, await desk.token("t", role, team="a")
    )

    assert said.status == 403


async def test_an_export_with_secrets_is_noted(desk: Desk) -> None:
    await desk.owner("GET", "/admin/config/export")
    await desk.owner("GET", "/admin/config/export?secrets=encrypted")

    rows = await desk.store.fetch("SELECT principal FROM audit WHERE action = 'config.export'")
    assert rows == [("token",)]


@pytest.mark.parametrize("query", ["secrets=omit", "secrets=encrypted", "format=json"])
async def test_an_export_of_many_objects_holds_nobody_up(desk: Desk, query: str) -> None:
    """The guard against blocking the loop watches."""
    rows = [{"name": f"k{number:04}", "team": "a-red-one"} for number in range(1000)]
    assert (await desk.owner("POST", "/admin/keys/batch", rows)).status == 201

    said = await desk.owner("GET", f"/admin/config/export?{query}")

    assert (said.status, said.body.count(b"a-red-one")) == (200, 1000)
