"""What a change does, field by field."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from proxy.control.admin.differences import MOST, Difference, between
from proxy.core.records import Kind, Record


def record(spec: dict[str, Any], sealed: str = "", **fields: Any) -> Record:
    return Record(
        kind=Kind.PROVIDER,
        id=1,
        revision=1,
        name="lab",
        parent=0,
        spec=orjson.dumps(spec),
        sealed=sealed,
        private=b"",
        created=0.0,
        updated=0.0,
        **fields,
    )


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({}, {}, []),
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, [("a", 1, 2)]),
        ({"a": 1}, {"a": 1.0}, [("a", 1, 1.0)]),
        ({"a": 1}, {"a": True}, [("a", 1, True)]),
        ({"a": 1}, {}, [("a", 1, None)]),
        ({}, {"a": [1, 2]}, [("a", None, [1, 2])]),
        ({"a": [1]}, {"a": [1, 2]}, [("a", [1], [1, 2])]),
        ({"t": {"x": 1, "y": 2}}, {"t": {"x": 1, "y": 3}}, [("t.y", 2, 3)]),
        ({}, {"t": {"x": 1}}, [("t.x", None, 1)]),
        ({"t": {"x": 1}}, {"t": 4}, [("t", {"x": 1}, 4)]),
        ({"t": 4}, {"t": {"x": 1}}, [("t", 4, {"x": 1})]),
        ({"t": {"x": 1}}, {}, [("t", {"x": 1}, None)]),
    ],
)
def test_fields_that_are_another_are_told_of(
    before: dict[str, Any], after: dict[str, Any], said: list[tuple[str, Any, Any]]
) -> None:
    found = between(record(before), record(after))

    assert list(found) == [Difference(*one) for one in said]
    assert [type(one.after) for one in found] == [type(one[2]) for one in said]


def test_one_that_is_new_has_all_of_its_fields() -> None:
    assert between(None, record({"a": 1})) == (Difference("a", None, 1),)


def test_one_that_goes_has_none() -> None:
    before = record({"a": 1})

    assert between(before, replace(before, spec=b"{}", deleted=True)) == ()


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [("", "x", "given"), ("x", "y", "changed"), ("x", "", "cleared")],
)
def test_of_secrets_is_said_that_they_change_and_nothing_of_what_they_are(
    before: str, after: str, said: str
) -> None:
    (found,) = between(record({}, before), record({}, after))

    assert (found.field, found.after) == ("secrets", said)


def test_there_is_an_end_to_it() -> None:
    assert len(between(None, record({str(n): n for n in range(1000)}))) == MOST
