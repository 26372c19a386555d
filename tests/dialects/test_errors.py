"""What a provider's refusal means."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.errors import Cause
from proxy.dialects.errors import classify, fault_of, in_band, parse_error


def cause(status: int, body: Any = b"") -> Cause:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return parse_error(status, [], raw).cause


def openai(
    message: str = "", code: Any = None, kind: str = "invalid_request_error"
) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def anthropic(message: str, kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}}


def google(code: int, message: str, status: str, *details: Any) -> dict[str, Any]:
    error = {"code": code, "message": message, "status": status, "details": list(details)}
    return {"error": error}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (301, Cause.REDIRECT),
        (302, Cause.REDIRECT),
        (307, Cause.REDIRECT),
        (400, Cause.CLIENT),
        (401, Cause.AUTH),
        (402, Cause.QUOTA),
        (403, Cause.AUTH),
        (404, Cause.NOT_FOUND),
        (405, Cause.CLIENT),
        (408, Cause.SERVER),
        (409, Cause.CLIENT),
        (413, Cause.TOO_LARGE),
        (415, Cause.CLIENT),
        (422, Cause.CLIENT),
        (429, Cause.RATE_LIMIT),
        (500, Cause.SERVER),
        (502, Cause.SERVER),
        (503, Cause.SERVER),
        (504, Cause.SERVER),
        (529, Cause.SERVER),
        (599, Cause.SERVER),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>no</html>", b"\xff\xfe", b"[]", b"null", b"{}"])
def test_the_status_decides_where_nothing_else_is_said(
    status: int, expected: Cause, body: bytes
) -> None:
    assert cause(status, body) is expected


@pytest.mark.parametrize(
    "body",
    [
        openai("This model's maximum context length is 128000 tokens.", "context_length_exceeded"),
        openai("anything", "context_length_exceeded"),
        openai("The input (9000 tokens) is longer than the model's context length (8192 tokens)."),
        openai("This model's maximum prompt length is 131072 but the request contains 200000."),
        openai("Please reduce the length of the messages or completion."),
        openai("the request exceeds the available context size", kind="exceed_context_size_error"),
        openai("Your request exceeded model token limit: 8192"),
        anthropic("prompt is too long: 250000 tokens > 200000 maximum"),
        anthropic("input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000"),
        google(
            400,
            "The input token count (1250074) exceeds the maximum number of tokens allowed.",
            "INVALID_ARGUMENT",
        ),
        {"object": "error", "message": "maximum context length is 4096 tokens", "code": 400},
        {"message": "Prompt contains 40000 tokens, too large for 32768 maximum context length"},
        {"message": "Input is too long for requested model."},
        {"error": "the input length exceeds the context length"},
        {"detail": "Input exceeds the context window"},
        {
            "error": {
                "message": "Provider returned error",
                "metadata": {"raw": "prompt is too long"},
            }
        },
        b"prompt is too long",
    ],
)
def test_a_prompt_that_does_not_fit_is_known_in_any_words(body: Any) -> None:
    assert cause(400, body) is Cause.CONTEXT


@pytest.mark.parametrize(
    "body",
    [
        openai(
            "max_tokens is too large: 5000. This model supports at most 4096 completion tokens."
        ),
        anthropic(
            "max_tokens: 100000 > 8192, which is the maximum allowed number of output tokens"
        ),
        openai("Unsupported parameter: 'context'."),
        {"detail": [{"loc": ["body"], "msg": "field required", "input": "prompt is too long"}]},
        {"error": {"message": "Bad value", "input": "content filter"}},
    ],
)
def test_other_mistakes_are_the_clients(body: Any) -> None:
    assert cause(400, body) is Cause.CLIENT
    assert cause(422, body) is Cause.CLIENT


@pytest.mark.parametrize(
    "body",
    [
        openai("x", "content_filter"),
        openai("x", "content_policy_violation"),
        openai("x", "moderation_blocked", kind="image_generation_user_error"),
        {"error": {"code": "x", "innererror": {"code": "ResponsibleAIPolicyViolation"}}},
        openai("The response was filtered due to Azure's content management policy."),
        openai("Your request was rejected by the safety system."),
        openai(
            "Your prompt was flagged as potentially violating our usage policy.", "invalid_prompt"
        ),
        openai("Content Exists Risk"),
        anthropic("Output blocked by content filtering policy"),
        {"error": {"code": 400, "message": "The prompt was blocked: PROHIBITED_CONTENT."}},
        {
            "code": "DataInspectionFailed",
            "message": "Input data may contain inappropriate content.",
        },
    ],
)
def test_a_refusal_of_content_is_known(body: Any) -> None:
    assert cause(400, body) is Cause.CONTENT


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (
            429,
            openai("You exceeded your current quota", "insufficient_quota", "insufficient_quota"),
        ),
        (400, openai("Billing hard limit has been reached", "billing_hard_limit_reached")),
        (400, anthropic("Your credit balance is too low to access the Anthropic API.")),
        (403, openai("Your team has used all available credits.")),
        (402, b""),
        (429, openai("x", None, "exceeded_current_quota_error")),
        (
            429,
            google(
                429,
                "You exceeded your current quota.",
                "RESOURCE_EXHAUSTED",
                {"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]},
            ),
        ),
    ],
)
def test_an_empty_account_is_no_mere_limit(status: int, body: Any) -> None:
    assert cause(status, body) is Cause.QUOTA


def test_a_quota_of_a_minute_is_a_mere_limit() -> None:
    body = google(
        429,
        "You exceeded your current quota, please check your plan and billing details.",
        "RESOURCE_EXHAUSTED",
        {"@type": "x", "violations": [{"quotaId": "GenerateRequestsPerMinutePerProject"}]},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "22s"},
    )

    error = parse_error(429, [], orjson.dumps([body]))

    assert error.cause is Cause.RATE_LIMIT
    assert error.retry_after == 22


def test_a_refused_credential_stays_one_whatever_it_says() -> None:
    assert cause(403, openai("Country, region, or territory not supported")) is Cause.AUTH
    assert cause(403, openai("content filter", "content_filter")) is Cause.AUTH
    assert cause(401, openai("prompt is too long")) is Cause.AUTH


@pytest.mark.parametrize("body", [openai("x", "model_not_found"), openai("Model Not Exist")])
def test_an_unknown_model_is_known_behind_another_status(body: Any) -> None:
    assert cause(400, body) is Cause.NOT_FOUND


def test_too_large_a_request_may_be_too_long_a_prompt() -> None:
    assert cause(413, anthropic("Request too large", "request_too_large")) is Cause.TOO_LARGE
    assert cause(413, openai("x", "tokens_limit_reached")) is Cause.CONTEXT


def test_the_refusal_is_kept_as_it_came() -> None:
    headers = [(b"Retry-After", b"2"), (b"content-type", b"application/json")]

    error = parse_error(429, headers, b'{"error":{}}')

    assert error.status == 429
    assert error.retry_after == 2
    assert error.headers == tuple(headers)
    assert error.body == b'{"error":{}}'
    assert error.sent


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"error":{"code":418}}', 418),
        (b'{"error":{"code":"504"}}', 504),
        (b'{"error":{"status":503}}', 503),
        (b'{"error":{"code":200,"type":"server_error"}}', 500),
        (b'{"error":{"code":1302,"type":"x"}}', 502),
        (b'{"error":{"code":true}}', 502),
        (b'{"error":{"type":"insufficient_quota"}}', 429),
        (b'{"error":{"type":"tokens","code":"rate_limit_exceeded"}}', 429),
        (b'{"error":{"type":"RateLimitError"}}', 429),
        (b'{"errors":[{"code":403,"message":"m"}]}', 403),
        (b'{"type":"error","code":"server_error","message":"m"}', 500),
        (b"words", 502),
        (b"", 502),
    ],
)
def test_an_error_inside_a_200_stands_for_a_status(body: bytes, status: int) -> None:
    error = in_band(body)

    assert error.cause is Cause.IN_BAND
    assert error.status == status
    assert error.body == body


@settings(deadline=None)
@given(st.integers(300, 600), st.binary(max_size=80))
def test_any_bytes_can_be_refused_with(status: int, body: bytes) -> None:
    assert parse_error(status, [(body, body)], body).cause in Cause


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-999, 999) | st.sampled_from(["429", "error", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "error",
                    "errors",
                    "code",
                    "type",
                    "status",
                    "message",
                    "detail",
                    "details",
                    "metadata",
                    "violations",
                    "innererror",
                    "quotaId",
                    "raw",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@settings(deadline=None)
@given(st.sampled_from([400, 403, 413, 429, 500]), JSON)
def test_any_json_can_be_refused_with(status: int, body: Any) -> None:
    raw = orjson.dumps(body)

    assert classify(status, fault_of(raw)) in Cause
    assert in_band(raw).status in range(400, 600)


def test_an_endpoint_the_server_lacks_says_nothing_about_its_health() -> None:
    assert cause(501, openai("not implemented")) is Cause.NOT_FOUND
