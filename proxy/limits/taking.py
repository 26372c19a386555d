"""One subject at a time: look whether a request fits into all of its limits, take it, give it back.

All of it happens under the lock of the subject's set. What is looked at is changed only when everything fits, so that a
refusal leaves nothing behind; each change is one word, so that a death leaves no half of one.
"""

from __future__ import annotations

import struct
from math import inf
from typing import TYPE_CHECKING

from proxy.core import periods
from proxy.core.clock import monotonic
from proxy.limits import shares, windows
from proxy.limits.holds import MINUTE, Part, Place, standing_of_requests, standing_of_tokens
from proxy.limits.table import BOOKED, COLUMNS, NANO, REQUESTS, TOKENS
from proxy.limits.terms import Ask, Charge, Refused, Used

if TYPE_CHECKING:
    from proxy.core.periods import Window
    from proxy.limits.subjects import Subject
    from proxy.limits.table import Table

_SPAN = struct.Struct("2q")
SLICE = MINUTE * 5 // 100
"""Nanoseconds: of a rate shared by hosts, one takes as much at a time as this is of a minute."""
_LONGEST = 24 * 60 * MINUTE
"""Nanoseconds of a rate of tokens that one request is owed for, or all of them together. The most that an honest one may be
is the largest context there is, of two million tokens: a day pays for that from 1,400 tokens a minute on, and nobody gives
less to who sends as much. What is more was said by a client that means nothing by it, or left by a worker that died with
it, or is of a limit that was lower: for years everybody else would be refused.
"""
_PLACES = 50_000
_CROWDED_WAIT = 1.0
_GRAIN = 1e-6
"""Seconds: what is lost of a time to wait when it is added to a clock."""


class Taking:
    """Of one worker, which has a column of its own in every slot."""

    def __init__(self, table: Table, column: int) -> None:
        self.table = table
        self._memory = table.memory
        self._words = table.words
        self.columns = table.columns
        self.column = column, COLUMNS + BOOKED * table.columns + column
        """Its number, and where it has what is booked, in a slot."""
        self._row = struct.Struct(f"{table.columns}q").unpack_from
        self.places: dict[bytes, Place] = {}
        self.plain = True
        """Limits are this host's alone (`plain.py`)."""
        self.shared = False
        """Rates, slots and budgets are drawn from shares."""
        self.blind = False
        """Limits are shared, but nobody can be asked."""
        self.factor = 1.0
        """Of rates: what this host allows itself of them."""
        self.since = 0
        """Nanoseconds of the monotonic clock: when it went blind. It does not know what was taken before, so it takes no
        more in the first instant than a slice."""
        self.crowded = 0
        """How often there was no room for a subject."""

    # --- places ------------------------------------------------------------------------------------------------

    def place(self, subject: Subject) -> Place | None:
        """Where a subject is; one is made for it. None: there is no room."""
        at = self.table.claim(subject.digest)
        if at < 0:
            return None
        if len(self.places) >= _PLACES:
            self.places.clear()
        place = self.places[subject.digest] = Place(self.table, at, self.column[0], subject)
        return place

    def enter(self, subject: Subject) -> Place | None:
        """The same, with its lock, and what is there certainly is its own."""
        place = self.places.get(subject.digest)
        if place is None or place.subject is not subject:
            place = self.place(subject)
        while place is not None:
            self.table.enter(place.lock)
            if self._memory[place.byte : place.end] == place.whole or self._mended(place):
                return place
            self.table.leave(place.lock)  # it was idle, and another has taken the place
            place = self.place(subject)
        return None

    def _mended(self, place: Place) -> bool:
        """Whether the slot is its own, now that what a dead worker left there is put in order."""
        return self.table.mend(place.at) and self._memory[place.byte : place.end] == place.whole

    # --- take --------------------------------------------------------------------------------------------------

    def take(
        self, subject: Subject, ask: Ask, moment: int, wall: float, shown: bool
    ) -> Part | None:
        """Raises Refused, or Short. None: there is no room for one who has no budget and no quota: it is not limited."""
        place = self.enter(subject)
        if place is None:
            self.crowded += 1
            if subject.budget is None and subject.quota is None:
                return None
            raise Refused(subject, "blind", _CROWDED_WAIT)
        words = self._words
        try:
            micro = counted = requests = tokens = 0
            if subject.quota is not None:
                self._turn(place, wall)
                counted = self._quota(place, ask, wall)
            elif subject.budget is not None and not self._there(place.window, place.entry, wall):
                self._turn(place, wall)
            if self.shared:
                micro = self._draw(place, ask, moment)
            else:
                micro, requests, tokens = self._fit(place, ask, moment, wall)
                # Nothing is refused from here on.
                if requests:
                    words[place.at + REQUESTS] = requests
                if tokens:
                    words[place.at + TOKENS] = tokens
            here = place.inflight
            words[here] += 1
            if micro:
                words[here + self.columns] += micro
            if counted:
                words[here + 2 * self.columns] += counted
        finally:
            self.table.leave(place.lock)
        return Part(
            place,
            moment,
            requests,
            tokens,
            ask.tokens,
            micro,
            counted,
            self.shared,
            place.charges,
            shown,
        )

    def _fit(self, place: Place, ask: Ask, moment: int, wall: float) -> tuple[int, int, int]:
        """Micro-dollars to reserve, and the theoretical arrival times. What is refused for longest is looked at first."""
        subject = place.subject
        micro = requests = tokens = 0
        if subject.budget is not None:
            micro = self._money(place, ask, wall)
        if place.rated:
            requests, tokens = self._rates(place, ask, moment)
        if subject.concurrency and self._sum(place, 0) >= subject.concurrency:
            raise Refused(subject, "concurrency", 0.0)
        if self.blind:
            # The server is told when it is back.
            if requests:
                shares.owe(self._words, place.at, shares.REQUESTS, 1, moment)
            if tokens:
                shares.owe(self._words, place.at, shares.TOKENS, ask.tokens, moment)
        return micro, requests, tokens

    def _rates(self, place: Place, ask: Ask, moment: int) -> tuple[int, int]:
        """The theoretical arrival times after this request: GCRA, whose bucket of tokens is what a minute allows."""
        subject, words, at = place.subject, self._words, place.at
        requests = tokens = late = 0
        what = "rpm"
        if place.gap:
            gap = place.gap if self.factor == 1.0 else self._gap(place)
            requests = words[at + REQUESTS]
            if self.blind:
                requests = max(requests, self.since + place.slack + gap - SLICE)
            if requests <= moment:
                requests = moment
            else:
                most = moment + place.slack + gap
                if requests > most:  # the limit was lower before
                    requests = words[at + REQUESTS] = most
                late = requests - moment - place.slack
            requests += gap
        if subject.tpm and ask.tokens > 0:
            cost = self._cost(subject, ask.tokens)
            tokens = max(words[at + TOKENS], moment)
            if tokens > moment + _LONGEST:
                tokens = words[at + TOKENS] = moment + _LONGEST  # it shall come nearer
            if self.blind:
                tokens = max(tokens, self.since + MINUTE - SLICE)
            # What is more than a minute's is admitted when nothing else is owed.
            over = tokens - moment - max(MINUTE - cost, 0)
            if over > late:
                what, late = "tpm", over
            tokens += cost
        if late > 0:
            if what == "tpm":
                standing = standing_of_tokens(place, words[at + TOKENS], moment)
                raise Refused(subject, "tpm", late / NANO + _GRAIN, standing)
            standing = standing_of_requests(place, words[at + REQUESTS], moment)
            raise Refused(subject, "rpm", late / NANO + _GRAIN, standing)
        return requests, tokens

    def _gap(self, place: Place) -> int:
        return place.gap if self.factor == 1.0 else int(place.gap / self.factor)

    def _cost(self, subject: Subject, tokens: int) -> int:
        """Nanoseconds at the rate, rounded up; a day at most."""
        cost = -(-tokens * MINUTE // subject.tpm)
        if self.factor != 1.0:
            cost = int(cost / self.factor)
        return cost if cost < _LONGEST else _LONGEST

    def _money(self, place: Place, ask: Ask, wall: float) -> int:
        """What to reserve."""
        subject, window = place.subject, place.window
        budget = subject.budget
        assert budget is not None
        assert window is not None
        if budget.strict and (self.blind or not self.table.known):
            raise Refused(subject, "blind", 0.0)
        words, at = self._words, place.entry + windows.MICRO
        left = place.cap - words[at] - words[at + windows.BEFORE] - words[at + windows.ELSEWHERE]
        free = left - self._sum(place, 1)
        if budget.strict:
            if ask.worst <= free:
                return ask.worst
            if ask.worst > place.cap:
                raise Refused(subject, "budget", inf)
            fits = ask.worst <= left
        else:
            likely = ask.likely
            if free > 0 or (free == 0 and likely <= 0):
                return (likely if likely > 0 else 0) if likely < free else free
            fits = left > 0
        raise Refused(subject, "budget", 0.0 if fits else _until(window, wall))

    def _quota(self, place: Place, ask: Ask, wall: float) -> int:
        """Tokens to reserve."""
        subject, window = place.subject, place.quota_window
        quota = subject.quota
        assert quota is not None
        assert window is not None
        at = place.quota_entry
        if quota.requests:
            left = quota.requests - windows.total(self._words, at, windows.REQUESTS)
            if self._sum(place, 0) >= left:
                wait = 0.0 if left > 0 else _until(window, wall)
                raise Refused(subject, "quota_requests", wait)
        if not quota.tokens:
            return 0
        left = quota.tokens - windows.total(self._words, at, windows.TOKENS)
        free = left - self._sum(place, 2)
        if free > 0:
            # As with money: the last request may need more than is left of an estimate, and is not refused for it.
            return min(max(ask.tokens, 0), free)
        raise Refused(subject, "quota_tokens", 0.0 if left > 0 else _until(window, wall))

    def _draw(self, place: Place, ask: Ask, moment: int) -> int:
        """Take from the share of this host; what to reserve. Raises Short."""
        subject, words = place.subject, self._words
        micro = 0
        if subject.concurrency:
            shares.need(words, place, shares.SLOTS, self._sum(place, 0) + 1, moment)
        if subject.budget is not None:
            reserved = self._sum(place, 1)
            if subject.budget.strict:
                micro = ask.worst
                shares.need(words, place, shares.MICRO, reserved + micro, moment)
            elif ask.likely > 0:
                shares.need(words, place, shares.MICRO, reserved + 1, moment)
                micro = min(
                    ask.likely,
                    shares.left(words, place.at, subject, shares.MICRO, moment) - reserved,
                )
        tokens = max(ask.tokens, 0) if subject.tpm else 0
        if subject.rpm:
            shares.need(words, place, shares.REQUESTS, 1, moment)
        if tokens:
            shares.need(words, place, shares.TOKENS, tokens, moment)
            shares.spend(words, place.at, shares.TOKENS, tokens, moment)
        if subject.rpm:
            shares.spend(words, place.at, shares.REQUESTS, 1, moment)
        return micro

    # --- give back ---------------------------------------------------------------------------------------------

    def give(self, part: Part, used: Used, position: int = 0) -> None:
        """The estimate becomes what was used; with no requests, as if it had never been.

        `position` is where the ledger says so, for recovery to know that it is counted; 0: nowhere. Counted first and given
        back then, so that there never is room that there is not.
        """
        place, words, columns = part.place, self._words, self.columns
        self.table.enter(place.lock)
        try:
            if self._memory[place.byte : place.end] != place.whole and not self._mended(place):
                return
            if part.drawn:
                # First, so that a death in between leaves less of a share rather than more.
                shares.correct(words, place, part.asked, used, int(monotonic() * NANO))
            here, step = place.inflight, 1 if position else 0
            for charge in part.charges:
                at = place.entry
                if words[at] != charge.window or words[at + 1] != charge.ends:
                    at = windows.find(words, place.at, charge.window, charge.ends)
                if at >= 0:
                    windows.settle(self._memory, words, place.at, at, self.column, position, used)
                position += step
            held = words[here]
            if held > 0:
                words[here] = held - 1
            if part.micro:
                left = words[here + columns] - part.micro
                words[here + columns] = left if left > 0 else 0
            self._give_more(part, used)
        finally:
            self.table.leave(place.lock)

    def _give_more(self, part: Part, used: Used) -> None:
        """What not all requests have: tokens of a quota or at a rate, shares, a request that was never sent."""
        place, words = part.place, self._words
        if part.counted:
            counted = place.inflight + 2 * self.columns
            words[counted] = max(words[counted] - part.counted, 0)
        if part.drawn:
            return
        if part.requests and not used.requests:
            self._back(place.at + REQUESTS, self._gap(place), part.requests)
        if part.tokens and used.tokens != part.asked:
            self._correct(place, part, used.tokens)

    def _correct(self, place: Place, part: Part, tokens: int) -> None:
        """Owe for more tokens than were estimated, or less."""
        more = self._cost(place.subject, tokens) - self._cost(place.subject, part.asked)
        at = place.at + TOKENS
        if more > 0:
            self._words[at] = max(self._words[at], int(monotonic() * NANO)) + more
        else:
            self._back(at, -more, part.tokens)

    def _back(self, at: int, amount: int, arrival: int) -> None:
        """Give time back, but no more than has not passed since: what was free again already is nobody's to return."""
        amount = min(amount, arrival - int(monotonic() * NANO))
        if amount > 0:
            self._words[at] -= amount

    def in_use(self, place: Place, kind: int) -> int:
        """Of a share: slots taken and money reserved; the rest is used up as it is taken."""
        if kind == shares.SLOTS:
            return self._sum(place, 0)
        return self._sum(place, 1) if kind == shares.MICRO else 0

    def window(self, place: Place, wall: float) -> Window | None:
        """Of its budget, with `place.entry` where it is."""
        if place.subject.budget is None:
            return None
        self._turn(place, wall)
        return place.window

    # --- both --------------------------------------------------------------------------------------------------

    def _sum(self, place: Place, kind: int) -> int:
        """Over all columns: in flight, micro-dollars reserved, tokens reserved."""
        columns = self.columns
        at = place.at + COLUMNS + kind * columns
        return self._words[at] if columns == 1 else sum(self._row(self._memory, at * 8))

    def _turn(self, place: Place, wall: float) -> None:
        """See to it that the slot has the windows of now, and `place` knows where."""
        subject, words = place.subject, self._words
        window, quota_window = place.window, place.quota_window
        if (subject.budget is None or self._there(window, place.entry, wall)) and (
            subject.quota is None or self._there(quota_window, place.quota_entry, wall)
        ):
            return
        both: dict[tuple[int, int], None] = {}
        if subject.budget is not None:
            window = place.window = periods.of_budget(subject.budget, wall)
            both[window.start, window.ends] = None
        if subject.quota is not None:
            quota_window = place.quota_window = periods.of_quota(subject.quota, wall)
            both[quota_window.start, quota_window.ends] = None
        place.charges = tuple(Charge(subject.id, start, ends) for start, ends in both)
        keep = -1
        for start, ends in both:
            keep = max(keep, windows.find(words, place.at, start, ends))
        for start, ends in both:
            keep = windows.make(words, place.at, start, ends, keep, wall)
        if window is not None:
            place.found(windows.find(words, place.at, window.start, window.ends))
            place.span = _SPAN.pack(window.start, window.ends)
            place.since, place.until = window.start, window.ends or inf
        if quota_window is not None:
            place.quota_entry = windows.find(words, place.at, quota_window.start, quota_window.ends)

    def _there(self, window: Window | None, at: int, wall: float) -> bool:
        """Whether it is the window of now, and still where it was."""
        if window is None or wall < window.start:
            return False
        ends = window.ends
        words = self._words
        return (wall < ends or not ends) and words[at] == window.start and words[at + 1] == ends


def _until(window: Window, wall: float) -> float:
    return window.ends - wall if window.ends else inf
