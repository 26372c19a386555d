"""What a provider's error means, whichever of a dozen shapes it comes in.

Routing needs to know whose fault it was and what could help: another credential, another model, a pause, nothing. The
status decides most of it; where providers disagree about the status, the words of the error do, and only its own
words: some quote the whole request back, and a prompt may say anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Struct

from proxy.core.clock import now
from proxy.core.errors import Cause, UpstreamError
from proxy.wire.retry_after import retry_after

_MAX_TEXT = 4096
_UNKNOWN = 502
"""An error inside a 200 that does not say what it is."""

_decode = msgspec.json.Decoder().decode


class Fault(Struct, frozen=True):
    """An error, taken apart."""

    words: tuple[str, ...] = ()
    """Its code, type and status, the most exact first, in lower case."""
    text: str = ""
    """What it says, in lower case."""
    number: int = 0
    """The HTTP status it names itself, 0 without one."""


STATUS_OF: Mapping[str, int] = {
    # invalid
    "bad_request": 400,
    "badrequesterror": 400,
    "content_filter": 400,
    "content_policy_violation": 400,
    "context_length_exceeded": 400,
    "failed_precondition": 400,
    "invalid_argument": 400,
    "invalid_prompt": 400,
    "invalid_request_error": 400,
    "moderation_blocked": 400,
    "validationexception": 400,
    # refused
    "authentication_error": 401,
    "invalid_api_key": 401,
    "unauthenticated": 401,
    "billing_error": 402,
    "accessdeniedexception": 403,
    "permission_denied": 403,
    "permission_error": 403,
    "model_not_found": 404,
    "not_found": 404,
    "not_found_error": 404,
    "notfounderror": 404,
    "resourcenotfoundexception": 404,
    "request_too_large": 413,
    # limits
    "insufficient_quota": 429,
    "modelnotreadyexception": 429,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "ratelimiterror": 429,
    "requests": 429,
    "resource_exhausted": 429,
    "throttlingexception": 429,
    "tokens": 429,
    "too_many_requests": 429,
    # the provider's
    "api_error": 500,
    "internal": 500,
    "internal_error": 500,
    "internal_server_error": 500,
    "internalservererror": 500,
    "internalserverexception": 500,
    "modelerrorexception": 500,
    "modelstreamerrorexception": 500,
    "server_error": 500,
    "overloaded": 529,
    "overloaded_error": 529,
    "engine_overloaded": 503,
    "engine_overloaded_error": 503,
    "service_unavailable": 503,
    "serviceunavailableexception": 503,
    "unavailable": 503,
    "deadline_exceeded": 504,
    "modeltimeoutexception": 504,
    "timeout": 504,
    "timeout_error": 504,
}
"""What an error inside a 200 stands for."""

_QUOTA_WORDS = frozenset(
    {
        "account_deactivated",
        "arrearage",
        "billing_error",
        "billing_hard_limit_reached",
        "billing_not_active",
        "exceeded_current_quota_error",
        "insufficient_quota",
        "insufficient_user_quota",
        "servicequotaexceededexception",
    }
)
_QUOTA_TEXTS = (
    "credit balance is too low",
    "insufficient balance",
    "insufficient credit",
    "balance is insufficient",
    "out of credits",
    "used all available credits",
    "too many tokens per day",
)

_CONTEXT_WORDS = frozenset(
    {
        "context_length_exceeded",
        "context_window_exceeded",
        "exceed_context_size_error",
        "input_too_long",
        "model_context_window_exceeded",
        "prompt_too_long",
        "tokens_limit_reached",
    }
)
_CONTEXT_TEXTS = (
    "prompt is too long",
    "input is too long",
    "prompt too long",
    "maximum context length",
    "maximum context size",
    "maximum prompt length",
    "maximum input length",
    "model's context length",
    "context length exceeded",
    "context length is exceeded",
    "exceeds the context length",
    "exceed the context length",
    "exceeds context length",
    "context window",
    "context limit",
    "exceeded model token limit",
    "greater than the context length",
    "prompt exceeds max length",
    "available context size",
    "exceeds the maximum number of tokens",
    "input token count",
    "tokens in request more than max tokens allowed",
    "number of input tokens exceeds maximum length",
    "range of input length",
    "reduce the length of the messages",
    "too many tokens",
    "too many input tokens",
    "tokens + `max_new_tokens` must be",
)

_CONTENT_WORDS = frozenset(
    {
        "content_filter",
        "content_filtered",
        "content_policy_violation",
        "contentfilter",
        "data_inspection_failed",
        "datainspectionfailed",
        "moderation_blocked",
        "prohibited_content",
        "responsibleaipolicyviolation",
        "safety",
        "sensitive_content",
    }
)
_CONTENT_TEXTS = (
    "content management policy",
    "content filter",
    "content polic",
    "content exists risk",
    "data may contain inappropriate content",
    "rejected by the safety system",
    "rejected as a result of our safety system",
    "blocked by our moderation",
    "violating our usage polic",
    "violates our usage polic",
    "prohibited_content",
)

_NO_MODEL_WORDS = frozenset({"model_not_found", "model_not_exist", "deploymentnotfound"})
_NO_MODEL_TEXTS = (
    "model not exist",
    "model not found",
    "no such model",
    "provided model identifier is invalid",
    "with on-demand throughput isn",
)


def parse_error(status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> UpstreamError:
    """An attempt's failure from a provider's refusal. Takes any bytes, never raises."""
    kept = tuple(headers)
    wait = retry_after(kept, body, now())
    cause = classify(status, fault_of(body))
    if status == 409 and (wait is not None or (b"x-should-retry", b"true") in kept):
        cause = Cause.SERVER  # a conflict that the provider says will pass
    return UpstreamError(
        cause,
        status=status,
        retry_after=wait,
        headers=kept,
        body=body,
    )


def in_band(body: bytes, fault: Fault | None = None) -> UpstreamError:
    """An attempt's failure from an error that came inside a 200."""
    fault = fault_of(body) if fault is None else fault
    return UpstreamError(
        Cause.IN_BAND,
        status=status_of(fault),
        retry_after=retry_after((), body, now()),
        body=body,
    )


def status_of(fault: Fault) -> int:
    """The HTTP status an error would have had, had it been given one."""
    if 400 <= fault.number <= 599:
        return fault.number
    for word in fault.words:
        if word in STATUS_OF:
            return STATUS_OF[word]
    return _UNKNOWN


def classify(status: int, fault: Fault) -> Cause:
    """Whose fault it was, and so what could help."""
    if 300 <= status < 400:
        return Cause.REDIRECT
    if status == 501:
        return (
            Cause.NOT_FOUND
        )  # the server lacks the endpoint: others may have it, and its rest is well
    if status == 408 or status >= 500:
        return Cause.SERVER
    if status == 401:
        return Cause.AUTH
    if status == 402 or _says(fault, _QUOTA_WORDS, _QUOTA_TEXTS):
        return Cause.QUOTA
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    cause = _of_request(fault)
    return Cause.TOO_LARGE if status == 413 and cause is not Cause.CONTEXT else cause


_BY_STATUS = {
    403: Cause.AUTH,
    404: Cause.NOT_FOUND,
    429: Cause.RATE_LIMIT,
}


def _of_request(fault: Fault) -> Cause:
    if _says(fault, _CONTEXT_WORDS, _CONTEXT_TEXTS):
        return Cause.CONTEXT
    if _says(fault, _CONTENT_WORDS, _CONTENT_TEXTS):
        return Cause.CONTENT
    if _says(fault, _NO_MODEL_WORDS, _NO_MODEL_TEXTS):
        return Cause.NOT_FOUND
    return Cause.CLIENT


def _says(fault: Fault, words: frozenset[str], texts: tuple[str, ...]) -> bool:
    return not words.isdisjoint(fault.words) or any(text in fault.text for text in texts)


def fault_of(body: bytes) -> Fault:
    """The error in a provider's body, JSON or not."""
    try:
        found = _decode(body)
    except (ValueError, RecursionError):
        return Fault(text=body[:_MAX_TEXT].decode("utf-8", "replace").lower())
    return fault_in(found)


def fault_in(found: object) -> Fault:
    """The error in a decoded body.

    Known shapes: `{"error": {…}}`, alone, in a list, or beside other things; `{"error": "text"}`; the fields of an
    error at the top level; `{"detail": …}`; `{"errors": […]}`.
    """
    if isinstance(found, list):
        found = found[0] if found else None
    if not isinstance(found, dict):
        return Fault(text=_text(found))
    inner = found.get("error")
    if isinstance(inner, dict):
        return _fault(inner)
    if inner is not None:
        return _fault({**found, "message": inner})
    many = found.get("errors")
    if isinstance(many, list) and many and isinstance(many[0], dict):
        return _fault(many[0])
    return _fault(found)


def _fault(error: dict[str, object]) -> Fault:
    inner = error.get("innererror")
    deeper = error.get("metadata")
    # Most exact first: Azure hides the code that matters inside, and a type is broader than a code.
    named = [
        inner.get("code") if isinstance(inner, dict) else None,
        error.get("code"),
        error.get("type"),
        error.get("status"),
        *_violated(error.get("details")),
    ]
    number = 0
    for value in (error.get("code"), error.get("status"), error.get("status_code")):
        number = number or _http_status(value)
    texts = [_text(error.get(key)) for key in ("message", "detail", "msg", "Message")]
    if isinstance(deeper, dict):
        texts.append(_text(deeper.get("raw")))
    return Fault(
        words=tuple(word.lower() for word in named if isinstance(word, str) and len(word) < 128),
        text="\n".join(text for text in texts if text),
        number=number,
    )


def _violated(details: object) -> list[str]:
    """`insufficient_quota` when Google's quota of a whole day is what ran out: no pause of minutes helps."""
    if not isinstance(details, list):
        return []
    violations = [
        violation
        for detail in details
        if isinstance(detail, dict) and isinstance(detail.get("violations"), list)
        for violation in detail["violations"]
        if isinstance(violation, dict)
    ]
    per_day = any("perday" in str(violation.get("quotaId", "")).lower() for violation in violations)
    return ["insufficient_quota"] if per_day else []


def _http_status(value: object) -> int:
    if isinstance(value, str) and len(value) == 3 and value.isascii() and value.isdigit():
        value = int(value)
    is_status = isinstance(value, int) and not isinstance(value, bool) and 400 <= value <= 599
    return value if is_status else 0  # type: ignore[return-value]


def _text(value: object) -> str:
    return value[:_MAX_TEXT].lower() if isinstance(value, str) else ""
