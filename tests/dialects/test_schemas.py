"""JSON Schemas made acceptable."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.dialects.schemas import enforceable, is_exact, of_object

EXACT = {
    "type": "object",
    "properties": {"a": {"type": "string"}, "properties": {"type": "integer"}},
    "required": ["a", "properties"],
    "additionalProperties": False,
}


def test_what_cannot_be_enforced_is_told_in_words() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "array", "minItems": 3, "items": {"maxLength": 2}}},
        "$defs": {"x": {"anyOf": [{"minimum": 1}, True]}},
        "additionalProperties": {"type": "string"},
    }

    made, whole = enforceable(schema)

    assert not whole
    assert made["additionalProperties"] is False
    assert made["properties"]["a"]["description"] == "{minItems: 3}"
    assert made["properties"]["a"]["items"] == {"description": "{maxLength: 2}"}
    assert made["$defs"]["x"]["anyOf"] == [{"description": "{minimum: 1}"}, True]


@pytest.mark.parametrize(
    "schema",
    [EXACT, {"type": "array", "items": EXACT}, {"anyOf": [EXACT, {"type": "null"}]}, {"$defs": {"x": EXACT}}, {}, True],
)  # fmt: skip
def test_a_schema_is_exact_whose_objects_all_are(schema: object) -> None:
    assert is_exact(schema)


@pytest.mark.parametrize(
    "change",
    [
        {"required": ["a"]},
        {"required": None},
        {"additionalProperties": True},
        {"properties": {"a": {"type": "object"}, "properties": {}}},
    ],
)
def test_one_that_leaves_something_open_is_not(change: dict[str, Any]) -> None:
    schema = {**EXACT, **change}

    assert not is_exact(schema)
    assert not is_exact({"type": "array", "items": schema})
    assert not is_exact({"anyOf": [True, schema]})
    assert not is_exact({"definitions": {"x": schema}})


def test_a_schema_of_arguments_is_one_of_an_object() -> None:
    assert of_object(None) == {"type": "object", "properties": {}}
    assert of_object({"properties": {}}) == {"properties": {}, "type": "object"}


def test_choices_at_the_top_become_one_object_that_may_have_what_any_may() -> None:
    schema = {"anyOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}, True], "title": "T"}

    assert of_object(schema) == {
        "title": "T",
        "type": "object",
        "properties": {"b": {}, "a": {}},
    }
