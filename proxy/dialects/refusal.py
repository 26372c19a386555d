"""A provider's refusal of a request, said again in the words of another family of dialects.

The status stays, the provider's own sentence stays, and what client libraries branch on (type, code, status word) is
the one their own vendor would have used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from msgspec import Struct

from proxy.core.errors import Cause, UpstreamError
from proxy.core.redact import redact
from proxy.dialects.base import Headers
from proxy.dialects.lenient import object_at
from proxy.dialects.render import rpc_error

_MAX_MESSAGE = 4096
_MAX_CODE = 128
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_JSON = (b"content-type", b"application/json; charset=utf-8")


class Said(Struct, frozen=True):
    """What an error body says, whichever shape it has."""

    message: str = ""
    code: str = ""
    param: str | None = None


def said(body: bytes) -> Said:
    """The sentence, code and field of an error body; empty for what is no JSON, which may be a page of HTML."""
    try:
        found = _decode(body)
    except (ValueError, RecursionError):
        return Said()
    return said_in(found)


def said_in(found: object) -> Said:
    """The same of a decoded body."""
    if isinstance(found, list) and found:
        found = found[0]
    if isinstance(found, str):
        return Said(_sentence(found))
    if not isinstance(found, dict):
        return Said()
    inner = found.get("error")
    if isinstance(inner, dict):
        return _fields(inner)
    if isinstance(inner, str):
        return _fields({"message": inner, **found})
    failed = found.get("response")
    if isinstance(failed, dict) and isinstance(failed.get("error"), dict):  # a response that failed
        return _fields(failed["error"])
    many = found.get("errors")
    if isinstance(many, list) and many and isinstance(many[0], dict):
        return _fields(many[0])
    return _fields(found)


def _fields(error: Mapping[str, object]) -> Said:
    message = ""
    for name in ("message", "Message", "detail", "msg", "error_description"):
        value = error.get(name)
        if isinstance(value, list):  # FastAPI's list of what is wrong
            value = "; ".join(
                str(one["msg"]) for one in value if isinstance(one, dict) and "msg" in one
            )
        if isinstance(value, str) and value:
            message = _sentence(value)
            break
    deeper = error.get("metadata")
    raw = deeper.get("raw") if isinstance(deeper, dict) else None
    if isinstance(raw, str):  # OpenRouter: what the provider behind it said
        own = object_at(raw.encode())
        message = (said_in(own).message if own else "") or message
    # Only OpenAI's family has codes; types and statuses are words of the vendor's own.
    code, param = error.get("code"), error.get("param")
    return Said(
        message,
        code if isinstance(code, str) and len(code) < _MAX_CODE else "",
        param if isinstance(param, str) else None,
    )


def _sentence(text: str) -> str:
    return redact(text[:_MAX_MESSAGE])


class _Words(Struct, frozen=True):
    """One status in every family."""

    openai_type: str
    openai_code: str | None
    anthropic_type: str
    google_status: str


_BAD = _Words("invalid_request_error", None, "invalid_request_error", "INVALID_ARGUMENT")
_BROKEN = _Words("server_error", None, "api_error", "INTERNAL")
_LIMIT = _Words("rate_limit_error", "rate_limit_exceeded", "rate_limit_error", "RESOURCE_EXHAUSTED")
_BUSY = _Words("overloaded_error", None, "overloaded_error", "UNAVAILABLE")
_WORDS: Mapping[int, _Words] = {
    401: _Words(
        "invalid_request_error", "invalid_api_key", "authentication_error", "UNAUTHENTICATED"
    ),
    402: _Words("insufficient_quota", "insufficient_quota", "billing_error", "RESOURCE_EXHAUSTED"),
    403: _Words("permission_error", None, "permission_error", "PERMISSION_DENIED"),
    404: _Words("invalid_request_error", "model_not_found", "not_found_error", "NOT_FOUND"),
    408: _Words("timeout_error", "request_timeout", "timeout_error", "DEADLINE_EXCEEDED"),
    413: _Words(
        "invalid_request_error", "request_too_large", "request_too_large", "INVALID_ARGUMENT"
    ),
    429: _LIMIT,
    503: _BUSY,
    504: _Words("timeout_error", "upstream_timeout", "timeout_error", "DEADLINE_EXCEEDED"),
    529: _BUSY,
}
_CODES: Mapping[Cause, str] = {
    Cause.CONTEXT: "context_length_exceeded",
    Cause.CONTENT: "content_filter",
    Cause.QUOTA: "insufficient_quota",
    Cause.NOT_FOUND: "model_not_found",
}
"""What OpenAI's clients look for, by what the error means."""
_PROMPT_TOO_LONG = "prompt is too long: "
"""How Anthropic's clients know that the window is full."""
NOTHING_SAID = "The provider refused the request."


def words(status: int) -> _Words:
    """How a status is called in every family."""
    return _WORDS.get(status, _BAD if status < 500 else _BROKEN)


def render_refusal(
    family: str, error: UpstreamError, request_id: str
) -> tuple[int, Headers, bytes]:
    """(status, headers, body) of a provider's refusal as clients of `family` expect it."""
    status = error.status if 400 <= error.status <= 599 else 502
    return status, [_JSON], _FAMILIES[family](status, said(error.body), error.cause, request_id)


def _openai(status: int, said: Said, cause: Cause, request_id: str) -> bytes:
    known = words(status)
    fields = {
        "message": said.message or NOTHING_SAID,
        "type": known.openai_type,
        "param": said.param,
        "code": _CODES.get(cause) or known.openai_code or said.code or None,
    }
    return _encode({"error": fields})


def _anthropic(status: int, said: Said, cause: Cause, request_id: str) -> bytes:
    message = said.message or NOTHING_SAID
    if cause is Cause.CONTEXT and not message.lower().startswith(_PROMPT_TOO_LONG.rstrip(": ")):
        message = _PROMPT_TOO_LONG + message
    fields = {"type": words(status).anthropic_type, "message": message}
    return _encode({"type": "error", "error": fields, "request_id": request_id})


def _gemini(status: int, said: Said, cause: Cause, request_id: str) -> bytes:
    fields = {
        "code": status,
        "message": said.message or NOTHING_SAID,
        "status": words(status).google_status,
    }
    return _encode({"error": fields})


def _mcp(status: int, said: Said, cause: Cause, request_id: str) -> bytes:
    return _encode(rpc_error(said.message or NOTHING_SAID, said.code or str(cause)))


_FAMILIES: Mapping[str, Callable[[int, Said, Cause, str], bytes]] = {
    "openai": _openai,
    "anthropic": _anthropic,
    "gemini": _gemini,
    "mcp": _mcp,
}
