"""What one exchange has of its hooks: the objects they are given, and all points but the first."""

from __future__ import annotations

import re
from hashlib import blake2b
from time import monotonic
from typing import TYPE_CHECKING, Any

from proxy.core.errors import Cause, ProxyError, UpstreamError
from proxy.core.tasks import spawn
from proxy.dialects import ir
from proxy.dialects.lenient import mended
from proxy.gateway.answer import Kind
from proxy.gateway.endpoints import TRANSLATED
from proxy.gateway.hooks.calling import FAILED, blunder, call
from proxy.gateway.hooks.screened import ScreenedRelay
from proxy.gateway.hooks.screening import Screening, Stages
from proxy.hooks.documents import Answer, Request, put_together, taken_apart
from proxy.hooks.points import Ended, Key, Trial, Veto
from proxy.wire.headers import HOP_BY_HOP

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.dialects.base import Headers
    from proxy.gateway.attempt import Attempt
    from proxy.gateway.exchange import Exchange
    from proxy.gateway.meter import Meter
    from proxy.gateway.relay import Relay
    from proxy.hooks.chain import Chain, Hook
    from proxy.state.state import State

MOST_ENDS = 1000
"""Requests that are over and whose hooks are still told so; in each worker. Others' are not."""
_CREDENTIALS = frozenset(
    {"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "x-goog-api-key",
     "sec-websocket-protocol"}
)  # fmt: skip
_OURS = HOP_BY_HOP | {name.encode() for name in _CREDENTIALS} | {
    b"accept-encoding", b"content-encoding", b"content-length", b"content-type", b"expect", b"host",
}  # fmt: skip
"""Headers of a provider's request that are not to be had: they frame it, or carry the credential."""
_NAME = re.compile(rb"[a-z0-9!#$%&'*+.^_`|~-]{1,128}")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]{0,4096}")
_VETOED = "A rule of this gateway keeps this request from every deployment that could serve it."


class Hooked:
    """See the module. What an `Exchange` has as `hooks`."""

    __slots__ = (
        "_came",
        "_chain",
        "_events",
        "_exchange",
        "_meter",
        "_requests",
        "answers",
        "attempts",
        "decoder",
        "first",
        "screening",
        "screens",
        "state",
    )

    def __init__(self, exchange: Exchange, chain: Chain, meter: Meter) -> None:
        self._exchange = exchange
        self._chain = chain
        self._meter: Meter | None = meter
        self._requests: dict[Hook, Request] = {}
        self._came = b""
        self.state: State = meter.state
        operation = exchange.endpoint.operation
        self.attempts = bool(chain.attempt)
        self.screens = bool(chain.screens) and operation in TRANSLATED
        self.answers = bool(chain.after or chain.screens)
        self.screening: Screening | None = None
        self.first: list[ir.Event] = []
        """What the client is told of what the gate has seen of a stream."""
        self.decoder: Any = None

    # --- the request ---

    def request(self, hook: Hook) -> Request:
        """What this hook is given of it."""
        found = self._requests.get(hook)
        if found is None:
            found = self._requests[hook] = self._request()
        return found

    def forget(self, hook: Hook) -> None:
        """It failed, and may still be at work on what it was given: the next time it is given another."""
        self._requests.pop(hook, None)

    def came(self, body: bytes) -> None:
        """The request was changed; this is what it was before."""
        self._came = self._came or body

    def _request(self) -> Request:
        exchange = self._exchange
        key, envelope = exchange.key, exchange.envelope
        return Request(
            {} if envelope is None else envelope.fields(),
            id=exchange.id,
            route=exchange.endpoint.route,
            operation=exchange.endpoint.operation,
            dialect=exchange.endpoint.dialect,
            model=exchange.model,
            stream=exchange.stream,
            key=None if key is None else Key(key.name, key.id, key.owner, key.team),
            headers={
                name.lower(): value
                for name, value in exchange.request.headers.items()
                if name.lower() not in _CREDENTIALS
            },
        )

    # --- who may share an answer ---

    @property
    def alone(self) -> bool:
        """What it is answered may depend on whose it is, because a hook knows that."""
        return self._chain.shapes

    @property
    def mark(self) -> bytes:
        """The same for two requests that were alike before hooks saw them, and had the same hooks."""
        return self._chain.mark + blake2b(self._came, digest_size=16).digest()

    def shadow(self, exchange: Exchange, meter: Meter) -> Hooked | None:
        """For the same request at another model: who may be asked is the same question there."""
        if not self._chain.attempt:
            return None
        made = Hooked(exchange, self._chain, meter)
        made.screens = made.answers = False
        return made

    # --- attempts ---

    async def before_attempt(self, attempt: Attempt) -> Headers:
        """Headers that are sent besides. Raises UpstreamError (vetoed), ProxyError (hook_refused, hook_failed)."""
        headers: Headers = []
        candidate = attempt.candidate
        for made in self._chain.attempt:
            deployment = candidate.deployment
            trial = Trial(
                deployment.id,
                deployment.provider.name,
                candidate.upstream_model,
                candidate.dialect or self._exchange.endpoint.dialect,
            )
            try:
                result = await call(made, self.state, self.request(made.hook), trial)
            except Veto:
                error = UpstreamError(Cause.VETOED, sent=False)
                error.refusal = ProxyError("hook_refused", _VETOED, code="vetoed_by_hook")
                raise error from None
            if result is FAILED:
                continue
            try:
                headers += _lines(trial.headers)
            except (ValueError, AttributeError) as error:
                blunder(made, self.state, f"named a header that is not to be had ({error})")
        return headers

    # --- answers ---

    async def answered(self, attempt: Attempt) -> None:
        """Have what is there of an answer looked at: all of it, or of a stream what the gate has seen.

        Raises ProxyError (hook_refused, hook_failed) before the client has any of it; the meter knows why.
        """
        try:
            await self._answered(attempt)
        except ProxyError as refusal:
            self.refused(refusal)
            raise

    def refused(self, refusal: ProxyError) -> None:
        """An answer was: its provider is paid all the same."""
        assert self._meter is not None
        self._meter.cause = refusal.code

    async def _answered(self, attempt: Attempt) -> None:
        gate, translation = attempt.gate, attempt.translation
        if translation is None or attempt.body is not None:
            if not self._exchange.stream:
                if attempt.body is not None:
                    attempt.body = await self._whole(attempt.body, attempt)
                elif gate.kind is Kind.WHOLE:
                    gate.held = await self._whole(gate.held, attempt)
            elif translation is not None and self.screens:
                told: list[ir.Event] = []
                await Screening(self, self._chain.screens).take(translation.told, told)
                attempt.body = b"".join(map(translation.encoder().encode, told))
        elif self.screens:
            self.screening = Screening(self, self._chain.screens)
            self.decoder = translation.decoder()
            self.first = []
            events: list[ir.Event] = []
            for event in translation.provider.framing.events(gate.held[: gate.scanned]):
                if event.data is not None:
                    events += self.decoder.feed(event.name, event.data)
            await self.screening.take(events, self.first)

    def relay(self, make: type[Relay]) -> type[Relay]:
        """In the place of `make`, for a stream that `answered` has seen."""
        return make if self.screening is None else ScreenedRelay

    async def _whole(self, body: bytes, attempt: Attempt) -> bytes:
        """An answer as its hooks want it; what is no JSON object they are not shown."""
        readable, raw = body, taken_apart(body)
        if (raw is None or not _is_text(body)) and body.lstrip()[:1] == b"{":
            # A character that was cut in two: clients read the rest, so it must not pass by a screen.
            readable = mended(body)
            raw = taken_apart(readable)
        if raw is None:
            return body
        wanted = await self._wanted(readable, raw, attempt)
        return body if wanted is readable else wanted

    async def _wanted(self, body: bytes, raw: Mapping[str, Any], attempt: Attempt) -> bytes:
        """The same object if nothing was changed."""
        if self._chain.screens:
            body = await self._screened(body, _answer(raw, attempt))
        for made in self._chain.after:
            seen = _answer(taken_apart(body) or {}, attempt)
            result = await call(made, self.state, self.request(made.hook), seen)
            if result is FAILED:
                continue
            try:
                changes = seen.changes()
            except Exception:
                blunder(made, self.state, "put something into the answer that is no JSON")
                continue
            if changes:
                body = put_together(seen.raw, changes)
        return body

    async def _screened(self, body: bytes, answer: Answer) -> bytes:
        for word in answer.words():
            stages = Stages(self, self._chain.screens, word.kind, ir.TextDelta)
            word.text = await stages.take(word.text, final=True)
        for name in answer.changes():
            answer.set(name, _without_probabilities(answer.field(name)))
        changes = answer.changes()
        return put_together(answer.raw, changes) if changes else body

    # --- the end ---

    def over(self, meter: Meter) -> None:
        """Everything is written down: tell those who want to know. Nobody waits for them."""
        # Else they would hold each other, and all of a request would wait for the garbage collector.
        self._exchange.hooks = self.screening = self._meter = None
        if not self._chain.end:
            return
        if _Ends.running >= MOST_ENDS:
            for made in self._chain.end:
                meter.state.metrics.hook_calls.child(
                    made.hook.name, made.point.value, "dropped"
                ).inc()
            return
        _Ends.running += 1
        spawn(self._told(_ended(self._exchange, meter)), name="hooks at the end")

    async def _told(self, ended: Ended) -> None:
        try:
            for made in self._chain.end:
                try:
                    await call(made, self.state, self.request(made.hook), ended)
                except (ProxyError, Veto):
                    continue  # it has been counted, and there is nothing left to refuse
        finally:
            _Ends.running -= 1


class _Ends:
    running = 0


def _lines(headers: dict[str, str]) -> Headers:
    """Raises ValueError with the name of one that may not be sent."""
    found = []
    for name, value in headers.items():
        raw = name.lower().encode("latin-1", "replace"), value.encode("latin-1", "replace")
        if not _NAME.fullmatch(raw[0]) or raw[0] in _OURS or not _VALUE.fullmatch(raw[1]):
            raise ValueError(raw[0].decode("latin-1")[:64])
        found.append(raw)
    return found


def _is_text(body: bytes) -> bool:
    try:
        return body.isascii() or bool(body.decode())
    except UnicodeDecodeError:
        return False


_PROBABILITIES = frozenset({"logprobs", "logprobsResult", "logprobs_result"})


def _without_probabilities(value: Any) -> Any:
    """They name the tokens that a screen has taken out."""
    if isinstance(value, list):
        return [_without_probabilities(item) for item in value]
    if isinstance(value, dict):
        return {
            name: None if name in _PROBABILITIES else _without_probabilities(item)
            for name, item in value.items()
        }
    return value


def _answer(raw: Mapping[str, Any], attempt: Attempt) -> Answer:
    deployment = attempt.candidate.deployment
    return Answer(
        raw,
        status=attempt.gate.status,
        deployment=deployment.id,
        provider=deployment.provider.name,
    )


def _ended(exchange: Exchange, meter: Meter) -> Ended:
    attempt, bill, relay = meter.attempt, meter.bill, meter.relay
    deployment = None if attempt is None else attempt.candidate.deployment
    tokens = None if bill is None or bill.source == "none" else bill.tokens
    return Ended(
        meter.outcome,
        meter.cause,
        meter.status,
        meter.model,
        "" if deployment is None else deployment.id,
        "" if deployment is None else deployment.provider.name,
        exchange.stream,
        monotonic() - exchange.started,
        -1.0 if relay is None else max(relay.first_written, relay.first_content) - exchange.started,
        -1 if tokens is None else tokens.input + tokens.cache_read + tokens.cache_write,
        -1 if tokens is None else tokens.output,
        -1 if bill is None else bill.cost,
        bill is not None and bill.source in ("estimated", "suspect"),
    )
