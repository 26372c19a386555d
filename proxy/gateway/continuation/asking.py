"""The request for the rest of an answer: the client's own with the partial answer behind it, in the client's dialect.

Everything the client sent stays as it is; turns are added at the end of the conversation, and a limit of tokens is
lowered by what has been said. What the provider speaks is the business of whoever sends it.
"""

from __future__ import annotations

import copy
from math import ceil
from typing import TYPE_CHECKING

import orjson

from proxy.gateway.continuation.rungs import anchor_of
from proxy.wire.envelope import Envelope

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.dialects import ir
    from proxy.gateway.exchange import Exchange

_PROMPT = (
    "Your answer was cut off. Continue it exactly where it ended. Begin by repeating its last {count} characters "
    "as they are, then go on from there. Write nothing else before them: no introduction, no apology, no quotation "
    "marks. These are the last {count} characters, between the two lines:\n-----\n{anchor}\n-----"
)
_BYTES = 4.0
"""Of text, a token."""
_LEAST = 16
"""Tokens that are always asked for."""
_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")

Turn = tuple[str, str]
"""Who speaks, `assistant` or `user`, and what is said."""


def tokens_in(text: str) -> int:
    """About."""
    return ceil(len(text.encode()) / _BYTES)


def _message(role: str, text: str) -> object:
    return {"role": role, "content": text}


def _content(role: str, text: str) -> object:
    return {"role": "model" if role == "assistant" else role, "parts": [{"text": text}]}


_CONVERSATIONS: Mapping[str, tuple[str, Callable[[str, str], object]]] = {
    "openai.chat": ("messages", _message),
    "anthropic.messages": ("messages", _message),
    "openai.responses": ("input", _message),
    "gemini.generate": ("contents", _content),
}
"""Where each dialect keeps its conversation, and how it says a turn."""


def can(exchange: Exchange) -> bool:
    """Whether answers of this endpoint can be continued."""
    endpoint = exchange.endpoint
    return exchange.stream and endpoint.dialect in _CONVERSATIONS and not exchange.array


def turns(rung: str, said: str, request: ir.Request) -> list[Turn] | None:
    """What is added to the conversation; None: this way does not suit it."""
    if rung == "match" or not said:
        return []
    if not said.strip() or (request.messages and request.messages[-1].role == "assistant"):
        return None  # the client has begun the answer itself
    if rung == "prefill":
        return [("assistant", said.rstrip())]
    anchor = anchor_of(said)
    return [("assistant", said), ("user", _PROMPT.format(count=len(anchor), anchor=anchor))]


def asking(exchange: Exchange, added: list[Turn]) -> Exchange:
    """The exchange as it is to be sent: the same one, if nothing is added."""
    envelope = exchange.envelope
    assert envelope is not None
    if not added:
        return exchange
    edited = envelope.copy()
    name, say = _CONVERSATIONS[exchange.endpoint.dialect]
    items = [say(role, text) for role, text in added]
    edited.set(name, _longer(envelope.raw(name) or b"[]", items, say))
    said = tokens_in(added[0][1])
    for limit in _LIMITS:
        most = edited.integer(limit)
        if most is not None:
            edited.set(limit, b"%d" % max(most - said, min(most, _LEAST)))
    made = copy.copy(exchange)
    made.body = edited.encode()
    made.envelope = Envelope.parse(made.body)
    made.asked = made.books = made.witness = None  # what is answered goes through the client's own
    return made


def _longer(raw: bytes, items: list[object], say: Callable[[str, str], object]) -> bytes:
    """A JSON list with more at its end; a text alone is a turn of the user's, an object a list of one."""
    if raw.startswith(b'"'):
        raw = orjson.dumps([say("user", orjson.loads(raw))])
    elif raw.startswith(b"{"):
        raw = b"[%b]" % raw
    inside = raw[1:-1].strip()
    more = orjson.dumps(items)[1:-1]
    return b"[%b,%b]" % (inside, more) if inside else b"[%b]" % more
