"""What every wire format offers: a tap on its responses, its own way to say that something went wrong, and a codec.

A `Dialect` is a record of functions, one instance for each format, listed in `proxy.dialects.DIALECTS`. The tap is
for what passes as it came; the codec is for what is translated, by way of `ir`. Nothing here does I/O, and no dialect
imports another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from msgspec import Struct, field

from proxy.core.errors import ProxyError, UpstreamError
from proxy.dialects import ir
from proxy.dialects.ir import Usage
from proxy.dialects.loss import Loss
from proxy.wire import sse

__all__ = [
    "BAD", "CONTENT", "ERROR", "FINISH", "SSE", "USAGE_ONLY", "Codec", "Count", "Decoder", "Dialect", "Encoder",
    "Framing", "Headers", "Opened", "Tap", "Target", "Usage",
]  # fmt: skip

Headers = list[tuple[bytes, bytes]]

CONTENT = 1
"""Something a client would show: text, reasoning, a tool call (its name or arguments), a refusal, audio, an image."""
FINISH = 2
"""The protocol's own sign that the answer is complete."""
ERROR = 4
"""An error instead of an answer, or in the middle of one; the tap's `error` says which."""
USAGE_ONLY = 8
"""An event that exists only because usage was asked for: nothing is lost by leaving it out."""
BAD = 16
"""Not what this dialect sends: no JSON, or no JSON object."""


class Tap(Protocol):
    """Watches one response pass; it can neither change nor delay it."""

    @property
    def usage(self) -> Usage | None:
        """The provider's last report, None without one."""

    @property
    def finish_reason(self) -> str | None:
        """Why the answer ended, in the provider's word."""

    @property
    def error(self) -> UpstreamError | None:
        """The last error inside the response, with the status it stands for."""

    @property
    def bad(self) -> int:
        """Events that were not readable as they came."""

    @property
    def sequence(self) -> int:
        """The number the next event would carry; 0 in dialects that number nothing."""

    @property
    def closing(self) -> bytes:
        """What a complete stream still lacks; empty once the terminal event has been seen."""

    def event(self, name: bytes, data: bytes) -> int:
        """Flags of one server-sent event."""

    def oversized(self, head: bytes, tail: bytes) -> int:
        """Flags of one event too long to be held, from the first and the last bytes of its block."""

    def body(self, raw: bytes) -> int:
        """Flags of a whole body that is no stream: ERROR, BAD, or CONTENT | FINISH."""

    def complete(self) -> bool:
        """Whether what has been seen is a whole answer."""


class Opened(Struct, frozen=True, gc=False):
    """A conversation that the provider has begun for one request."""

    id: str | int
    message: str
    """Names the question in it."""


class Target(Struct, frozen=True):
    """What a request is rendered for."""

    model: str
    """The provider's name of the model."""
    stream: bool = False
    max_tokens: int = 4096
    """For a dialect that demands a limit when the client gave none."""
    opened: Opened | None = None
    """Where the provider is asked, if it keeps conversations."""


class Decoder(Protocol):
    """Reads one stream of its dialect. Never raises on what a provider may send: what cannot be read is left out."""

    def feed(self, name: bytes, data: bytes) -> list[ir.Event]:
        """What one event says."""

    def end(self) -> list[ir.Event]:
        """What the end of the stream says: `ResponseEnd` at the latest here, unless there was an error or nothing."""


class Encoder(Protocol):
    """Writes one stream of its dialect."""

    sequence: int
    """The number the next event will carry, which may be set; 0 in dialects that number nothing."""

    def encode(self, event: ir.Event) -> bytes:
        """The bytes one event becomes: none, one or several events of the dialect, framed."""


class Count(Struct, frozen=True):
    """How a dialect counts the tokens of a prompt."""

    suffix: str
    """What follows the dialect's root path; may hold `{model}`."""
    render: Callable[[ir.Request, Target, Loss], bytes]
    """The question."""
    parse: Callable[[bytes], int | None]
    """The number in an answer; None: it is not one."""
    answer: Callable[[int], bytes]
    """A number as this dialect gives it."""
    parse_request: Callable[[bytes], ir.Request] | None = None
    """A question asked by a client; None: the same as a request for an answer."""


class Codec(Struct, frozen=True, eq=False):
    """One wire format in both directions. Nothing here does I/O or keeps state between calls.

    `parse_request` raises ProxyError with the name of the field that is wrong; `render_request` raises `unsupported`.
    What comes from a provider (`parse_response`, `decoder`) raises nothing but ValueError, for what is no answer.
    """

    fields: Mapping[str, str]
    """Key of `loss.FEATURES` to how it is spelled here. A feature that is missing is dropped."""
    parse_request: Callable[[bytes], ir.Request] | None
    """A client's body. None: no client speaks this."""
    render_request: Callable[[ir.Request, Target, Loss], bytes] | None
    """A body for a provider, and what had to be left out. None: no provider is asked in this."""
    parse_response: Callable[[bytes, ir.Request], ir.Response]
    """A provider's body, and the request it answers."""
    render_response: Callable[[ir.Response, ir.Request, Loss], bytes] | None
    decoder: Callable[[ir.Request], Decoder]
    encoder: Callable[[ir.Request, Loss], Encoder] | None
    suffix: str = ""
    """What follows the provider's root path for a whole answer; may hold `{model}`."""
    stream_suffix: str = ""
    stream_query: str = ""
    stream_type: bytes = b"text/event-stream; charset=utf-8"
    """Content type of what `encoder` writes."""
    count: Count | None = None
    headers: Callable[[Target], Headers] | None = None
    """What a request carries besides those of its provider, where that is another thing each time."""


class Framing(Struct, frozen=True, eq=False):
    """Where an event of a stream ends, and what is in it. `wire.sse` has the contracts."""

    last_boundary: Callable[[bytes], int] = sse.last_boundary
    single: Callable[[bytes], tuple[bytes, bytes] | None] = sse.single
    events: Callable[[bytes], list[sse.Event]] = sse.events
    begins: Callable[[bytes], bool] = sse.begins
    """Whether these first bytes can be the start of such a stream."""
    content_type: bytes = b"text/event-stream"
    comments: bool = True
    """A comment may stand between two events."""


SSE = Framing()


class Dialect(Struct, frozen=True, eq=False):
    """One wire format."""

    name: str
    family: str
    """`openai`, `anthropic`, `gemini` or `bedrock`: the shape of errors and the usual place of a credential."""
    tap: Callable[[], Tap]
    parse_error: Callable[[int, Iterable[tuple[bytes, bytes]], bytes], UpstreamError]
    """(status, headers, body) of a refusal to what it means. Takes any bytes."""
    render_error: Callable[[ProxyError, str], tuple[int, Headers, bytes]]
    """(error, request id) to status, headers and body of our own answer."""
    render_stream_error: Callable[[str, str, str, int], bytes]
    """(code, message, request id, sequence number) to the event that ends a stream which broke off."""
    codec: Codec | None = None
    """None: passed through, never translated."""
    silence: bytes = b":\n\n"
    """What may stand in a stream and says nothing: a comment, where clients know comments."""
    framing: Framing = field(default_factory=lambda: SSE)
    last: bool = False
    """One event of a stream is its last, and says so: nothing that follows belongs to it."""
    open_ended: bool = False
    """No event says so: a stream may go on until its body ends."""
