from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from proxy.core.config.foreign import litellm_nearest
from proxy.core.config.schema import Config, Deployment, Key, Model, Provider
from tests.docs.pages import ROOT

TABLES = [litellm_nearest.DEPLOYMENT, litellm_nearest.SETTINGS, litellm_nearest.BESIDE]
SECTIONS: dict[str, Any] = {"models": Model, "providers": Provider}
PLACES: dict[str, Any] = {"provider": Provider, "deployment": Deployment, "virtual key": Key}
NAMED = re.compile(r"\b(\w+)(?: of (?:the|a) )(provider|deployment|virtual key)\b")
PATH = re.compile(rf"\b({'|'.join(Config.model_fields)})((?:\.\*?\w*)+)")


def inside(kind: Any, field: str) -> Any:
    """What a field of a section is."""
    return kind.model_fields[field].annotation


@pytest.mark.parametrize("table", TABLES, ids=["deployment", "settings", "beside"])
def test_the_nearest_is_something_that_is_there(table: Mapping[str, str]) -> None:
    for nearest in table.values():
        for section, rest in PATH.findall(nearest):
            kind = SECTIONS.get(section) or inside(Config, section)
            for part in rest.strip(".").replace("*.", "").split("."):
                assert part in kind.model_fields, nearest
                kind = inside(kind, part)
        for field, place in NAMED.findall(nearest):
            assert field in {*PLACES[place].model_fields, "price", "fields"}, nearest
        for page in re.findall(r"docs/[a-z-]+\.md", nearest):
            assert (ROOT / page).is_file()


def test_some_are_named_at_all() -> None:
    texts = " ".join(nearest for table in TABLES for nearest in table.values())

    assert len(PATH.findall(texts)) > 10
    assert len(NAMED.findall(texts)) > 10
