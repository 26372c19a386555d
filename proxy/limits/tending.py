"""What this worker remembers of subjects it has leased for, and what they need: more, a sign of life, or nothing any more."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from msgspec import Struct

from proxy.limits.accounts import Accounts, Share, What
from proxy.limits.leases import Lease
from proxy.limits.lending import Want, slice_of
from proxy.limits.subjects import Subject

MOST = 20_000
"""Subjects that are remembered."""
IDLE = 8.0
"""Seconds without a change after which all that is not in use is given back: before rates end by themselves."""
FORGET = 60.0
"""Seconds after which one that has nothing is forgotten."""
FILLS = 2.0
"""Seconds after a request had to wait in which rates are leased ahead of need. Then the next one waits, if there is one."""
SAYS = 2.0
"""Seconds between two words about what is held: three fit into the time after which slots are lost."""
PATIENCE: dict[What, float] = {"rpm": 1.0, "tpm": 1.0, "concurrency": 0.05, "budget": 1.0}
"""Seconds for which a refusal is believed, at most: others may give something back at any time."""


class Spare(Struct, frozen=True):
    """How much of a share may stay, beyond what is in use; what is more is given back."""

    rates: bool
    """All of it, or nothing."""
    slots: int
    budget: bool


KEEP, ALL, OVER = Spare(True, -1, True), Spare(False, 0, False), Spare(False, -2, False)
"""Keep all, give back all, and forget the subject."""


class Refusal(Struct, frozen=True):
    """So much was not there."""

    amount: int
    until: float
    """It need not be asked again before."""
    ends: float
    """When it would be granted; 0: nobody knows."""
    blind: bool = False
    """Only because it was not known yet what hosts hold."""

    def wait(self, now: float) -> float:
        """Seconds, as `Refused` has them."""
        return max(self.ends - now, 0.001) if self.ends else 0.0


class Known(Struct, eq=False):
    """One subject."""

    subject: Subject
    used: float = 0.0
    """When a request last came for it, as far as known."""
    fetched: float = 0.0
    """When one last had to wait."""
    spoken: float = 0.0
    """When the server last heard of it from this worker; 0: it may know nothing."""
    share: Share | None = None
    """As last seen."""
    pressed: bool = False
    """Others want what is held."""
    wants: dict[What, Want] = {}
    refusals: dict[What, Refusal] = {}
    asking: asyncio.Task[None] | None = None

    def hear(
        self,
        refused: Mapping[What, float],
        wants: Mapping[What, Want],
        now: float,
        *,
        settled: bool = True,
    ) -> None:
        """Remember what was refused. `settled`: it was known what hosts hold."""
        for what in wants:
            self.refusals.pop(what, None)
        for what, wait in refused.items():
            amount = wants[what].least if what in wants else 1
            believed = min(wait or 1.0, PATIENCE[what])
            blind = what == "budget" and is_strict(self.subject) and not settled
            ends = now + wait if wait else 0.0
            self.refusals[what] = Refusal(amount, now + believed, ends, blind)


def look(accounts: Accounts, known: Known, now: float) -> Spare | None:
    """Whether to speak of a subject, and what it may keep. None: there is nothing to say."""
    subject, share = known.subject, accounts.share(known.subject)
    if share != known.share:
        known.share, known.used = share, now
    idle = now - known.used > IDLE
    # What was spent counts, also where nothing is left.
    held = share.slots > 0 or share.micro > 0 or (not known.spoken and subject.budget is not None)
    if idle and not held and not (share.requests > 0 or share.tokens > 0):
        if now - known.used > FORGET and not accounts.view(subject).inflight:
            return OVER
        return None
    due = now - known.spoken > SAYS
    if idle:
        return ALL if due else None
    spare = -1 if not subject.concurrency else 0 if known.pressed else slice_of(subject.concurrency)
    low = (
        now - known.fetched < FILLS
        and (
            2 * share.requests < slice_of(subject.rpm) * bool(subject.rpm)
            or 2 * share.tokens < slice_of(subject.tpm) * bool(subject.tpm)
        )
        and not any(
            what in known.refusals and now < known.refusals[what].until for what in ("rpm", "tpm")
        )
    )
    if low or (due and (held or known.pressed)):
        return Spare(True, spare, not known.pressed)
    return None


def take_back(accounts: Accounts, subject: Subject, lease: Lease, spare: Spare) -> Share:
    """Take out of the share what may not stay."""
    left = lease.left
    requests = tokens = slots = micro = 0
    if not spare.rates:
        requests = accounts.give_back(subject, "rpm", left.requests) if left.requests else 0
        tokens = accounts.give_back(subject, "tpm", left.tokens) if left.tokens else 0
    if spare.slots >= 0 and left.slots:
        more = left.slots - lease.inflight - spare.slots
        slots = accounts.give_back(subject, "concurrency", more) if more > 0 else 0
    if not spare.budget and left.micro > 0:
        micro = accounts.give_back(subject, "budget", left.micro)
    return Share(requests, tokens, slots, micro)


def is_strict(subject: Subject) -> bool:
    """Whether its budget is."""
    return subject.budget is not None and subject.budget.strict
