"""The log of requests: pages, the newest first, and one request with its attempts.

Costs are in US dollars, for people, and in whole micro-dollars, which is what is exact. null is never, or unknown.
Who has a team sees the requests of its keys alone. What was asked and answered is for those only who may change
anything, and reading it leaves a row in the audit log.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import asdict

from proxy.control.admin import intake, paging
from proxy.control.admin.access import Permission, may_touch
from proxy.control.admin.refusal import missing
from proxy.control.admin.services import needs_store
from proxy.control.admin.trail import note
from proxy.control.admin.turns import turns
from proxy.control.admin.web import Answer, Fault, Problem, Route
from proxy.control.showing import MICRO, shown
from proxy.store.ledger import requests as kept
from proxy.store.ledger.requests import Filters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.control.admin.paging import Key
    from proxy.control.admin.services import Services
    from proxy.control.admin.web import Request
    from proxy.store.ledger.requests import After, Attempt

FILTERS: Final = (
    "since", "until", "key", "key_id", "team", "owner", "route", "operation", "asked", "model", "provider",
    "deployment", "status", "outcome", "cause", "stream", "rid", "min_cost", "failed", "open",
)  # fmt: skip
_TEXTS: Final = (
    "key", "key_id", "team", "owner", "route", "operation", "asked", "model", "provider", "deployment",
    "outcome", "cause", "rid",
)  # fmt: skip
_SWITCHES: Final = ("stream", "failed", "open")
_STATUS: Final = re.compile(r"([1-5])xx|[0-9]{1,3}")
_LATEST: Final = 1e18
_DEAREST: Final = 1e12
"""US dollars."""


async def read(request: Request, services: Services) -> Answer:
    """A page of the log."""
    page = paging.asked(request, FILTERS)
    after = _after(page.after)
    found = filters(request, page.filters)
    if services.sync.store is None or not services.state.snapshot.ledger.path:
        return Answer({"items": [], "next": None, "note": elsewhere(services)})
    entries = await kept.page(services.sync.store, found, after, page.limit + 1)
    following = None
    if len(entries) > page.limit:
        last = entries[page.limit - 1]
        following = paging.cursor((0, f"{last.at!r} {last.rid}"))
    items = [shown(entry) async for entry in turns(entries[: page.limit])]
    return Answer({"items": items, "next": following})


async def show(request: Request, services: Services) -> Answer:
    """One request, with every attempt at it."""
    intake.known(request)
    store = needs_store(services)
    rid = request.params["rid"]
    who = request.who
    whole = await kept.one(store, rid)
    if whole is None or (who.team and not may_touch(who, whole.entry.team)):
        raise missing("request", rid)
    content = shown(whole.entry) | {"attempts": [_attempt(one) for one in whole.attempts]}
    if who.may(Permission.CONFIGURE):
        content["content"] = None
        if whole.request is not None or whole.response is not None:
            async with store.transaction() as session:
                await note(session, request, "log.content", "request", name=rid)
            content["content"] = {"request": whole.request, "response": whole.response}
    return Answer(content)


def filters(request: Request, given: Mapping[str, str]) -> Filters:
    """What the query asks for, of what who asks may see. Raises Problem 400 that names everything which is wrong."""
    faults: list[Fault] = []
    values: dict[str, Any] = {}
    for name, text in given.items():
        try:
            values |= _value(name, text)
        except ValueError as error:
            faults.append(Fault(name, str(error)))
    if faults:
        raise Problem(400, "invalid", "The query is not as it has to be.", tuple(faults))
    return Filters(**values, whose=request.who.team or None)


def _value(name: str, text: str) -> dict[str, Any]:
    """Raises ValueError, saying what was expected."""
    if name in _TEXTS:
        if "\0" in text or len(text) > 1000:
            raise ValueError("at most 1000 printable characters are expected")
        return {name: text}
    if name in _SWITCHES:
        if text not in ("true", "false"):
            raise ValueError("true or false is expected")
        return {name: text == "true"}
    if name == "status":
        match = _STATUS.fullmatch(text)
        if match is None:
            raise ValueError("a status such as 429, or 4xx, is expected")
        if match[1] is None:
            return {"status": int(text)}
        return {"statuses": (int(match[1]) * 100, int(match[1]) * 100 + 100)}
    if name == "min_cost":
        number(text, _DEAREST, "a number of US dollars is expected")
        # 0.000123 * 1e6 is a little more than 123, and what cost 123 would not be found.
        return {name: math.ceil(Decimal(text) * MICRO)}
    return {name: number(text, _LATEST, "a Unix time in seconds is expected")}


def number(text: str, most: float, expected: str) -> float:
    """0 to `most`. Raises ValueError with what was `expected`."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= most:
        raise ValueError(expected)
    return value


def _attempt(one: Attempt) -> dict[str, Any]:
    fields = asdict(one)
    fields["cost_micro"] = fields.pop("cost")
    return fields


def _after(key: Key | None) -> After | None:
    """Of a cursor: the moment and the id of the last entry. Raises Problem 400 for one of another list."""
    if key is None:
        return None
    at, _, rid = str(key[1]).partition(" ")
    try:
        if key[0] != 0 or not rid or "\0" in rid:
            raise ValueError
        return number(at, _LATEST, ""), rid
    except ValueError:
        fault = Fault("after", "this is not a cursor: take it from 'next' of a page")
        raise Problem(400, "invalid", "The query is not as it has to be.", (fault,)) from None


def elsewhere(services: Services) -> str:
    """Where requests are, as they are not here."""
    logging = services.state.snapshot.logging
    place = "standard error" if logging.file is None else f"the file {logging.file}"
    why = "there is no store" if services.sync.store is None else "ledger.path is empty"
    if not logging.requests:
        return f"Requests are not kept, as {why}, and not logged: logging.requests is false."
    return f"Requests are not kept, as {why}; they are written to {place}, one line each."


_PAGE = {"$ref": "#/components/schemas/log_page"}
_TIME = {"type": "number", "minimum": 0, "maximum": _LATEST, "description": "Unix time."}
_COST = {"type": "number", "minimum": 0, "maximum": _DEAREST, "description": "US dollars."}
PARAMETERS: Final[dict[str, Any]] = {
    **{name: {"type": "string"} for name in FILTERS},
    **{name: {"enum": ["true", "false"]} for name in _SWITCHES},
    "since": _TIME,
    "until": _TIME,
    "status": {"type": "string", "pattern": f"^({_STATUS.pattern})$"},
    "min_cost": _COST,
}

ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        "/admin/logs",
        Permission.READ,
        read,
        "Read what was requested, the newest first.",
        aliases=("/api/logs",),
        answer=_PAGE,
        query={**paging.parameters(()), **PARAMETERS},
        tag="usage",
    ),
    Route(
        "GET",
        "/admin/logs/{rid}",
        Permission.READ,
        show,
        "Show one request, its attempts, and what was said if that is kept.",
        aliases=("/api/logs/{rid}",),
        answer={"$ref": "#/components/schemas/log_entry"},
        tag="usage",
    ),
)
