"""What a request holds: one part for each subject, and where each is."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from proxy.limits.table import COLUMNS, COUNTS, NANO, WINDOW
from proxy.limits.terms import Charge, Standing

if TYPE_CHECKING:
    from proxy.core.periods import Window
    from proxy.limits.history import Sketch
    from proxy.limits.subjects import Subject
    from proxy.limits.table import Table

MINUTE = 60 * NANO
Look = Callable[[Any, int], tuple[Any, ...]]
_MANY = 1 << 62


class Place:
    """Where a subject is in the table, and its limits in the units of the table."""

    __slots__ = (
        "_row",
        "at",
        "byte",
        "cap",
        "charges",
        "columns",
        "concurrency",
        "digest",
        "end",
        "entry",
        "gap",
        "inflight",
        "lock",
        "look",
        "plain",
        "quota_entry",
        "quota_window",
        "rated",
        "since",
        "slack",
        "span",
        "subject",
        "until",
        "whole",
        "window",
    )

    def __init__(self, table: Table, at: int, column: int, subject: Subject) -> None:
        self.subject = subject
        self.digest = subject.digest
        self.at = at
        self.byte = at * 8 - 8
        self.end = at * 8 + 16
        self.whole = bytes(8) + subject.digest
        """What is there while the slot is its own, and nobody has died in it."""
        self.lock = table.lock_of(at)
        self.columns = at + COLUMNS
        self.inflight = at + COLUMNS + column
        """And after as many words as there are columns, micro-dollars reserved; then tokens; then what is booked."""
        self.gap = -(-MINUTE // subject.rpm) if subject.rpm else 0
        """Nanoseconds between requests at the rate; rounded up, so never more than the limit."""
        self.slack = self.gap * (subject.burst - 1)
        """How far ahead of the rate requests may be."""
        self.rated = bool(subject.rpm or subject.tpm)
        self.concurrency = subject.concurrency or _MANY
        budget = subject.budget
        self.cap = round(budget.usd * 1e6) if budget is not None else 0
        self.plain = (
            subject.quota is None
            and not subject.tpm
            and (budget is None or (self.cap > 0 and not budget.strict))
        )
        """Its limits are those that `plain.py` knows."""
        self.window: Window | None = None
        self.quota_window: Window | None = None
        """As found last; they may have ended."""
        self.quota_entry = at + COUNTS
        self._row = 2 * table.columns
        self.found(at + COUNTS)
        self.span = b""
        self.since = self.until = 0.0
        """Of that of the budget: as it is in the table, and as the clock has it; when it was found last."""
        self.charges: tuple[Charge, ...] = ()
        """Of these windows; one, if they are the same."""

    def found(self, entry: int) -> None:
        """The window of its budget is here."""
        self.entry = entry
        behind = self.columns - entry - WINDOW
        self.look = _look(entry - self.at - COUNTS, behind, self._row)
        """What `plain.take` has to know of the slot, in one go, from `byte` on: the last word of what is to be undone with the
        digest; the arrival of requests; of the window start and end, micro-dollars settled, from before, and elsewhere;
        in flight, and micro-dollars reserved, of all columns."""


@cache
def _look(before: int, behind: int, row: int) -> Look:
    """`before` the window are so many words, and `behind` it, of others."""
    return struct.Struct(f"24sq8x{before * 8}x16s16xq16xq16xq{behind * 8}x{row}q").unpack_from


class Part(Struct, frozen=True, eq=False, gc=False):
    """What is held of one subject. It counts as in flight, so its slot stays its own."""

    place: Place
    moment: int
    """Nanoseconds of the monotonic clock."""
    requests: int
    """The theoretical arrival time that this request made; 0: no limit, or it was drawn from a share."""
    tokens: int
    asked: int
    """Tokens."""
    micro: int
    """Micro-dollars reserved."""
    counted: int
    """Tokens reserved of a quota."""
    drawn: bool
    """From the share of this host."""
    charges: tuple[Charge, ...]
    shown: bool
    """Taken by `admit`, not by `add`."""


class Hold(Struct, eq=False, gc=False):
    """What was admitted, until it is settled. `settle` twice does no harm."""

    parts: list[Part]
    charges: tuple[Charge, ...] = ()
    """Empty where no subject has a budget or a quota."""
    settled: bool = False
    answers: Sketch | None = None
    """What tokens of answers usually come to, where somebody counts them: for who settles to add to."""
    costs: Sketch | None = None
    """The same of micro-dollars."""

    def standings(self) -> tuple[Standing | None, Standing | None]:
        """Of the tightest subject with `rpm` among those of `admit`, as it was then, and of the tightest with `tpm`; None
        without one."""
        requests = tokens = None
        for part in self.parts:
            if part.shown:
                if part.requests:
                    one = standing_of_requests(part.place, part.requests, part.moment)
                    if requests is None or one.remaining < requests.remaining:
                        requests = one
                if part.tokens:
                    one = standing_of_tokens(part.place, part.tokens, part.moment)
                    if tokens is None or one.remaining < tokens.remaining:
                        tokens = one
        return requests, tokens

    def book(self) -> None:
        """Work out `charges` anew."""
        parts = self.parts
        if len(parts) == 1:
            self.charges = parts[0].charges
        else:
            self.charges = tuple(charge for part in parts for charge in part.charges)


def standing_of_requests(place: Place, arrival: int, moment: int) -> Standing:
    """What is left of a rate when the theoretical arrival time is this."""
    ahead, gap = arrival - moment, place.gap
    if ahead <= 0:
        ahead = 0
    left = (place.slack + gap - ahead) // gap
    return Standing(place.subject.rpm, left if left > 0 else 0, ahead / NANO)


def standing_of_tokens(place: Place, arrival: int, moment: int) -> Standing:
    """The same of tokens, of which a whole minute's may be taken at once."""
    ahead = max(arrival - moment, 0)
    left = max(MINUTE - ahead, 0) * place.subject.tpm // MINUTE
    return Standing(place.subject.tpm, left, ahead / NANO)
