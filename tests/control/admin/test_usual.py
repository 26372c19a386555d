"""Every field is shown, and what is only usual is not stored."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.control.admin.usual import fields, shown, told
from proxy.core.config.stored import SECTIONS, SETTINGS, validate
from proxy.core.records import Kind


@pytest.mark.parametrize("kind", list(SECTIONS))
def test_every_field_of_a_kind_is_there_and_is_json(kind: str) -> None:
    found = fields(kind)

    hidden = {
        "name",
        "key",
        "credentials",
        "deployments",
        "credential_env",
        "headers",
        "query",
        "proxy",
    }
    assert found.keys() == SECTIONS[kind].model_fields.keys() - hidden
    assert orjson.loads(orjson.dumps(found)) == found


@pytest.mark.parametrize("name", list(SETTINGS))
def test_what_is_usual_is_what_the_file_would_have(name: str) -> None:
    usual = {
        field: value for field, value in fields(Kind.SETTING, name).items() if value is not None
    }

    assert validate("setting", name, dict(usual)) == validate("setting", name, {})


def test_a_preset_may_say_otherwise_for_a_provider() -> None:
    found = fields(Kind.PROVIDER)

    assert found["dialects"] is None
    assert (found["enabled"], found["verify_tls"], found["allow_private"]) == (True, True, False)


def test_what_was_said_wins() -> None:
    assert shown(Kind.KEY, "k", {"enabled": False, "rpm": 5})["enabled"] is False
    assert shown(Kind.KEY, "k", {})["models"] == ["*"]
    assert shown("signal", "s", {"a": 1}) == {"a": 1}


@pytest.mark.parametrize(
    ("body", "before", "stored"),
    [
        ({"enabled": True, "rpm": 5}, {}, {"rpm": 5}),
        ({"enabled": True}, {"enabled": False}, {"enabled": True}),
        ({"enabled": False}, {}, {"enabled": False}),
        ({"models": ["*"], "tpm": None}, {}, {}),
        ({"unknown": None}, {}, {"unknown": None}),
    ],
)
def test_what_is_stored_of_a_body(body: Any, before: Any, stored: Any) -> None:
    assert told(Kind.KEY, "k", body, before) == stored
