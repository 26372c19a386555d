"""JSON Schemas of what was used: logs, statistics, what limits have counted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, get_args, get_type_hints

from proxy.control.admin.rates import ONWARD, OUTCOMES, SHARES
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
_SHARES: Final[Schema] = {
    **of({"count": WHOLE, **dict.fromkeys(SHARES, NUMBER)}),
    "type": ["object", "null"],
    "description": "Seconds, of the last ten seconds.",
}
_LIVE: Final[dict[str, Schema]] = {
    "at": NUMBER,
    "requests": of(dict.fromkeys((*OUTCOMES, "total"), NUMBER)),
    "error_rate": PERHAPS,
    "inflight": WHOLE,
    "tokens": of({"input": NUMBER, "output": NUMBER}),
    **dict.fromkeys(ONWARD, NUMBER),
    "cost": NUMBER | {"description": "US dollars a minute; the rest is a second."},
    "ttft": _SHARES,
    "overhead": _SHARES,
}
_CONTENT: Final[Schema] = {
    "type": ["object", "null"],
    "properties": {
        "request": {"type": ["string", "null"]},
        "response": {"type": ["string", "null"]},
    },
    "description": "For those who may `configure`; null where it is not kept.",
}

_TIMES: Final[Schema] = {
    **of({"count": WHOLE, **dict.fromkeys(("mean", "p50", "p90", "p95", "p99"), NUMBER)}),
    "type": ["object", "null"],
    "description": "Seconds; null: there was none.",
}
_DIMENSIONS: Final = ("model", "provider", "deployment", "key_id", "key", "team")
_TOKENS: Final = ("input", "cache_read", "cache_write", "output", "reasoning", "total")
_SUMS: Final = {
    "start": {"type": "integer", "description": "Unix time; 0: the whole time asked for."},
    **dict.fromkeys(_DIMENSIONS, TEXT),
    **dict.fromkeys(("requests", "succeeded", "failed", "client_gone", "refused"), WHOLE),
    "success_rate": PERHAPS,
    "tokens": of(dict.fromkeys(_TOKENS, WHOLE)),
    "cost": PERHAPS,
    "cost_micro": COUNT,
    "cost_upstream_micro": WHOLE,
    "unknown_cost": {"type": "integer", "description": "Requests whose cost is not known."},
    "estimated": {
        "type": "integer",
        "description": "Requests whose usage nobody reported, or nobody believes.",
    },
    "ttft": _TIMES,
    "latency": _TIMES,
}
_WINDOW: Final = {"start": COUNT, "ends": COUNT}
_BUDGET: Final[Schema] = {
    **of(
        {
            "limit": NUMBER,
            "spent": NUMBER,
            "spent_micro": WHOLE,
            "reserved": NUMBER,
            "remaining": NUMBER,
            "strict": {"type": "boolean"},
            **_WINDOW,
        }
    ),
    "type": ["object", "null"],
    "description": "US dollars.",
}
_QUOTA: Final[Schema] = {
    **of(
        {
            "requests": WHOLE,
            "limit_requests": COUNT,
            "tokens": WHOLE,
            "limit_tokens": COUNT,
            **_WINDOW,
        }
    ),
    "type": ["object", "null"],
}
USAGE: Final = {"inflight": WHOLE, "budget": _BUDGET}
_LIMITED: Final[Schema] = of(
    {
        "scope": TEXT,
        "name": TEXT,
        "id": TEXT,
        "rpm": COUNT,
        "tpm": COUNT,
        "concurrency": COUNT,
        **USAGE,
        "quota": _QUOTA,
    }
)
_SCOPES: Final = ("credential", "deployment", "key", "model", "team")
_USAGE_PAGE: Final = page(_LIMITED)

SCHEMAS: Final[dict[str, Schema]] = {
    "live": of(_LIVE) | {"description": "The data of an event `sample`; `history` has a list."},
    "log_live": of({"items": {"type": "array", "items": of(_LOGGED)}, "more": WHOLE})
    | {"description": "The data of an event `rows`; `more` are others that are not shown."},
    "log_page": page(of(_LOGGED), "items"),
    "log_entry": of(
        {
            **_LOGGED,
            "attempts": {"type": "array", "items": of(_row(Attempt, ("cost",)))},
            "content": _CONTENT,
        },
        ("content",),
    ),
    "statistics": of(
        {
            "since": NUMBER,
            "until": NUMBER,
            "span": WHOLE,
            "group_by": {"type": "array", "items": TEXT},
            "data": {"type": "array", "items": of(_SUMS, _DIMENSIONS)},
        }
    ),
    "usage_page": {
        **_USAGE_PAGE,
        "properties": {
            **_USAGE_PAGE["properties"],
            "known": {
                "type": "boolean",
                "description": "Whether what was used before the last start has been read.",
            },
        },
    },
    "usage_reset": {
        "type": "object",
        "description": "Exactly one: its name, or its id.",
        "properties": {
            **{name: {"type": "string", "minLength": 1} for name in _SCOPES},
            "global": {"const": True},
        },
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    },
    "usage_reset_done": of({"before": _LIMITED, "now": _LIMITED}),
}
