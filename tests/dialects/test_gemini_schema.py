"""Schemas of two kinds."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.dialects.gemini.schema import read_schema, write_schema


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"type": "STRING"}, {"type": "string"}),
        ({"type": "STRING", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "STRING", "nullable": False}, {"type": "string"}),
        ({"type": "TYPE_UNSPECIFIED"}, {}),
        ({"type": ["STRING", "NULL"]}, {"type": ["string", "null"]}),
        (
            {"type": "STRING", "format": "enum", "enum": ["a"], "nullable": True},
            {"type": ["string", "null"], "enum": ["a", None]},
        ),
        ({"type": "INTEGER", "format": "int64"}, {"type": "integer", "format": "int64"}),
        (
            {"any_of": [{"type": "STRING"}], "nullable": True},
            {"anyOf": [{"type": "string"}, {"type": "null"}]},
        ),
        (
            {"type": "ARRAY", "items": {"type": "NUMBER"}, "minItems": "2", "max_items": 3},
            {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 3},
        ),
        (
            {"type": "OBJECT", "properties": {"type": {"type": "STRING"}, "any_of": {"type": "BOOLEAN"}}},
            {"type": "object", "properties": {"type": {"type": "string"}, "any_of": {"type": "boolean"}}},
        ),
        (
            {"defs": {"A": {"type": "STRING"}}, "ref": "#/defs/A"},
            {"$defs": {"A": {"type": "string"}}, "$ref": "#/$defs/A"},
        ),
        ({"type": "STRING", "example": "x", "title": None}, {"type": "string", "examples": ["x"]}),
        ({"additionalProperties": False}, {"additionalProperties": False}),
        ({"additional_properties": {"type": "STRING"}}, {"additionalProperties": {"type": "string"}}),
        ({"const": 5, "$comment": "x"}, {"const": 5, "$comment": "x"}),
    ],
)  # fmt: skip
def test_what_is_read_is_json_schema(given: dict[str, Any], expected: dict[str, Any]) -> None:
    before = repr(given)

    assert read_schema(given) == expected
    assert read_schema(expected) == expected
    assert repr(given) == before


def test_the_order_of_properties_is_kept() -> None:
    made = read_schema(
        {"properties": {"a": {}, "b": {}, "c": {}}, "propertyOrdering": ["c", "x", "a"]}
    )

    assert list(made["properties"]) == ["c", "a", "b"]
    assert "propertyOrdering" not in made


@pytest.mark.parametrize(
    ("given", "expected", "is_lost"),
    [
        ({"$schema": "x", "type": "object", "additionalProperties": False}, {"type": "object", "additionalProperties": False}, False),
        ({"const": "a"}, {"enum": ["a"]}, False),
        ({"const": True}, {"const": True}, False),
        ({"$ref": "#/$defs/A", "description": "x"}, {"$ref": "#/$defs/A"}, False),
        ({"$ref": "#/$defs/A", "minLength": 1}, {"$ref": "#/$defs/A"}, True),
        ({"$ref": "#", "$defs": {"A": {"const": 1}}}, {"$ref": "#", "$defs": {"A": {"enum": [1]}}}, False),
        ({"allOf": [{"$ref": "#/$defs/A"}], "title": "x"}, {"$ref": "#/$defs/A"}, False),
        ({"allOf": [{"type": "string"}], "title": "x"}, {"title": "x", "type": "string"}, False),
        ({"allOf": [{"type": "string"}], "type": "string"}, {"allOf": [{"type": "string"}], "type": "string"}, False),
        ({"anyOf": [{"const": 1}, True], "items": {"const": 2}}, {"anyOf": [{"enum": [1]}, True], "items": {"enum": [2]}}, False),
        ({"properties": {"$ref": {"type": "string"}, "const": {"const": 1}}}, {"properties": {"$ref": {"type": "string"}, "const": {"enum": [1]}}}, False),
        ({"properties": 5}, {"properties": 5}, False),
    ],
)  # fmt: skip
def test_what_is_written_keeps_its_meaning(
    given: dict[str, Any], expected: dict[str, Any], is_lost: bool
) -> None:
    before = repr(given)

    assert write_schema(given) == (expected, is_lost)
    assert repr(given) == before
