"""The words of limits: what is asked for, what was used, where it is booked, and why it is refused."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from proxy.limits.subjects import Subject

What = Literal["rpm", "tpm", "concurrency", "budget", "quota_requests", "quota_tokens", "blind"]
"""`blind`: a budget (a strict one) or a quota while nobody knows what was spent."""


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
    """What may be taken in this instant: of requests, the burst at most."""
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
        """Seconds until it may be asked again with success; inf: never. 0: nobody knows, as it is requests under way
        that are in the way (slots, and what is reserved of a budget or a quota)."""
        self.standing = standing


class Short(Exception):
    """The share this host has of a subject is not enough: lease a slice (`shared.py`), then admit again.

    Raised instead of Refused while limits are shared (`Accounts.use_shares`); nothing is held.
    """

    def __init__(self, subject: Subject, what: What, amount: int) -> None:
        super().__init__(what)
        self.subject = subject
        self.what = what
        """`rpm`, `tpm`, `concurrency` or `budget`."""
        self.amount = amount
        """What is missing at least, in requests, tokens, slots or micro-dollars."""
        self.wait = 0.0
        """Seconds, set by whoever asked for more and got nothing; as `Refused.wait`."""


class Share(Struct, frozen=True, gc=False):
    """What this host may still take of a shared limit without asking."""

    requests: int = 0
    tokens: int = 0
    """Negative: more was used than was estimated."""
    slots: int = 0
    """All that are leased, those in use among them."""
    micro: int = 0
    """Leased and not yet spent; what is reserved is a part of it."""


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
