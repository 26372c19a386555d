"""What is written down of a request, and when: its start before anything is sent, its progress, its end.

Nothing here awaits, and nothing here can fail a request: what cannot be recorded is counted, by the spool itself.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from proxy.core import clock, lines
from proxy.core.log import logger
from proxy.core.model import VirtualKey
from proxy.gateway import charging
from proxy.gateway.attempt import CUT
from proxy.gateway.charging import UNKNOWN
from proxy.gateway.exchange import new_request_id
from proxy.ledger.records import Adjust, Charged, End, Progress, Start, Try, frame
from proxy.ledger.spool import Full

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.core.model import Snapshot
    from proxy.gateway.attempt import Attempt
    from proxy.gateway.charging import Bill
    from proxy.gateway.exchange import Exchange
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
_NONE: tuple[Try, ...] = ()
_TRIED = {"ok": "ok", "client_gone": "cancelled"}
"""Outcomes of a request that are no failures, to the outcome of its last attempt."""


class Entry:
    """What the ledger learns of one request."""

    __slots__ = (
        "_asked",
        "_came",
        "_exchange",
        "_seen",
        "_seen_at",
        "_snapshot",
        "_spool",
        "_upstream_model",
        "attempt",
        "rid",
        "spent",
        "tries",
    )

    def __init__(self, exchange: Exchange, spool: Spool, snapshot: Snapshot) -> None:
        self._exchange = exchange
        self._spool = spool
        self._snapshot = snapshot
        self._came = clock.now() - (monotonic() - exchange.started)
        self._seen = 0
        self._seen_at = 0.0
        self.rid = f"{new_request_id()}:{exchange.id}" if exchange.named else exchange.id
        """Of its own, also where clients name several requests alike: each of them is charged."""
        self._asked = lines.name(exchange.model[:_LONGEST])
        self._upstream_model = ""
        self.attempt: Attempt | None = None
        """The last one."""
        self.tries: list[Try] | None = None
        """Those that failed."""
        self.spent = 0
        """What they cost, in micro-dollars; UNKNOWN."""

    def begin(self, attempt: Attempt, number: int) -> None:
        """An attempt is about to be sent: the first is 1."""
        self.attempt = attempt
        exchange = self._exchange
        candidate = attempt.candidate
        deployment = candidate.deployment
        endpoint = exchange.endpoint
        key = exchange.key or NOBODY
        tokens = charging.prompt(exchange)
        hold, asked = exchange.hold, exchange.reserve
        upstream_model = self._upstream_model = lines.name(candidate.upstream_model[:_LONGEST])
        self._append(
            Start(
                self.rid,
                self._came,
                number,
                key.id,
                key.name,
                key.team,
                key.owner,
                endpoint.route,
                endpoint.operation,
                endpoint.dialect,
                exchange.stream,
                self._asked,
                candidate.model.name,
                deployment.id,
                deployment.provider.name,
                upstream_model,
                asked.worst or asked.likely,
                charging.cost_of(candidate, self._snapshot, tokens),
                tokens,
                () if hold is None else hold.charges,  # type: ignore[arg-type] # laid out alike
            ),
            False,
        )

    def failed(self, attempt: Attempt, number: int, outcome: str, cause: str) -> int:
        """An attempt gave no answer; what it cost all the same, in micro-dollars."""
        cost = charging.spent_for_nothing(attempt, self._snapshot)
        if self.tries is None:
            self.tries = []
        self.tries.append(self._try(attempt, number, outcome, cause, cost, attempt.answered_at))
        self.spent = _plus(self.spent, cost)
        return cost

    def continued(
        self, attempt: Attempt, number: int, outcome: str, cause: str, cost: int
    ) -> None:
        """The answer of an attempt broke off, and another, which has begun, goes on with it."""
        self.tries = (*self.tries, self._try(attempt, number, outcome, cause, cost, monotonic()))
        self.spent = _plus(self.spent, cost)

    def back(self, attempt: Attempt | None) -> None:
        """The answer is that of this attempt after all."""
        if attempt is not None:
            self.attempt, self.parts = attempt, self._encoded(attempt.candidate)

    def requested(self, charges: Iterable[Charge]) -> None:
        """A request was counted in these windows by an attempt that failed: no other record says so."""
        for charge in charges:
            where = Charged(charge.subject, charge.window, charge.ends)
            self._append(Adjust(new_request_id(), clock.now(), where, 1, 0, 0), vital=True)

    def progress(self, attempt: Attempt, now: float) -> None:
        """A stream goes on: written down now and then."""
        written = self._exchange.bytes_out
        if not self._seen_at:
            self._seen_at = attempt.answered_at
        if written == self._seen or (now - self._seen_at < PAUSE and written - self._seen < LEAP):
            return
        self._seen, self._seen_at = written, now
        if not self._spool.tight:
            tokens, cost = charging.so_far(self._exchange, attempt, self._snapshot)
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
        exchange = self._exchange
        endpoint = exchange.endpoint
        request = exchange.request
        key = exchange.key or NOBODY
        hold = exchange.hold
        deployment = provider = upstream_model = finish = ""
        connect = NEVER
        last = self.attempt
        if last is not None:
            candidate = last.candidate
            deployment = candidate.deployment.id
            provider = candidate.deployment.provider.name
            upstream_model = self._upstream_model
        failed, tries = self.tries, _NONE
        if attempt is not None:
            model = attempt.candidate.model.name
            relay = attempt.relay
            if attempt.connected_at:
                connect = (attempt.connected_at - attempt.started) * 1000
                finish = lines.name((attempt.gate.tap.finish_reason or "")[:64])
            tried, cut = _TRIED.get(outcome, "final_error"), cause
            if outcome in _TRIED:
                cut = ""
            elif relay is not None and relay.reason in CUT:
                cut = CUT[relay.reason].value
            cause = cut
            tries = (self._try(attempt, number, tried, cut, bill.spent, now),)
        self._append(
            End(
                self.rid,
                self._came,
                key.id,
                key.name,
                key.team,
                key.owner,
                endpoint.route,
                endpoint.operation,
                endpoint.dialect,
                exchange.stream,
                self._asked,
                model,
                deployment,
                provider,
                upstream_model,
                status,
                outcome,
                cause,
                finish,
                queued,
                connect,
                ttft,
                (now - exchange.started) * 1000,
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
                tries if failed is None else (*failed, *tries),
                () if hold is None or not number else hold.charges,  # type: ignore[arg-type]
            ),
            True,
        )

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
            self._upstream_model,
            candidate.dialect,
            attempt.gate.status if connected else 0,
            outcome,
            cause,
            (started - self._exchange.started) * 1000,
            (connected - started) * 1000 if connected else NEVER,
            (answered - started) * 1000 if answered and attempt.error is None else NEVER,
            ((now or monotonic()) - started) * 1000,
            cost,
        )

    def _append(self, record: Record, vital: bool) -> None:
        try:
            self._spool.append(frame(record), vital=vital)
        except Full:
            pass  # counted there
        except Exception:
            logger.exception("a record could not be written: %s", type(record).__name__)


def tick(state: State) -> None:
    """Once a second, by each worker: write down how far streams are."""
    now = monotonic()
    for meter in tuple(state.streams):
        meter.progress(now)


def _plus(one: int, other: int) -> int:
    return UNKNOWN if UNKNOWN in (one, other) else one + other
