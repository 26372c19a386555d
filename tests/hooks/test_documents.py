"""A JSON object that is taken apart as far as somebody looks."""

from __future__ import annotations

from math import inf

import pytest

from proxy.hooks import Request
from proxy.hooks.documents import put_together, taken_apart


def test_what_nobody_changes_stays_as_it_was() -> None:
    request = Request({"seed": b"1e2", "messages": b"[]"})

    assert request.field("seed") == 100.0
    assert request.field("absent") is None
    assert list(request.words()) == []
    assert request.changes() == {}


def test_a_field_is_set_and_taken_out() -> None:
    request = Request({"a": b"1", "b": b"2"})
    request.set("c", {"x": [1]})
    request.drop("a")

    assert request.names == ("b", "c")
    assert request.field("a") is None
    assert request.changes() == {"a": None, "c": b'{"x":[1]}'}
    request.set("a", 3)
    assert request.changes()["a"] == b"3"


def test_a_word_that_is_set_to_what_it_is_changes_nothing() -> None:
    request = Request({"input": b'"hi"'})
    for word in request.words():
        word.text = "hi"

    assert request.changes() == {}


def test_a_number_beyond_a_double_hides_nothing() -> None:
    request = Request({"messages": b'[{"content":"hi","n":[1e999,-1e999,1.5]}]'})
    (word,) = request.words()
    word.text = "ho"

    assert request.field("messages")[0]["n"] == [inf, -inf, 1.5]
    assert request.changes() == {"messages": b'[{"content":"ho","n":[null,null,1.5]}]'}


def test_what_is_no_json_is_found_when_it_is_written() -> None:
    request = Request()
    request.set("a", object())

    with pytest.raises(TypeError):
        request.changes()


def test_an_object_is_put_together_with_its_changes() -> None:
    raw = taken_apart(b'{"a": 1.0, "b": "x", "c":null}')
    assert raw is not None

    assert put_together(raw, {"b": None, "d": b"[1]"}) == b'{"a":1.0,"c":null,"d":[1]}'


@pytest.mark.parametrize("body", [b"", b"[]", b"ID3\x04", b'{"a":', b"[" * 3000])
def test_what_is_no_object_is_not_taken_apart(body: bytes) -> None:
    assert taken_apart(body) is None
