"""Our own errors in the words of each family of dialects.

Bodies hold fixed texts from `core.errors` only. The request id, `connection` and the length of a body are written by
whoever writes the response head.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil

import msgspec

from proxy.core.errors import ProxyError
from proxy.dialects.base import Headers

_encode = msgspec.json.Encoder().encode

_JSON = (b"content-type", b"application/json; charset=utf-8")
_NO_RETRY = (b"x-should-retry", b"false")
PATIENCE = 60.0
"""Seconds a client library waits at most: told a longer time, one asks again at once. So it is told not to."""

Rendered = tuple[int, Headers, bytes]


def render_error(family: str, error: ProxyError, request_id: str) -> Rendered:
    """(status, headers, body) of `error` as clients of `family` expect it."""
    return FAMILIES[family](error, request_id)


def openai_error(error: ProxyError, request_id: str) -> Rendered:
    """`{"error": {message, type, param, code}}`."""
    fields = {
        "message": error.message,
        "type": error.row.type,
        "param": error.param,
        "code": error.code,
    }
    status = error.status or error.row.status
    return status, _headers(error, status), _encode({"error": fields})


def anthropic_error(error: ProxyError, request_id: str) -> Rendered:
    """`{"type": "error", "error": {type, message}, "request_id"}`, with statuses of its own."""
    row = error.row
    status = error.status or row.anthropic_status or row.status
    fields: dict[str, object] = {"type": row.anthropic_type, "message": error.message}
    if error.param == "thread" and error.code == "translation_not_supported":
        fields["details"] = _NO_THREADS
    headers = [*_headers(error, status), (b"request-id", request_id.encode())]
    return status, headers, _encode({"type": "error", "error": fields, "request_id": request_id})


_NO_THREADS = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
"""What Anthropic's tool runner looks for, to go on with a conversation of its own (seen in anthropic 2.8)."""


def gemini_error(error: ProxyError, request_id: str) -> Rendered:
    """`{"error": {code, message, status}}`."""
    status = error.status or error.row.status
    fields = {"code": status, "message": error.message, "status": error.row.google_status}
    return status, _headers(error, status), _encode({"error": fields})


def mcp_error(error: ProxyError, request_id: str) -> Rendered:
    """A JSON-RPC error that answers no request in particular (JSON-RPC 2.0, 5.1; -32000 is the first of those left to servers)."""
    status = error.status or error.row.status
    return status, _headers(error, status), _encode(rpc_error(error.message, error.code))


def rpc_error(message: str, code: str) -> dict[str, object]:
    """The object of a JSON-RPC error."""
    fields = {"code": -32000, "message": message, "data": {"code": code}}
    return {"jsonrpc": "2.0", "id": None, "error": fields}


FAMILIES: Mapping[str, Callable[[ProxyError, str], Rendered]] = {
    "openai": openai_error,
    "anthropic": anthropic_error,
    "gemini": gemini_error,
    "mcp": mcp_error,
}


def openai_stream_error(code: str, message: str, request_id: str, sequence: int) -> bytes:
    """The event that ends a broken stream, in every OpenAI dialect but Responses."""
    fields = {"message": message, "type": "upstream_error", "param": None, "code": code}
    return b"data: %b\n\n" % _encode({"error": fields})


def _headers(error: ProxyError, status: int) -> Headers:
    headers: Headers = [_JSON]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    should_retry = error.should_retry
    wait = error.retry_after
    if wait is not None:
        headers.append((b"retry-after", b"%d" % max(1, ceil(wait))))
        headers.append((b"retry-after-ms", b"%d" % max(1, ceil(wait * 1000))))
        should_retry = False if wait > PATIENCE else should_retry
    if should_retry is not None:
        headers.append((b"x-should-retry", b"true") if should_retry else _NO_RETRY)
    return headers
