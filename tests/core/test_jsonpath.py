from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core import jsonpath

VALUE: dict[str, Any] = {
    "data": {"id": "c1", "0": "zero"},
    "choices": [{"text": "a"}, {"text": "b"}],
}


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("data.id", "c1"),
        ("$.data.id", "c1"),
        (" data.id ", "c1"),
        ("data.0", "zero"),
        ("choices[0].text", "a"),
        ("choices.1.text", "b"),
        ("choices[-1].text", "b"),
        ("$[0]", None),
        ("choices[2].text", None),
        ("choices[-3].text", None),
        ("choices.text", None),
        ("data.id.more", None),
        ("nothing", None),
    ],
)
def test_a_path_leads_to_a_value_or_to_nothing(written: str, found: object) -> None:
    assert jsonpath.find(VALUE, jsonpath.parse(written)) == found


@pytest.mark.parametrize("written", ["", "$", ".", "a..b", "a b", "a[", "a[x]", "a[1", "a.", "[]"])
def test_what_is_no_path_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="no path"):
        jsonpath.parse(written)


def test_a_path_is_shown_so_that_it_can_be_read_again() -> None:
    path = jsonpath.parse("$.choices[-1].text")

    assert jsonpath.dotted(path) == "choices.-1.text"
    assert jsonpath.parse(jsonpath.dotted(path)) == path


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(json_values, st.lists(st.text(max_size=3) | st.integers(-3, 3).map(str), max_size=4))
def test_looking_raises_nothing(value: object, path: list[str]) -> None:
    jsonpath.find(value, tuple(path))


@given(st.text(max_size=12))
def test_any_text_is_a_path_or_refused(text: str) -> None:
    with suppress(ValueError):
        assert jsonpath.parse(text)
