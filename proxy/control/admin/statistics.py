"""`GET /admin/statistics`: what was requested, used and spent over time, of all workers and hosts.

It is made of sums that are kept for each minute and hour, so it costs what it covers, however many requests there were.
A request is counted where it came; a minute or so may pass after its end until it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from msgspec.structs import asdict

from proxy.control.admin import paging
from proxy.control.admin.access import Permission
from proxy.control.admin.logs import number
from proxy.control.admin.services import needs_store
from proxy.control.admin.turns import turns
from proxy.control.admin.web import Answer, Fault, Problem, Route
from proxy.control.showing import dollars
from proxy.core.clock import now
from proxy.store.ledger.statistics import (
    DIMENSIONS,
    HOUR,
    KEEP_MINUTES,
    MINUTE,
    MOST,
    RANKED,
    bounds,
    figures,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.control.admin.services import Services
    from proxy.control.admin.web import Request
    from proxy.store.ledger.statistics import Figures

DAY: Final = 86_400
SPANS: Final = (0, MINUTE, 300, HOUR, DAY)
"""Seconds; 0 is one span for all the time asked for."""
TOKENS: Final = ("input", "cache_read", "cache_write", "output")
"""Kinds that do not overlap: reasoning is a part of output."""
TOP: Final = 100
_NAMES: Final = ("since", "until", "span", "group_by", "top", "by", *DIMENSIONS)
_LATEST: Final = 4_102_444_800.0
"""2100: far enough, and a whole number in any database."""


class Asked(Struct, frozen=True):
    """Which sums."""

    since: float
    until: float
    span: int
    group_by: tuple[str, ...]
    filters: Mapping[str, str]
    top: int
    by: str


async def show(request: Request, services: Services) -> Answer:
    """Sums by span and group, in the order of time."""
    asked = _asked(request.query)
    store = needs_store(services)
    filters = dict(asked.filters)
    team = request.who.team
    if team and filters.setdefault("team", team) != team:
        found: list[Figures] = []
    else:
        found = await figures(
            store,
            asked.since,
            asked.until,
            span=asked.span,
            group_by=asked.group_by,
            filters=filters,
            limit=MOST + 1,
            top=asked.top,
            by=asked.by,
        )
    if len(found) > MOST:
        message = f"more than {MOST} rows: ask for less time, longer spans or fewer groups"
        raise _wrong(Fault("span", message))
    _, since, until = bounds(asked.span, asked.since, asked.until)
    return Answer(
        {
            "since": since,
            "until": until,
            "span": asked.span,
            "group_by": asked.group_by,
            "data": [shown(one) async for one in turns(found)],
        }
    )


def shown(one: Figures) -> dict[str, Any]:
    """One row. What is not known is null."""
    over = one.succeeded + one.failed
    return {
        "start": one.bucket,
        **one.group,
        "requests": one.requests,
        "succeeded": one.succeeded,
        "failed": one.failed,
        "client_gone": one.client_gone,
        "refused": one.requests - over - one.client_gone,
        "success_rate": round(one.succeeded / over, 6) if over else None,
        "tokens": {
            **{kind: getattr(one, kind) for kind in TOKENS},
            "reasoning": one.reasoning,
            "total": sum(getattr(one, kind) for kind in TOKENS),
        },
        "cost": dollars(one.cost),
        "cost_micro": one.cost,
        "cost_upstream_micro": one.cost_upstream,
        "unknown_cost": one.unknown_cost,
        "estimated": one.estimated,
        "ttft": None if one.ttft is None else asdict(one.ttft),
        "latency": None if one.total is None else asdict(one.total),
    }


def _asked(query: Mapping[str, str]) -> Asked:
    """Raises Problem 400 that names everything which is wrong."""
    faults = paging.unknown(query, _NAMES)

    def time(name: str, otherwise: float) -> float:
        try:
            expected = "a Unix time in seconds is expected"
            return number(query.get(name, str(otherwise)), _LATEST, expected)
        except ValueError as error:
            faults.append(Fault(name, str(error)))
            return otherwise

    moment = now()
    until = time("until", moment)
    since = time("since", max(until - DAY, 0.0))
    span = query.get("span", str(HOUR))
    spans = {str(one): one for one in SPANS}
    if span not in spans:
        faults.append(Fault("span", f"one of {', '.join(spans)} is expected"))
    groups = tuple(query["group_by"].split(",")) if query.get("group_by") else ()
    if not set(groups) <= set(DIMENSIONS) or len(set(groups)) < len(groups):
        faults.append(Fault("group_by", f"some of {','.join(DIMENSIONS)} are expected, each once"))
    top, by = query.get("top", ""), query.get("by", "requests")
    if top and not (top.isascii() and top.isdigit() and 1 <= int(top[:9]) <= TOP):
        faults.append(Fault("top", f"a number from 1 to {TOP} is expected"))
    elif top and not groups:
        faults.append(Fault("top", "this is about groups: say 'group_by' too"))
    if by not in RANKED:
        faults.append(Fault("by", f"one of {', '.join(RANKED)} is expected"))
    filters = {name: query[name] for name in DIMENSIONS if name in query}
    faults += [
        Fault(name, "at most 1000 printable characters are expected")
        for name, text in filters.items()
        if "\0" in text or len(text) > 1000
    ]
    if not faults and since >= until:
        faults.append(Fault("since", "a time before 'until' is expected"))
    if not faults and spans[span] % HOUR and since < moment - KEEP_MINUTES:
        faults.append(Fault("span", "minutes are kept for two days: ask for hours"))
    if faults:
        raise _wrong(*faults)
    return Asked(since, until, spans[span], groups, filters, int(top or 0), by)


def _wrong(*faults: Fault) -> Problem:
    return Problem(400, "invalid", "The query is not as it has to be.", faults)


_TIME = {"type": "number", "minimum": 0, "maximum": _LATEST, "description": "Unix time."}
_TEXT = {"type": "string"}

ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        "/admin/statistics",
        Permission.READ,
        show,
        "Sum up requests, tokens, costs and latencies over time.",
        answer={"$ref": "#/components/schemas/statistics"},
        query={
            **dict.fromkeys(DIMENSIONS, _TEXT),
            "since": _TIME,
            "until": _TIME,
            "span": {"enum": list(SPANS), "default": HOUR},
            "top": {
                "type": "integer",
                "minimum": 1,
                "maximum": TOP,
                "description": "Only so many groups, those with most.",
            },
            "by": {"enum": list(RANKED), "default": "requests"},
            "group_by": {"type": "string", "description": f"Some of {','.join(DIMENSIONS)}."},
        },
        tag="usage",
    ),
)
