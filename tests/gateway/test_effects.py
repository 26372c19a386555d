"""What does no more than to answer, in every dialect."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.gateway import effects
from tests.gateway.asked import CHAT, exchange, raw


def chat(**fields: Any) -> bytes:
    return raw("POST", CHAT, orjson.dumps({"model": "m", "messages": [], **fields}))


FUNCTION = {"type": "function", "function": {"name": "f"}}
HARMLESS = {
    "nothing": {},
    "tools of the client's": {"tools": [FUNCTION, {"type": "custom", "name": "x"}]},
    "Anthropic's tools of the client's": {"tools": [{"name": "f", "input_schema": {}}]},
    "Google's tools of the client's": {"tools": [{"functionDeclarations": []}]},
    "what is off": {"store": False, "background": None, "mcp_servers": [], "container": ""},
}
HARMFUL = {
    "store": {"store": True},
    "a tool of OpenAI's": {"tools": [FUNCTION, {"type": "web_search"}]},
    "a tool of Anthropic's": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    "a tool of Google's": {"tools": [{"googleSearch": {}}]},
    "servers": {"mcp_servers": [{"url": "x"}]},
    "a search": {"web_search_options": {"size": "low"}},
    "a search as it comes": {"web_search_options": {}},
    "no tools": {"tools": ["x"]},
    "no list": {"tools": "x"},
    "Google's and the client's in one": {
        "tools": [{"functionDeclarations": [], "googleSearch": {}}]
    },
}


@pytest.mark.parametrize(
    ("fields", "harmless"),
    [*((one, True) for one in HARMLESS.values()), *((one, False) for one in HARMFUL.values())],
    ids=[*HARMLESS, *HARMFUL],
)
async def test_what_does_no_more_than_to_answer_may_be_asked_twice(
    fields: dict[str, Any], harmless: bool
) -> None:
    assert effects.none(exchange(chat(**fields))) is harmless


async def test_what_cannot_be_read_may_do_anything() -> None:
    """A number beyond any double, deep in a long value: that is the provider's to judge."""
    tools = b'[{"type":"function","function":{"name":"f","description":"%b","n":1e999}}]' % (
        b"x" * 512
    )
    body = b'{"model":"m","messages":[],"tools":%b}' % tools

    assert not effects.none(exchange(raw("POST", CHAT, body)))


@pytest.mark.parametrize(("fields", "harmless"), [({}, False), ({"store": False}, True)])
async def test_responses_are_kept_unless_the_client_says_no(
    fields: dict[str, Any], harmless: bool
) -> None:
    body = orjson.dumps({"model": "m", "input": "hi", "stream": True, **fields})

    assert effects.none(exchange(raw("POST", "/v1/responses", body))) is harmless


async def test_a_form_is_not_looked_into() -> None:
    fields = b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\nm\r\n--x--\r\n'
    kind = "Content-Type: multipart/form-data; boundary=x"

    assert not effects.none(exchange(raw("POST", "/v1/audio/transcriptions", fields, kind)))
