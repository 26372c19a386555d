"""Who asks, how the prompt begins and how long it is, found in requests of every dialect."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.core.model import Snapshot, VirtualKey
from proxy.gateway.exchange import Exchange
from proxy.gateway.hints import LONGEST
from proxy.gateway.looking import Asked
from tests.gateway import asked

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
MESSAGE = {"role": "user", "content": "x" * 1500}


def exchange(path: str, body: dict[str, Any], *fields: str, key: str | None = "k") -> Exchange:
    one = asked.exchange(
        asked.raw("POST", path, json.dumps({"model": "m", **body}).encode(), *fields)
    )
    one.key = None if key is None else VirtualKey(key, b"", id=key)
    return one


def hints(path: str, body: dict[str, Any], *fields: str, key: str | None = "k") -> Asked:
    return Asked(exchange(path, body, *fields, key=key), Snapshot())


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, {"user": "u"}),
        (CHAT, {"safety_identifier": "s"}),
        (CHAT, {"prompt_cache_key": "p"}),
        (MESSAGES, {"metadata": {"user_id": "u"}}),
        ("/v1/responses", {"prompt_cache_key": "p", "input": "hi"}),
    ],
    ids=["user", "safety_identifier", "prompt_cache_key", "metadata", "responses"],
)
async def test_a_session_in_the_body_tells_callers_of_one_key_apart(
    path: str, body: dict[str, Any]
) -> None:
    own = hints(path, body).caller

    assert own == hints(path, {**body, "temperature": 1}).caller
    assert own != hints(path, {}).caller
    assert own != hints(path, body, key="other").caller


async def test_the_header_goes_before_the_body_and_the_narrowest_field_before_the_others() -> None:
    named = hints(CHAT, {"user": "u"}, "X-Session-Id: s").caller
    both = hints(CHAT, {"user": "u", "prompt_cache_key": "p"}).caller

    assert named == hints(CHAT, {"user": "v"}, "X-Session-Id: s").caller
    assert both == hints(CHAT, {"user": "v", "prompt_cache_key": "p"}).caller


@pytest.mark.parametrize(
    "body",
    [{"user": 5}, {"user": ""}, {"metadata": {"user_id": "u"}}],
    ids=["number", "empty", "another-dialect's"],
)
async def test_what_is_no_session_is_none(body: dict[str, Any]) -> None:
    assert hints(CHAT, body).caller == hints(CHAT, {}).caller


@pytest.mark.parametrize(
    "metadata", [None, [], {"user_id": 1}, {"other": "u"}], ids=["null", "list", "number", "other"]
)
async def test_metadata_without_a_user_is_no_session(metadata: object) -> None:
    assert hints(MESSAGES, {"metadata": metadata}).caller == hints(MESSAGES, {}).caller


async def test_without_a_key_the_session_is_the_caller() -> None:
    nobody = hints(CHAT, {}, key=None).caller

    assert nobody == hints(CHAT, {"n": 1}, key=None).caller
    assert nobody != hints(CHAT, {"user": "u"}, key=None).caller


@pytest.mark.parametrize(
    ("path", "first", "later"),
    [
        (CHAT, {"messages": [MESSAGE]}, {"messages": [MESSAGE, MESSAGE]}),
        (MESSAGES, {"system": "s" * 2000, "messages": []}, {"system": "s" * 2000, "messages": [1]}),
        (
            "/v1/responses",
            {"instructions": "i" * 2000, "input": "hi"},
            {"instructions": "i" * 2000, "input": "ho"},
        ),
        (
            "/v1beta/models/m:generateContent",
            {"systemInstruction": {"parts": [{"text": "s" * 2000}]}, "contents": [1]},
            {"systemInstruction": {"parts": [{"text": "s" * 2000}]}, "contents": [2]},
        ),
    ],
    ids=["openai", "anthropic", "responses", "gemini"],
)
async def test_a_conversation_keeps_its_beginning(
    path: str, first: dict[str, Any], later: dict[str, Any]
) -> None:
    one, two = (list(hints(path, body).beginnings()) for body in (first, later))

    assert one
    assert one[0] == two[0]


async def test_another_system_prompt_is_another_beginning_wherever_it_stands_in_the_body() -> None:
    before = {"system": "a" * 2000, "messages": [MESSAGE]}
    turned = {"messages": [MESSAGE], "system": "a" * 2000}
    other = {"system": "b" * 2000, "messages": [MESSAGE]}

    own = list(hints(MESSAGES, before).beginnings())
    assert own == list(hints(MESSAGES, turned).beginnings())
    assert own[0] != next(iter(hints(MESSAGES, other).beginnings()))


async def test_marks_of_what_to_cache_are_no_part_of_it() -> None:
    mark = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    text = {"type": "text", "text": "s" * 2000}

    plain = list(hints(MESSAGES, {"system": [text]}).beginnings())
    marked = list(hints(MESSAGES, {"system": [{**text, **mark}]}).beginnings())
    nulled = list(hints(MESSAGES, {"system": [{**text, "cache_control": None}]}).beginnings())

    assert plain == marked == nulled


async def test_a_long_prompt_is_looked_at_only_as_far_as_is_hashed() -> None:
    long = {"tools": ["t" * LONGEST * 3], "messages": ["m"]}

    assert len(list(hints(CHAT, long).beginnings())) == 6


async def test_a_form_has_no_beginning() -> None:
    form = (
        b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n--b--\r\n'
    )
    raw = asked.raw(
        "POST", "/v1/audio/transcriptions", form, "Content-Type: multipart/form-data; boundary=b"
    )
    one = Asked(asked.exchange(raw), Snapshot())

    assert list(one.beginnings()) == []
    assert one.caller != 0


async def test_the_size_is_about_that_of_prompt_and_limit() -> None:
    one = hints(CHAT, {"messages": [{"role": "user", "content": "x" * 35_000}], "max_tokens": 500})

    assert 10_000 <= one.prompt <= 10_100
    assert one.tokens == one.prompt + 500
    assert one.stream is False
    assert hints(CHAT, {"stream": True}).stream is True
