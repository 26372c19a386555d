"""What every wire format offers: a tap on its responses, and its own way to say that something went wrong.

A `Dialect` is a record of functions, one instance for each format, listed in `proxy.dialects.DIALECTS`. Nothing
here does I/O, and no dialect imports another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from msgspec import Struct

from proxy.core.errors import ProxyError, UpstreamError

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


class Usage(Struct, frozen=True):
    """Tokens in disjoint parts, whatever the provider's own convention: `input` are the uncached ones.

    `reasoning` is the one exception: it is a part of `output`.
    """

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    suspect: bool = False
    """The provider's figures were negative, absurd or contradicted each other, and have been corrected."""
    images: int = 0
    seconds: float = 0.0
    """Audio that is charged by its length."""


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


class Dialect(Struct, frozen=True, eq=False):
    """One wire format."""

    name: str
    family: str
    """`openai`, `anthropic` or `gemini`: the shape of errors and the usual place of a credential."""
    tap: Callable[[], Tap]
    parse_error: Callable[[int, Iterable[tuple[bytes, bytes]], bytes], UpstreamError]
    """(status, headers, body) of a refusal to what it means. Takes any bytes."""
    render_error: Callable[[ProxyError, str], tuple[int, Headers, bytes]]
    """(error, request id) to status, headers and body of our own answer."""
    render_stream_error: Callable[[str, str, str, int], bytes]
    """(code, message, request id, sequence number) to the event that ends a stream which broke off."""
