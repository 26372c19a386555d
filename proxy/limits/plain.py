"""What nearly every request is: one that fits, of a subject with a rate of requests, slots, and a budget that may be
overdrawn by estimates; sent, and over in the window in which it began. Looked at in one go, and done.

Whatever else there may be (a refusal, a window that has ended, a slot that another has, a quota, a limit of tokens, hosts
that share) is left to `taking.py`, which finds everything as it was: what is done here is what would be done there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.limits import windows
from proxy.limits.holds import Part
from proxy.limits.table import CALLED, REQUESTS

if TYPE_CHECKING:
    from proxy.limits.subjects import Subject
    from proxy.limits.taking import Taking
    from proxy.limits.terms import Ask, Used


def take(
    taking: Taking, subject: Subject, ask: Ask, moment: int, wall: float, shown: bool
) -> Part | None:
    """None: it has to be looked at more closely; nothing is taken."""
    place = taking.places.get(subject.digest)
    if place is None or place.subject is not subject or not (place.plain and taking.plain):
        return None
    table, columns, here = taking.table, taking.columns, place.inflight
    if not table.kept:
        table.enter(place.lock)
    words = table.words
    try:
        whole, arrival, span, settled, before, elsewhere, *row = place.look(
            table.memory, place.byte
        )
        if columns == 2:
            one, other, reserved, own = row
            held, reserved = one + other, reserved + own
        else:
            held, reserved = sum(row[:columns]), sum(row[columns:])
        if whole != place.whole or held >= place.concurrency:
            return None
        micro, gap = 0, place.gap
        if place.cap:
            free = place.cap - settled - before - elsewhere - reserved
            if span != place.span or free <= 0 or not place.since <= wall < place.until:
                return None
            micro = ask.likely if ask.likely < free else free
        if not gap:
            arrival = 0
        else:
            if arrival < moment:
                arrival = moment
            if arrival - moment > place.slack:
                return None
            arrival += gap
            words[place.at + REQUESTS] = arrival
        words[here] += 1
        if micro > 0:
            words[here + columns] += micro
        else:
            micro = 0
    finally:
        if not table.kept or words[CALLED]:
            table.leave(place.lock)
    return Part(place, moment, arrival, 0, ask.tokens, micro, 0, False, place.charges, shown)


def give(taking: Taking, part: Part, used: Used, position: int) -> bool:
    """False: it has to be looked at more closely; nothing is given back."""
    place = part.place
    if not place.plain or part.drawn or not used.requests or part.charges is not place.charges:
        return False
    table, here = taking.table, place.inflight
    if not table.kept:
        table.enter(place.lock)
    words, memory = table.words, table.memory
    try:
        if memory[place.byte : place.end] != place.whole:
            return False
        if place.cap:
            at = place.entry
            if memory[at * 8 : at * 8 + 16] != place.span:
                return False
            windows.settle(memory, words, place.at, at, taking.column, position, used)
        held = words[here]
        if held > 0:
            words[here] = held - 1
        if part.micro:
            here += taking.columns
            left = words[here] - part.micro
            words[here] = left if left > 0 else 0
    finally:
        if not table.kept or words[CALLED]:
            table.leave(place.lock)
    return True
