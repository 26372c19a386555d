"""What every subject has taken: admitted and settled in memory that all workers of a host share.

    admit  -> a Hold, or Refused with the true time to wait: everything of a request or nothing of it
    settle -> the estimate becomes what was really used; slots and reservations are given back

Rates are GCRA (virtual scheduling: one theoretical arrival time for requests, one for tokens); concurrency and money
reserved are columns, one for each worker, so what a dead worker held is one column to be cleared; money spent and
quotas used are counted for the window (`core.periods`) in which a request began. `table.py` is the memory itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct

from proxy.limits.subjects import Subject

What = Literal["rpm", "tpm", "concurrency", "budget", "quota_requests", "quota_tokens", "blind"]
"""`blind`: a strict budget while nobody knows what was spent."""


class Ask(Struct, frozen=True, gc=False):
    """What one request may take."""

    tokens: int = 0
    """Estimated: prompt and answer."""
    likely: int = 0
    """Micro-dollars, estimated."""
    worst: int = 0
    """Micro-dollars it cannot exceed: what a strict budget reserves."""


class Used(Struct, frozen=True, gc=False):
    """What it took."""

    tokens: int = 0
    micro: int = 0
    """Micro-dollars charged."""
    requests: int = 1
    """0: it was never dispatched, so rate, quota and budget get all of it back."""


class Charge(Struct, frozen=True, array_like=True, gc=False):
    """Where the ledger books what a request used: one row of `counters` (`store.ledger`)."""

    subject: str
    window: int
    """Unix time at which the window began; 0: all time."""
    ends: int
    """Unix time at which it ends; 0: never."""


class Standing(Struct, frozen=True, gc=False):
    """How much of a rate is left, for headers."""

    limit: int
    remaining: int
    reset: float
    """Seconds until all of it is there again."""


class Refused(Exception):
    """A subject may not take this now."""

    def __init__(
        self, subject: Subject, what: What, wait: float, standing: Standing | None = None
    ) -> None:
        super().__init__(what)
        self.subject = subject
        self.what = what
        self.wait = wait
        """Seconds until it may be asked again with success; 0: nobody knows (concurrency), inf: never."""
        self.standing = standing


class Short(Refused):
    """What this host has leased of a shared limit is used up: `shared.Shares.fetch` may bring more. Else it is a refusal
    like any other."""


class Hold:
    """What was admitted, until it is settled. `settle` twice does no harm."""

    __slots__ = ("charges", "requests", "settled", "tokens")

    charges: tuple[Charge, ...]
    """Empty where no subject has a budget or a quota."""
    requests: Standing | None
    """Of the tightest subject with `rpm`, and with `tpm`, among those of `admit`; None without one. `add` leaves them."""
    tokens: Standing | None
    settled: bool


class View(Struct, frozen=True):
    """What a page shows of one subject."""

    inflight: int
    reserved: int
    spent: int
    """Micro-dollars in the window, on all hosts as far as known."""
    window: int
    quota_requests: int
    quota_tokens: int
    quota_window: int


class Accounts:
    """One for each worker, over one file. `column` is this worker's number, 0 to `columns` - 1."""

    @classmethod
    def open(cls, path: Path, column: int, columns: int) -> Accounts:
        """The file is made when it is missing or of another shape; then nothing is `known` yet.

        Raises OSError.
        """
        raise NotImplementedError

    @property
    def known(self) -> bool:
        """What was spent before is in here: either the file survived, or `learn` was called since it was made."""
        raise NotImplementedError

    @property
    def created(self) -> float:
        """Unix time at which the file was made. What a request used that came before is not in here until it is learned."""
        raise NotImplementedError

    def admit(self, subjects: Sequence[Subject], ask: Ask) -> Hold:
        """Raises Refused; then nothing is held."""
        raise NotImplementedError

    def add(self, hold: Hold, subjects: Sequence[Subject], ask: Ask) -> None:
        """Admit further subjects to the same hold: those of a deployment, once it is chosen. Raises Refused; then the
        hold is as it was."""
        raise NotImplementedError

    def drop(self, hold: Hold, subjects: Sequence[Subject], requests: int = 0) -> None:
        """Take these subjects out of a hold and give back what they have: the deployment was tried, and did nothing.

        `requests` 1: it had been sent to, so its rates and quotas keep one request, without tokens or money.
        """
        raise NotImplementedError

    def settle(self, hold: Hold, used: Used) -> None:
        """Once for each hold; again does nothing."""
        raise NotImplementedError

    def clear(self, column: int) -> int:
        """What a dead worker held is free again; how many slots it had. By the supervisor, before another takes its place."""
        raise NotImplementedError

    def charge(self, charges: Sequence[Charge], used: Used) -> None:
        """Book what a dead worker could not: recovery does."""
        raise NotImplementedError

    def learn(self, charge: Charge, own: Used | None, elsewhere: Used) -> None:
        """What the database says of one window.

        `own` (only while not `known`) is what this host used for requests that came before `created`: it is added to
        what was settled since. `elsewhere` is what all other hosts used: it takes the place of what was known of them.
        """
        raise NotImplementedError

    def learned(self) -> None:
        """All windows have been learned: `known` from now on."""
        raise NotImplementedError

    def view(self, subject: Subject) -> View:
        """For pages; changes nothing."""
        raise NotImplementedError

    def reset(self, subject: Subject) -> tuple[Charge, Used]:
        """Forget what its quota counts in this window: where, and how much it was, for the ledger to book the opposite."""
        raise NotImplementedError

    def close(self) -> None:
        """Give back what this worker holds."""
        raise NotImplementedError
