"""Clients see the models they may use, in their own shape."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.core.errors import ProxyError
from proxy.core.model import Capabilities, Deployment, Model, Price, Snapshot, VirtualKey
from proxy.gateway import models
from tests.gateway.asked import provider

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


# --- what is known of them ---

P = provider("http://p", "p")
CHEAP, DEAR = Price(input=1.0, output=4.0), Price(input=2.0, cached=0.5, output=3.0)


def known(*deployments: Deployment, said: Capabilities | None = None, **fields: Any) -> Any:
    model = Model("m", (deployments,), capabilities=said or Capabilities(), **fields)
    snapshot = Snapshot(models={"m": model, "alias": model})

    def shown(family: str) -> dict[str, Any]:
        page = orjson.loads(models.listing(snapshot, None, family))
        [first, alias] = page.get("models") or page["data"]
        assert {**alias, **{key: first[key] for key in ("id", "name") if key in first}} | {
            key: first[key] for key in ("display_name", "displayName") if key in first
        } == first
        assert orjson.loads(models.one(snapshot, None, family, "m")) == first
        return first  # type: ignore[no-any-return]

    return shown


def test_what_is_said_of_a_model_is_told_to_each_in_its_words() -> None:
    said = Capabilities(128_000, 16_384, ("text", "image"), ("text",), True, False, True)
    shown = known(Deployment("d", P, "m", max_context=1), said=said, type="chat", description="D")

    openai = shown("openai")
    assert openai["context_length"] == 128_000
    assert openai["architecture"] == {
        "input_modalities": ["text", "image"],
        "output_modalities": ["text"],
    }
    assert openai["top_provider"]["max_completion_tokens"] == 16_384
    assert openai["supported_parameters"] == [
        "tools",
        "tool_choice",
        "structured_outputs",
        "response_format",
    ]
    assert (openai["type"], openai["description"]) == ("chat", "D")
    anthropic = shown("anthropic")
    assert (anthropic["max_input_tokens"], anthropic["max_tokens"]) == (128_000, 16_384)
    gemini = shown("gemini")
    assert (gemini["inputTokenLimit"], gemini["outputTokenLimit"]) == (128_000, 16_384)
    assert (gemini["thinking"], gemini["description"]) == (False, "D")


def test_what_is_not_said_is_what_its_deployments_have() -> None:
    shown = known(
        Deployment("a", P, "m", price=CHEAP, window=8_000),
        Deployment("b", P, "m", price=DEAR, max_context=32_000, window=64_000),
    )

    assert shown("openai")["context_length"] == 32_000
    assert shown("openai")["pricing"] == {
        "prompt": "0.000001",
        "completion": "0.000003",
        "request": "0",
        "image": "0",
        "input_cache_read": "0.0000005",
    }


def test_what_nobody_knows_is_left_out() -> None:
    shown = known(Deployment("a", P, "m", price=CHEAP), Deployment("b", P, "m"))

    assert shown("openai").keys() == {"id", "object", "created", "owned_by"}
    assert "inputTokenLimit" not in shown("gemini")
    assert "max_tokens" not in shown("anthropic")


def test_a_model_that_does_not_talk_is_not_asked_to() -> None:
    assert known(type="embedding")("gemini")["supportedGenerationMethods"] == ["embedContent"]
    assert "supportedGenerationMethods" not in known(type="image")("gemini")


def test_another_configuration_is_another_list() -> None:
    one, other = (Snapshot(models={"m": Model("m", ())}, owned_by=who) for who in ("us", "them"))
    owners = [
        orjson.loads(models.listing(snapshot, None, "openai"))["data"][0]["owned_by"]
        for snapshot in (one, other, one)
    ]

    assert owners == ["us", "them", "us"]
