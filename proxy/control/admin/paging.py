"""Lists in pages: a cursor says after which object the next page begins, so what is added or deleted meanwhile shifts
nothing.

The order is that of the ids: the file's objects first, then those of the store. A cursor is opaque to clients.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
from msgspec import Struct

from proxy.control.admin.web import Fault, Problem

if TYPE_CHECKING:
    from proxy.control.admin.web import Request

LIMIT, MOST = 100, 1000
"""Objects of a page, when nothing is said and at most."""
NEEDLE = 64
"""Characters of `?q=`."""
TURN = 500
"""Objects looked at between two turns of the loop."""
WORDS = {"enabled": ("true", "false"), "live": ("true", "false"), "source": ("file", "store")}
"""Filters, and `live`, that take one of some words."""
_LARGEST = 2**63 - 1
"""What a database counts to."""
COMMON = frozenset({"limit", "after"})

Key = tuple[int, int | str]
"""What objects are ordered by: 0 and the id of an object of the file, or 1 and that of the store."""
T = TypeVar("T")


class Asked(Struct, frozen=True):
    """Which page of which objects."""

    limit: int
    after: Key | None
    filters: Mapping[str, str]


def unknown(query: Iterable[str], allowed: Iterable[str]) -> list[Fault]:
    """One for each parameter that is not among these."""
    known = frozenset(allowed)
    takes = ", ".join(sorted(known))
    return [
        Fault(name, f"there is no such parameter here; there are {takes}")
        for name in query
        if name not in known
    ]


def asked(request: Request, filters: Iterable[str]) -> Asked:
    """What the query says. Raises Problem 400 for what it may not say."""
    allowed = frozenset(filters)
    faults = unknown(request.query, allowed | COMMON)
    if len(request.query.get("q", "")) > NEEDLE:
        faults.append(Fault("q", f"at most {NEEDLE} characters are expected"))
    for name, words in WORDS.items():
        if request.query.get(name, words[0]) not in words:
            faults.append(Fault(name, f"{' or '.join(words)} is expected"))
    limit = request.query.get("limit", str(LIMIT))
    if not (limit.isascii() and limit.isdecimal() and len(limit) < 6 and 1 <= int(limit) <= MOST):
        faults.append(Fault("limit", f"1 to {MOST} is expected"))
    after: Key | None = None
    if "after" in request.query:
        try:
            after = _key(request.query["after"])
        except ValueError:
            faults.append(Fault("after", "this is not a cursor: take it from 'next' of a page"))
    if faults:
        raise Problem(400, "invalid", "The query is not as it has to be.", tuple(faults))
    given = {name: value for name, value in request.query.items() if name in allowed}
    return Asked(int(limit), after, given)


def parameters(filters: Iterable[str]) -> dict[str, Any]:
    """Their JSON Schemas."""
    text: dict[str, Any] = {"type": "string"}
    found = {name: {"enum": list(WORDS[name])} if name in WORDS else text for name in filters}
    if "q" in found:
        found["q"] = {"type": "string", "maxLength": NEEDLE}
    return found | {
        "limit": {"type": "integer", "minimum": 1, "maximum": MOST, "default": LIMIT},
        "after": text,
    }


async def take(
    things: Iterable[tuple[Key, T]], page: Asked, keep: Callable[[T], bool]
) -> tuple[list[T], str | None]:
    """The page's objects, and the cursor of the next one, if there is one. `things` are in order."""
    found: list[T] = []
    last: Key | None = None
    for number, (key, thing) in enumerate(things, 1):
        if number % TURN == 0:
            await asyncio.sleep(0)
        if page.after is not None and key <= page.after:
            continue
        if not keep(thing):
            continue
        if len(found) == page.limit:
            assert last is not None
            return found, cursor(last)
        found.append(thing)
        last = key
    return found, None


def cursor(key: Key) -> str:
    """A key, to be sent."""
    return base64.urlsafe_b64encode(orjson.dumps(key)).decode().rstrip("=")


def _key(text: str) -> Key:
    """Raises ValueError for what no page gave."""
    if len(text) > 4 * MOST:
        raise ValueError
    try:
        value: Any = orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), b"-_", True))
    except (binascii.Error, ValueError) as error:
        raise ValueError from error
    match value:
        case [0, str(id)]:
            return (0, id)
        case [1, int(number)] if not isinstance(number, bool) and 0 <= number <= _LARGEST:
            return (1, number)
        case _:
            raise ValueError
