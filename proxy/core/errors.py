"""Every answer the gateway makes itself, by whose fault it is.

    ProxyError          the gateway answers instead of an upstream; `ref` names a row of ERRORS
    UpstreamError       one attempt failed; `cause` says how, and routing decides what is next

A row of `ERRORS` holds what each dialect needs; dialects render it, nobody else builds an error body. Messages
are fixed texts: no exception text, upstream URL, path, key or echoed bytes ever reaches a client.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct


class Row(Struct, frozen=True):
    """How one kind of error looks: HTTP status, then the words of each dialect."""

    status: int
    type: str
    code: str
    message: str
    anthropic_type: str
    anthropic_status: int = 0
    """0: as `status`."""
    google_status: str = "INVALID_ARGUMENT"
    close: bool = False
    """The connection cannot be used again."""
    retry: bool | None = None
    """Sent as `x-should-retry` when not None."""


_BAD = "invalid_request_error"

ERRORS: Mapping[str, Row] = {
    "bad_http": Row(
        400, _BAD, "malformed_http", "The request is not well-formed HTTP/1.1.", _BAD, close=True
    ),
    "bad_json": Row(400, _BAD, "invalid_json", "The body is not a valid JSON object.", _BAD),
    "bad_req": Row(400, _BAD, "invalid_request", "The request cannot be served as it is.", _BAD),
    "no_auth": Row(
        401,
        _BAD,
        "invalid_api_key",
        "No valid API key was given. Send it as 'Authorization: Bearer <key>'.",
        "authentication_error",
        google_status="UNAUTHENTICATED",
    ),
    "forbid": Row(
        403,
        "permission_error",
        "key_disabled",
        "This API key may not be used.",
        "permission_error",
        google_status="PERMISSION_DENIED",
    ),
    "no_route": Row(
        404,
        _BAD,
        "unknown_url",
        "There is nothing at this path. See GET / for the list of endpoints.",
        "not_found_error",
        google_status="NOT_FOUND",
    ),
    "no_model": Row(
        404,
        _BAD,
        "model_not_found",
        "The model does not exist or this key may not use it. See GET /v1/models.",
        "not_found_error",
        google_status="NOT_FOUND",
    ),
    "bad_method": Row(
        405, _BAD, "method_not_allowed", "This path does not take this method.", _BAD
    ),
    "slow_req": Row(
        408,
        "timeout_error",
        "request_timeout",
        "The request did not arrive in time.",
        "timeout_error",
        google_status="DEADLINE_EXCEEDED",
        close=True,
    ),
    "too_big": Row(
        413,
        _BAD,
        "request_too_large",
        "The request body is larger than this gateway accepts.",
        "request_too_large",
        close=True,
    ),
    "bad_enc": Row(
        415,
        _BAD,
        "unsupported_encoding",
        "The content type or content encoding is not supported.",
        _BAD,
    ),
    "hook_refused": Row(
        400, _BAD, "refused_by_hook", "A rule of this gateway refuses this request.", _BAD
    ),
    "hdr_big": Row(
        431, _BAD, "header_too_large", "The request head is too large.", _BAD, close=True
    ),
    "limit": Row(
        429,
        "rate_limit_error",
        "rate_limit_exceeded",
        "The rate limit is reached. Try again after the time in 'retry-after'.",
        "rate_limit_error",
        google_status="RESOURCE_EXHAUSTED",
    ),
    "budget": Row(
        429,
        "insufficient_quota",
        "insufficient_quota",
        "The budget of this API key is used up.",
        "billing_error",
        402,
        "RESOURCE_EXHAUSTED",
        retry=False,
    ),
    "auth_flood": Row(
        429,
        "rate_limit_error",
        "too_many_auth_failures",
        "Too many requests without a valid API key came from this address. "
        "A valid key is served at once; others wait for the time in 'retry-after'.",
        "rate_limit_error",
        google_status="RESOURCE_EXHAUSTED",
        retry=False,
    ),
    "oops": Row(
        500,
        "server_error",
        "internal_error",
        "The gateway failed. The request id identifies the log entry.",
        "api_error",
        google_status="INTERNAL",
    ),
    "hook_failed": Row(
        500,
        "server_error",
        "hook_failed",
        "A check that every request has to pass did not work. The request id identifies the log entry.",
        "api_error",
        google_status="INTERNAL",
    ),
    "bad_up": Row(
        502,
        "upstream_error",
        "upstream_bad_response",
        "The provider's answer was not usable.",
        "api_error",
        google_status="UNAVAILABLE",
    ),
    "up_spent": Row(
        502,
        "upstream_error",
        "upstream_exhausted",
        "Every provider that could serve this model failed.",
        "api_error",
        google_status="UNAVAILABLE",
    ),
    "no_quota": Row(
        502,
        "upstream_error",
        "quota_exhausted",
        "The quotas set here for every deployment that could serve this model are used up.",
        "api_error",
        google_status="UNAVAILABLE",
    ),
    "up_auth": Row(
        502,
        "upstream_error",
        "upstream_auth_failed",
        "The provider refused the gateway's credentials. This is not about your API key.",
        "api_error",
        google_status="UNAVAILABLE",
        retry=False,
    ),
    "no_up": Row(
        503,
        "upstream_error",
        "no_healthy_deployment",
        "No provider of this model is healthy at the moment.",
        "overloaded_error",
        529,
        "UNAVAILABLE",
    ),
    "shed": Row(
        503,
        "overloaded_error",
        "gateway_overloaded",
        "The gateway is overloaded. Try again shortly.",
        "overloaded_error",
        529,
        "UNAVAILABLE",
    ),
    "no_state": Row(
        503,
        "server_error",
        "state_unavailable",
        "The gateway has not read its keys yet, so it cannot say whether this one is valid. Try again shortly.",
        "overloaded_error",
        529,
        "UNAVAILABLE",
        retry=True,
    ),
    "drain": Row(
        503,
        "overloaded_error",
        "gateway_draining",
        "The gateway is shutting down. Try again.",
        "overloaded_error",
        529,
        "UNAVAILABLE",
        close=True,
    ),
    "up_time": Row(
        504,
        "timeout_error",
        "upstream_timeout",
        "The provider did not answer in time.",
        "timeout_error",
        google_status="DEADLINE_EXCEEDED",
    ),
    "late": Row(
        504,
        "timeout_error",
        "deadline_exceeded",
        "No provider can answer within the time that the request gives.",
        "timeout_error",
        google_status="DEADLINE_EXCEEDED",
        retry=False,
    ),
}


class ProxyError(Exception):
    """The gateway answers this request itself. `ref` is a key of `ERRORS`."""

    def __init__(
        self,
        ref: str,
        message: str | None = None,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
        should_retry: bool | None = None,
        status: int = 0,
    ) -> None:
        row = ERRORS[ref]
        super().__init__(ref)
        self.ref = ref
        self.row = row
        self.message = message or row.message
        self.code = code or row.code
        self.param = param
        self.retry_after = retry_after
        self.should_retry = row.retry if should_retry is None else should_retry
        self.status = status
        """The HTTP status where it is not the row's: that of a provider's refusal put into our words."""


class Cause(StrEnum):
    """How an attempt failed; also the closed label set of the attempt metrics."""

    CONNECT = "connect"
    TIMEOUT_CONNECT = "timeout_connect"
    TLS = "tls"
    STALE = "stale"
    POOL = "pool"
    TIMEOUT_TTFT = "timeout_ttft"
    TIMEOUT_IDLE = "timeout_idle"
    TIMEOUT_TOTAL = "timeout_total"
    DEADLINE = "client_deadline"
    """The client's time was over, which says nothing of the provider."""
    RATE_LIMIT = "http_429"
    AUTH = "http_401"
    QUOTA = "http_402"
    NOT_FOUND = "http_404"
    CONTEXT = "context_length"
    TOO_LARGE = "http_413"
    CONTENT = "content_filter"
    CLIENT = "http_4xx"
    REDIRECT = "http_3xx"
    SERVER = "http_5xx"
    EMPTY = "empty"
    MALFORMED = "malformed"
    TRUNCATED = "truncated"
    IN_BAND = "in_band_error"
    MISMATCH = "mismatch"
    """Asked to go on with the answer of another, it said something else."""
    UNTRANSLATABLE = "untranslatable"
    VETOED = "vetoed"
    """A hook of the installation keeps this deployment from this request."""
    FULL = "limit"
    """A limit of ours, not the provider's."""
    LOCAL = "local"


class UpstreamError(Exception):
    """One attempt failed.

    `status` is the provider's HTTP status, or the one an error inside a 200 stands for, or 0 when there was none.
    `retry_after` is in seconds, as the provider asked. `headers` and `body` are kept so that a client error can be
    passed on as it came.
    """

    def __init__(
        self,
        cause: Cause,
        *,
        status: int = 0,
        retry_after: float | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        body: bytes = b"",
        sent: bool = True,
    ) -> None:
        super().__init__(cause)
        self.cause = cause
        self.status = status
        self.retry_after = retry_after
        self.headers = headers
        self.body = body
        self.sent = sent
        """The request reached the provider, as far as we know."""
        self.refusal: ProxyError | None = None
        """UNTRANSLATABLE, VETOED: what the client is told when nobody else could serve the request as it is."""
        self.foreign = False
        """`body` is in another dialect than the client's."""
