"""JSON Schemas made acceptable.

A tool's schema must be of an object. One that is enforced, of an answer or of a strict tool, is a grammar: its
objects must be closed, and what a grammar cannot count (lengths, ranges) is refused. What is taken away is told to
the model in words, as the vendor's own library does.
"""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.dialects.ir import Json

_encode = msgspec.json.Encoder().encode

_UNCOUNTABLE = (
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
)
_NESTED = ("properties", "$defs", "definitions", "patternProperties")
_LISTS = ("anyOf", "allOf", "oneOf", "prefixItems")
_CHOICES = ("anyOf", "oneOf", "allOf")


def of_object(schema: Json | None) -> Json:
    """A schema of an object: `schema` itself if it is one."""
    if not schema:
        return {"type": "object", "properties": {}}
    if schema.get("type") == "object" and not any(key in schema for key in _CHOICES):
        return schema
    made = {key: value for key, value in schema.items() if key not in _CHOICES}
    made["type"] = "object"
    given = made.get("properties")
    properties: Json = dict(given) if isinstance(given, dict) else {}
    # Choices at the top are refused: what any of them may have, the whole may have.
    for key in _CHOICES:
        branches = schema.get(key)
        for branch in branches if isinstance(branches, list) else ():
            if isinstance(branch, dict) and isinstance(branch.get("properties"), dict):
                properties = {**branch["properties"], **properties}
    made["properties"] = properties
    return made


def enforceable(schema: Json) -> tuple[Json, bool]:
    """(a schema that can be enforced, whether it still says all that `schema` says)."""
    lost: list[str] = []
    made = _closed(schema, lost)
    assert isinstance(made, dict)
    return made, not lost


def is_exact(schema: Any) -> bool:  # Any: as below
    """Whether every object in it is closed and demands all its properties: what OpenAI enforces, and nothing else.

    Anthropic enforces a schema with properties that may be left out, too.
    """
    if not isinstance(schema, dict):
        return True
    properties = schema.get("properties")
    if schema.get("type") == "object" or isinstance(properties, dict):
        demanded = schema.get("required")
        listed = demanded if isinstance(demanded, list) else []
        named = properties if isinstance(properties, dict) else {}
        if schema.get("additionalProperties") is not False or not named.keys() <= {*listed}:
            return False
    inside = [schema.get("items"), schema.get("not")]
    for key in _NESTED:
        inside += schema[key].values() if isinstance(schema.get(key), dict) else ()
    for key in _LISTS:
        inside += schema[key] if isinstance(schema.get(key), list) else ()
    return all(map(is_exact, inside))


def _closed(schema: Any, lost: list[str]) -> Any:  # Any: a schema may be true or false
    if not isinstance(schema, dict):
        return schema
    made = {key: _inner(key, value, lost) for key, value in schema.items()}
    told = {key: made.pop(key) for key in _UNCOUNTABLE if key in made}
    if made.get("minItems", 0) not in (0, 1):
        told["minItems"] = made.pop("minItems")
    if told:
        lost.extend(told)
        words = ", ".join(f"{key}: {_encode(value).decode()}" for key, value in told.items())
        made["description"] = f"{made.get('description') or ''}\n\n{{{words}}}".strip()
    if made.get("type") == "object" or "properties" in made:
        if made.get("additionalProperties", False) is not False:
            lost.append("additionalProperties")
        made["additionalProperties"] = False
    return made


def _inner(key: str, value: Any, lost: list[str]) -> Any:
    if key in _NESTED and isinstance(value, dict):
        return {name: _closed(inner, lost) for name, inner in value.items()}
    if key in _LISTS and isinstance(value, list):
        return [_closed(inner, lost) for inner in value]
    if key in ("items", "not"):
        return _closed(value, lost)
    return value
