"""Limits that several hosts hold together: each leases a slice of them from Redis or Valkey, and draws on it without I/O.

    admit raises Short -> await fetch(short) -> True: admit again; False: refused, after `short.wait` seconds
    run                -> heartbeat, slices kept full ahead of need, what is not used given back

A slice is 5 % of a limit (of what is left of a budget) and lies in the memory all workers of the host share. The server
never grants more than the limit, so what all hosts admit together is never more either. From the first answer that
does not come in time nothing waits for the server any more, and `Accounts` is blind, until a try behind its back
succeeds; `breaker.py` says how often to try.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from proxy.core.clock import monotonic
from proxy.core.log import logger
from proxy.core.model import Shared
from proxy.core.tasks import spawn
from proxy.limits import lending, tending
from proxy.limits.accounts import Accounts, Share, Short, What
from proxy.limits.breaker import Breaker, Circuit
from proxy.limits.lending import Terms, Want
from proxy.limits.link import Failed, Link
from proxy.limits.scripts import BEAT
from proxy.limits.tending import Known, Refusal, is_strict

if TYPE_CHECKING:
    from proxy.limits.subjects import Subject

BEATS = 1.0
"""Seconds between two signs of life."""
LIVES = 15
"""Seconds after the last of them a host is taken to be dead."""
TICK = 0.25
RETRY = 0.05
"""Seconds between two tries while the server seems to be away, before the breaker opens."""
MARGIN = 1.2
"""All hosts together allow themselves this much of a rate while the server is away, if as many live as did before."""
SETTLES = 3.0
"""Seconds after a start of the server until every host has told it what it holds."""
LOST = 60.0
"""Seconds after such a start in which an unknown rate is not taken to be unused."""
TOGETHER = 50
"""Subjects that are spoken of in one turn of the loop, at most, where nobody waits."""
HURRY = 0.25
"""Seconds that a start waits for the server."""


class Shares:
    """One a worker, for its `Accounts`. `host` names this host among the others."""

    def __init__(self, settings: Shared, accounts: Accounts, host: str) -> None:
        """Raises ValueError where `settings.url` cannot be used, or the client is not installed."""
        if settings.url is None:
            raise ValueError("shared.url: is not set")
        self._accounts = accounts
        self._prefix = settings.prefix
        self._host = host
        self._timeout = settings.timeout
        self._link = Link(settings.url, settings.timeout)
        # Whoever waits longer for an answer needs longer to be without one as often.
        self._breaker = Breaker(within=max(1.0, 20 * settings.timeout))
        self._up = False
        self._met = False
        """It has answered once."""
        self._hosts = 1
        """How many lived, when the server last said."""
        self._server = ""
        self._settled = self._lost = 0.0
        """Moments from which the server knows what hosts hold, and what rates have been used."""
        self._down_since = monotonic()
        self._beaten = 0.0
        self._wake = asyncio.Event()
        self._known: dict[bytes, Known] = {}
        self._outcomes = dict.fromkeys(("ok", "refused", "timeout", "error"), 0)

    @property
    def up(self) -> bool:
        """Whether the server answers: False until it did for the first time."""
        return self._up

    @property
    def hosts(self) -> int:
        """How many share the limits, when the server last said."""
        return self._hosts

    def operations(self) -> list[tuple[tuple[str], int]]:
        """For a metric: outcome and how many. `ok`, `refused` (there is none left), `timeout`, `error`."""
        return [((outcome,), number) for outcome, number in self._outcomes.items()]

    # --- requests ----------------------------------------------------------------------------------------------

    async def fetch(self, short: Short) -> bool:
        """Lease what is missing, with at least a slice. True: admit again. False: there is none, for `short.wait` seconds.

        Takes `settings.timeout` seconds at most, and once as long if the server was busy with others. Who asks for a subject that is being asked for waits for the same
        answer, and what is asked in one turn of the loop goes out together.
        """
        if not self._up:
            return True
        subject, what = short.subject, short.what
        if what == "budget" and is_strict(subject) and not self._accounts.known:
            short.what = "blind"
            return False
        known = self._known.get(subject.digest)
        if known is None or known.subject is not subject:
            known = self._meet(subject)
        now = known.used = known.fetched = monotonic()
        refusal = known.refusals.get(what)
        if refusal is not None and now < refusal.until and short.amount >= refusal.amount:
            return _refused(short, refusal, now)
        want = known.wants.get(what)
        if want is None:
            known.wants[what] = Want(short.amount, short.amount)
        else:
            want.least, want.all = min(want.least, short.amount), want.all + short.amount
        asking = known.asking
        if asking is None:
            asking = self._begin(known, None)
        # What is sent has its deadline there, and whoever stops waiting must not stop it for the others.
        await asyncio.wait({asking})
        now, refusal = monotonic(), known.refusals.get(what)
        if refusal is None or now >= refusal.until:
            return True
        return _refused(short, refusal, now)

    def _meet(self, subject: Subject) -> Known:
        if len(self._known) >= tending.MOST:
            # The one met first: what it has is given back, or ends by itself.
            self._known.pop(next(iter(self._known)))
        known = self._known[subject.digest] = Known(subject)
        return known

    def _begin(self, known: Known, spare: tending.Spare | None) -> asyncio.Task[None]:
        """Speak of a subject, in the next turn of the loop: then it is known what all of this one want."""
        known.asking = spawn(self._ask(known, spare), name="shared limits")
        return known.asking

    async def _ask(self, known: Known, spare: tending.Spare | None) -> None:
        wants, known.wants = known.wants, {}
        try:
            await self._speak(known, wants, spare)
        finally:
            known.asking = None

    async def _speak(
        self, known: Known, wants: dict[What, Want], spare: tending.Spare | None
    ) -> None:
        subject, accounts = known.subject, self._accounts
        now = monotonic()
        lease = accounts.lease(subject, 4 * self._timeout)
        if lease is None:
            if wants:
                await self._wait_for_others(subject)
            return
        fill = spare is None or (spare.rates and now - known.fetched < tending.FILLS)
        back = Share() if spare is None else tending.take_back(accounts, subject, lease, spare)
        known.spoken = now
        terms = Terms(self._prefix, self._host, now >= self._settled, now < self._lost)
        words = lending.speak(self._link, terms, subject, lease, wants, back, fill)
        outcome = await lending.hear(words)
        accounts.leased(subject, lease.number, outcome.grants)
        self._outcomes["ok"] += len(words) - len(outcome.failed) - len(outcome.refused)
        self._outcomes["refused"] += len(outcome.refused)
        if outcome.failed:
            # What was sent together fails together.
            self._failed(outcome.failed[0], len(outcome.failed))
        if outcome.overtaken:
            accounts.overtaken(subject, outcome.overtaken)
        if outcome.pressed and not known.pressed:
            known.spoken = 0.0  # others wait for what may be spared: say at once how much that is
        known.pressed = outcome.pressed
        known.hear(outcome.refused, wants, monotonic(), settled=now >= self._settled)
        known.share = accounts.share(subject)

    async def _wait_for_others(self, subject: Subject) -> None:
        """Another worker of this host is asking: what it gets is for all. Its slot says when."""
        until = monotonic() + self._timeout / 2
        while monotonic() < until:
            await asyncio.sleep(0.001)
            lease = self._accounts.lease(subject, 4 * self._timeout)
            if lease is not None:
                self._accounts.leased(subject, lease.number, lending.still_owed(lease))
                return

    # --- the server --------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Tell `Accounts` that limits are shared, and connect: `run` goes on with it where that takes long. Never raises."""
        self._go_blind()
        with suppress(TimeoutError):
            async with asyncio.timeout(HURRY):
                await self._try()

    async def run(self) -> None:
        """Keep leases alive, fill those that run low, give back what is not used. Until cancelled."""
        while True:
            if self._up:
                if monotonic() - self._beaten >= BEATS:
                    await self._try()
                await self._tend()
                pause = TICK
            else:
                allowed = self._breaker.allows(monotonic())
                pause = 0.0 if allowed and await self._try() else RETRY
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()

    async def close(self) -> None:
        """Give back what this worker's host does not use, and disconnect. Never raises."""
        if self._up:
            everything = list(self._known.values())
            for start in range(0, len(everything), TOGETHER):
                await asyncio.gather(
                    *(self._give_all(known) for known in everything[start : start + TOGETHER])
                )
        self._go_blind()
        await self._link.close()

    async def _give_all(self, known: Known) -> None:
        if known.asking is not None:
            await asyncio.wait({known.asking})
        if self._up:
            await self._speak(known, {}, tending.ALL)

    async def _try(self) -> bool:
        """A word that writes, as those do that matter. Whether it was answered."""
        try:
            if not self._link.connected:
                self._meet_server(*await self._link.connect())
            (hosts,) = await self._link.call(BEAT, f"{self._prefix}:hosts", self._host, LIVES)
        except Failed as failed:
            self._failed(failed)
            return False
        self._outcomes["ok"] += 1
        self._answered(hosts)
        return True

    def _meet_server(self, up: float, server: str) -> None:
        now = monotonic()
        if server and server == self._server:
            return
        self._settled = now + SETTLES - up
        if self._met:
            self._lost = now + LOST - up
        self._server = server

    def _answered(self, hosts: int) -> None:
        self._hosts, self._beaten = hosts, monotonic()
        opened = self._breaker.succeeded()
        if self._up:
            return
        self._up = True
        self._accounts.use_shares(True)
        for known in self._known.values():
            # The server may have forgotten what it was told.
            known.spoken = 0.0
            known.refusals.clear()
        if opened:
            away = monotonic() - self._down_since
            logger.warning("shared limits: the server answers again, after %.1f s", away)
        elif not self._met:
            logger.info("shared limits: the server answers; hosts: %d", hosts)
        self._met = True

    def _failed(self, failed: Failed, times: int = 1) -> None:
        self._outcomes["timeout" if failed.timeout else "error"] += times
        now = monotonic()
        if self._up:
            self._down_since = now
            self._go_blind()
            self._wake.set()
        if self._breaker.failed(now, timeout=failed.timeout):
            logger.warning(
                "shared limits: the server is away (%s); each host holds its part of them alone, and strict budgets"
                " are refused",
                failed,
            )

    def _go_blind(self) -> None:
        self._up = False
        self._accounts.go_blind(min(1.0, MARGIN / max(self._hosts, 1)))

    @property
    def circuit(self) -> Circuit:
        """Of the breaker."""
        return self._breaker.circuit

    # --- leases ------------------------------------------------------------------------------------------------

    async def _tend(self) -> None:
        """What subjects need that this worker has leased for."""
        now, accounts = monotonic(), self._accounts
        for number, known in enumerate(list(self._known.values())):
            if not self._up:
                return
            if number % TOGETHER == TOGETHER - 1:
                await asyncio.sleep(0)
            if known.asking is not None:
                continue
            spare = tending.look(accounts, known, now)
            if spare is None:
                continue
            if spare is tending.OVER:
                self._known.pop(known.subject.digest, None)
                continue
            self._begin(known, spare)


def _refused(short: Short, refusal: Refusal, now: float) -> bool:
    """False, and why."""
    short.wait = refusal.wait(now)
    if refusal.blind:
        short.what = "blind"
    return False
