"""JSON that satisfies a JSON Schema, as far as a tool or a client that asked for it will look.

What is required is there; when nothing is, all that is described. The first text without a form of its own is
`PLACE`, where the words of the answer go.
"""

from __future__ import annotations

from typing import Any

import orjson

PLACE = "@WORDS@"
_DEEPEST = 12
"""Schemas may contain themselves."""

_FORMS = {
    "date": "2025-06-15",
    "date-time": "2025-06-15T15:06:40Z",
    "time": "15:06:40",
    "email": "keeper@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
}


def around(schema: Any) -> tuple[str, str | None]:
    """JSON text before and after the words; nothing to put words into: the whole text, and None."""
    text = orjson.dumps(example(schema)).decode()
    before, found, after = text.partition(PLACE)
    if not found:
        return text, None
    return before, after.replace(PLACE, "river")


def example(schema: Any) -> Any:
    """A value this schema allows."""
    return _value(schema, schema, 0)


def _value(schema: Any, root: Any, depth: int) -> Any:
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return PLACE if depth <= _DEEPEST else None
    schema = _chosen(_resolved(schema, root), root)
    if "const" in schema:
        return schema["const"]
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][0]
    kind = _kind(schema)
    if kind == "object":
        return _object(schema, root, depth)
    if kind == "array":
        return [_value(schema.get("items"), root, depth + 1)] * int(schema.get("minItems") or 1)
    if kind in ("integer", "number"):
        return _number(schema)
    return {"boolean": True, "null": None}.get(kind, _FORMS.get(str(schema.get("format")), PLACE))


def _kind(schema: dict[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if isinstance(kind, str):
        return kind.lower()  # Gemini writes OBJECT
    return "object" if "properties" in schema else "array" if "items" in schema else "string"


def _resolved(schema: dict[str, Any], root: Any) -> dict[str, Any]:
    place = root
    reference = schema.get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#"):
        return schema
    for name in reference[1:].strip("/").split("/") if len(reference) > 1 else ():
        place = place.get(name) if isinstance(place, dict) else None
    return place if isinstance(place, dict) else {}


def _chosen(schema: dict[str, Any], root: Any) -> dict[str, Any]:
    """The first alternative that is more than null, or all of `allOf` in one."""
    for name in ("anyOf", "oneOf", "any_of"):
        options = [_resolved(one, root) for one in schema.get(name) or () if isinstance(one, dict)]
        if options:
            return next((one for one in options if _kind(one) != "null"), options[0])
    parts = [_resolved(one, root) for one in schema.get("allOf") or () if isinstance(one, dict)]
    if not parts:
        return schema
    merged: dict[str, Any] = {"properties": {}, "required": []}
    for part in [*parts, schema]:
        merged |= {key: part[key] for key in part if key not in merged}
        merged["properties"] |= part.get("properties") or {}
        merged["required"] += part.get("required") or []
    if not merged["properties"]:
        del merged["properties"]
    return merged


def _object(schema: dict[str, Any], root: Any, depth: int) -> dict[str, Any]:
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        # Anything goes: the words under a name of ours, at the top only.
        return {} if depth else {"text": PLACE}
    names = schema.get("required") or list(properties)
    return {
        str(name): _value(properties.get(name), root, depth + 1)
        for name in names
        if depth < _DEEPEST
    }


def _number(schema: dict[str, Any]) -> float:
    least = schema.get("minimum")
    if least is None and isinstance(above := schema.get("exclusiveMinimum"), int | float):
        least = above + 1
    most = schema.get("maximum")
    number = least if isinstance(least, int | float) else 1
    if isinstance(most, int | float) and number > most:
        number = most
    return int(number) if _kind(schema) == "integer" else number
