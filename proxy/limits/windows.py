"""Counts of windows, in a slot. A window is known by its start and its end, so it is reset once, whoever comes first.

    start | ends | requests, tokens, micro-dollars: settled on this host since the file was made | the same of this host
    from before (learned) | the same of all other hosts (learned)

A slot has three: that of a budget, that of a quota, and one for what a change of configuration leaves behind, or for
usage that comes late. All zeros is the window of all time, with nothing in it.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from proxy.limits.table import COUNTS, SHARES, UNDO, WINDOW

if TYPE_CHECKING:
    from mmap import mmap

    from proxy.limits.terms import Used

REQUESTS, TOKENS, MICRO = 2, 3, 4
OWN, BEFORE, ELSEWHERE = 0, 3, 6
"""To be added to one of those three."""
_UNUSED, _OVER, _EMPTY, _COUNTED = range(4)
"""What a window is worth."""

_counts = struct.Struct("3q").unpack_from
_set_counts = struct.Struct("3q").pack_into
_set_undo = struct.Struct("5q").pack_into


def find(words: memoryview[int], slot: int, start: int, ends: int) -> int:
    """The word at which a window is; -1: it is not in this slot."""
    for at in range(slot + COUNTS, slot + SHARES, WINDOW):
        if words[at] == start and words[at + 1] == ends:
            return at
    return -1


def make(words: memoryview[int], slot: int, start: int, ends: int, keep: int, now: float) -> int:
    """The same, and it is made if there is none: in place of the one that is missed least, but not of `keep`."""
    at = find(words, slot, start, ends)
    if at >= 0:
        return at
    at = min(
        (one for one in range(slot + COUNTS, slot + SHARES, WINDOW) if one != keep),
        key=lambda one: _worth(words, one, now),
    )
    return _begin(words, at, start, ends)


def learn(
    words: memoryview[int], slot: int, start: int, ends: int, now: float, *, known: bool
) -> int:
    """The same for what the database says: it never takes the place of a window that has not ended; -1: there is no other.

    Changes of configuration may leave more windows in the database than there are places. The one that is counted in has its
    place by its first request, and what others used of it is told again and again. What this host itself had counted is told
    once, while it is not `known`: until then a window takes the place of one of which no more than that is in here.
    """
    at = find(words, slot, start, ends)
    if at >= 0:
        return at
    spare = [
        one
        for one in range(slot + COUNTS, slot + SHARES, WINDOW)
        if _is_spare(words, one, now, known)
    ]
    if not spare:
        return -1
    return _begin(words, min(spare, key=lambda one: _worth(words, one, now)), start, ends)


def _is_spare(words: memoryview[int], at: int, now: float, known: bool) -> bool:
    worth, _ = _worth(words, at, now)
    if known or worth != _COUNTED:
        return worth < _EMPTY
    return not any(words[at + REQUESTS : at + REQUESTS + BEFORE])


def _begin(words: memoryview[int], at: int, start: int, ends: int) -> int:
    """In place of whatever is there."""
    # The end comes last: who dies before has left a window that nobody looks for, without counts.
    words[at + 1] = -1
    for word in range(at + REQUESTS, at + WINDOW):
        words[word] = 0
    words[at] = start
    words[at + 1] = ends
    return at


def add(words: memoryview[int], at: int, requests: int, tokens: int, micro: int) -> None:
    """Settle."""
    if requests:
        words[at + REQUESTS] += requests
    if tokens:
        words[at + TOKENS] += tokens
    if micro:
        words[at + MICRO] += micro


def settle(
    memory: mmap,
    words: memoryview[int],
    slot: int,
    at: int,
    column: tuple[int, int],
    position: int,
    used: Used,
) -> None:
    """Add what was used, and say in the word for what is `booked` that this is done: all of it, or nothing, in whatever
    instant this process is killed (`Table.mend`). Under the lock of the slot.

    Words are written one after the other, each whole; `column` is whose `booked` it is, and where that is in a slot.
    `position` 0: it is only added.
    """
    if not position:
        add(words, at, used.requests, used.tokens, used.micro)
        return
    counts = at * 8 + 16
    requests, tokens, micro = _counts(memory, counts)
    number, booked = column
    _set_undo(memory, (slot - UNDO) * 8, at << 16 | number, requests, tokens, micro, position)
    _set_counts(memory, counts, requests + used.requests, tokens + used.tokens, micro + used.micro)
    words[slot + booked] = position
    words[slot - 1] = 0


def total(words: memoryview[int], at: int, what: int) -> int:
    """Of all hosts."""
    return words[at + what] + words[at + what + BEFORE] + words[at + what + ELSEWHERE]


def _worth(words: memoryview[int], at: int, now: float) -> tuple[int, float]:
    ends = words[at + 1]
    counts = any(words[at + REQUESTS : at + WINDOW])
    if not (counts or words[at] or ends):
        return _UNUSED, 0.0
    if ends and ends <= now:
        return _OVER, float(ends)
    # Without counts it may be one whose requests are all under way.
    return (_COUNTED if counts else _EMPTY), float(ends or "inf")
