"""One word with the server about a subject: no other worker of this host has one at the same time.

    begin -> what this host has, read at once, and the number of the word
    end   -> what came of it goes into the share, unless the word was given up for lost and another has begun

A worker that dies while it speaks is waited for as long as an answer may take, and no longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from proxy.limits import shares, windows
from proxy.limits.table import NANO, TICKET
from proxy.limits.terms import Share, What

if TYPE_CHECKING:
    from proxy.core.periods import Window
    from proxy.limits.holds import Place

MICRO = 1_000_000


class Lease(Struct, frozen=True, gc=False):
    """What this host has of one subject."""

    number: int
    """Grows from word to word, also over starts of the machine: microseconds of the wall clock, or one more."""
    left: Share
    """Of `requests` and `tokens` what is owed is not in here any more: it is for `end`, or for the server."""
    owed: Share
    """Requests and tokens that were used beyond what was leased."""
    inflight: int
    reserved: int
    spent: int | None
    """Micro-dollars of the window, on this host; None: nobody knows yet. Less than 0 where the budget was reset."""
    elsewhere: int
    """The same on all other hosts, as far as the database said."""
    window: Window | None
    """Of the budget."""


class Grant(Struct, frozen=True, gc=False):
    """What goes into the share."""

    what: What
    amount: int
    until: float = 0.0
    """Seconds of the monotonic clock; of rates, the end of what is owed: what there is ends by itself."""


def begin(
    words: memoryview[int],
    place: Place,
    window: Window | None,
    used: tuple[int, int],
    known: bool,
    times: tuple[float, float],
    patience: float,
) -> Lease | None:
    """Under the lock of the slot. `used` is what is in flight and reserved, `times` the monotonic and the wall clock.

    None: another worker speaks, and has for less than `patience` seconds.
    """
    moment, wall = int(times[0] * NANO), int(times[1] * MICRO)
    at = place.at + TICKET
    last, busy = words[at] >> 1, words[at] & 1
    if busy and 0 <= wall - last < patience * MICRO:
        return None
    number = max(wall, last + 1)
    words[at] = number << 1 | 1
    left = [shares.left(words, place.at, place.subject, kind, moment) for kind in range(4)]
    owed = [0, 0]
    for kind in (shares.REQUESTS, shares.TOKENS):
        if left[kind] < 0:
            owed[kind], left[kind] = -left[kind], 0
            shares.end(words, place.at, kind)
    spent: int | None = 0
    elsewhere = 0
    if window is not None:
        of = place.entry + windows.MICRO
        spent = words[of + windows.OWN] + words[of + windows.BEFORE] if known else None
        elsewhere = words[of + windows.ELSEWHERE]
    return Lease(number, Share(*left), Share(*owed), *used, spent, elsewhere, window)


def end(
    words: memoryview[int], place: Place, number: int, grants: Sequence[Grant], moment: float
) -> bool:
    """Under the lock of the slot. False: another word has begun since, and nothing was granted."""
    at = place.at + TICKET
    if words[at] != number << 1 | 1:
        return False
    words[at] -= 1
    for grant in grants:
        kind = shares.KINDS[grant.what]
        shares.grant(words, place, kind, grant.amount, int(grant.until * NANO), int(moment * NANO))
    return True


def overtaken(words: memoryview[int], slot: int, number: int) -> None:
    """The server has heard a higher number: of this host, when its clock was set back. The next is higher still."""
    at = slot + TICKET
    words[at] = max(words[at] >> 1, number) << 1
