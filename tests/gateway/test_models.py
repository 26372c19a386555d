"""Clients see the models they may use, in their own shape."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.core.errors import ProxyError
from proxy.core.model import Model, Snapshot, VirtualKey
from proxy.gateway import models

SMALL, LARGE, WILD = Model("small", ()), Model("large", ()), Model("lab/*", ())
SNAPSHOT = Snapshot(
    models={"small": SMALL, "large": LARGE, "best": LARGE},
    wildcards=(("lab/", WILD),),
    owned_by="us",
)
FAMILIES = ["openai", "anthropic", "gemini"]


def key(*names: str) -> VirtualKey:
    return VirtualKey("k", b"", models=names)


def listing(key: VirtualKey | None = None, family: str = "openai") -> Any:
    return orjson.loads(models.listing(SNAPSHOT, key, family))


def names(page: Any) -> list[str]:
    if "models" in page:
        return [one["name"].removeprefix("models/") for one in page["models"]]
    return [one["id"] for one in page["data"]]


@pytest.mark.parametrize("family", FAMILIES)
def test_names_and_aliases_are_listed_and_wildcards_are_not(family: str) -> None:
    assert names(listing(family=family)) == ["small", "large", "best"]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("permitted", "seen"),
    [
        (("*",), ["small", "large", "best"]),
        (("large",), ["large"]),
        (("b*", "small"), ["small", "best"]),
        ((), []),
    ],
)
def test_a_key_sees_what_it_may_use(
    family: str, permitted: tuple[str, ...], seen: list[str]
) -> None:
    assert names(listing(key(*permitted), family)) == seen


def test_the_list_as_openai_gives_it() -> None:
    page = listing()

    assert page["object"] == "list"
    assert page["data"][0] == {
        "id": "small",
        "object": "model",
        "created": page["data"][1]["created"],
        "owned_by": "us",
    }
    assert isinstance(page["data"][0]["created"], int)


def test_the_list_as_anthropic_gives_it() -> None:
    page = listing(family="anthropic")

    assert (page["has_more"], page["first_id"], page["last_id"]) == (False, "small", "best")
    assert page["data"][0]["type"] == "model"
    assert page["data"][0]["display_name"] == "small"


def test_an_empty_list_as_anthropic_gives_it() -> None:
    page = listing(key(), "anthropic")

    assert page == {"data": [], "has_more": False, "first_id": None, "last_id": None}


def test_the_list_as_gemini_gives_it() -> None:
    [first, *_] = listing(family="gemini")["models"]

    assert first["name"] == "models/small"
    assert "generateContent" in first["supportedGenerationMethods"]


@pytest.mark.parametrize("name", ["small", "best", "lab/anything"])
def test_one_model_is_shown_under_the_name_it_was_asked_by(name: str) -> None:
    assert orjson.loads(models.one(SNAPSHOT, None, "openai", name))["id"] == name
    assert orjson.loads(models.one(SNAPSHOT, None, "anthropic", name))["id"] == name
    assert orjson.loads(models.one(SNAPSHOT, None, "gemini", name))["name"] == f"models/{name}"


@pytest.mark.parametrize(
    ("permitted", "name"), [(("*",), "none"), (("*",), ""), (("small",), "large"), ((), "small")]
)
def test_unknown_and_not_permitted_look_alike(permitted: tuple[str, ...], name: str) -> None:
    with pytest.raises(ProxyError) as refused:
        models.one(SNAPSHOT, key(*permitted), "openai", name)

    error = refused.value
    assert (error.ref, error.param) == ("no_model", "model")
    assert error.message == ProxyError("no_model").message
