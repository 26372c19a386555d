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


@pytest.mark.parametrize(
    ("body", "before", "stored"),
    [
        ({"allow_private": False}, {"preset": "ollama"}, {"allow_private": False}),
        ({"allow_private": True}, {"preset": "ollama"}, {}),
        ({"preset": "ollama", "allow_private": False}, {}, None),
        ({"preset": "openai", "allow_private": False}, {"preset": "ollama"}, {"preset": "openai"}),
        ({"preset": None, "allow_private": False}, {"preset": "ollama"}, {"preset": None}),
        ({"preset": ["no", "text"], "allow_private": False}, {}, {"preset": ["no", "text"]}),
    ],
)
def test_what_is_usual_for_a_provider_its_preset_says(
    body: dict[str, Any], before: dict[str, Any], stored: dict[str, Any] | None
) -> None:
    assert told(Kind.PROVIDER, "p", body, before) == (body if stored is None else stored)


def test_a_preset_s_switches_are_shown() -> None:
    assert shown(Kind.PROVIDER, "p", {"preset": "ollama"})["allow_private"] is True
    assert shown(Kind.PROVIDER, "p", {"preset": "openai"})["allow_private"] is False
    assert shown(Kind.PROVIDER, "p", {"preset": "gone"})["allow_private"] is False
    of_its_own = {"preset": "ollama", "allow_private": False}
    assert shown(Kind.PROVIDER, "p", of_its_own)["allow_private"] is False
