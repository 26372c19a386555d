"""JSON Schemas that can be enforced: objects are closed, and what a grammar cannot count is told in words instead."""

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
_NESTED = ("properties", "$defs", "definitions")
_LISTS = ("anyOf", "allOf", "oneOf", "prefixItems")


def of_object(schema: Json | None) -> Json:
    """A tool's schema, which must be of an object."""
    if not schema:
        return {"type": "object", "properties": {}}
    return schema if schema.get("type") == "object" else {**schema, "type": "object"}


def enforceable(schema: Json) -> tuple[Json, bool]:
    """(a schema that can be enforced, whether it still says all that `schema` says)."""
    lost: list[str] = []
    made: Json = _closed(schema, lost)
    return made, not lost


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
    return _closed(value, lost) if key in ("items", "not") else value
