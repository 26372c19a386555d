"""Which rule holds for a request."""

from __future__ import annotations

from random import Random
from typing import Any

import orjson
import pytest

from proxy.core.errors import ProxyError
from proxy.core.model import Rule, Snapshot, VirtualKey, When
from proxy.gateway.choosing.rules import first
from proxy.gateway.exchange import Exchange
from tests.gateway.asked import CHAT, exchange, raw

GEMINI = "/v1beta/models/m:generateContent"
IMAGES = {
    CHAT: {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}},
    "/v1/messages": {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}},
    "/v1/responses": {"type": "input_image", "image_url": "https://x.test/a.png"},
    GEMINI: {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
}


def asked(*fields: str, path: str = CHAT, key: VirtualKey | None = None, **body: Any) -> Exchange:
    one = exchange(raw("POST", path, orjson.dumps({"model": "m", "messages": []} | body), *fields))
    one.key = key
    return one


def holds(one: Exchange, **when: Any) -> bool:
    return first((Rule("n", When(**when)),), one, Snapshot(), Random(1)) is not None


async def test_what_says_nothing_always_holds() -> None:
    assert holds(asked())


async def test_who_asks() -> None:
    key = VirtualKey("anna", b"", team="blue")

    assert holds(asked(key=key), keys=("bert", "anna"), teams=("blue",))
    assert not holds(asked(key=key), keys=("anna",), teams=("red",))
    assert not holds(asked(), keys=("anna",))
    assert not holds(asked(), teams=("",))


@pytest.mark.parametrize(
    ("field", "metadata", "expected"),
    [
        ("A: b", {"tier": "gold"}, True),
        ("A: b", {"tier": "iron"}, False),
        ("A: b", {"tier": 1}, False),
        ("A: b", {"seats": 7, "tier": "gold"}, True),
        ("A: b", "gold", False),
        ('X-Headrace-Metadata: {"tier":"gold"}', None, True),
        ('X-Headrace-Metadata: {"tier":"gold"}', {"tier": "iron"}, True),
        ("X-Headrace-Metadata:", {"tier": "gold"}, True),
        ("X-Headrace-Metadata: {}", {"tier": "gold"}, True),
    ],
)
async def test_what_its_client_says_of_it(field: str, metadata: Any, expected: bool) -> None:
    one = asked(field, metadata=metadata)

    assert holds(one, metadata={"tier": ("gold", "silver")}) is expected


@pytest.mark.parametrize("said", ["{tier", "[1]", "gold", '"gold"', "null"])
async def test_a_header_that_is_no_object_is_refused(said: str) -> None:
    one = asked(f"X-Headrace-Metadata: {said}", metadata={"tier": "gold"})

    assert holds(one, stream=False)
    with pytest.raises(ProxyError) as refused:
        holds(one, metadata={"tier": ("gold",)})

    assert (refused.value.ref, refused.value.code) == ("bad_req", "invalid_type")
    assert refused.value.param == "x-headrace-metadata"


async def test_values_are_compared_as_text() -> None:
    assert holds(
        asked(metadata={"seats": 7, "on": True}), metadata={"seats": ("7",), "on": ("true",)}
    )


async def test_headers() -> None:
    assert holds(asked("X-Beta: 1"), headers={"x-beta": ("0", "1")})
    assert not holds(asked("X-Beta: 2"), headers={"x-beta": ("0", "1")})
    assert not holds(asked(), headers={"x-beta": ("0", "1")})


async def test_how_long_its_prompt_is() -> None:
    long = asked(messages=[{"role": "user", "content": "water " * 2000}])

    assert holds(long, min_tokens=1000)
    assert not holds(asked(), min_tokens=1000)
    assert holds(asked(), max_tokens=1000)
    assert not holds(long, max_tokens=1000)
    assert not holds(long, min_tokens=1, max_tokens=1000)


@pytest.mark.parametrize(
    ("body", "has"),
    [
        ({}, False),
        ({"tools": []}, False),
        ({"tools": None}, False),
        ({"tools": [{"type": "function"}]}, True),
        ({"functions": [{"name": "f"}]}, True),
    ],
)
async def test_tools(body: dict[str, Any], has: bool) -> None:
    assert holds(asked(**body), tools=True) is has
    assert holds(asked(**body), tools=False) is not has


@pytest.mark.parametrize("path", IMAGES)
async def test_images(path: str) -> None:
    one = asked(path=path, messages=[{"role": "user", "content": [IMAGES[path]]}])

    assert holds(one, images=True)
    assert not holds(one, images=False)
    assert not holds(asked(path=path), images=True)


async def test_streams() -> None:
    assert holds(asked(stream=True), stream=True)
    assert not holds(asked(), stream=True)
    assert holds(asked(), stream=False)


async def test_the_first_that_holds() -> None:
    rules = (Rule("a", When(stream=True)), Rule("b"), Rule("c"))

    found = first(rules, asked(), Snapshot(), Random(1))
    assert found is not None
    assert found.use == "b"


async def test_a_share_of_them() -> None:
    rng = Random(1)
    rules = (Rule("a", share=0.1), Rule("b", share=0.0))
    one, content = asked(), Snapshot()
    found = [first(rules, one, content, rng) for _ in range(2000)]

    assert 150 < sum(one is not None for one in found) < 250
    assert all(one is None or one.use == "a" for one in found)
