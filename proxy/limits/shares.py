"""The part of a shared limit that is leased to this host, in a slot: four amounts, each with its end.

Requests and tokens are used up as they are taken, and by time; slots are in use, money is used up when it is settled. Which host has
how much, and where it comes from, is no matter of this module (`shared.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.limits.table import NANO, SHARES
from proxy.limits.terms import Short, Used, What

if TYPE_CHECKING:
    from proxy.limits.holds import Place
    from proxy.limits.subjects import Subject

REQUESTS, TOKENS, SLOTS, MICRO = range(4)
KINDS: dict[What, int] = {"rpm": REQUESTS, "tpm": TOKENS, "concurrency": SLOTS, "budget": MICRO}
MINUTE = 60 * NANO
GRACE = NANO // 10
"""For which what was leased is there to the last: until who asked for it has come to take it."""
_WHAT: tuple[What, ...] = ("rpm", "tpm", "concurrency", "budget")


def left(words: memoryview[int], slot: int, subject: Subject, kind: int, moment: int) -> int:
    """Nothing after its end, and before that no more of a rate than the time up to its end allows."""
    at = slot + SHARES + kind
    time = words[at + 4] - moment
    if time <= 0:
        return 0
    amount = words[at]
    if kind > TOKENS or amount <= 0:
        return amount
    return min(amount, time * _rate(subject, kind) // MINUTE)


def _rate(subject: Subject, kind: int) -> int:
    return subject.rpm if kind == REQUESTS else subject.tpm


def need(words: memoryview[int], place: Place, kind: int, amount: int, moment: int) -> None:
    """Raises Short."""
    missing = amount - left(words, place.at, place.subject, kind, moment)
    if missing > 0:
        raise Short(place.subject, _WHAT[kind], missing)


def spend(words: memoryview[int], slot: int, kind: int, amount: int, moment: int) -> None:
    """Less of it is left; a negative amount gives back. What has ended stays so."""
    at = slot + SHARES + kind
    if words[at + 4] > moment:
        words[at] -= amount


def end(words: memoryview[int], slot: int, kind: int) -> None:
    """Nothing is left of it, nor owed."""
    at = slot + SHARES + kind
    words[at] = words[at + 4] = 0


def owe(words: memoryview[int], slot: int, kind: int, amount: int, moment: int) -> None:
    """Use what was not leased: less than nothing may be left, for a minute."""
    at = slot + SHARES + kind
    words[at] = (words[at] if words[at + 4] > moment else 0) - amount
    if words[at] < 0:
        words[at + 4] = max(words[at + 4], moment + MINUTE)


def grant(
    words: memoryview[int], place: Place, kind: int, amount: int, until: int, moment: int
) -> None:
    """More of it, to the later of both ends; of a rate, to where the time that it takes at that rate comes to an end.

    What was leased of a rate and is not used is there again on the server after just that time. If it were kept here for
    longer, all hosts together could take more in one instant than the burst.
    """
    at = place.at + SHARES + kind
    ends = words[at + 4] > moment
    words[at] = words[at] + amount if ends else amount
    if kind > TOKENS or amount < 0:
        words[at + 4] = max(words[at + 4], until) if ends else until
    else:
        time = -(-amount * MINUTE // _rate(place.subject, kind))
        words[at + 4] = (words[at + 4] if ends else moment + GRACE) + time


def correct(words: memoryview[int], place: Place, asked: int, used: Used, moment: int) -> None:
    """After a request: what it did not use, or used beyond its estimate."""
    subject = place.subject
    if subject.rpm and not used.requests:
        spend(words, place.at, REQUESTS, -1, moment)
    if subject.tpm:
        more = used.tokens - max(asked, 0)
        if more > 0:
            owe(words, place.at, TOKENS, more, moment)
        else:
            spend(words, place.at, TOKENS, more, moment)
    if subject.budget is not None:
        spend(words, place.at, MICRO, used.micro, moment)
