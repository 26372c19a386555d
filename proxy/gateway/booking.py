"""What is written down of a request, and when: its start before anything is sent, its progress, its end.

Nothing here awaits, and nothing here can fail a request: what cannot be recorded is counted, by the spool itself.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from msgspec import Raw, Struct

from proxy.core import clock, lines
from proxy.core.log import logger
from proxy.core.model import VirtualKey
from proxy.gateway import charging
from proxy.gateway.attempt import CUT
from proxy.gateway.charging import UNKNOWN
from proxy.gateway.exchange import new_request_id
from proxy.ledger import forms
from proxy.ledger.records import Adjust, Charged, Progress, Try, encode
from proxy.ledger.spool import Full

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.core.model import Deployment, Snapshot
    from proxy.gateway.attempt import Attempt
    from proxy.gateway.charging import Bill
    from proxy.gateway.exchange import Exchange
    from proxy.gateway.plan import Candidate
    from proxy.ledger.records import Record
    from proxy.ledger.spool import Spool
    from proxy.limits.accounts import Charge
    from proxy.state.state import State

PAUSE = 5.0
"""Seconds after which the progress of a stream is written down again."""
LEAP = 256 * 1024
"""Bytes of its answer after which it is at once."""
NEVER = -1.0
_LONGEST = lines.QUEUED
NOBODY = VirtualKey("", b"")
"""In the place of a key, where none is asked for."""
_TRIED = {"ok": "ok", "client_gone": "cancelled", "deadline": "cancelled"}
"""Outcomes of a request that are no failures, to the outcome of its last attempt."""
_MOST = 8192
"""Combinations of who asks for what, and where, whose fields stay encoded."""


class Entry(Struct, eq=False):
    """What the ledger learns of one request."""

    exchange: Exchange
    spool: Spool
    snapshot: Snapshot
    known: dict[Any, tuple[Raw, Raw]]
    """What has been encoded before (`State.parts`)."""
    came: float
    """Unix time."""
    rid: str
    """Of its own, also where clients name several requests alike: each of them is charged."""
    attempt: Attempt | None = None
    """The last one."""
    parts: tuple[Raw, Raw] | None = None
    """`said` and `target` of that (`ledger.forms`)."""
    tries: tuple[Try, ...] = ()
    """Those that failed."""
    spent: int = 0
    """What they cost, in micro-dollars; UNKNOWN."""
    seen: int = 0
    """Bytes of the answer when progress was written down last."""
    seen_at: float = 0.0

    def begin(self, attempt: Attempt, number: int) -> None:
        """An attempt is about to be sent: the first is 1."""
        self.attempt = attempt
        exchange = self.exchange
        candidate = attempt.candidate
        parts = self.parts = self.known.get(
            (
                exchange.key,
                exchange.endpoint,
                exchange.stream,
                exchange.model[:_LONGEST],
                candidate.slot,
                candidate.upstream_model,
                candidate.held,
            )
        ) or self._encoded(candidate)
        tokens = charging.prompt(exchange)
        hold, asked = exchange.hold, exchange.reserve
        own = (
            self.rid,
            self.came,
            number,
            parts[0],
            asked.worst or asked.likely,
            charging.cost_of(candidate, self.snapshot, tokens),
            tokens,
            () if hold is None else hold.charges,
        )
        try:
            self.spool.write(forms.start(own))
        except Full:
            pass  # counted there
        except Exception:
            logger.exception("the start of request %s could not be written", self.rid)

    def failed(self, attempt: Attempt, number: int, outcome: str, cause: str) -> int:
        """An attempt gave no answer; what it cost all the same, in micro-dollars."""
        cost = charging.spent_for_nothing(attempt, self.snapshot)
        tried = self._try(attempt, number, outcome, cause, cost, attempt.answered_at)
        self.tries = (*self.tries, tried)
        self.spent = _plus(self.spent, cost)
        return cost

    def continued(self, attempt: Attempt, number: int, outcome: str, cause: str, cost: int) -> None:
        """The answer of an attempt broke off, and another, which has begun, goes on with it."""
        self.tries = (*self.tries, self._try(attempt, number, outcome, cause, cost, monotonic()))
        self.spent = _plus(self.spent, cost)

    def back(self, attempt: Attempt | None) -> None:
        """The answer is that of this attempt after all."""
        if attempt is not None:
            self.attempt, self.parts = attempt, self._encoded(attempt.candidate)

    def requested(self, charges: Iterable[Charge]) -> list[int]:
        """A request is counted in each of these windows for an attempt that failed: no other record says so. The positions
        of these."""
        places = []
        for charge in charges:
            where = Charged(charge.subject, charge.window, charge.ends)
            self._append(Adjust(new_request_id(), clock.now(), where, 1, 0, 0), vital=True)
            places.append(self.spool.position)
        return places

    def progress(self, attempt: Attempt, now: float) -> None:
        """A stream goes on: written down now and then."""
        written = self.exchange.bytes_out
        if not self.seen_at:
            self.seen_at = attempt.answered_at
        if written == self.seen or (now - self.seen_at < PAUSE and written - self.seen < LEAP):
            return
        self.seen, self.seen_at = written, now
        if not self.spool.tight:
            tokens, cost = charging.so_far(self.exchange, attempt, self.snapshot)
            self._append(Progress(self.rid, clock.now(), tokens, cost), False)

    def end(
        self,
        bill: Bill,
        attempt: Attempt | None,
        number: int,
        model: str,
        status: int,
        outcome: str,
        cause: str,
        now: float,
        queued: float,
        ttft: float,
        overhead: float,
        written: int,
    ) -> None:
        """It is over, the last of `number` attempts being `attempt`, if that answered. Durations in milliseconds."""
        exchange = self.exchange
        came = exchange.started
        request, hold, failed, parts = exchange.request, exchange.hold, self.tries, self.parts
        finish, connect = "", NEVER
        if attempt is None or parts is None:
            said: Raw = self._elsewhere(model)
            tries: tuple[object, ...] = (failed,)
        else:
            said, target = parts
            started, connected, answered = (
                attempt.started,
                attempt.connected_at,
                attempt.answered_at,
            )
            heard = 0
            if connected:
                gate = attempt.gate
                heard = gate.status
                connect = (connected - started) * 1000
                finish = gate.tap.finish_reason or ""
                if finish:
                    finish = lines.name(finish[:64])
            tried = _TRIED.get(outcome, "")
            if tried:
                cause = ""
            else:
                tried, relay = "final_error", attempt.relay
                if relay is not None and relay.reason in CUT:
                    cause = CUT[relay.reason].value
            if failed:
                tries = ((*failed, self._try(attempt, number, tried, cause, bill.spent, now)),)
            else:
                tries = (
                    forms.TRY,
                    number,
                    target,
                    heard,
                    tried,
                    cause,
                    (started - came) * 1000,
                    connect,
                    (answered - started) * 1000 if answered and attempt.error is None else NEVER,
                    (now - started) * 1000,
                    bill.spent,
                )
        own = (
            self.rid,
            self.came,
            said,
            status,
            outcome,
            cause,
            finish,
            queued,
            connect,
            ttft,
            (now - came) * 1000,
            overhead,
            bill.tokens,
            bill.source,
            bill.cost,
            bill.estimate,
            bill.spent if not self.spent else _plus(self.spent, bill.spent),
            len(exchange.body),
            written,
            request.remote or "",
            lines.name(request.headers.get("User-Agent", "")[:_LONGEST]),
            *tries,
            () if hold is None or not number else hold.charges,
        )
        try:
            self.spool.write(forms.end(own), vital=True)
        except Full:
            pass  # counted there
        except Exception:
            logger.exception("the end of request %s could not be written", self.rid)

    def _elsewhere(self, model: str) -> Raw:
        """What is said of a request that nobody has answered: the last that was asked is where it was, if there is one."""
        last = self.attempt
        if last is None:
            return _said(self.exchange, model)
        candidate = last.candidate
        return _said(self.exchange, model, candidate.deployment, candidate.upstream_model)

    def _encoded(self, candidate: Candidate) -> tuple[Raw, Raw]:
        """`said` and `target` of an attempt, for the next like it."""
        exchange, known = self.exchange, self.known
        deployment, name = candidate.deployment, candidate.upstream_model
        if len(known) >= _MOST:
            known.clear()
        parts = (
            _said(exchange, candidate.model.name, deployment, name),
            forms.part(
                deployment.id,
                deployment.provider.name,
                "" if candidate.credential is None else candidate.credential.id,
                lines.name(name[:_LONGEST]),
                candidate.dialect,
            ),
        )
        who, what = (exchange.key, exchange.endpoint), (exchange.stream, exchange.model[:_LONGEST])
        known[*who, *what, candidate.slot, name, candidate.held] = parts
        return parts

    def _try(
        self, attempt: Attempt, number: int, outcome: str, cause: str, cost: int, now: float
    ) -> Try:
        candidate = attempt.candidate
        started = attempt.started
        connected = attempt.connected_at
        answered = attempt.answered_at
        return Try(
            number,
            candidate.deployment.id,
            candidate.deployment.provider.name,
            "" if candidate.credential is None else candidate.credential.id,
            lines.name(candidate.upstream_model[:_LONGEST]),
            candidate.dialect,
            attempt.gate.status if connected else 0,
            outcome,
            cause,
            (started - self.exchange.started) * 1000,
            (connected - started) * 1000 if connected else NEVER,
            (answered - started) * 1000 if answered and attempt.error is None else NEVER,
            ((now or monotonic()) - started) * 1000,
            cost,
        )

    def _append(self, record: Record, vital: bool) -> None:
        try:
            self.spool.write(encode(record), vital=vital)
        except Full:
            pass  # counted there
        except Exception:
            logger.exception("a record could not be written: %s", type(record).__name__)


def entry(exchange: Exchange, state: State, snapshot: Snapshot, moment: float) -> Entry:
    """Of a request that is recorded from now on: `moment`, of the monotonic clock."""
    spool = state.spool
    assert spool is not None
    rid = f"{new_request_id()}:{exchange.id}" if exchange.named else exchange.id
    came = clock.now() - (moment - exchange.started)
    return Entry(exchange, spool, snapshot, state.parts, came, rid)


def _said(
    exchange: Exchange, model: str, deployment: Deployment | None = None, name: str = ""
) -> Raw:
    endpoint, key = exchange.endpoint, exchange.key or NOBODY
    return forms.part(
        key.id,
        key.name,
        key.team,
        key.owner,
        endpoint.route,
        endpoint.operation,
        endpoint.dialect,
        exchange.stream,
        lines.name(exchange.model[:_LONGEST]),
        model,
        "" if deployment is None else deployment.id,
        "" if deployment is None else deployment.provider.name,
        lines.name(name[:_LONGEST]),
    )


def tick(state: State) -> None:
    """Once a second, by each worker: write down how far streams are."""
    now = monotonic()
    for meter in tuple(state.streams):
        meter.progress(now)


def _plus(one: int, other: int) -> int:
    return UNKNOWN if UNKNOWN in (one, other) else one + other
