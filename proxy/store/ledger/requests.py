"""The log of requests: newest first, in pages that what comes meanwhile does not shift, or all of it in a stream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from proxy.store.base import ADMIN_TIMEOUT

if TYPE_CHECKING:
    from proxy.store.base import Session

PAGE: Final = 500
"""Rows an export reads at once."""

After = tuple[float, str]
"""`at` and `rid` of the last entry of a page: the next begins behind it."""


class Filters(Struct, frozen=True):
    """Which requests. None: all."""

    since: float | None = None
    until: float | None = None
    """Unix times of their coming: from, and before."""
    key_id: str | None = None
    key: str | None = None
    team: str | None = None
    owner: str | None = None
    route: str | None = None
    operation: str | None = None
    asked: str | None = None
    model: str | None = None
    deployment: str | None = None
    provider: str | None = None
    outcome: str | None = None
    cause: str | None = None
    status: int | None = None
    """HTTP."""
    statuses: tuple[int, int] | None = None
    """From, and before: (400, 500)."""
    stream: bool | None = None
    rid: str | None = None
    min_cost: int | None = None
    """Micro-dollars billed, at least; what is unknown is not."""
    whose: str | None = None
    """A team, beside what is asked for: who asks may see its requests alone."""
    failed: bool = False
    """Only those with a status of 400 or more."""
    open: bool = False
    """Only those that are not over."""


class Entry(Struct, frozen=True, gc=False):
    """One request. Times in milliseconds and costs in micro-dollars; None: never, or unknown."""

    rid: str
    at: float
    phase: int
    """1: it has begun, 2: it goes on, 3: it is over."""
    attempt: int
    """How often it was sent to a provider, as far as known."""
    key_id: str
    key: str
    team: str
    owner: str
    route: str
    operation: str
    dialect: str
    stream: int
    """0 or 1."""
    asked: str
    model: str
    deployment: str
    provider: str
    upstream_model: str
    status: int
    outcome: str
    cause: str
    finish: str
    queue_ms: float | None
    connect_ms: float | None
    ttft_ms: float | None
    total_ms: float | None
    overhead_ms: float | None
    input: int
    cache_read: int
    cache_write: int
    cache_write_1h: int
    """A part of it: kept for an hour."""
    output: int
    reasoning: int
    audio_input: int
    audio_output: int
    images: int
    seconds: float
    source: str
    cost: int | None
    estimate: int | None
    cost_upstream: int | None
    bytes_in: int
    bytes_out: int
    client: str
    user_agent: str


class Attempt(Struct, frozen=True, gc=False):
    """One try at a provider."""

    number: int
    deployment: str
    provider: str
    credential: str
    upstream_model: str
    dialect: str
    status: int
    outcome: str
    cause: str
    started_ms: float | None
    connect_ms: float | None
    ttft_ms: float | None
    total_ms: float | None
    cost: int | None


class Whole(Struct, frozen=True):
    """All there is of one request."""

    entry: Entry
    attempts: tuple[Attempt, ...]
    request: str | None
    response: str | None
    """None: not kept."""


ENTRY: Final = ", ".join(Entry.__struct_fields__)
_ATTEMPT: Final = ", ".join(Attempt.__struct_fields__)
_EQUAL: Final = (
    "key_id", "key", "team", "owner", "route", "operation", "asked", "model", "deployment", "provider",
    "outcome", "cause", "status", "rid",
)  # fmt: skip
_ALL: Final = Filters()


async def page(
    session: Session, filters: Filters = _ALL, after: After | None = None, limit: int = 100
) -> list[Entry]:
    """At most `limit` entries, the newest first, behind `after`. Raises StoreDown."""
    clause, values = where(filters, after)
    values.append(limit)
    sql = " ".join(
        (
            "SELECT",
            ENTRY,
            "FROM requests",
            clause,
            "ORDER BY at DESC, rid DESC LIMIT",
            f"${len(values)}",
        )
    )
    rows = await session.fetch(sql, *values, timeout=ADMIN_TIMEOUT)
    return [Entry(*row) for row in rows]


async def export(
    session: Session, filters: Filters = _ALL, *, size: int = PAGE
) -> AsyncIterator[list[Entry]]:
    """All of them, page by page: one short statement each, so nothing is held while a client reads slowly.

    Raises StoreDown, also in the middle.
    """
    after: After | None = None
    while True:
        found = await page(session, filters, after, size)
        if found:
            yield found
        if len(found) < size:
            return
        after = found[-1].at, found[-1].rid


async def one(session: Session, rid: str) -> Whole | None:
    """With its attempts, and with its content where that is kept. Raises StoreDown."""
    rows = await session.fetch(
        " ".join(("SELECT", ENTRY, "FROM requests WHERE rid = $1")), rid, timeout=ADMIN_TIMEOUT
    )
    if not rows:
        return None
    tries = await session.fetch(
        " ".join(("SELECT", _ATTEMPT, "FROM attempts WHERE rid = $1 ORDER BY number")),
        rid,
        timeout=ADMIN_TIMEOUT,
    )
    contents = await session.fetch(
        "SELECT request, response FROM contents WHERE rid = $1", rid, timeout=ADMIN_TIMEOUT
    )
    request, response = contents[0] if contents else (None, None)
    return Whole(Entry(*rows[0]), tuple(Attempt(*row) for row in tries), request, response)


_COMPARED: Final = {
    "since": "at >= {}",
    "until": "at < {}",
    "min_cost": "cost >= {}",
    "stream": "stream = {}",
    "whose": "team = {}",
    **{name: f"{name} = {{}}" for name in _EQUAL},
}


def where(filters: Filters, after: After | None = None) -> tuple[str, list[Any]]:
    """The clause, with what stands for its `$1` and so on; empty where there is none."""
    terms: list[str] = []
    values: list[Any] = []

    def term(text: str, *those: Any) -> None:
        numbers = range(len(values) + 1, len(values) + len(those) + 1)
        terms.append(text.format(*(f"${number}" for number in numbers)))
        values.extend(those)

    if after is not None:
        term("(at, rid) < ({}, {})", *after)
    for name, text in _COMPARED.items():
        value = getattr(filters, name)
        if value is not None:
            term(text, int(value) if isinstance(value, bool) else value)
    if filters.statuses is not None:
        term("status >= {} AND status < {}", *filters.statuses)
    # As the partial indexes have it, word by word: SQLite finds them by their text.
    if filters.failed or max(filters.status or 0, (filters.statuses or (0,))[0]) >= 400:
        term("status >= 400")
    if filters.team or filters.whose:
        term("team <> ''")
    if filters.open:
        term("phase < 3")
    return ("WHERE " + " AND ".join(terms) if terms else ""), values
