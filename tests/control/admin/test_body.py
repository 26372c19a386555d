"""JSON bodies: one text, one meaning."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.control.admin import body
from proxy.control.admin.web import Problem, Request


def request(content: bytes, kind: str = "application/json") -> Request:
    return Request("POST", "/x", {}, {"content-type": kind}, content, "127.0.0.1", "id")


def refused(content: bytes, kind: str = "application/json") -> tuple[int, str]:
    with pytest.raises(Problem) as caught:
        body.fields(request(content, kind))
    return caught.value.status, caught.value.code


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8"])
def test_an_object_is_read(kind: str) -> None:
    assert body.fields(request(b'{"a": ["b:", {"c": 1}]}', kind)) == {"a": ["b:", {"c": 1}]}


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/yaml"]
)
def test_only_json_is_taken(kind: str) -> None:
    assert refused(b"{}", kind) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": 1,}',
        b'{"a": 1} {}',
        b'\xef\xbb\xbf{"a": 1}',
        b'{"a": "\xff"}',
        b'{"a": 1, "a": 2}',
        b'{"b": [{"a": 1, "\\u0061": 2}]}',
        b'{"a":' * 40 + b"1" + b"}" * 40,
        b"[" * 100_000 + b"]" * 100_000,
    ],
)
def test_what_is_not_one_clear_value_is_refused(content: bytes) -> None:
    assert refused(content) == (400, "invalid_json")


@pytest.mark.parametrize("content", [b"[]", b"1", b'"a"', b"null"])
def test_an_object_is_expected(content: bytes) -> None:
    assert refused(content) == (400, "invalid")


def test_a_body_has_a_limit() -> None:
    assert refused(b'{"a": "' + b"x" * body.LIMIT + b'"}') == (413, "too_large")


json = st.recursive(
    st.none() | st.booleans() | st.text() | st.integers(-(2**53), 2**53),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json, max_size=4))
def test_every_value_comes_back_as_it_was_sent(value: dict[str, Any]) -> None:
    try:
        content = orjson.dumps(value)
    except TypeError:  # a lone surrogate is no text
        return

    assert body.fields(request(content)) == value
