"""Schemas: Google's own subset of OpenAPI's, and JSON Schema, which its API takes as well.

What is read becomes JSON Schema. What is written is JSON Schema too, in `parametersJsonSchema` and
`responseJsonSchema`, because references, `additionalProperties` and unions have no place in the older form. That API
passes over keywords it does not know, so only those are rewritten whose meaning would be lost, or which it refuses.
"""

from __future__ import annotations

from collections.abc import Mapping

from proxy.dialects.ir import Json

_SPELLING: Mapping[str, str] = {
    "any_of": "anyOf",
    "one_of": "oneOf",
    "all_of": "allOf",
    "min_items": "minItems",
    "max_items": "maxItems",
    "min_length": "minLength",
    "max_length": "maxLength",
    "min_properties": "minProperties",
    "max_properties": "maxProperties",
    "property_ordering": "propertyOrdering",
    "additional_properties": "additionalProperties",
    "prefix_items": "prefixItems",
    "defs": "$defs",
    "ref": "$ref",
}
_COUNTS = frozenset(
    {"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"}
)
_ONE = frozenset({"items", "additionalProperties", "not", "contains", "propertyNames"})
"""Keywords whose value is a schema."""
_LISTS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_MAPS = frozenset({"properties", "$defs", "definitions", "patternProperties"})
_NOTES = frozenset({"title", "description", "default", "examples", "example"})
"""Keywords that forbid nothing."""


def read_schema(schema: Json) -> Json:
    """Google's Schema, or JSON Schema where a client wrote that in its place, as JSON Schema."""
    made: Json = {}
    for given, value in schema.items():
        name = _SPELLING.get(given, given)
        if value is None:
            continue
        if name in _ONE:
            made[name] = _read(value)
        elif name in _LISTS and isinstance(value, list):
            made[name] = [_read(item) for item in value]
        elif name in _MAPS and isinstance(value, dict):
            made[name] = {key: _read(item) for key, item in value.items()}
        elif name in _COUNTS and isinstance(value, str) and value.isdecimal():
            made[name] = int(value)  # 64 bit numbers are strings in protobuf's JSON
        else:
            made[name] = value
    return _standard(made)


def _read(value: object) -> object:
    return read_schema(value) if isinstance(value, dict) else value


def _standard(made: Json) -> Json:
    """What OpenAPI or Google say in keywords of their own, said in JSON Schema's."""
    kind = _kind(made.pop("type", None))
    if kind is not None:
        made = {"type": kind, **made}
    if made.get("format") in ("enum", ""):
        del made["format"]
    reference = made.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/defs/"):
        made["$ref"] = "#/$defs/" + reference.removeprefix("#/defs/")
    if "example" in made:
        made.setdefault("examples", [made.pop("example")])
    _order(made)
    if made.pop("nullable", False) is True:
        _allow_null(made)
    return made


def _kind(value: object) -> object:
    if isinstance(value, str):
        return None if value.upper() == "TYPE_UNSPECIFIED" else value.lower()
    if isinstance(value, list):
        return [item.lower() if isinstance(item, str) else item for item in value]
    return value


def _order(made: Json) -> None:
    """`propertyOrdering` is the order of the properties, which JSON keeps."""
    order, properties = made.pop("propertyOrdering", None), made.get("properties")
    if isinstance(order, list) and isinstance(properties, dict):
        first = [name for name in order if isinstance(name, str) and name in properties]
        made["properties"] = {name: properties[name] for name in [*first, *properties]}


def _allow_null(made: Json) -> None:
    kind = made.get("type")
    if isinstance(kind, str) and kind != "null":
        made["type"] = [kind, "null"]
    if isinstance(made.get("enum"), list) and None not in made["enum"]:
        made["enum"] = [*made["enum"], None]
    union = made.get("anyOf")
    if isinstance(union, list) and {"type": "null"} not in union:
        made["anyOf"] = [*union, {"type": "null"}]


def write_schema(schema: Json) -> tuple[Json, bool]:
    """JSON Schema as the API understands it, and whether something that forbids had to go."""
    lost: list[str] = []
    return _write(schema, lost), bool(lost)


def _write(schema: Json, lost: list[str]) -> Json:
    if "$ref" in schema:
        # The API refuses a reference that has other keywords beside it.
        kept = {name: value for name, value in schema.items() if name.startswith("$")}
        lost += [name for name in schema if name not in kept and name not in _NOTES]
        if "$defs" not in schema:
            return kept
        kept["$defs"] = _each(schema["$defs"], lost)
        return kept
    made: Json = {}
    for name, value in schema.items():
        if name in _ONE and isinstance(value, dict):
            made[name] = _write(value, lost)
        elif name in _LISTS and isinstance(value, list):
            made[name] = [_write(item, lost) if isinstance(item, dict) else item for item in value]
        elif name in _MAPS:
            made[name] = _each(value, lost)
        elif name != "$schema":
            made[name] = value
    return _understood(made)


def _each(value: object, lost: list[str]) -> object:
    if not isinstance(value, dict):
        return value
    return {
        key: _write(item, lost) if isinstance(item, dict) else item for key, item in value.items()
    }


def _understood(made: Json) -> Json:
    """`const` and an `allOf` of one are passed over by the API, though it can say both."""
    if isinstance(made.get("const"), str | int | float) and not isinstance(made["const"], bool):
        made.setdefault("enum", [made.pop("const")])
    only = made.get("allOf")
    if isinstance(only, list) and len(only) == 1 and isinstance(only[0], dict):
        rest = {name: value for name, value in made.items() if name != "allOf"}
        inner = only[0]
        if not rest.keys() & inner.keys() and ("$ref" not in inner or rest.keys() <= _NOTES):
            return inner if "$ref" in inner else {**rest, **inner}
    return made
