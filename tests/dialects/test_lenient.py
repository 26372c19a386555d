"""Odd, damaged and partial JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.lenient import (
    count_at,
    is_idle,
    last_object,
    last_word,
    mended,
    object_at,
    probabilities,
)


@pytest.mark.parametrize("raw", [b"", b"[]", b"1", b"null", b"{", b"[" * 100_000, b'{"a":"\xff"}'])
def test_only_an_object_is_one(raw: bytes) -> None:
    assert object_at(raw) is None


@pytest.mark.parametrize(
    ("raw", "count"),
    [
        (b'{"n": 7}', 7),
        (b'{"n": 0}', 0),
        (b'{"n": -1}', None),
        (b'{"n": true}', None),
        (b'{"n": "7"}', None),
        (b"{}", None),
        (b"[7]", None),
    ],
)
def test_a_count_is_a_number_that_can_be_one(raw: bytes, count: int | None) -> None:
    assert count_at(raw, "n") == count


def test_an_object_is_decoded() -> None:
    assert object_at(b' {"a": [1]} ') == {"a": [1]}


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b'{"a":"x\xffy"}', "x\ufffdy"),
        (b'{"a":"\xe4\xbd"}', "\ufffd"),
        (b'{"a":"\\ud83d"}', " "),
        (b'{"a":"\\uDE00!"}', " !"),
        (b'{"a":"\\\\ud83d"}', "\\ud83d"),
        (b'{"a":"\\ud83c\\udf0a\\ud83d!\\\\\\ud83c\\udf0a"}', "🌊 !\\🌊"),
        (b'{"a":"\\ud83d\\ud83c\\udf0a\\udf0a"}', " 🌊 "),
        (b'{"a":"\\u00e9"}', "é"),
    ],
)
def test_strings_are_mended(raw: bytes, text: str) -> None:
    assert object_at(mended(raw)) == {"a": text}


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=10)))
def test_mending_never_breaks_what_is_whole(fields: dict[str, str]) -> None:
    assert object_at(mended(json.dumps(fields).encode())) == fields


def test_the_last_object_at_a_key_is_found() -> None:
    tail = b'x"usage":{"a":1}}},"usage" : {"b":{"c":{"d":[2]},"e":3}},"user":null}}\n\n'

    assert last_object(tail, "usage") == b'{"b":{"c":{"d":[2]},"e":3}}'


@pytest.mark.parametrize(
    "tail",
    [b"", b'"usage":null', b'"usage":{"a":1', b'text \\"usage\\":{\\"a\\":1}', b'"usages":{}'],
)
def test_no_object_is_found_where_there_is_none(tail: bytes) -> None:
    assert last_object(tail, "usage") is None


def test_looking_for_an_object_takes_no_time_in_noise() -> None:
    assert last_object(b'"usage":' + b"{" * 60_000, "usage") is None
    assert last_object(b'"usage":{' * 7_000, "usage") is None


def test_the_last_word_at_a_key_is_found() -> None:
    assert last_word(b'"reason":"a"}]} "reason": "b","reason":null', "reason") == "b"
    assert last_word(b'\\"reason\\":\\"a\\"', "reason") is None


def test_blank_events_are_idle() -> None:
    assert is_idle(b"")
    assert is_idle(b" \n")
    assert not is_idle(b"x")


TOKEN = {"token": "H", "logprob": -0.5, "bytes": [72]}


@pytest.mark.parametrize(
    "token",
    [TOKEN, {**TOKEN, "bytes": None}, {**TOKEN, "x": 1, "top_logprobs": [{**TOKEN, "token": "J"}]}],
)
def test_a_token_with_its_probability_is_kept_as_it_is(token: object) -> None:
    assert probabilities([token]) == [token]


@pytest.mark.parametrize(
    "value",
    [None, "x", {}, [None], [{}], [{**TOKEN, "token": 1}], [{**TOKEN, "logprob": True}],
     [{**TOKEN, "logprob": None}], [{**TOKEN, "bytes": "H"}], [{**TOKEN, "bytes": [[]]}]],
)  # fmt: skip
def test_what_is_no_token_is_left_out(value: object) -> None:
    assert probabilities(value) == []


@pytest.mark.parametrize("rivals", [None, True, "x", [None], [{**TOKEN, "logprob": "x"}]])
def test_rivals_that_are_none_are_left_out(rivals: object) -> None:
    assert probabilities([{**TOKEN, "top_logprobs": rivals}]) == [{**TOKEN, "top_logprobs": []}]
