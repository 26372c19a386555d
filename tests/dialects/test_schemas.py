"""JSON Schemas made acceptable."""

from __future__ import annotations

from proxy.dialects.schemas import enforceable, of_object


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
