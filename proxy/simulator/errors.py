"""The error bodies of each dialect, and the error events that come inside a stream."""

from __future__ import annotations

from typing import Any

import msgspec
import orjson
from msgspec import Struct

from proxy.wire import eventstream


class Kind(Struct, frozen=True):
    """One kind of failure in the words of each dialect."""

    status: int
    type: str
    code: str | None
    anthropic: str
    google: str
    message: str


STATUSES: dict[int, Kind] = {
    kind.status: kind
    for kind in (
        Kind(400, "invalid_request_error", "invalid_value", "invalid_request_error",
             "INVALID_ARGUMENT", "The simulator does not like this request."),
        Kind(401, "invalid_request_error", "invalid_api_key", "authentication_error",
             "UNAUTHENTICATED", "Incorrect API key provided."),
        Kind(402, "insufficient_quota", "insufficient_balance", "billing_error",
             "RESOURCE_EXHAUSTED", "Insufficient balance."),
        Kind(403, "permission_error", "permission_denied", "permission_error",
             "PERMISSION_DENIED", "Your account may not use this model."),
        Kind(404, "invalid_request_error", "model_not_found", "not_found_error",
             "NOT_FOUND", "The model does not exist or you do not have access to it."),
        Kind(405, "invalid_request_error", "method_not_allowed", "invalid_request_error",
             "INVALID_ARGUMENT", "Method not allowed."),
        Kind(408, "timeout_error", "request_timeout", "timeout_error",
             "DEADLINE_EXCEEDED", "The request took too long."),
        Kind(409, "invalid_request_error", "conflict", "invalid_request_error",
             "ABORTED", "The resource is being changed by another request."),
        Kind(413, "invalid_request_error", "request_too_large", "request_too_large",
             "INVALID_ARGUMENT", "The request exceeds the maximum size."),
        Kind(415, "invalid_request_error", "unsupported_media_type", "invalid_request_error",
             "INVALID_ARGUMENT", "Unsupported media type."),
        Kind(422, "invalid_request_error", "unprocessable", "invalid_request_error",
             "INVALID_ARGUMENT", "The request could not be processed."),
        Kind(429, "requests", "rate_limit_exceeded", "rate_limit_error",
             "RESOURCE_EXHAUSTED", "Rate limit reached. Please try again later."),
        Kind(500, "server_error", None, "api_error",
             "INTERNAL", "The server had an error while processing your request."),
        Kind(501, "server_error", "not_implemented", "api_error",
             "UNIMPLEMENTED", "Not implemented."),
        Kind(502, "server_error", "bad_gateway", "api_error", "UNAVAILABLE", "Bad gateway."),
        Kind(503, "server_error", "service_unavailable", "overloaded_error",
             "UNAVAILABLE", "The engine is currently overloaded. Please try again later."),
        Kind(504, "server_error", "gateway_timeout", "timeout_error",
             "DEADLINE_EXCEEDED", "Gateway timeout."),
        Kind(529, "overloaded_error", "overloaded", "overloaded_error",
             "UNAVAILABLE", "Overloaded"),
    )
}  # fmt: skip

NAMED: dict[str, Kind] = {
    "quota": Kind(429, "insufficient_quota", "insufficient_quota", "billing_error",
                  "RESOURCE_EXHAUSTED",
                  "You exceeded your current quota, please check your plan and billing details."),
    "context": Kind(400, "invalid_request_error", "context_length_exceeded",
                    "invalid_request_error", "INVALID_ARGUMENT",
                    "This model's maximum context length is 8192 tokens, your messages are longer."),
    "policy": Kind(400, "invalid_request_error", "content_filter", "invalid_request_error",
                   "INVALID_ARGUMENT", "The request was stopped by the content filter."),
}  # fmt: skip

# Where vendors put the difference into the words instead of into a code.
_ANTHROPIC_WORDS = {
    "quota": "Your credit balance is too low to access the API.",
    "context": "prompt is too long: 250000 tokens > 200000 maximum",
    "policy": "Output blocked by content filtering policy",
}
_GEMINI_WORDS = {
    "context": "The input token count (1200000) exceeds the maximum number of tokens allowed "
    "(1048576).",
    "policy": "The prompt was blocked: PROHIBITED_CONTENT.",
}


_BEDROCK_WORDS = {
    "quota": "Too many tokens per day, please wait before trying again.",
    "context": "The model returned the following errors: Input is too long for requested model.",
    "policy": "The model returned the following errors: Output blocked by content filtering policy",
}
_BEDROCK = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    402: "ServiceQuotaExceededException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
    504: "ModelTimeoutException",
    529: "ModelNotReadyException",
}


class Refused(Exception):
    """A request the vendor would not take, in the vendor's words."""

    def __init__(
        self,
        message: str,
        param: str = "",
        code: str = "invalid_value",
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.details = details
        """What Anthropic says to programs."""
        self.message = message
        self.param = param
        """The field at fault."""
        self.code = code

    def body(self, family: str) -> bytes:
        """The body of the 400 it becomes; the field is named where the dialect has a place for it."""
        kind = msgspec.structs.replace(STATUSES[400], message=self.message, code=self.code)
        if family == "anthropic":
            answer = _anthropic(kind.anthropic, self.message)
            if self.details:
                answer["error"]["details"] = self.details
            return orjson.dumps(answer)
        if family == "gemini":
            error = _gemini(kind, "400", "")
            if self.param:
                violation = {"field": self.param, "description": self.message}
                detail = {"@type": "type.googleapis.com/google.rpc.BadRequest"}
                error["error"]["details"] = [detail | {"fieldViolations": [violation]}]
            return orjson.dumps(error)
        if family == "bedrock":
            return orjson.dumps({"message": self.message})
        return orjson.dumps({"error": _openai(kind) | {"param": self.param or None}})


def body(family: str, word: str, retry_delay: str = "") -> tuple[int, bytes]:
    """Status and body of the failure a fault word names, in the shape of a dialect family."""
    kind = NAMED.get(word) or STATUSES[int(word)]
    if family == "anthropic":
        kind_text = _ANTHROPIC_WORDS.get(word, kind.message)
        return kind.status, orjson.dumps(_anthropic(kind.anthropic, kind_text))
    if family == "gemini":
        return kind.status, orjson.dumps(_gemini(kind, word, retry_delay))
    if family == "bedrock":
        return kind.status, orjson.dumps({"message": _BEDROCK_WORDS.get(word, kind.message)})
    return kind.status, orjson.dumps({"error": _openai(kind)})


def headers(family: str, status: int) -> bytes:
    """Header lines of a failure: Bedrock names it there, the others in the body alone."""
    if family != "bedrock":
        return b""
    name = _BEDROCK.get(status, _BEDROCK[400] if status < 500 else _BEDROCK[500])
    return b"x-amzn-errortype: %b:http://internal.amazon.com/coral/\r\n" % name.encode()


def inside_200(family: str) -> bytes:
    """An overload reported in the body of a 200; the status it stands for is in it."""
    kind = STATUSES[503]
    if family == "anthropic":
        return orjson.dumps(_anthropic("overloaded_error", "Overloaded"))
    if family == "gemini":
        return orjson.dumps(_gemini(kind, "503", ""))
    if family == "bedrock":
        name = "com.amazon.coral.service#ServiceUnavailableException"
        return orjson.dumps({"__type": name, "message": kind.message})
    return orjson.dumps({"error": _openai(kind) | {"code": 503}})


def _openai(kind: Kind) -> dict[str, Any]:
    return {"message": kind.message, "type": kind.type, "param": None, "code": kind.code}


def _anthropic(type_: str, message: str) -> dict[str, Any]:
    return {
        "type": "error",
        "error": {"type": type_, "message": message},
        "request_id": "req_sim",
    }


def _gemini(kind: Kind, word: str, retry_delay: str) -> dict[str, Any]:
    details: list[dict[str, Any]] = []
    if word == "quota":
        details.append(
            {
                "@type": "type.googleapis.com/google.rpc.QuotaFailure",
                "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}],
            }
        )
    if retry_delay:
        details.append(
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": retry_delay}
        )
    error = {
        "code": kind.status,
        "message": _GEMINI_WORDS.get(word, kind.message),
        "status": kind.google,
    }
    return {"error": error | ({"details": details} if details else {})}


def chat_event() -> bytes:
    """The error event of a chat stream."""
    return b"data: " + orjson.dumps({"error": _openai(STATUSES[503])}) + b"\n\n"


def responses_event(sequence: int) -> bytes:
    """The error event of a Responses stream."""
    kind = STATUSES[503]
    return (
        b"event: error\ndata: "
        + orjson.dumps(
            {
                "type": "error",
                "code": kind.code,
                "message": kind.message,
                "param": None,
                "sequence_number": sequence,
            }
        )
        + b"\n\n"
    )


def anthropic_event() -> bytes:
    """The error event of a Messages stream."""
    return (
        b"event: error\ndata: "
        + orjson.dumps(_anthropic("overloaded_error", "Overloaded"))
        + (b"\n\n")
    )


def gemini_event() -> bytes:
    """The error event of a Gemini stream."""
    return b"data: " + orjson.dumps(_gemini(STATUSES[503], "503", "")) + b"\r\n\r\n"


def bedrock_event() -> bytes:
    """The exception of a Converse stream."""
    body = orjson.dumps({"message": STATUSES[503].message})
    return eventstream.exception("serviceUnavailableException", body)
