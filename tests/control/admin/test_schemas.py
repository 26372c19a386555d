"""JSON Schemas of objects: what the API takes, they take too."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from proxy.control.admin.schemas import components, page
from proxy.core.records import Kind
from tests.control.admin.office import CREDENTIAL, LAB, Office

COMPONENTS = components()


def valid(name: str, value: Any) -> bool:
    """Whether a named schema takes a value."""
    document = {
        "components": {"schemas": COMPONENTS},
        "$ref": f"#/components/schemas/{name}",
    }
    return bool(Draft202012Validator(document).is_valid(value))


def test_every_schema_is_one() -> None:
    for schema in COMPONENTS.values():
        Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind != Kind.SIGNAL])
def test_each_kind_has_all_its_shapes(kind: Kind) -> None:
    names = {f"{kind}", f"new_{kind}", f"some_of_{kind}", f"{kind}_page", f"new_{kind}_batch"}

    assert names <= COMPONENTS.keys()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (
            "new_provider",
            {**LAB, "credentials": [CREDENTIAL, {"key": CREDENTIAL, "weight": 2}]},
            True,
        ),
        ("new_provider", {"name": "p", "preset": "openai"}, True),
        ("new_provider", {"name": "p"}, False),
        ("new_provider", {**LAB, "credential_env": ["HOME"]}, False),
        ("new_provider", {**LAB, "timeouts": {"ttft": "90s"}}, True),
        ("new_credential", {"provider": "lab", "key": CREDENTIAL}, True),
        ("new_credential", {"provider": "lab"}, False),
        ("new_model", {"name": "m", "deployments": [{"provider": "lab"}]}, True),
        ("new_deployment", {"public_model": 7, "provider": "lab"}, True),
        ("new_deployment", {"provider": "lab"}, False),
        ("new_key", {"name": "k", "rpm": 5, "budget": {"usd": 1}}, True),
        ("new_key", {"name": "k", "key": "short"}, False),
        ("new_key", {"name": "k", "digest": "x"}, False),
        ("some_of_key", {"rpm": None}, True),
        ("some_of_key", {"rpm": "many"}, False),
        ("some_of_key_batch", [{"id": 7, "revision": 9, "rpm": 5}], True),
        ("some_of_deployment_batch", [{"id": 7, "weight": 2}], True),
        ("some_of_deployment_batch", [{"id": 7, "wait": 2}], False),
        ("whole_deployment_batch", [{"id": 7, "revision": 9, "provider": "lab"}], True),
        ("whole_model_batch", [{"name": "m", "strict": True}], True),
        ("whole_credential_batch", [{"id": 7, "weight": 2}], True),
        ("new_model_batch", [{"strict": True}], False),
        ("new_setting", {"name": "defaults", "max_tokens": 9}, True),
        ("new_setting", {"name": "server"}, False),
        ("target_batch", ["a", 7, {"id": 7, "revision": 9}], True),
        ("target_batch", [], False),
        ("rotation", {"overlap": 60}, True),
        ("rotation", {"overlap": -1}, False),
    ],
)
def test_what_they_take(name: str, value: Any, expected: bool) -> None:
    assert valid(name, value) is expected


async def test_what_is_shown_fits(office: Office) -> None:
    await office.lab("m")
    await office.made("/admin/keys", {"name": "app"})
    await office.owner("PUT", "/admin/settings/defaults", {"max_tokens": 9})

    for kind in Kind:
        if kind != Kind.SIGNAL:
            assert valid(f"{kind}_page", await office.shown(f"/admin/{kind}s")), kind
    assert valid("audit_page", await office.shown("/admin/audit"))
    assert valid("fleet", (await office.owner("POST", "/admin/reload")).json)
    assert valid("problem", (await office.owner("GET", "/admin/keys/none")).json)


def test_a_page_has_a_next_one_or_null() -> None:
    assert page({})["required"] == ["data", "next"]
