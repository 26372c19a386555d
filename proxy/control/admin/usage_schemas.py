"""JSON Schemas of what was used: logs, statistics, what limits have counted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, get_args, get_type_hints

from proxy.store.ledger.requests import Attempt, Entry

if TYPE_CHECKING:
    from msgspec import Struct

Schema = dict[str, Any]

TEXT: Final[Schema] = {"type": "string"}
WHOLE: Final[Schema] = {"type": "integer"}
NUMBER: Final[Schema] = {"type": "number"}
PERHAPS: Final[Schema] = {"type": ["number", "null"]}
COUNT: Final[Schema] = {"type": ["integer", "null"]}
_TYPES: Final = {str: "string", int: "integer", float: "number", type(None): "null"}


def of(properties: dict[str, Schema], but: Iterable[str] = ()) -> Schema:
    """An object that has all of these, but for some that may be missing."""
    needed = [name for name in properties if name not in set(but)]
    return {"type": "object", "properties": properties, "required": needed}


def page(item: Schema, name: str = "data") -> Schema:
    """A page of a list."""
    following = {
        "type": ["string", "null"],
        "description": "What to send as `after` for the next page; null on the last.",
    }
    return of({name: {"type": "array", "items": item}, "next": following})


def _row(
    struct: type[Struct], micro: Iterable[str], without: Iterable[str] = ()
) -> dict[str, Schema]:
    """Columns of a table; the names of those in `micro` end with that."""
    found: dict[str, Schema] = {}
    for name, hint in get_type_hints(struct).items():
        if name in struct.__struct_fields__ and name not in set(without):
            kinds = [_TYPES[one] for one in get_args(hint) or (hint,)]
            shown = f"{name}_micro" if name in set(micro) else name
            found[shown] = {"type": kinds if len(kinds) > 1 else kinds[0]}
    return found


_LOGGED: Final = {
    **_row(Entry, ("cost", "estimate", "cost_upstream"), ("phase",)),
    "stream": {"type": "boolean"},
    "state": {"enum": ["started", "running", "ended"]},
    "cost": PERHAPS,
}
_CONTENT: Final[Schema] = {
    "type": ["object", "null"],
    "properties": {
        "request": {"type": ["string", "null"]},
        "response": {"type": ["string", "null"]},
    },
    "description": "For those who may `configure`; null where it is not kept.",
}

SCHEMAS: Final[dict[str, Schema]] = {
    "log_page": page(of(_LOGGED), "items"),
    "log_entry": of(
        {
            **_LOGGED,
            "attempts": {"type": "array", "items": of(_row(Attempt, ("cost",)))},
            "content": _CONTENT,
        },
        ("content",),
    ),
}
