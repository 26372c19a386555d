"""Which headers may pass, in each direction: a short list of what does, never a list of what does not.

Names come out in lower case. What frames a body (length, transfer and content coding) and what authenticates is the
caller's to write.
"""

from __future__ import annotations

from collections.abc import Iterable

Headers = list[tuple[bytes, bytes]]

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Meant for the next hop only; they never pass, not even when a caller asks for them."""

TO_UPSTREAM = frozenset(
    {
        b"accept",
        b"anthropic-beta",
        b"anthropic-version",
        b"content-type",
        b"idempotency-key",
        b"last-event-id",
        b"mcp-method",
        b"mcp-name",
        b"mcp-protocol-version",
        b"mcp-session-id",
        b"openai-beta",
    }
)
_ARGUMENT = b"mcp-param-"
"""What a tool is called with, said again in the head; the rest of the name is the tool's."""

TO_CLIENT = frozenset(
    {
        b"content-disposition",
        b"content-type",
        b"mcp-session-id",
        b"openai-processing-ms",
        b"retry-after",
        b"retry-after-ms",
        b"x-should-retry",
    }
)

_REQUEST_IDS = frozenset({b"request-id", b"x-request-id"})
_NOTED = TO_CLIENT | _REQUEST_IDS | {b"connection"}
"""Most headers of an answer are none of these, and providers send some twenty."""
UPSTREAM_REQUEST_ID = b"x-upstream-request-id"
"""Where the provider's own request id goes: `x-request-id` is ours."""
_HARMLESS = frozenset({b"keep-alive", b"Keep-Alive", b"close"})
"""What `Connection` nearly always says: it names no header."""
_NONE: frozenset[bytes] = frozenset()
_STAY = frozenset(
    spelling
    for name in (b"host", b"authorization", b"user-agent", b"content-length", b"accept-encoding")
    for spelling in (name, name.title())
)
"""What nearly every request brings and no provider gets, as clients spell it: no more is looked for."""


def to_upstream(headers: Iterable[tuple[bytes, bytes]], extra: frozenset[bytes] = _NONE) -> Headers:
    """The client's headers that a provider gets: TO_UPSTREAM and the lower-case names in `extra`, but for those in _STAY."""
    passed: Headers = []
    connection = b""
    for name, value in headers:
        if name in _STAY:
            continue
        name = name.lower()
        if name in TO_UPSTREAM or name in extra:
            passed.append((name, value))
        elif name == b"connection" and value not in _HARMLESS:
            connection += b"," + value
    return _fit(passed, connection, extra)


def arguments(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """The names, in lower case, of those that repeat what a tool is called with: its server refuses a call without them."""
    names = [name.lower() for name, _ in headers]
    return frozenset(name for name in names if name.startswith(_ARGUMENT))


def to_client(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The provider's headers that a client gets: TO_CLIENT. All names are in lower case already."""
    passed: Headers = []
    connection = b""
    request_id: bytes | None = None
    for name, value in [pair for pair in headers if pair[0] in _NOTED]:
        if name in TO_CLIENT:
            passed.append((name, value))
        elif name in _REQUEST_IDS:
            request_id = request_id or value
        elif value not in _HARMLESS:
            connection += b"," + value
    if request_id:
        passed.append((UPSTREAM_REQUEST_ID, request_id))
    return _fit(passed, connection, _NONE)


def _fit(passed: Headers, connection: bytes, extra: frozenset[bytes]) -> Headers:
    """`passed` without what `Connection` claims for this hop, odd names, and values that would end the line."""
    if connection or extra:
        listed = {token.strip().lower() for token in connection.split(b",")} | HOP_BY_HOP
        passed = [pair for pair in passed if pair[0] not in listed and not _is_odd(pair[0])]
    for _, value in passed:
        if b"\n" in value or b"\r" in value or b"\0" in value:
            return [pair for pair in passed if not _ends_line(pair[1])]
    return passed


def _is_odd(name: bytes) -> bool:
    """Some servers take `_` for `-`: it may be another header to them. What a tool names so is the tool's."""
    return b"_" in name and not name.startswith(_ARGUMENT)


def _ends_line(value: bytes) -> bool:
    return b"\n" in value or b"\r" in value or b"\0" in value


def with_one_user_agent(data: bytes) -> bytes:
    """The request without any `user-agent` but the first.

    Google's client under pydantic-ai sends two (seen in 2.66, November 2026), and aiohttp's parser refuses a head with
    two. Nothing is decided by this field, so unlike two lengths or hosts they do no harm.
    """
    head, blank, rest = data.partition(b"\r\n\r\n")
    seen = False
    kept = []
    for line in head.split(b"\r\n"):
        is_agent = line[:11].lower() == b"user-agent:"
        if not (is_agent and seen):
            kept.append(line)
        seen |= is_agent
    return b"\r\n".join(kept) + blank + rest
