from __future__ import annotations

from typing import Any

import pytest

from proxy.core.config import schema
from proxy.core.config.stored import (
    SEALED,
    SECTIONS,
    SETTINGS,
    Unfit,
    Words,
    expanded,
    key,
    place,
    section,
)


def test_every_kind_is_a_section_of_the_file() -> None:
    fields = schema.Config.model_fields

    assert all(fields[name].annotation is kind for name, kind in SETTINGS.items())
    for kind, names in SEALED.items():
        assert names <= SECTIONS[kind].model_fields.keys()


@pytest.mark.parametrize(
    ("kind", "where"),
    [
        ("provider", ("providers", "x")),
        ("credential", ("providers", "above", "credentials", 0)),
        ("model", ("models", "x")),
        ("deployment", ("models", "above", "deployments", 0)),
        ("key", ("keys", 0)),
        ("setting", ("x",)),
    ],
)
def test_an_object_has_a_place_in_the_file(kind: str, where: tuple[Any, ...]) -> None:
    assert place(kind, "x", "above") == where


def test_a_preset_is_under_what_is_said_and_names_no_variable() -> None:
    found = expanded("provider", {"preset": "groq", "headers": {"x": "1"}, "credential_env": ["A"]})

    assert found["base_url"].startswith("https://api.groq.com")
    assert found["headers"] == {"x": "1"}
    assert "credential_env" not in found
    assert expanded("model", {"preset": "groq"}) == {"preset": "groq"}


def test_a_spec_becomes_a_section() -> None:
    provider = section("provider", "p", {"base_url": "https://x.example", "headers": {"a": "b"}})
    setting = section("setting", "health", {"max_errors": 2})

    assert isinstance(provider, schema.Provider)
    assert provider.headers == {"a": "b"}
    assert setting == schema.Health(max_errors=2)
    assert key("k", {"rpm": 3}).rpm == 3
    assert key("k", {}).name == "k"


@pytest.mark.parametrize(
    ("kind", "name", "fields", "words"),
    [
        ("model", "m", {"strict": "perhaps"}, "strict: expected true or false, found 'perhaps'"),
        ("provider", "p", {}, "base_url: expected the field 'base_url', found none; add it"),
        ("deployment", "", {"provider": "p", "timeouts": {"idle": -1}}, "timeouts.idle: expected"),
        ("credential", "", {"key": 12345678}, "key: expected text, found a number that may not be shown"),
        ("key", "k", {"cidrs": ["x"]}, "cidrs[0]: expected a network"),
        ("setting", "server", {"port": 1}, "there is no setting of this name"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_in_the_files_words(
    kind: str, name: str, fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(Unfit) as caught:
        section(kind, name, fields)

    assert str(caught.value).startswith(words)


def test_the_body_stands_in_for_a_document() -> None:
    words = Words(("models", "m"), {"strict": True, "a": {"b": [1, "x", None]}, "deployments": []})

    assert words.written(("models", "m", "strict")) == "true"
    assert words.written(("models", "m", "a", "b", 0)) == "1"
    assert words.written(("models", "m", "a", "b", 1)) == "x"
    for nothing in (
        ("a", "b", 2),
        ("a", "b", 9),
        ("a",),
        ("c",),
        ("strict", "x"),
        ("deployments",),
    ):
        assert words.written(("models", "m", *nothing)) is None
    assert words.problem(("models", "m", "a", "b", 1), "no").path == "a.b[1]"
    assert words.problem(("models", "m"), "no", key=True).path == "name"
    assert words.problem(("models", "m"), "no").path == ""
    assert words.position(("models", "m")) == (1, 1)
