from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.naming import named, named_events

NAME = b'"best \\"one\\""'
KEYS = st.sampled_from(["model", "modelVersion", "response", "message"]) | st.text(max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"id":"x","model":"gpt-4o-2024","n":1}', b'{"id":"x","model":%b,"n":1}'),
        (b'{"modelVersion":"g","x":1}', b'{"modelVersion":%b,"x":1}'),
        (b'{"type":"a","response":{"model":"m"}}', b'{"type":"a","response":{"model":%b}}'),
        (b'{"type":"a","message":{"model":"m"}}', b'{"type":"a","message":{"model":%b}}'),
    ],
)
def test_the_name_is_where_the_protocols_have_it(body: bytes, expected: bytes) -> None:
    assert named(body, NAME) == expected % NAME


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json, but a model",
        b'["model"]',
        b'{"model":null}',
        b'{"model":{"a":1}}',
        b'{"text":"\\"model\\": \\"x\\""}',
        b'{"input":{"model":"T"}}',
        b'{"response":{"output":[{"model":"T"}]}}',
        b'{"message":{"message":{"model":"T"}}}',
        b'{"model":"cut',
    ],
)
def test_nothing_else_is_a_name(body: bytes) -> None:
    assert named(body, NAME) == body
    event = b"data: " + body + b"\n\n"
    assert named_events(event, NAME) == event


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_of_a_stream_every_event_is_named_and_all_else_stays(end: bytes) -> None:
    lines = [b": here", b"", b"event: chunk", b'data: {"model":"m","x":1}', b"id: 3", b""]
    lines += [b'data: {"model":"m","x":"\\"model\\""}', b"", b"data: [DONE]", b"", b""]
    data = end.join(lines)

    assert named_events(data, NAME) == data.replace(b'"model":"m"', b'"model":' + NAME)


@given(st.dictionaries(KEYS, JSON, max_size=4))
def test_whatever_else_is_there_stays(content: dict[str, Any]) -> None:
    body = orjson.dumps(content)
    found = orjson.loads(named(body, b'"n"'))

    for key in ("model", "modelVersion"):
        if isinstance(content.get(key), str):
            content[key] = "n"
    for key in ("response", "message"):
        inner = content.get(key)
        if isinstance(inner, dict):
            for name in ("model", "modelVersion"):
                if isinstance(inner.get(name), str):
                    inner[name] = "n"
    assert found == content


@given(st.binary(max_size=200) | st.just(b'data: {"model":"m"}\n'))
def test_what_is_no_event_stays(data: bytes) -> None:
    named_events(data, NAME)
    assert named_events(data.replace(b"model", b"mode1"), NAME) == data.replace(b"model", b"mode1")
