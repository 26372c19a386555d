"""What every subject has taken: admitted and settled in memory that all workers of a host share.

    admit  -> a Hold, or Refused with the true time to wait: everything of a request or nothing of it
    settle -> the estimate becomes what was really used; slots and reservations are given back

Rates are GCRA (virtual scheduling: one theoretical arrival time for requests, one for tokens); concurrency and money
reserved are columns, one for each worker, so what a dead worker held is one column to be cleared; money spent and
quotas used are counted for the window (`core.periods`) in which a request began. `table.py` is the memory itself,
`taking.py` what happens in one slot, `holds.py` what a request keeps of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from proxy.core import periods
from proxy.core.clock import monotonic, now
from proxy.core.model import Quota
from proxy.limits import leases, plain, shares, windows
from proxy.limits.holds import Hold, Part
from proxy.limits.leases import Grant, Lease
from proxy.limits.subjects import Subject, digest_of
from proxy.limits.table import BOOKED, COLUMNS, NANO, Table
from proxy.limits.taking import Taking
from proxy.limits.terms import (
    Ask,
    Charge,
    Refused,
    Share,
    Short,
    Standing,
    Used,
    View,
    What,
)

__all__ = [
    "Accounts",
    "Ask",
    "Charge",
    "Hold",
    "Refused",
    "Share",
    "Short",
    "Standing",
    "Used",
    "View",
    "What",
]

_NOTHING = Used(requests=0)


def column_of(name: str, columns: int) -> int:
    """That of the worker of this name."""
    return int(name) % columns if name.isdecimal() else 0


class Accounts:
    """One for each worker, over one file. `column` is this worker's number, 0 to `columns` - 1.

    None is a guest, the supervisor or the shipper: it clears, charges, learns and looks, but admits nothing.
    """

    def __init__(self, table: Table, column: int | None) -> None:
        self._table = table
        self._column = column
        self._taking = Taking(table, column or 0)
        self._closed = False

    @classmethod
    def open(cls, path: Path, column: int | None, columns: int) -> Accounts:
        """The file is made when it is missing or of another shape; then nothing is `known` yet. A guest takes one that
        was made for other `columns` as it is.

        Only one for each process: the kernel frees the locks of a process when it closes any of its files. Not to be
        used across a fork. Raises OSError.
        """
        return cls(Table(path, columns, guest=column is None), column)

    @classmethod
    def memory(cls) -> Accounts:
        """Of a worker that has no file and no neighbours; everything is `known`, for it begins with nothing."""
        return cls(Table(None, 1), 0)

    @property
    def known(self) -> bool:
        """What was spent before is in here: either the file survived, or `learn` was called since it was made."""
        return self._table.known

    @property
    def created(self) -> float:
        """Unix time at which the file was made, or first used after a start of the machine. What a request used that
        came before is not in here (or not for certain) until it is learned."""
        return self._table.created

    @property
    def crowded(self) -> int:
        """How often this worker found no room for a subject: one with a budget or a quota was refused (`blind`), all else
        was not limited. For metrics."""
        return self._taking.crowded

    # --- requests ----------------------------------------------------------------------------------------------

    def admit(self, subjects: Sequence[Subject], ask: Ask) -> Hold:
        """Raises Refused, or Short; then nothing is held."""
        if len(subjects) == 1:
            moment, wall, taking = int(monotonic() * NANO), now(), self._taking
            part = plain.take(taking, subjects[0], ask, moment, wall, True) or taking.take(
                subjects[0], ask, moment, wall, True
            )
            return Hold([]) if part is None else Hold([part], part.charges)
        hold = Hold([])
        if subjects:
            hold.parts = self._take(subjects, ask, True)
            hold.book()
        return hold

    def add(self, hold: Hold, subjects: Sequence[Subject], ask: Ask) -> None:
        """Admit further subjects to the same hold: those of a deployment, once it is chosen. Raises Refused, or Short;
        then the hold is as it was."""
        if subjects:
            hold.parts += self._take(subjects, ask, False)
            hold.book()

    def drop(
        self,
        hold: Hold,
        subjects: Sequence[Subject],
        requests: int = 0,
        book: Callable[[Sequence[Charge]], Sequence[int]] | None = None,
    ) -> tuple[Charge, ...]:
        """Take these subjects out of a hold and give back what they have: the deployment was tried, and did nothing.

        `requests` 1: it had been sent to, so its rates and quotas keep one request, without tokens or money. Where that
        is counted is returned: `charges` of the hold say nothing of it any more. `book` writes it into the ledger before, and
        says at which position each.
        """
        if hold.settled or self._closed:
            return ()
        dropped = {subject.digest for subject in subjects}
        used = Used(requests=requests)
        gone = [part for part in hold.parts if part.place.digest in dropped]
        charges = tuple(charge for part in gone for charge in part.charges) if requests else ()
        places = list(book(charges)) if book is not None and charges else []
        for part in reversed(gone):
            position = 0
            if places:
                # That of its last charge will be the one remembered.
                position = max(places[-1] - len(part.charges) + 1, 0)
                del places[len(places) - len(part.charges) :]
            self._taking.give(part, used, position)
        hold.parts = [part for part in hold.parts if part.place.digest not in dropped]
        hold.book()
        return charges

    def settle(self, hold: Hold, used: Used, position: int = 0) -> None:
        """Once for each hold; again does nothing. `position` is that of its end in the ledger (`Spool.position`), if that is
        written: with it, whatever instant this process is killed in, `charge` finds out what is missing."""
        if hold.settled or self._closed:
            return
        hold.settled = True
        taking = self._taking
        for part in hold.parts:
            if not plain.give(taking, part, used, position):
                taking.give(part, used, position)

    def _take(self, subjects: Sequence[Subject], ask: Ask, shown: bool) -> list[Part]:
        taking = self._taking
        moment, wall = int(monotonic() * NANO), now()
        parts: list[Part] = []
        try:
            for subject in subjects:
                part = plain.take(taking, subject, ask, moment, wall, shown) or taking.take(
                    subject, ask, moment, wall, shown
                )
                if part is not None:
                    parts.append(part)
        except BaseException:  # whatever it is: nobody else would ever give it back
            for part in reversed(parts):
                self._taking.give(part, _NOTHING)
            raise
        return parts

    # --- the host ----------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Once a second, by each worker: let in whoever waits for the one worker's lock, also when it is idle."""
        if not self._closed:
            self._table.tick()

    def alone(self, alone: bool) -> None:
        """Whether the one worker there is has no successor yet, so that nobody else counts beside it."""
        if not self._closed:
            self._table.alone(alone)

    def clear(self, column: int) -> int:
        """What a dead worker held is free again; how many slots it had. By the supervisor, before another takes its place."""
        return self._table.clear(column)

    def charge(
        self,
        charges: Sequence[Charge],
        used: Used,
        came: float | None = None,
        column: int = 0,
        position: int = 0,
    ) -> None:
        """Book what a dead worker could not: recovery does.

        `position` is where the ledger of the worker that had this column says so: what it had counted up to there is passed
        over. Told in the order of positions, it is counted once, however often it is told; 0: each time.

        `came` is when the request came (Unix time). What came before `created` is learned from the database instead,
        and not booked here; None: neither is what is charged while nothing is `known`. Nor is what is of a window that
        was left behind for others, which are counted in now.
        """
        if not self.known and (came is None or came < self.created):
            return
        table, before, place = self._table, "", position
        amounts = used.requests, used.tokens, used.micro
        if column >= table.columns:
            return  # of workers there were before this file: they counted nothing in here
        for charge in charges:
            if not position:
                with _Window(table, charge, spare=True) as at:
                    if at >= 0:
                        windows.add(table.words, at, *amounts)
                continue
            place = place + 1 if charge.subject == before else position
            before = charge.subject
            if self._booked(charge, column) >= place:
                continue
            window = _Window(table, charge, spare=True)
            with window as at:
                if at >= 0:
                    if place == position:
                        # What was leased is used up by it, where limits are shared.
                        moment = int(monotonic() * NANO)
                        shares.spend(table.words, window.slot, shares.MICRO, used.micro, moment)
                    where = column, COLUMNS + BOOKED * table.columns + column
                    windows.settle(table.memory, table.words, window.slot, at, where, place, used)

    def _booked(self, charge: Charge, column: int) -> int:
        table = self._table
        slot = table.find(digest_of(charge.subject))
        return table.words[slot + COLUMNS + BOOKED * table.columns + column] if slot >= 0 else 0

    def learn(self, charge: Charge, own: Used | None, elsewhere: Used) -> None:
        """What the database says of one window. Again changes nothing.

        `own` (only while not `known`) is what this host used for requests that came before `created`: it is added to
        what was settled since. `elsewhere` is what all other hosts used: it takes the place of what was known of them.
        """
        words = self._table.words
        with _Window(self._table, charge, spare=True) as at:
            if at < 0:
                return
            for base, said in ((windows.ELSEWHERE, elsewhere), (windows.BEFORE, own)):
                if said is None or (base == windows.BEFORE and self.known):
                    continue
                words[at + base + windows.REQUESTS] = said.requests
                words[at + base + windows.TOKENS] = said.tokens
                words[at + base + windows.MICRO] = said.micro

    def learned(self) -> None:
        """All windows have been learned: `known` from now on."""
        self._table.known = True

    def view(self, subject: Subject) -> View:
        """For pages; changes nothing."""
        words, columns, wall = self._table.words, self._table.columns, now()
        slot = self._table.find(subject.digest)
        window = periods.of_budget(subject.budget, wall) if subject.budget else None
        quota = periods.of_quota(subject.quota, wall) if subject.quota else None

        def column(kind: int) -> int:
            start = slot + COLUMNS + kind * columns
            return sum(words[start : start + columns]) if slot >= 0 else 0

        def count(of: periods.Window | None, what: int) -> int:
            at = windows.find(words, slot, of.start, of.ends) if of and slot >= 0 else -1
            return windows.total(words, at, what) if at >= 0 else 0

        return View(
            column(0),
            column(1),
            count(window, windows.MICRO),
            window.start if window else 0,
            count(quota, windows.REQUESTS),
            count(quota, windows.TOKENS),
            quota.start if quota else 0,
        )

    def reset(
        self, subject: Subject, what: Literal["quota", "budget"] = "quota"
    ) -> tuple[Charge, Used]:
        """Forget what its quota, or its budget, counts in this window, on all hosts: where, and how much it was, for the
        ledger to book the opposite. Raises ValueError where there is none."""
        limit = subject.quota if what == "quota" else subject.budget
        if limit is None:
            raise ValueError(f"{subject.id} has no {what}")
        wall = now()
        window = (
            periods.of_quota(limit, wall)
            if isinstance(limit, Quota)
            else periods.of_budget(limit, wall)
        )
        charge = Charge(subject.id, window.start, window.ends)
        words = self._table.words
        used = _NOTHING
        with _Window(self._table, charge) as at:
            if at >= 0:
                requests, tokens, micro = (
                    windows.total(words, at, kind)
                    for kind in (windows.REQUESTS, windows.TOKENS, windows.MICRO)
                )
                used = Used(tokens, 0, requests) if what == "quota" else Used(0, micro, 0)
                windows.add(words, at, -used.requests, -used.tokens, -used.micro)
        return charge, used

    def close(self) -> None:
        """Give back what this worker holds. Holds that are settled later change nothing."""
        if self._closed:
            return
        self._closed = True
        if self._column is not None:
            self._table.clear(self._column)
        self._table.close()

    # --- shares of limits that several hosts hold together (`shared.py`) -------------------------------------------

    def use_shares(self, on: bool) -> None:
        """From now on rates, slots and budgets are drawn from this host's shares, and `admit` and `add` raise Short when
        one is empty; off: each host for itself. Quotas are never shared so: they are counted here and `elsewhere`."""
        taking = self._taking
        taking.shared, taking.blind, taking.factor, taking.plain = on, False, 1.0, not on

    def go_blind(self, factor: float) -> None:
        """Limits are shared, but nobody can be asked: this host allows itself `factor` of each rate, all of the slots and
        of the budgets as far as known, and nothing of a strict budget. Until the next `use_shares`."""
        taking = self._taking
        if not taking.blind:
            taking.since = int(monotonic() * NANO)
        taking.shared, taking.blind, taking.factor, taking.plain = False, True, factor, False

    def grant(self, subject: Subject, what: What, amount: int, until: float) -> None:
        """Add to the share: requests (`rpm`), tokens (`tpm`), slots (`concurrency`) or micro-dollars (`budget`).

        `until` (of `core.clock.monotonic`) is when it ends; with some left, the later end holds for all of it. An amount
        of 0 prolongs. Of rates it is asked for nothing: they end by themselves. Raises KeyError for what is not shared.
        """
        kind, moment = shares.KINDS[what], int(monotonic() * NANO)
        place = self._taking.enter(subject)
        if place is not None:
            shares.grant(self._table.words, place, kind, amount, int(until * NANO), moment)
            self._table.leave(place.lock)

    def share(self, subject: Subject) -> Share:
        """What is left of it, of what has not ended."""
        slot, moment = self._table.find(subject.digest), int(monotonic() * NANO)
        if slot < 0:
            return Share()
        words = self._table.words
        return Share(*(shares.left(words, slot, subject, kind, moment) for kind in range(4)))

    def give_back(self, subject: Subject, what: What, amount: int) -> int:
        """Take this much out of the share, or what is left and neither in use nor reserved, if that is less; how much it
        was. The caller gives it to the others."""
        kind, moment = shares.KINDS[what], int(monotonic() * NANO)
        place = self._taking.enter(subject)
        if place is None:
            return 0
        try:
            words = self._table.words
            free = shares.left(words, place.at, subject, kind, moment) - self._taking.in_use(
                place, kind
            )
            amount = max(min(amount, free), 0)
            shares.spend(words, place.at, kind, amount, moment)
            return amount
        finally:
            self._table.leave(place.lock)

    def lease(self, subject: Subject, patience: float) -> Lease | None:
        """Begin a word with the server about a subject, or None: another worker of this host has one, and has had it for
        less than `patience` seconds, or there is no room for the subject."""
        taking, wall = self._taking, now()
        place = taking.enter(subject)
        if place is None:
            return None
        try:
            window = taking.window(place, wall)
            used = taking.in_use(place, shares.SLOTS), taking.in_use(place, shares.MICRO)
            return leases.begin(
                self._table.words, place, window, used, self.known, (monotonic(), wall), patience
            )
        finally:
            self._table.leave(place.lock)

    def leased(self, subject: Subject, number: int, grants: Sequence[Grant]) -> bool:
        """End that word. False: it came too late, and nothing was granted."""
        place = self._taking.enter(subject)
        if place is None:
            return False
        try:
            return leases.end(self._table.words, place, number, grants, monotonic())
        finally:
            self._table.leave(place.lock)

    def overtaken(self, subject: Subject, number: int) -> None:
        """The server has heard this number of a word from this host, after which its clock was set back."""
        place = self._taking.enter(subject)
        if place is not None:
            leases.overtaken(self._table.words, place.at, number)
            self._table.leave(place.lock)


class _Window:
    """The word of the window of a charge, locked; -1: it has ended and is gone, or there is no room."""

    __slots__ = ("_charge", "_lock", "_spare", "_table", "slot")

    def __init__(self, table: Table, charge: Charge, *, spare: bool = False) -> None:
        """`spare`: for what the database says of it, or a dead worker had, so it makes no room for itself where others are counted."""
        self._table = table
        self._charge = charge
        self._spare = spare
        self._lock = -1
        self.slot = -1

    def __enter__(self) -> int:
        table, charge, wall = self._table, self._charge, now()
        digest = digest_of(charge.subject)
        over = bool(charge.ends) and charge.ends <= wall
        while True:
            slot = table.find(digest) if over else table.claim(digest)
            if slot < 0:
                return -1
            self._lock = table.lock_of(slot)
            table.enter(self._lock)
            if table.memory[slot * 8 : slot * 8 + 16] == digest:
                table.mend(slot)
                self.slot = slot
                break
            table.leave(self._lock)
            self._lock = -1
        if over:
            return windows.find(table.words, slot, charge.window, charge.ends)
        if self._spare:
            return windows.learn(
                table.words, slot, charge.window, charge.ends, wall, known=table.known
            )
        return windows.make(table.words, slot, charge.window, charge.ends, -1, wall)

    def __exit__(self, *_: object) -> None:
        if self._lock >= 0:
            self._table.leave(self._lock)
