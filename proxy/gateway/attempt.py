"""One try at one deployment: connect, send, and wait for the gate."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from time import monotonic
from typing import TYPE_CHECKING

from proxy.core.errors import Cause, ProxyError, UpstreamError
from proxy.core.surfaces import CONVERSATION, family
from proxy.dialects import DIALECTS
from proxy.gateway import outbound, sizing, translation
from proxy.gateway.answer import Gate, Kind
from proxy.gateway.pulse import Pulse
from proxy.gateway.translation import Translation
from proxy.upstream.conversations import Limits

if TYPE_CHECKING:
    from proxy.gateway.exchange import Exchange, Headers
    from proxy.gateway.plan import Candidate
    from proxy.gateway.relay import Relay
    from proxy.upstream.connection import UpstreamConnection
    from proxy.upstream.conversations import Conversations
    from proxy.upstream.pool import Upstream

CONNECT_WITH_ALTERNATIVES = 2.0
"""Seconds to connect while another candidate is left."""


_WAITS = frozenset({Cause.TIMEOUT_CONNECT, Cause.TIMEOUT_TTFT, Cause.POOL})
_TICK = 0.002
"""Timers may be this much too early."""


class End(StrEnum):
    """How a response ended; the closed label set of `headrace_stream_terminations_total`."""

    DONE = "done"
    FINISH_NO_DONE = "finish_no_done"
    TRUNCATED = "truncated"
    STALLED = "stalled"
    CLIENT_GONE = "client_gone"
    ERROR_EVENT = "error_event"
    DEADLINE = "deadline"
    CLIENT_DEADLINE = "client_deadline"
    MALFORMED = "malformed"
    RESTART = "restart"
    REFUSED = "refused"
    """A hook of the installation stopped it."""


CUT = {
    End.TRUNCATED: Cause.TRUNCATED,
    End.STALLED: Cause.TIMEOUT_IDLE,
    End.DEADLINE: Cause.TIMEOUT_TOTAL,
    End.MALFORMED: Cause.MALFORMED,
    End.ERROR_EVENT: Cause.IN_BAND,
}
"""Ends of a stream that are the provider's doing."""


class Attempt:
    """The unit of retry, metrics and blame."""

    __slots__ = (
        "answered_at",
        "body",
        "candidate",
        "connected_at",
        "error",
        "exchange",
        "gate",
        "headers",
        "heir",
        "late_bytes",
        "late_events",
        "lingers",
        "opened",
        "relay",
        "spent",
        "started",
        "translation",
        "upstream",
    )

    gate: Gate
    upstream: UpstreamConnection

    def __init__(self, exchange: Exchange, candidate: Candidate) -> None:
        self.exchange = exchange
        self.candidate = candidate
        self.error: UpstreamError | None = None
        self.relay: Relay | None = None
        self.started = monotonic()
        self.connected_at = 0.0
        self.opened = False
        """A connection was opened for it, not taken from the pool."""
        self.spent = 0.0
        """Seconds of its time that went into beginning a conversation."""
        self.answered_at = 0.0
        self.translation: Translation | None = None
        """What stands between client and provider, where they do not speak the same way."""
        self.body: bytes | None = None
        """The whole answer in the client's words, unless it is relayed as it comes."""
        self.heir: Attempt | None = None
        """Who was asked beside it, when it has failed and that one has not (`hedging`)."""
        self.headers: Headers = []
        """Sent besides: what hooks named."""
        self.lingers = False
        """A client that leaves does not end it: the answer is read on, for what it costs."""
        self.late_events = self.late_bytes = 0
        """Of an answer that nobody waited for any more."""
        if exchange.trace is not None:
            exchange.trace.began(self)

    async def run(self, upstream: Upstream, ttft_limit: float, *, eager: bool) -> bool:
        """Whether this deployment gives an answer; `error` says why not.

        A reused connection that closes before a byte of the response was merely stale: the request is sent once
        more on a new one, which is no failure of the provider's.
        """
        hooks = self.exchange.hooks
        upstream.attempts += 1
        try:
            if hooks is not None and hooks.attempts:
                self.headers = await hooks.before_attempt(self)
            if translation.needed(self.exchange, self.candidate):
                self._prepare()
            if upstream.minter is not None:
                await self._mint(upstream, eager=eager)
            if upstream.conversations is not None:
                await self._converse(upstream.conversations, ttft_limit, eager=eager)
            await self._send(upstream, ttft_limit, eager=eager)
            error = self.gate.error
            if error is not None and error.cause is Cause.STALE:
                upstream.drop_idle()
                await self._send(upstream, ttft_limit, eager=eager, fresh=True)
                error = self.gate.error
            if (
                error is not None
                and error.cause is Cause.AUTH
                and upstream.refused(self._family(), self.candidate.credential)
            ):
                # Taken back before its time, perhaps: that is neither the credential's fault nor the client's.
                await self._mint(upstream, eager=eager)
                await self._send(upstream, ttft_limit, eager=eager)
                error = self.gate.error
            self.error = error
            if error is None and self.translation is not None:
                self.error = self.translate()
        except UpstreamError as error:
            self.error = error
        finally:
            upstream.attempts -= 1
            if upstream.quieted is not None:
                upstream.tell_quiet()
        self.answered_at = monotonic()
        if self.error is not None:
            self._failed(self.error)
        return self.error is None

    def _failed(self, error: UpstreamError) -> None:
        """Whose words it is in, and whose doing it is."""
        if self.translation is not None:
            error.foreign = not self.translation.verbatim
        deadline = self.exchange.deadline
        if (
            deadline is not None
            and error.cause in _WAITS
            and deadline.at - self.answered_at < _TICK
        ):
            # Who waited no longer, to keep to the client's time, has nothing against the provider.
            error.cause = Cause.DEADLINE

    def _prepare(self) -> None:
        try:
            self.translation = Translation(self.exchange, self.candidate)
        except ProxyError as refusal:
            error = UpstreamError(Cause.UNTRANSLATABLE, sent=False)
            error.refusal = refusal
            raise error from None

    async def _mint(self, upstream: Upstream, *, eager: bool) -> None:
        """Have a token for the credential, where that is not presented itself."""
        limit = self._connect_limit(eager)
        await upstream.mint(self._family(), self.candidate.credential, limit)

    def _family(self) -> str:
        return family(self.candidate.dialect or self.exchange.endpoint.dialect)

    async def _converse(
        self, conversations: Conversations, ttft_limit: float, *, eager: bool
    ) -> None:
        """Have a conversation begun to ask in. It takes its time from that of the answer."""
        candidate, translation = self.candidate, self.translation
        if translation is None or candidate.dialect != CONVERSATION:
            return
        limits = Limits(self._connect_limit(eager), self._in_time(self._limit(ttft_limit)))
        opened = await conversations.take(candidate.credential, candidate.upstream_model, limits)
        self.spent = monotonic() - self.started
        translation.converse(opened)

    def _connect_limit(self, eager: bool) -> float:
        connect = self.candidate.deployment.timeouts.connect
        limit = connect if eager else min(connect, CONNECT_WITH_ALTERNATIVES)
        return limit if self.exchange.deadline is None else self._in_time(limit)

    def _in_time(self, limit: float) -> float:
        """Or less, when the client does not wait so long."""
        deadline = self.exchange.deadline
        if deadline is None:
            return limit
        return min(limit, max(deadline.left(monotonic()), _TICK))

    def _limit(self, ttft_limit: float) -> float:
        """Seconds until there must be an answer, or the first of it."""
        whole = self.translation is not None and not self.translation.endpoint.stream
        if self.exchange.stream and not whole:
            return ttft_limit
        return self.candidate.deployment.timeouts.request

    def translate(self) -> UpstreamError | None:
        """Put an answer that is here as a whole, or is wanted as one, into the client's words."""
        translation, gate = self.translation, self.gate
        assert translation is not None
        if gate.kind is Kind.EVENTS and translation.streams:
            return None
        put = translation.folded if gate.kind is Kind.EVENTS else translation.whole
        try:
            self.body = put(gate.held)
        except ValueError:
            return UpstreamError(Cause.MALFORMED, status=gate.status)
        return None

    async def _send(
        self, upstream: Upstream, ttft_limit: float, *, eager: bool, fresh: bool = False
    ) -> None:
        exchange = self.exchange
        translation = self.translation
        trace, context = exchange.trace, b""
        if trace is not None and upstream.provider.propagate:
            context = trace.context(self)
        head, body, hide_usage = outbound.render(
            exchange, self.candidate, upstream, translation, context, self.headers
        )
        endpoint = exchange.endpoint if translation is None else translation.endpoint
        connection, release = await upstream.connect(self._connect_limit(eager), fresh=fresh)
        self.connected_at = monotonic()
        self.opened = connection.served == 0
        loop = asyncio.get_running_loop()
        stream = bool(endpoint.stream) if translation else exchange.stream
        gate = self.gate = Gate(
            endpoint,
            DIALECTS[endpoint.dialect] if translation is None else translation.provider,
            stream=stream,
            eager=eager,
            array=exchange.stream and translation is None and exchange.array,
            hide_usage=hide_usage,
            loop=loop,
            patient=translation is not None and not exchange.stream,
            answers=sizing.awaited(exchange) if stream else 1,
        )
        self.upstream = gate.source = connection
        try:
            connection.exchange(head, body, gate, release, upgrades=endpoint.upgrades)
        except UpstreamError:
            release()
            raise
        whole = translation is not None and not endpoint.stream
        limit = self._limit(ttft_limit) - self.spent
        timer = loop.call_later(
            limit if exchange.deadline is None else self._in_time(limit), gate.expire
        )
        pulse = None
        if whole and exchange.stream and translation is not None:
            pulse = Pulse(exchange, translation, loop)
        try:
            await gate.done
        finally:
            timer.cancel()
            if pulse is not None:
                pulse.stop()
            left = self.lingers and gate.error is None  # else it has failed
            if not gate.opened and connection.consumer is gate and not left:
                connection.cancel()

    def close(self) -> None:
        """Leave nothing behind, whatever happened; safe to call twice."""
        relay = self.relay
        if relay is not None:
            if not relay.done.done():
                relay.gone()
        elif self.connected_at and self.upstream.consumer is self.gate:
            self.upstream.cancel()

    @property
    def is_stream(self) -> bool:
        """Whether the answer is relayed as it comes."""
        return self.error is None and self.body is None and self.gate.kind is not Kind.WHOLE
