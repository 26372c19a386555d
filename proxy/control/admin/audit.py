"""Reading the audit log, the newest first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from proxy.control.admin import paging
from proxy.control.admin.access import Permission, may_touch
from proxy.control.admin.services import needs_store
from proxy.control.admin.web import Answer, Fault, Problem, Request, Route
from proxy.core.records import Kind, is_id
from proxy.store.base import ADMIN_TIMEOUT

if TYPE_CHECKING:
    from proxy.control.admin.services import Services
    from proxy.store.base import Row

COLUMNS = (
    "id",
    "at",
    "principal",
    "peer",
    "request",
    "action",
    "kind",
    "object",
    "name",
    "before",
    "after",
    "revision",
)
TEAM = "team"
"""The kind of a row about what a team has used."""
FILTERS = ("principal", "action", "kind", "name", "request", "object", "since", "until")

# One statement for all filters: an empty text, and -1, mean that nothing is asked. No SQL is put together here.
_PAGE = """
SELECT id, at, principal, peer, request, action, kind, object, name, before, after, revision
FROM audit
WHERE id < $1 AND at >= $2 AND at < $3
  AND (principal = $4 OR $4 = '') AND (action = $5 OR $5 = '') AND (kind = $6 OR $6 = '')
  AND (name = $7 OR $7 = '') AND (request = $8 OR $8 = '') AND (object = $9 OR $9 = -1)
ORDER BY id DESC LIMIT $10
"""
_LAST = 2**63 - 1
_ALWAYS = 1e18


async def read(request: Request, services: Services) -> Answer:
    """A page of the log."""
    page = paging.asked(request, FILTERS)
    if page.after is not None and page.after[0] != 1:
        raise _wrong("after", "this is not a cursor: take it from 'next' of a page")
    filters = page.filters
    rows = await needs_store(services).fetch(
        _PAGE,
        _LAST if page.after is None else int(page.after[1]),
        _time(filters, "since", 0.0),
        _time(filters, "until", _ALWAYS),
        *(_text(filters, name) for name in ("principal", "action", "kind", "name", "request")),
        _object(filters),
        page.limit + 1,
        timeout=ADMIN_TIMEOUT,
    )
    found = [_shown(row) for row in rows[: page.limit]]
    following = paging.cursor((1, found[-1]["id"])) if len(rows) > page.limit else None
    # After the page was cut: with rows left out it is a shorter one, and the next begins where it should.
    return Answer({"data": [row for row in found if _is_theirs(request, row)], "next": following})


def _is_theirs(request: Request, row: dict[str, Any]) -> bool:
    """Whether it tells nothing of another team, nor of a virtual key that was never one of theirs who ask."""
    if row["kind"] not in (Kind.KEY, TEAM) or not request.who.team:
        return True
    told = [fields for fields in (row["before"], row["after"]) if fields is not None]
    return any(may_touch(request.who, fields.get("team") or "") for fields in told)


def _shown(row: Row) -> dict[str, Any]:
    shown = dict(zip(COLUMNS, row, strict=True))
    for name in ("before", "after"):
        text = shown[name]
        shown[name] = orjson.loads(text) if text else None
    return shown


def _text(filters: Mapping[str, str], name: str) -> str:
    value = filters.get(name, "")
    if "\0" in value or len(value) > 1000:
        raise _wrong(name, "at most 1000 printable characters are expected")
    return value


def _object(filters: Mapping[str, str]) -> int:
    value = filters.get("object", "-1")
    if value != "-1" and not is_id(value):
        raise _wrong("object", "an id is expected")
    return int(value)


def _time(filters: Mapping[str, str], name: str, otherwise: float) -> float:
    try:
        value = float(filters.get(name, otherwise))
    except ValueError:
        value = -1.0
    if not 0 <= value <= _ALWAYS:
        raise _wrong(name, "a Unix time in seconds is expected")
    return value


def _wrong(field: str, message: str) -> Problem:
    return Problem(400, "invalid", "The query is not as it has to be.", (Fault(field, message),))


ROUTES = (
    Route(
        method="GET",
        path="/admin/audit",
        permission=Permission.AUDIT,
        handler=read,
        summary="Read who changed what, the newest first.",
        answer={"$ref": "#/components/schemas/audit_page"},
        tag="operations",
        query=paging.parameters(FILTERS),
    ),
)
