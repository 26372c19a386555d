"""What was asked and answered, kept where the configuration wants it: the beginning of each, without secrets.

Of a stream the text is kept, put together, whatever dialect it came in; of one that has no text, its events as they
came. It goes into a spool of its own that may lose: when there is no room the request is served all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import orjson
from msgspec import Struct

from proxy.core import clock
from proxy.core.log import logger
from proxy.core.redact import redact
from proxy.gateway.event_relay import EventRelay
from proxy.gateway.relay import BytesRelay
from proxy.ledger.records import Content, frame
from proxy.ledger.spool import Full

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from proxy.gateway.exchange import Exchange
    from proxy.gateway.relay import Relay
    from proxy.ledger.spool import Spool

LONGEST = 200_000
"""Characters at most, whatever the configuration says: a record has to fit into a frame."""
_REACH = 1024
"""Characters behind the end that are looked at, so that a secret that is cut in two is still known for one."""
_UTF8 = 4
"""Bytes of a character, at most."""


class _Function(Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class _Call(Struct, gc=False):
    function: _Function | None = None


class _Delta(Struct, gc=False):
    content: str | None = None
    text: str | None = None
    refusal: str | None = None
    partial_json: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(Struct, gc=False):
    index: int = 0
    delta: _Delta | None = None
    text: str | None = None


class _Part(Struct, gc=False):
    text: str | None = None
    thought: bool | None = None


class _Parts(Struct, gc=False):
    parts: list[_Part] | None = None


class _Candidate(Struct, gc=False):
    content: _Parts | None = None


class _Event(Struct, gc=False):
    """An event of any dialect, as far as it has text."""

    type: str = ""
    delta: str | _Delta | None = None
    choices: list[_Choice] | None = None
    candidates: list[_Candidate] | None = None


_decode = msgspec.json.Decoder(_Event).decode
_PLACES = ("choices", "candidates", "output", "message", "content", "parts", "text")
"""Names under which the text of a whole answer is, from the outside in."""
_UNSAID = ("reasoning", "audio")
"""Kinds of `delta` that are no text of the answer."""


def text_in(data: bytes) -> str:
    """What one event of a stream adds to the text of the (first) answer: words, and what a tool is called with."""
    try:
        event = _decode(data)
    except (ValueError, RecursionError):
        return ""
    delta = event.delta
    if isinstance(delta, str):
        return "" if any(word in event.type for word in _UNSAID) else delta
    if delta is not None:
        return _said(delta)
    found = [
        choice.text or ("" if choice.delta is None else _said(choice.delta))
        for choice in event.choices or ()
        if choice.index == 0
    ]
    for candidate in (event.candidates or ())[:1]:
        parts = candidate.content.parts if candidate.content is not None else None
        found += [part.text or "" for part in parts or () if not part.thought]
    return "".join(found)


def _said(delta: _Delta) -> str:
    said = delta.content or delta.text or delta.refusal or delta.partial_json or ""
    for call in delta.tool_calls or ():
        if call.function is not None:
            said += (call.function.name or "") + (call.function.arguments or "")
    return said


def _texts(answer: Any) -> Iterator[str]:
    """Of a whole answer, whatever dialect it came in."""
    if isinstance(answer, list):
        for one in answer:
            yield from _texts(one)
    elif isinstance(answer, dict):
        for name in _PLACES:
            found = answer.get(name)
            if isinstance(found, str):
                yield found
            else:
                yield from _texts(found)


class Capture:
    """Of one exchange."""

    __slots__ = ("_exchange", "_kept", "_left", "_most", "_raw", "_texts")

    def __init__(self, exchange: Exchange, most: int, kept: int | None = None) -> None:
        """Characters that are looked at; `kept`, if fewer are to be written down: 0 is nothing."""
        self._exchange = exchange
        self._most = min(most, LONGEST)
        self._kept = self._most if kept is None else min(kept, self._most)
        self._raw: list[bytes] = []
        self._texts: list[str] = []
        self._left = self._most + _REACH

    def whole(self, body: bytes) -> None:
        """All of an answer."""
        self._add(body)

    def watch(self, relay: Relay) -> None:
        """Before the relay begins: see what it sees."""
        gate = relay.gate
        if isinstance(relay, EventRelay):
            relay.seen = self._seeing(relay.seen)
            for event in gate.dialect.framing.events(gate.held[: gate.scanned]):
                if event.is_sse and event.data is not None:
                    self._see(event.data)
        elif isinstance(relay, BytesRelay) and gate.array:
            relay.seen = self._add
            self._add(gate.held[: gate.scanned])

    def said(self, text: str) -> None:
        """More of an answer that goes on in a stream which is not watched."""
        if self._left > 0:
            self._texts.append(text)
            self._left -= len(text)

    def text(self) -> str:
        """The text of the answer, put together; of one that is no stream, what stands under the names of texts."""
        if self._texts:
            return "".join(self._texts)
        try:
            return "\n".join(_texts(orjson.loads(b"".join(self._raw))))
        except orjson.JSONDecodeError:  # it was too long
            return ""

    def keep(self, rid: str, spool: Spool) -> None:
        """Write it down. Nothing is said when there is no room: the spool counts."""
        if spool.tight or not self._kept:
            return
        exchange = self._exchange
        asked = b"" if exchange.form is not None else exchange.body
        said = "".join(self._texts) or self._decoded(b"".join(self._raw))
        try:
            spool.append(
                frame(Content(rid, clock.now(), self._fit(self._decoded(asked)), self._fit(said)))
            )
        except Full:
            pass
        except Exception:
            logger.exception("what was asked and answered could not be written")

    def _seeing(self, seen: Callable[[bytes, bytes], int]) -> Callable[[bytes, bytes], int]:
        def see(name: bytes, data: bytes) -> int:
            self._see(data)
            return seen(name, data)

        return see

    def _see(self, data: bytes) -> None:
        if self._left <= 0:
            return
        text = text_in(data)
        if text:
            self._texts.append(text)
            self._left -= len(text)
        elif not self._texts:
            self._add(data + b"\n")

    def _add(self, data: bytes) -> None:
        if self._left > 0:
            self._raw.append(bytes(data[: self._left * _UTF8]))
            if not self._texts:
                self._left -= len(data) // _UTF8

    def _decoded(self, raw: bytes) -> str:
        """The beginning of it; nothing of what is no text."""
        if b"\0" in raw[:_REACH]:
            return ""
        return raw[: (self._most + _REACH) * _UTF8].decode("utf-8", "replace")

    def _fit(self, text: str) -> str:
        """The beginning of it without secrets. One that is cut in two is still known for one within reach of the end."""
        most = self._kept
        text = text[: most + _REACH]
        masked = redact(text)
        if len(text) == most + _REACH:
            masked = masked[:-_REACH]
        return masked[:most].encode("utf-8", "replace").decode()
