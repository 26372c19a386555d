"""Fields are found in any spelling, and what is wrong with them is said under the name the caller used."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator

from proxy.control.admin.compat.spelled import (
    MAPPING,
    NUMBER,
    SWITCH,
    TARGET,
    TEXT,
    TEXTS,
    WHOLE,
    Given,
    Kind,
    folded,
    read,
    schema,
)
from proxy.control.admin.web import Problem

TABLE = {"groupName": TEXT, "apiKeys": TEXTS, "retryCount": WHOLE}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


def refused(body: dict[str, Any], **options: Any) -> dict[str, str]:
    with pytest.raises(Problem) as caught:
        read(body, TABLE, **options)
    assert caught.value.status == 400
    return {fault.field: fault.message for fault in caught.value.faults}


@pytest.mark.parametrize(
    "spelling", ["groupName", "group_name", "GroupName", "GROUP-NAME", "group name"]
)
def test_a_field_is_found_in_any_spelling(spelling: str) -> None:
    assert read({spelling: " one "}, TABLE).values == {"groupName": "one"}


def test_null_is_a_field_that_was_not_given() -> None:
    assert read({"groupName": None, "retryCount": 0}, TABLE).values == {"retryCount": 0}


def test_what_nobody_knows_is_named_as_it_was_written() -> None:
    seen = read({"groupName": "a", "faxNumber": 1}, TABLE)

    assert seen.unknown == ("faxNumber",)
    assert seen.warnings == ["'faxNumber' is not kept: there is no such setting here."]


def test_every_fault_is_named_at_once() -> None:
    body = {"group_name": 7, "apiKeys": ["a", 1], "retryCount": True}

    assert refused(body) == {
        "group_name": "a text is expected",
        "apiKeys": "a list of texts is expected",
        "retryCount": "a whole number is expected",
    }


def test_what_is_missing_is_said_once() -> None:
    assert refused({"group_name": 7}, needed=("groupName", "apiKeys")) == {
        "group_name": "a text is expected",
        "apiKeys": "it is missing",
    }


def test_two_spellings_of_one_field_are_refused() -> None:
    assert list(refused({"groupName": "a", "group_name": "b"})) == ["group_name"]


def test_one_text_is_a_list_of_one_and_repeats_are_dropped() -> None:
    assert read({"apiKeys": "a"}, TABLE).get("apiKeys") == ["a"]
    assert read({"apiKeys": ["a", "b", "a"]}, TABLE).get("apiKeys") == ["a", "b"]


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (WHOLE, [1, -2, 3.0], [True, "1", 1.5, float("inf")]),
        (NUMBER, [1, 2.5], [True, "1", float("nan"), float("inf")]),
        (SWITCH, [True, False], [0, "true"]),
        (MAPPING, [{}], [[], "{}"]),
        (TARGET, ["openai", 7], [True, 1.5, "", []]),
        (TEXT, ["a"], ["", "  ", 1]),
    ],
)
def test_what_each_kind_takes(kind: Kind, good: list[object], bad: list[object]) -> None:
    for value in good:
        kind.check(value)
    for value in bad:
        with pytest.raises(ValueError):  # noqa: PT011 - it has no text, the caller gives one
            kind.check(value)


@given(st.dictionaries(st.sampled_from([*TABLE, "api_keys", "x"]) | st.text(max_size=5), JSON))
def test_any_body_is_read_or_refused_by_name(body: dict[str, Any]) -> None:
    problem: Problem | None = None
    seen = Given({})
    try:
        seen = read(body, TABLE)
    except Problem as raised:
        problem = raised

    assert problem is None or (problem.status == 400 and problem.faults)
    assert {fault.field for fault in (problem.faults if problem else ())} <= body.keys()
    assert seen.values.keys() <= TABLE.keys()
    assert {folded(name) for name in seen.unknown}.isdisjoint(map(folded, TABLE))


WIDE = {
    "a": TEXT,
    "b": TEXTS,
    "c": WHOLE,
    "d": NUMBER,
    "e": SWITCH,
    "f": MAPPING,
    "g": TARGET,
}
SAID = Draft202012Validator(schema(WIDE, "a"))
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2)
    ),
    max_leaves=4,
)
WORDS = st.text("ab \u00e4", max_size=3)


@given(st.dictionaries(st.sampled_from([*WIDE, "x"]), PLAIN | WORDS | st.lists(WORDS, max_size=2)))
def test_a_body_is_taken_exactly_when_the_documentation_says_so(body: dict[str, Any]) -> None:
    try:
        read(body, WIDE, needed=("a",))
        taken = True
    except Problem:
        taken = False

    assert taken == SAID.is_valid(body)
