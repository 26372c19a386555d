"""The client's answer, whatever it turned out to be: a stream, a whole body, an error of ours or of a provider's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import orjson

from proxy.core.errors import ProxyError, UpstreamError
from proxy.core.redact import redact_bytes
from proxy.dialects import DIALECTS
from proxy.dialects.refusal import NOTHING_SAID, render_refusal, said
from proxy.dialects.render import render_error
from proxy.dialects.rerank import shaped
from proxy.gateway.answer import Kind
from proxy.gateway.event_relay import EventRelay
from proxy.gateway.relay import BytesRelay, Relay
from proxy.gateway.socket_relay import SocketRelay
from proxy.gateway.translating import TranslatingRelay
from proxy.upstream.connection import SWITCHED
from proxy.wire.headers import to_client
from proxy.wire.naming import named

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.gateway.answer import Gate
    from proxy.gateway.attempt import Attempt
    from proxy.gateway.connection import ClientConnection
    from proxy.gateway.exchange import Exchange
    from proxy.gateway.translation import Translation
    from proxy.upstream.connection import Headers

    Choose = Callable[[Exchange, type[Relay]], type[Relay]]

_REMARK = re.compile(r" \([^)]*\)")
_UNSAFE_NAME = re.compile(r"[^A-Za-z0-9_.\[\]:=* -]")
_MOST_NAMES = 32
_LONGEST_NAME = 80


async def respond(
    exchange: Exchange,
    attempt: Attempt,
    client: ClientConnection,
    write_timeout: float,
    extra: Headers,
    *,
    left_open: Choose | None = None,
) -> Relay | None:
    """Give the client what `attempt` found; returns when the response has ended, well or not.

    `left_open` chooses in the place of a relay one that may be left open when it breaks off, if somebody can go on with
    it (`continuation`).
    Returns the relay that carried a stream (its `reason` says how it ended), None for a whole body.
    """
    gate = attempt.gate
    translation = attempt.translation
    hooks = exchange.hooks
    if hooks is not None and hooks.answers:
        try:
            await hooks.answered(attempt)
        except ProxyError as refusal:
            reject(exchange, refusal)
            return None
    if translation is None:
        headers = (_compressed(gate) if gate.encoding else to_client(gate.headers)) + extra
        if gate.kind is Kind.WHOLE or _is_nothing(gate):
            held = gate.held if exchange.alias is None else named(gate.held, exchange.alias)
            if exchange.endpoint.operation == "rerank":
                held = shaped(held, billed=exchange.endpoint.billed)
            exchange.respond(gate.status, headers, held)
            return None
        make: type[Relay] = EventRelay if gate.kind is Kind.EVENTS else BytesRelay
        if gate.status == SWITCHED:
            make = SocketRelay
    else:
        headers = _translated_headers(attempt, translation) + extra
        if attempt.body is not None:
            _give(exchange, headers, attempt.body)
            return None
        make = TranslatingRelay
    if left_open is not None:
        make = left_open(exchange, make)
    if hooks is not None:
        make = hooks.relay(make)
    relay: Relay = make(exchange, attempt, client, write_timeout)
    attempt.relay = relay
    if exchange.witness is not None:
        exchange.witness.watch(relay)
    relay.begin(headers)
    if not relay.done.done():
        await relay.done
    return relay


def _compressed(gate: Gate) -> Headers:
    """The provider's. What is not looked into may be compressed in a way that nobody here can undo."""
    passed = to_client(gate.headers)
    if gate.endpoint.opaque:
        passed.append((b"content-encoding", gate.encoding))
    return passed


def _is_nothing(gate: Gate) -> bool:
    """Whether the answer is its head alone, such as 202 or 204."""
    return gate.endpoint.opaque and gate.ended and not gate.held and gate.status != SWITCHED


def _give(exchange: Exchange, headers: Headers, body: bytes) -> None:
    """A whole answer, or a stream that is here as a whole."""
    if not exchange.stream:
        if exchange.alias is not None:
            body = named(body, exchange.alias)
        exchange.respond(200, headers, body)
        return
    head = b"" if exchange.head_sent else exchange.head(200, headers, None)
    exchange.bytes_out += len(body)
    if exchange.witness is not None:
        exchange.witness.whole(body)
    if exchange.books is not None:
        exchange.books.over()
    exchange.finish(head + exchange.frame(body))


def _translated_headers(attempt: Attempt, translation: Translation) -> Headers:
    """The provider's, the content type of what we write, and what had to be left out."""
    passed = [pair for pair in to_client(attempt.gate.headers) if pair[0] != b"content-type"]
    passed.append((b"content-type", translation.content_type))
    if translation.loss:
        names = [_listed(name) for name in translation.dropped()]
        passed.append((b"x-headrace-dropped", ", ".join(names[:_MOST_NAMES]).encode()))
    return passed


def _listed(name: str) -> str:
    """A name as it stands in a list with commas: "user, safety_identifier" is one name, and has none."""
    return _UNSAFE_NAME.sub("", _REMARK.sub("", name).replace(",", " or"))[:_LONGEST_NAME]


def reject(exchange: Exchange, error: ProxyError, family: str = "") -> None:
    """Answer with an error of our own, in the dialect of the route, or as clients of `family` expect it."""
    if exchange.head_sent:
        _break_off(exchange, error.code, error.message)
        return
    if error.row.close:
        exchange.keep_alive = False
    status, headers, body = render_error(family or exchange.endpoint.family, error, exchange.id)
    exchange.respond(status, headers, body)


def _break_off(exchange: Exchange, code: str, message: str) -> None:
    """An error for a client that has been given the head of a stream and signs of life, and nothing else."""
    dialect = DIALECTS[exchange.endpoint.dialect]
    event = dialect.render_stream_error(code, message, exchange.id, 0)
    if exchange.array:
        event = b"[" + event.removeprefix(b"data: ").rstrip() + b"]"
    exchange.transport.write(exchange.frame(event))
    exchange.abandon()


def pass_on(exchange: Exchange, error: UpstreamError) -> None:
    """Answer with a provider's own refusal of this request, less anything in it that looks like a credential.

    Only a JSON object is passed on: a page of HTML or a stack trace tells of the provider's inside. What a provider of
    another dialect said is said again in the client's, and so is what was an event of a stream.
    """
    if exchange.head_sent:
        _break_off(exchange, error.cause.value, said(error.body).message or NOTHING_SAID)
        return
    found = _object(error.body)
    is_event = "sequence_number" in found and "error" not in found
    if (error.foreign or is_event) and 400 <= error.status < 600:
        passed = [pair for pair in to_client(list(error.headers)) if pair[0] != b"content-type"]
        status, headers, body = render_refusal(exchange.endpoint.family, error, exchange.id)
        exchange.respond(status, headers + passed, body)
        return
    if 400 <= error.status < 600 and found:
        headers = to_client(list(error.headers))
        if not any(name == b"content-type" for name, _ in headers):  # it came inside a 200
            headers.append((b"content-type", b"application/json; charset=utf-8"))
        exchange.respond(error.status, headers, redact_bytes(error.body))
        return
    refusal = ProxyError("bad_up")
    if 400 <= error.status < 500:
        refusal = ProxyError(_IN_OUR_WORDS.get(error.status, "bad_req"), status=error.status)
        if refusal.ref == "no_model" and exchange.endpoint.operation in _NO_MODEL:
            refusal = ProxyError("no_route", "The provider has nothing at this path.")
    exchange.respond(*render_error(exchange.endpoint.family, refusal, exchange.id))


_NO_MODEL = frozenset({"mcp", "other", "stored"})
"""Operations that are about a thing a provider keeps, and name no model."""
_IN_OUR_WORDS = {
    404: "no_model",
    405: "bad_method",
    408: "slow_req",
    413: "too_big",
    415: "bad_enc",
}


def _object(body: bytes) -> dict[str, object]:
    """A body that is a JSON object; what is none says nothing."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
