"""The log of requests as one file, CSV or a JSON object a line: read and sent page by page, so its length costs nothing.

No statement stays open while a client reads slowly. When the database goes away in the middle the connection is cut.
"""

from __future__ import annotations

import csv
import io
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import orjson

from proxy.control.admin import paging
from proxy.control.admin.access import Permission
from proxy.control.admin.intake import choice
from proxy.control.admin.logs import FILTERS, PARAMETERS, filters
from proxy.control.admin.services import needs_store
from proxy.control.admin.turns import turns
from proxy.control.admin.web import Answer, Problem, Route
from proxy.control.showing import shown
from proxy.store.ledger import requests as kept
from proxy.store.ledger.requests import Entry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from proxy.control.admin.services import Services
    from proxy.control.admin.web import Request, Stream

SIZE: Final = 200
"""Entries of a page: some milliseconds of work for the loop."""
_FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r")


class Format(StrEnum):
    """Of an export."""

    CSV = "csv"
    NDJSON = "ndjson"


_KINDS: Final = {
    Format.CSV: "text/csv; charset=utf-8; header=present",
    Format.NDJSON: "application/x-ndjson; charset=utf-8",
}


async def export(request: Request, services: Services) -> Answer:
    """All of them that fit, the newest first."""
    store = needs_store(services)
    unknown = paging.unknown(request.query, (*FILTERS, "format"))
    if unknown:
        raise Problem(400, "invalid", "The query is not as it has to be.", tuple(unknown))
    format = choice(request, "format", Format, Format.CSV)
    given = {name: value for name, value in request.query.items() if name != "format"}
    pages = kept.export(store, filters(request, given), size=SIZE)
    # What can be refused is refused before the first byte: a database that is away, for example.
    first: list[Entry] = await anext(pages, [])
    headers = {"content-disposition": f'attachment; filename="headrace-requests.{format}"'}
    return Answer(_pieces(first, pages, format), headers=headers, kind=_KINDS[format])


async def _pieces(first: list[Entry], pages: AsyncIterator[list[Entry]], format: Format) -> Stream:
    if format is Format.CSV:
        yield _lines([COLUMNS])
    some = first
    while some:
        rows = [shown(entry) async for entry in turns(some)]
        if format is Format.CSV:
            yield _lines([[cell(row[name]) for name in COLUMNS] for row in rows])
        else:
            yield b"".join([orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows])
        some = await anext(pages, [])


def cell(value: Any) -> Any:
    """A value that no spreadsheet takes for a formula (CWE-1236): a text that begins like one is quoted with `'`."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"'{value}" if value.lstrip(" ").startswith(_FORMULAS) else value
    return value


def _lines(rows: Sequence[Sequence[Any]]) -> bytes:
    """RFC 4180."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def _columns() -> tuple[str, ...]:
    empty: Mapping[str, Any] = dict.fromkeys(Entry.__struct_fields__)
    return tuple(shown(Entry(**empty)))


COLUMNS: Final = _columns()

ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        "/admin/logs/export",
        Permission.READ,
        export,
        "Export what was requested, as CSV or as a JSON object a line.",
        aliases=("/api/logs/export",),
        query={"format": {"enum": [*Format]}, **PARAMETERS},
        gives=("text/csv", "application/x-ndjson"),
        tag="usage",
    ),
)
