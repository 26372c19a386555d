"""What is said to the server about one subject, and what its answers are worth.

Rates are used up when they are leased, so differences are told. Slots and money are held: all of it is told each time,
so that nothing that was lost on the way stays lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from math import inf
from typing import TYPE_CHECKING

from msgspec import Struct

from proxy.core.clock import monotonic, now
from proxy.limits.leases import Grant, Lease
from proxy.limits.link import Failed, Link
from proxy.limits.scripts import HOLD, RATE, key
from proxy.limits.terms import Share, What

if TYPE_CHECKING:
    from proxy.limits.subjects import Subject

SLOTS_LAST = 5
"""Seconds after which the slots of a host that is not heard of are free."""
OWED_LAST = 60.0
DAY = 86_400
_FOREVER = 10.0 * 365 * DAY


class Want(Struct):
    """What requests are waiting for, of one kind."""

    least: int
    """Less than this helps nobody."""
    all: int


class Terms(Struct, frozen=True):
    """What holds for every word."""

    prefix: str
    host: str
    settled: bool
    """The server has been there for so long that every host has told what it holds."""
    lost: bool
    """It was started again a short while ago: of a rate it does not know, a slice is there and no more."""


class Word(Struct, eq=False):
    """One kind, sent. `accept` says what goes into the share for an answer; `grants` whatever the answer."""

    what: What
    answer: asyncio.Future[list[int]]
    accept: Callable[[list[int]], tuple[list[Grant], float | None]]
    """What to grant, and where it was refused, seconds until it would not be."""
    undo: list[Grant]
    """What to grant where there is no answer."""


class Outcome(Struct):
    """What came of all kinds."""

    grants: list[Grant]
    refused: dict[What, float]
    """Seconds until it may be asked again; 0: nobody knows."""
    failed: list[Failed]
    overtaken: int = 0
    """The number of a newer word of this host that the server has heard; 0: there is none."""
    pressed: bool = False
    """Others were refused what this host holds."""


def slice_of(limit: int) -> int:
    """What is leased at a time: a twentieth, at least one."""
    return -(-limit // 20)


def speak(
    link: Link,
    terms: Terms,
    subject: Subject,
    lease: Lease,
    wants: Mapping[What, Want],
    back: Share,
    fill: bool,
) -> list[Word]:
    """Send what there is to say.

    `back` was taken out of the share, after `lease` was read, to be given to others; `fill`: lease ahead of need.
    """
    words = _rates(link, terms, subject, lease, wants, back, fill)
    if subject.concurrency:
        words += _slots(link, terms, subject, lease, wants.get("concurrency"), back.slots)
    if subject.budget is not None and lease.window is not None:
        words += _money(link, terms, subject, lease, wants.get("budget"), back.micro)
    return words


def _rates(
    link: Link,
    terms: Terms,
    subject: Subject,
    lease: Lease,
    wants: Mapping[What, Want],
    back: Share,
    fill: bool,
) -> list[Word]:
    words, left, owed = [], lease.left, lease.owed
    rates: tuple[tuple[What, int, int, int, int, int], ...] = (
        ("rpm", subject.rpm, subject.burst, left.requests, owed.requests, back.requests),
        ("tpm", subject.tpm, subject.tpm, left.tokens, owed.tokens, back.tokens),
    )
    for what, limit, burst, unused, debt, returned in rates:
        if not limit:
            continue
        want = _wanted(wants.get(what), unused, slice_of(limit), debt, fill and not returned)
        if want.least or debt or returned:
            call = link.call(
                RATE, key(terms.prefix, subject.id, what), limit, burst, want.least, want.all,
                returned - debt, slice_of(limit) if terms.lost else -1,
            )  # fmt: skip
            words.append(_rate(what, call, want.least, debt))
    return words


def _slots(
    link: Link, terms: Terms, subject: Subject, lease: Lease, want: Want | None, returned: int
) -> list[Word]:
    left = lease.left.slots - returned
    holds = max(left, lease.inflight)
    missing = max(left + want.least - holds, 0) if want is not None else 0
    if not (holds or missing or returned):
        return []
    until = monotonic() + SLOTS_LAST
    call = link.call(
        HOLD, key(terms.prefix, subject.id, "slots"), terms.host, lease.number,
        subject.concurrency, holds, missing, want.all if want is not None else 0, 0,
        SLOTS_LAST, 0, 0, 1, 0,
    )  # fmt: skip
    return [_held("concurrency", call, missing, holds - left, until, 0.0)]


def _wanted(want: Want | None, left: int, slice: int, owed: int, fill: bool) -> Want:
    """What to ask for: what requests wait for, or ahead of need where less than half a slice is left."""
    if want is not None:
        # What is owed was a part of what was missing.
        return Want(max(want.least - owed, 1), max(want.all - owed, slice))
    if fill and 2 * left < slice:
        return Want(1, slice - left)
    return Want(0, 0)


def _money(
    link: Link, terms: Terms, subject: Subject, lease: Lease, want: Want | None, returned: int
) -> list[Word]:
    budget, window = subject.budget, lease.window
    assert budget is not None
    assert window is not None
    left = lease.left.micro - returned
    unspent = max(left, lease.reserved)
    spent = lease.spent
    missing = 0
    if want is not None:
        missing = max(left + want.least - (left if spent is None else unspent), 0)
    cap = round(budget.usd * 1e6)
    # A budget that is not strict is open while nobody can say what is left of it.
    gives = terms.settled or not budget.strict
    call = link.call(
        HOLD, key(terms.prefix, subject.id, f"budget:{window.start}"), terms.host, lease.number,
        cap, "" if spent is None else spent + unspent, missing, 0, 1, 0,
        lease.elsewhere, max(spent or 0, 0), int(gives), window.ends + DAY if window.ends else 0,
    )  # fmt: skip
    ends = window.ends - now() if window.ends else _FOREVER
    until = monotonic() + ends
    if not gives:
        wait = 1.0
    elif want is not None and want.least > cap:
        wait = inf
    else:
        wait = 0.0 if lease.reserved else (ends if window.ends else inf)
    return [_held("budget", call, missing, 0 if spent is None else unspent - left, until, wait)]


def _rate(what: What, call: asyncio.Future[list[int]], least: int, owed: int) -> Word:
    def accept(answer: list[int]) -> tuple[list[Grant], float | None]:
        given, wait = answer
        if given:
            return [Grant(what, given)], None
        return [], max(wait / 1e6, 0.001) if least else None

    undo = [Grant(what, -owed, monotonic() + OWED_LAST)] if owed else []
    return Word(what, call, accept, undo)


def _held(
    what: What, call: asyncio.Future[list[int]], missing: int, more: int, until: float, wait: float
) -> Word:
    """`more`: what this host holds beyond its share, and now has."""

    def accept(answer: list[int]) -> tuple[list[Grant], float | None]:
        given = answer[0]
        refused = wait if missing and not given else None
        return [Grant(what, more + given, until)], refused

    return Word(what, call, accept, [])


def still_owed(lease: Lease) -> list[Grant]:
    """What to grant where nothing is said after all."""
    until = monotonic() + OWED_LAST
    owed: tuple[tuple[What, int], ...] = ("rpm", lease.owed.requests), ("tpm", lease.owed.tokens)
    return [Grant(what, -amount, until) for what, amount in owed if amount]


async def hear(words: list[Word]) -> Outcome:
    """Wait for all answers."""
    outcome = Outcome([], {}, [])
    for word in words:
        try:
            answer = await word.answer
        except Failed as failed:
            outcome.failed.append(failed)
            outcome.grants += word.undo
            continue
        if answer[0] < 0:
            outcome.overtaken = answer[1]
            continue
        grants, wait = word.accept(answer)
        outcome.grants += grants
        if wait is not None:
            outcome.refused[word.what] = wait
        if word.what in ("concurrency", "budget") and answer[1]:
            outcome.pressed = True
    return outcome
