"""JSON that fits a schema."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.simulator.schema import PLACE, around, example

LEAF = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


@pytest.mark.parametrize(
    ("schema", "wanted"),
    [
        ({"type": "object"}, {"text": PLACE}),
        ({"type": "object", "properties": {}}, {}),
        (LEAF, {"a": PLACE}),
        ({"type": "OBJECT", "properties": {"n": {"type": "NUMBER"}}}, {"n": 1}),
        (
            {"type": "object", "properties": {"a": {}, "b": {"type": "integer"}}, "required": ["b"]},
            {"b": 1},
        ),
        ({"type": "integer", "minimum": 5}, 5),
        ({"type": "integer", "exclusiveMinimum": 5}, 6),
        ({"type": "number", "maximum": 0.5}, 0.5),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"enum": ["x", "y"]}, "x"),
        ({"const": 3}, 3),
        ({"type": ["null", "string"]}, PLACE),
        ({"type": "string", "format": "date"}, "2025-06-15"),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, 1),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [True, True]),
        ({"properties": {"x": {"$ref": "#/$defs/leaf"}}, "$defs": {"leaf": LEAF}}, {"x": {"a": PLACE}}),
        ({"allOf": [LEAF, {"properties": {"b": {"const": 1}}, "required": ["b"]}]}, {"a": PLACE, "b": 1}),
        ({"type": "object", "properties": {"o": {"type": "object"}}}, {"o": {}}),
        (True, PLACE),
    ],
)  # fmt: skip
def test_a_value_fits(schema: Any, wanted: Any) -> None:
    assert example(schema) == wanted


def test_a_schema_that_contains_itself_comes_to_an_end() -> None:
    schema = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}

    assert orjson.dumps(example(schema)).count(b"next") < 20


def test_words_go_into_the_first_text_only() -> None:
    schema = {"properties": {"a": {"type": "string"}, "b": {"type": "string"}}}

    assert around(schema) == ('{"a":"', '","b":"river"}')
    assert around({"type": "integer"}) == ("1", None)
