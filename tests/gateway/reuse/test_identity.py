"""What makes two requests the same."""

from __future__ import annotations

import random
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.model import Deployment, Model, VirtualKey
from proxy.gateway.exchange import Exchange
from proxy.gateway.reuse.identity import certain, identity, shareable
from tests.gateway.asked import CHAT, exchange, provider, raw

BODY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
RESPONSES, MESSAGES, EMBEDDINGS = "/v1/responses", "/v1/messages", "/v1/embeddings"
GEMINI = "/v1beta/models/m:generateContent"
MODEL = Model("m", ())


def asked(body: Any, *fields: str, path: str = CHAT, version: str = "HTTP/1.1") -> Exchange:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return exchange(raw("POST", path, content, *fields, version=version))


def name(
    body: Any = BODY, *fields: str, path: str = CHAT, scope: str = "key", model: Model = MODEL
) -> bytes:
    return identity(asked(body, *fields, path=path), scope, model)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


def turned(value: Any, chance: random.Random) -> Any:
    """The same with its keys in another order."""
    if isinstance(value, dict):
        items = [(key, turned(inner, chance)) for key, inner in value.items()]
        chance.shuffle(items)
        return dict(items)
    return [turned(inner, chance) for inner in value] if isinstance(value, list) else value


@given(extra=st.dictionaries(st.text(max_size=5), JSON, max_size=4), seed=st.integers(0, 2**32))
async def test_neither_order_nor_white_space_matters(extra: dict[str, Any], seed: int) -> None:
    body = extra | BODY
    other = orjson.dumps(turned(body, random.Random(seed)), option=orjson.OPT_INDENT_2)

    assert name(body) == name(other)


@given(one=JSON, other=JSON)
async def test_what_differs_anywhere_is_another(one: Any, other: Any) -> None:
    same = orjson.dumps(one, option=orjson.OPT_SORT_KEYS) == orjson.dumps(
        other, option=orjson.OPT_SORT_KEYS
    )

    assert (name(BODY | {"x": one}) == name(BODY | {"x": other})) is same


async def test_numbers_of_any_size_are_told_apart() -> None:
    bodies = [b'{"model":"m","seed":%d}' % (2**70 + n) for n in range(3)]

    assert len({name(body) for body in bodies}) == 3


async def test_what_only_a_provider_can_read_is_the_same_byte_for_byte() -> None:
    """A number beyond any double, deep in a long value."""
    body = b'{"model":"m","messages":[{"content":"%b","n":1e999}]}' % (b"x" * 512)

    assert name(body) == name(body) != name(body.replace(b"1e999", b"1e998"))


async def test_path_model_and_meaning_are_a_part_of_it() -> None:
    names = [
        name(),
        name(BODY | {"model": "n"}),
        name(BODY | {"stream": True}),
        name(path=MESSAGES),
        name(BODY, "anthropic-beta: context-1m", path=MESSAGES),
        name(BODY, "OpenAI-Beta: assistants=v2"),
    ]

    assert len(set(names)) == len(names)
    assert name(BODY, "User-Agent: a", "X-Request-Id: b") == names[0]


async def test_so_is_who_answers() -> None:
    one, other = (Deployment(f"m/{n}", provider(name=n), "up") for n in ("one", "other"))
    names = [
        name(model=model)
        for model in (
            Model("m", ((one, other),)),
            Model("n", ((one, other),)),
            Model("m", ((one,), (other,))),
            Model("m", ((other,), (one,))),
            Model("m", ((one,),)),
            Model("m", ((one, other),), strict=True),
            Model("m", ((one, other),), private=True),
            Model("m", ((one, other),), fallbacks=("n",)),
        )
    ]

    assert len(set(names)) == len(names)
    assert name(model=Model("m", ((one, other),))) == names[0]


async def test_whose_it_is_is_what_the_scope_says() -> None:
    def of(key: VirtualKey | None, scope: str) -> bytes:
        one = asked(BODY)
        one.key = key
        return identity(one, scope, MODEL)

    anna, bert = (VirtualKey(n, b"", id=n, team="blue") for n in ("anna", "bert"))
    alone = VirtualKey("alone", b"", id="alone")

    assert of(anna, "key") != of(bert, "key")
    assert of(anna, "team") == of(bert, "team") != of(alone, "team")
    assert of(anna, "all") == of(alone, "all") == of(None, "all")
    assert of(alone, "team") == of(alone, "key") != of(None, "key")


@pytest.mark.parametrize(
    ("path", "extra", "may"),
    [
        (CHAT, {}, True),
        (CHAT, {"store": True}, False),
        (CHAT, {"store": False}, True),
        (CHAT, {"web_search_options": {}}, False),
        (CHAT, {"tools": [{"type": "function", "function": {"name": "f"}}]}, True),
        (RESPONSES, {}, False),
        (RESPONSES, {"store": False}, True),
        (RESPONSES, {"store": False, "background": True}, False),
        (RESPONSES, {"store": False, "tools": [{"type": "web_search"}]}, False),
        (RESPONSES, {"store": False, "tools": "what?"}, False),
        (RESPONSES, {"store": False, "tools": ["what?"]}, False),
        (MESSAGES, {"tools": [{"name": "f", "input_schema": {}}]}, True),
        (MESSAGES, {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, False),
        (MESSAGES, {"mcp_servers": [{}]}, False),
        (GEMINI, {"tools": [{"functionDeclarations": []}]}, True),
        (GEMINI, {"tools": [{"googleSearch": {}}]}, False),
        ("/v1/messages/count_tokens", {}, False),
        (EMBEDDINGS, {"input": "a"}, True),
    ],
)
async def test_who_does_more_than_ask_shares_nothing(
    path: str, extra: dict[str, Any], may: bool
) -> None:
    assert shareable(asked(BODY | extra, path=path)) is may


async def test_chunks_are_nothing_for_http_1_0() -> None:
    assert not shareable(asked(BODY, version="HTTP/1.0"))


async def test_settings_that_cannot_be_read_promise_nothing() -> None:
    long = b'{"temperature":0,"x":"%b","n":1e999}' % (b"x" * 512)

    assert not certain(asked(b'{"contents":[],"generationConfig":%b}' % long, path=GEMINI))
    assert not certain(asked(b'{"model":"m","messages":[],"temperature":%b}' % long))


@pytest.mark.parametrize(
    ("path", "extra", "is_certain"),
    [
        (CHAT, {}, False),
        (CHAT, {"temperature": 0}, True),
        (CHAT, {"temperature": 0.0}, True),
        (CHAT, {"temperature": 1}, False),
        (CHAT, {"temperature": None}, False),
        (CHAT, {"temperature": "0"}, False),
        (CHAT, {"temperature": False}, False),
        (GEMINI, {"generationConfig": {"temperature": 0}}, True),
        (GEMINI, {"generationConfig": {"temperature": 0.2}}, False),
        (GEMINI, {"generationConfig": 0}, False),
        (GEMINI, {}, False),
        (EMBEDDINGS, {}, True),
    ],
)
async def test_nothing_drawn_by_lot(path: str, extra: dict[str, Any], is_certain: bool) -> None:
    assert certain(asked(BODY | extra, path=path)) is is_certain
