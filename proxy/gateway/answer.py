"""The first-content gate: a response is held back until it is known to be an answer.

Status, headers and lifecycle events wait for the first content event, at most 4 KiB and only while another
candidate is left, so an error inside a 200 still fails over and the client sees a true status. A body that is no
stream waits for its end, so that a broken one never gets as far as a status line. What the gate lets through has
not been changed; whoever relays it takes over the connection and the bytes held.
"""

from __future__ import annotations

import asyncio
from enum import Enum

from proxy.core.errors import Cause, UpstreamError
from proxy.dialects.base import BAD, CONTENT, ERROR, FINISH, USAGE_ONLY, Dialect, Tap
from proxy.dialects.several import expect
from proxy.gateway.endpoints import Endpoint
from proxy.upstream.connection import SWITCHED, Headers, UpstreamConnection

HOLD = 4096
"""Bytes of lifecycle events held while another candidate is left."""
UNFRAMED = 64 * 1024
"""Bytes of one unfinished event held before it is passed on as it comes."""
MAX_WHOLE = 64 * 1024 * 1024
MAX_ERROR_BODY = 256 * 1024
_PLAIN = (b"", b"identity")
"""Codings of bytes as they are."""


class Kind(Enum):
    """How a body is read."""

    EVENTS = "events"
    WHOLE = "whole"
    BYTES = "bytes"
    ERROR = "error"


class Gate:
    """Consumes one attempt's response until it opens or fails.

    `done` is resolved once: then either `error` is set, or `held` begins with `scanned` bytes of whole, checked
    events (EVENTS), is the whole body (WHOLE), or the bytes so far (BYTES). `ended` and `lost_error` tell what
    happened to the message in the meantime.
    """

    unparsed = None

    __slots__ = (
        "_more",
        "_size",
        "array",
        "content",
        "content_type",
        "dialect",
        "done",
        "eager",
        "encoding",
        "ended",
        "endpoint",
        "error",
        "headers",
        "held",
        "hide_usage",
        "holding",
        "kind",
        "lost_error",
        "opened",
        "patient",
        "scanned",
        "source",
        "status",
        "stream",
        "tap",
    )

    def __init__(
        self,
        endpoint: Endpoint,
        dialect: Dialect,
        *,
        stream: bool,
        eager: bool,
        array: bool,
        hide_usage: bool,
        loop: asyncio.AbstractEventLoop,
        patient: bool = False,
        answers: int = 1,
    ) -> None:
        """`answers`: as many are asked for."""
        self.endpoint = endpoint
        self.dialect = dialect
        self.tap: Tap = dialect.tap()
        if answers > 1:
            expect(self.tap, answers)
        self.stream = stream
        self.eager = eager
        self.array = array
        self.hide_usage = hide_usage
        self.patient = patient
        """A stream is wanted as a whole: nothing opens the gate but its end."""
        self.done: asyncio.Future[None] = loop.create_future()
        self.status = 0
        self.headers: Headers = []
        self.content_type = b""
        self.encoding = b""
        self.kind = Kind.WHOLE
        self.held = b""
        self._more: list[bytes] = []
        """Reads of a body that counts only as a whole; joined to `held` at its end."""
        self._size = 0
        self.scanned = 0
        self.source: UpstreamConnection | None = None
        """Where it comes from, to hold it back."""
        self.holding = False
        self.opened = False
        self.content = True
        """What opened it was content, or is none of a stream; False: whoever relays it will see the first."""
        self.ended = False
        self.error: UpstreamError | None = None
        self.lost_error: UpstreamError | None = None

    @property
    def received(self) -> int:
        """Bytes of the body that are, or were, held here as a whole."""
        return self._size or len(self.held)

    # Consumer

    def head(self, status: int, headers: Headers) -> None:
        """Decide from status and content type how the body is to be read."""
        self.status = status
        self.headers = headers
        fields = dict(headers)
        self.content_type = fields.get(b"content-type", b"").partition(b";")[0].strip().lower()
        self.encoding = fields.get(b"content-encoding", b"").strip().lower()
        if (status < 200 or status >= 300) and status != SWITCHED:
            self.kind = Kind.ERROR
        elif self.endpoint.opaque:
            # Known by its head alone: a stream of these may say nothing for hours.
            self.kind = Kind.BYTES
            self._open()
        else:
            self.kind = self._kind_of_success()

    def _kind_of_success(self) -> Kind:
        kind = self.content_type
        if kind == b"text/html":
            return Kind.ERROR
        if kind == self.dialect.framing.content_type:
            return Kind.EVENTS
        if kind == b"application/json":
            return Kind.BYTES if self.array else Kind.WHOLE
        if self.stream:
            return Kind.EVENTS
        return Kind.WHOLE if self.endpoint.expects_json else Kind.BYTES

    def body(self, data: bytes) -> None:
        """Hold `data`, and look whether it opens the gate."""
        if self.kind is Kind.WHOLE or self.kind is Kind.ERROR:
            self._collect(data)
            return
        self.held = self.held + data if self.held else data
        if self.opened:
            # A fast provider sends megabytes before whoever relays them has had its turn.
            if len(self.held) > UNFRAMED and self.source is not None and not self.holding:
                self.holding = True
                self.source.hold()
            return
        if self.error is not None:
            return
        if self.kind is Kind.EVENTS:
            self._scan()
        else:
            self._begin_bytes()

    def release(self) -> None:
        """Let it come again."""
        if self.holding and self.source is not None:
            self.holding = False
            self.source.unhold()

    def _collect(self, data: bytes) -> None:
        if self.error is not None:
            return
        self._more.append(data)
        self._size += len(data)
        if self.kind is Kind.WHOLE:
            if self._size > MAX_WHOLE:
                self.fail(UpstreamError(Cause.MALFORMED, status=self.status))
        elif self._size > MAX_ERROR_BODY:
            self.end()

    def _join(self) -> None:
        self.held = b"".join((self.held, *self._more))
        self._more.clear()

    def end(self) -> None:
        """The message is complete as far as its framing can say."""
        self.ended = True
        self.release()
        if self.opened or self.error is not None:
            return
        if self._more:
            self._join()
        if self.kind is Kind.ERROR:
            self.fail(self._refusal())
        elif self.kind is Kind.EVENTS:
            self._end_events()
        elif self.kind is Kind.WHOLE:
            self._end_whole()
        else:
            self._end_bytes()

    def lost(self, error: UpstreamError) -> None:
        """The connection broke. Once open that is the relay's to tell."""
        if self.opened:
            self.lost_error = error
        elif self.kind is Kind.ERROR and self.status:
            self._join()
            self.fail(self._refusal())
        else:
            self.fail(error)

    def expire(self) -> None:
        """No first content in time."""
        self.fail(UpstreamError(Cause.TIMEOUT_TTFT, status=self.status))

    # decisions

    def fail(self, error: UpstreamError) -> None:
        """This attempt gives no answer."""
        if self.error is None and not self.opened:
            self.error = error
            if not self.done.done():
                self.done.set_result(None)

    def _open(self) -> None:
        self.opened = True
        if not self.done.done():
            self.done.set_result(None)

    def _refusal(self) -> UpstreamError:
        if 200 <= self.status < 300:
            return UpstreamError(Cause.MALFORMED, status=self.status)
        return self.dialect.parse_error(self.status, self.headers, self.held)

    def _scan(self) -> None:
        held = self.held
        if self.encoding not in _PLAIN:
            self.fail(UpstreamError(Cause.MALFORMED, status=self.status))
            return
        framing = self.dialect.framing
        if self.patient and self.scanned and self.dialect.last and self.tap.complete():
            self.held = held[: self.scanned]  # nothing that follows is of the answer
            return
        if self.scanned == 0 and not framing.begins(held):
            self.fail(UpstreamError(Cause.MALFORMED, status=self.status))
            return
        end = framing.last_boundary(held)
        if end > self.scanned:
            seen = self._check(end)
            if self.error is not None:
                return
            enough = seen >= 0 if self.eager else seen > 0 and seen & (CONTENT | FINISH)
            if (enough or self.scanned > HOLD) and not self.patient:
                self.content = seen > 0 and bool(seen & (CONTENT | FINISH))
                self._open()
        elif len(held) > UNFRAMED and not self.patient:
            self._open()
        if self.patient and len(held) > MAX_WHOLE:
            self.fail(UpstreamError(Cause.MALFORMED, status=self.status))

    def _check(self, end: int) -> int:
        """Show the tap every event up to `end`; the flags seen, or -1 when there were only comments."""
        seen = -1
        base = self.scanned
        hidden: list[tuple[int, int]] = []
        for event in self.dialect.framing.events(self.held[base:end]):
            if not event.is_sse:
                self.fail(UpstreamError(Cause.MALFORMED, status=self.status))
                return 0
            if event.data is None:
                continue
            flags = self.tap.event(event.name, event.data)
            if flags & ERROR:
                self.fail(self.tap.error or UpstreamError(Cause.IN_BAND, status=502))
                return 0
            if flags & BAD:
                self.fail(UpstreamError(Cause.MALFORMED, status=self.status))
                return 0
            if flags & USAGE_ONLY and self.hide_usage:
                hidden.append((base + event.start, base + event.end))
            seen = flags if seen < 0 else seen | flags
            if flags & FINISH and self.dialect.last:
                end = base + event.end
                break  # what follows is none of the answer
        for start, stop in reversed(hidden):
            self.held = self.held[:start] + self.held[stop:]
            end -= stop - start
        self.scanned = end
        return seen

    def _end_events(self) -> None:
        if not self.held.strip():
            self.fail(UpstreamError(Cause.EMPTY, status=self.status))
            return
        if self.scanned < len(self.held):
            self._scan()
        if self.error is not None or self.opened:
            return
        expect(self.tap, 1)
        if self.tap.complete():
            self._open()
        else:
            self.fail(UpstreamError(Cause.TRUNCATED, status=self.status))

    def _end_whole(self) -> None:
        if not self.held and self.status != 204:
            self.fail(UpstreamError(Cause.EMPTY, status=self.status))
            return
        if self.encoding not in _PLAIN:
            self.fail(UpstreamError(Cause.MALFORMED, status=self.status))
            return
        flags = self.tap.body(self.held) if self.held else 0
        if flags & ERROR:
            self.fail(self.tap.error or UpstreamError(Cause.IN_BAND, status=502))
        elif flags & BAD:
            self.fail(UpstreamError(Cause.MALFORMED, status=self.status))
        else:
            self._open()

    def _begin_bytes(self) -> None:
        if self.encoding not in _PLAIN:
            self.fail(UpstreamError(Cause.MALFORMED, status=self.status))
            return
        if not self.array:
            self._open()
            return
        start = self.held.lstrip()[:64]
        if start[:1] == b"[" and len(start) > 1 and b'"error"' not in start:
            self._open()
        elif start[1:] or start[:1] not in (b"", b"["):
            self.kind = Kind.WHOLE

    def _end_bytes(self) -> None:
        if self.held:
            self._open()
        else:
            self.fail(UpstreamError(Cause.EMPTY, status=self.status))
