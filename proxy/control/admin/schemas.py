"""JSON Schemas of what the admin API takes and gives, made from the schema of the configuration file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic.json_schema import models_json_schema

from proxy.control.admin.shapes import PARENT
from proxy.control.admin.usage_schemas import SCHEMAS, USAGE, of
from proxy.core.config.fields import Section
from proxy.core.config.stored import SECTIONS, SETTINGS
from proxy.core.records import Kind

Schema = dict[str, Any]

REFERENCE = "#/components/schemas/{model}"
TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
SWITCH: Schema = {"type": "boolean"}
_ABSENT = frozenset({"credential_env"})
"""Fields of the file that the API does not take."""
_GIVEN: dict[Kind, dict[str, Schema]] = {  # instead of the file's field
    Kind.KEY: {
        "key": {
            "type": "string",
            "minLength": 16,
            "maxLength": 512,
            "description": "One that exists already; usually it is made.",
        }
    },
    Kind.PROVIDER: {
        "credentials": {
            "type": "array",
            "items": {"anyOf": [{"type": "string"}, {"$ref": "#/components/schemas/Credential"}]},
            "description": "Made with it; text is a key. Later each is changed by itself.",
        }
    },
}
_SHOWN: dict[str, Schema] = {
    "id": {
        "type": ["integer", "string"],
        "description": "A number, or the name of it in the file.",
    },
    "kind": TEXT,
    "name": TEXT,
    "revision": {"type": "integer", "description": "Of its last change; its ETag."},
    "created": {"type": "number", "description": "Unix time."},
    "updated": NUMBER,
    "source": {"enum": ["store", "file"]},
    "read_only": {"type": "boolean", "description": "It is in the configuration file."},
    "set": {"type": "boolean", "description": "It has secrets."},
    "last4": TEXT,
    "warnings": {"type": "array", "items": TEXT},
    "live": {"type": "object", "description": "With `live=true`: how it is."},
}
_WHICH: dict[str, Schema] = {
    "id": {"type": ["integer", "string"], "description": "Which object; or by its `name`."},
    "revision": {"type": ["integer", "null"], "description": "The one it must still have."},
}
_USED: Schema = {
    **of(USAGE),
    "type": ["object", "null"],
    "description": "Of a key that is limited, when it is shown by itself.",
}
_WORKER: dict[str, Schema] = {
    "host": TEXT,
    "pid": WHOLE,
    "name": TEXT,
    "revision": WHOLE,
    "config": {"type": ["string", "integer"]},
    "problem": TEXT,
    "seen": NUMBER,
}


def components() -> dict[str, Schema]:
    """Every named schema."""
    found: dict[str, Schema] = {}
    sections: list[type[Section]] = [*SECTIONS.values(), *SETTINGS.values()]
    _, defined = models_json_schema(
        [(section, "validation") for section in sections], ref_template=REFERENCE
    )
    found.update(defined.get("$defs", {}))
    for kind, section in SECTIONS.items():
        found |= _of_kind(Kind(kind), found[section.__name__])
    setting: Schema = {
        "type": "object",
        "properties": {"name": {"enum": list(SETTINGS)}},
        "description": "A section of the file: fields as there.",
        "additionalProperties": True,
    }
    found |= _of_kind(Kind.SETTING, setting)
    return found | _OTHERS | SCHEMAS


def _of_kind(kind: Kind, section: Schema) -> dict[str, Schema]:
    fields = {name: value for name, value in section["properties"].items() if name not in _ABSENT}
    above: dict[str, Schema] = {}
    if kind in PARENT:
        above[PARENT[kind]] = {
            "type": ["string", "integer"],
            "description": "Name or id of what it belongs to.",
        }
    else:
        above["name"] = {"type": "string", "minLength": 1, "maxLength": 200}
    is_open = section.get("additionalProperties", False)
    asked = above | fields | _GIVEN.get(kind, {})
    optional = {"base_url", "name", *_GIVEN.get(kind, ())}
    needed = [*above, *(name for name in section.get("required", ()) if name not in optional)]
    new: Schema = {
        "type": "object",
        "title": f"New {kind}",
        "description": section.get("description", ""),
        "properties": asked,
        "required": needed,
        "additionalProperties": is_open,
    }
    if kind is Kind.PROVIDER:
        new["anyOf"] = [{"required": ["base_url"]}, {"required": ["preset"]}]
    some: Schema = {
        "type": "object",
        "title": f"Some fields of a {kind}",
        "properties": {name: {"anyOf": [value, {"type": "null"}]} for name, value in asked.items()},
        "additionalProperties": is_open,
    }
    one: Schema = {
        "type": "object",
        "title": str(kind).capitalize(),
        "properties": above | _SHOWN | ({"usage": _USED} if kind is Kind.KEY else {}),
        "required": ["id", "kind", "source", "read_only", *above],
        "additionalProperties": True,
    }
    here = f"#/components/schemas/{kind}"
    return {
        str(kind): one,
        f"new_{kind}": new,
        f"some_of_{kind}": some,
        f"{kind}_page": page({"$ref": here}),
        f"new_{kind}_batch": _batch({"$ref": f"#/components/schemas/new_{kind}"}),
        f"whole_{kind}_batch": _batch(_row(new, above)),
        f"some_of_{kind}_batch": _batch(_row(some, above)),
        f"{kind}_batch_done": {
            "type": "object",
            "properties": {"data": {"type": "array", "items": {"type": "object"}}},
            "required": ["data"],
        },
    }


def page(item: Schema) -> Schema:
    """A page of a list."""
    return {
        "type": "object",
        "properties": {
            "data": {"type": "array", "items": item},
            "next": {
                "type": ["string", "null"],
                "description": "What to send as `after` for the next page; null on the last.",
            },
        },
        "required": ["data", "next"],
    }


def _row(body: Schema, above: Mapping[str, Schema]) -> Schema:
    """A body that also says which object it is about, and so need not say its name or what it belongs to."""
    needed = [name for name in body.get("required", ()) if name not in above and name != "key"]
    return {**body, "properties": _WHICH | body["properties"], "required": needed}


def _batch(item: Schema) -> Schema:
    return {"type": "array", "items": item, "minItems": 1, "maxItems": 1000}


def _object(properties: dict[str, Schema], *needed: str) -> Schema:
    return {"type": "object", "properties": properties, "required": list(needed)}


_TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
_NUMBER_OR_NULL: Schema = {"type": ["number", "null"]}
_WORKERS: Schema = {"type": "array", "items": _object(_WORKER)}
_OTHERS: dict[str, Schema] = {
    "target_batch": _batch(
        {
            "anyOf": [
                TEXT,
                WHOLE,
                _object({"id": {"type": ["integer", "string"]}, "revision": WHOLE}),
            ]
        }
    ),
    "rotation": {
        "type": "object",
        "properties": {
            "overlap": {
                "type": "number",
                "minimum": 0,
                "maximum": 7776000,
                "description": "Seconds the old key stays good.",
            }
        },
        "additionalProperties": False,
    },
    "fleet": _object(
        {"revision": WHOLE, "workers": _WORKERS, "missing": _WORKERS},
        "revision",
        "workers",
        "missing",
    ),
    "workers": _object({"data": _WORKERS}, "data"),
    "trial": _object(
        {
            "ok": SWITCH,
            "provider": TEXT,
            "model": _TEXT_OR_NULL,
            "credential": _TEXT_OR_NULL,
            "dialect": _TEXT_OR_NULL,
            "status": {"type": ["integer", "null"], "description": "Of HTTP."},
            "connect": {**_NUMBER_OR_NULL, "description": "Seconds until it was connected."},
            "ttft": {**_NUMBER_OR_NULL, "description": "Seconds until the first content."},
            "total": NUMBER,
            "said_model": _TEXT_OR_NULL,
            "text": {"type": "string", "description": "How the answer begins."},
            "finish": _TEXT_OR_NULL,
            "usage": {"type": ["object", "null"]},
            "models": {"type": ["integer", "null"], "description": "How many it lists."},
            "error": {
                "type": ["object", "null"],
                "properties": {"cause": TEXT, "message": TEXT, "detail": TEXT},
            },
        },
        "ok",
        "provider",
        "total",
        "error",
    ),
    "presets": _object(
        {
            "data": {
                "type": "array",
                "items": _object(
                    {
                        "name": TEXT,
                        "note": {"type": ["string", "null"]},
                        "as_of": {"type": ["string", "null"]},
                        "sources": {
                            "type": ["object", "null"],
                            "description": "What says so: vendor, sdk, others; each one or several.",
                        },
                        "unconfirmed": {"type": ["string", "null"]},
                        "base_url": {"type": ["string", "null"]},
                        "dialects": {"type": "array", "items": TEXT},
                        "paths": {
                            "type": "object",
                            "additionalProperties": TEXT,
                            "description": "Of those dialects that are not at their usual paths there.",
                        },
                        "placeholders": {
                            "type": "array",
                            "items": TEXT,
                            "description": "Words of the address that have to be replaced.",
                        },
                        "credential_env": {"type": "array", "items": TEXT},
                        "needs_credential": SWITCH,
                    },
                    "name",
                    "dialects",
                ),
            },
            "dialects": {
                "type": "object",
                "additionalProperties": TEXT,
                "description": "All that a provider can speak, and the usual path of each.",
            },
            "usual": {
                "type": "array",
                "items": TEXT,
                "description": "What one speaks that says nothing of it, and has no preset.",
            },
        },
        "data",
        "dialects",
    ),
    "audit_page": page(
        _object(
            {
                "id": WHOLE,
                "at": NUMBER,
                "principal": TEXT,
                "peer": TEXT,
                "request": TEXT,
                "action": TEXT,
                "kind": TEXT,
                "object": {"type": ["integer", "null"]},
                "name": TEXT,
                "before": {"type": ["object", "null"]},
                "after": {"type": ["object", "null"]},
                "revision": {"type": ["integer", "null"]},
            },
            "id",
            "at",
            "principal",
            "action",
        )
    ),
    "problem": {
        "type": "object",
        "description": "RFC 9457.",
        "properties": {
            "type": {"type": "string", "format": "uri"},
            "title": TEXT,
            "status": WHOLE,
            "detail": TEXT,
            "errors": {
                "type": "array",
                "items": _object({"field": TEXT, "message": TEXT}, "field", "message"),
            },
            "request_id": TEXT,
        },
        "required": ["type", "title", "status", "detail", "request_id"],
    },
}
