from __future__ import annotations

import re

import pytest

from proxy.core import surfaces
from proxy.gateway import endpoints


def test_every_dialect_has_a_path_and_a_family_with_a_place_for_the_credential() -> None:
    for name, root in surfaces.DIALECTS.items():
        assert root.startswith("/v1") or name == "bedrock.converse"
        assert surfaces.family(name) in surfaces.AUTH


def test_the_openai_dialects_are_those_of_the_family() -> None:
    assert set(surfaces.OPENAI) == {
        name for name in surfaces.DIALECTS if surfaces.family(name) == "openai"
    } - {surfaces.OTHER, surfaces.REALTIME}
    assert len(surfaces.OPENAI) == 8


@pytest.mark.parametrize(
    ("base_url", "path"),
    [
        ("https://a.example/api/v3", "/chat/completions"),
        ("https://a.example/api/paas/v4/", "/chat/completions"),
        ("https://a.example/v1beta", "/chat/completions"),
        ("https://a.example/v1", None),
        ("https://a.example/v2/openai", None),
        ("https://a.example/version", None),
        ("https://a.example", None),
        ("https://v2", None),
        ("", None),
    ],
)
def test_paths_stand_right_behind_a_version_of_its_own(base_url: str, path: str | None) -> None:
    found = surfaces.behind(base_url)

    assert (found or {}).get("openai.chat") == path
    assert found is None or found.keys() == set(surfaces.OPENAI)


def test_a_conversation_is_paid_for_as_openai_is_and_has_no_usual_path() -> None:
    family = surfaces.family(surfaces.CONVERSATION)
    assert surfaces.AUTH[family] == surfaces.AUTH["openai"]
    assert surfaces.CONVERSATION not in surfaces.DIALECTS


def test_operations_are_those_of_the_endpoints() -> None:
    asked = {
        endpoint.operation
        for line in endpoints.paths()
        for method, path in [line.split(" ")]
        for filled in [re.sub(r"\{\w+\}", "m", path)]
        if (found := endpoints.match(method, filled) or endpoints.other(method, filled))
        for endpoint in found[:1]
    }

    assert asked == set(surfaces.OPERATIONS)
