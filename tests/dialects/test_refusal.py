"""A provider's refusal keeps its status and its sentence, whichever family's words it is put into."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import Cause, UpstreamError
from proxy.dialects.refusal import render_refusal, said

SHAPES = [
    b'{"error":{"message":"No.","type":"invalid_request_error","param":"n","code":null}}',
    b'{"type":"error","error":{"type":"invalid_request_error","message":"No."}}',
    b'{"error":{"code":400,"message":"No.","status":"INVALID_ARGUMENT"}}',
    b'[{"error":{"code":400,"message":"No.","status":"INVALID_ARGUMENT"}}]',
    b'{"message":"No."}',
    b'{"Message":"No."}',
    b'{"error":"No."}',
    b'{"detail":"No."}',
    b'{"detail":[{"loc":["body"],"msg":"No.","type":"missing"}]}',
    b'{"errors":[{"message":"No."}]}',
    b'{"object":"error","message":"No.","code":400}',
    b'{"type":"response.failed","response":{"error":{"code":"server_error","message":"No."}}}',
    b'{"error":{"message":"Provider returned error","metadata":{"raw":"{\\"error\\":{\\"message\\":\\"No.\\"}}"}}}',
]


@pytest.mark.parametrize("body", SHAPES)
def test_the_sentence_is_found_in_every_shape(body: bytes) -> None:
    assert said(body).message == "No."


def test_what_looks_like_a_credential_is_not_repeated() -> None:
    found = said(
        b'{"error":{"message":"Incorrect API key provided: sk-abcdefghijklmnopqrstuvwxyz."}}'
    )

    assert "abcdefghijklmnop" not in found.message


@pytest.mark.parametrize("body", [b"", b"<html>down</html>", b"\xff", b"3", b"{}", b"[]"])
def test_a_body_that_says_nothing_gives_a_sentence_of_ours(body: bytes) -> None:
    error = UpstreamError(Cause.CLIENT, status=400, body=body)

    _, _, rendered = render_refusal("openai", error, "r")

    assert orjson.loads(rendered)["error"]["message"]


@pytest.mark.parametrize(
    ("status", "openai", "anthropic", "google"),
    [
        (400, "invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"),
        (404, "invalid_request_error", "not_found_error", "NOT_FOUND"),
        (422, "invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"),
        (429, "rate_limit_error", "rate_limit_error", "RESOURCE_EXHAUSTED"),
        (500, "server_error", "api_error", "INTERNAL"),
        (529, "overloaded_error", "overloaded_error", "UNAVAILABLE"),
    ],
)
def test_each_family_has_its_own_word_for_a_status(
    status: int, openai: str, anthropic: str, google: str
) -> None:
    error = UpstreamError(Cause.CLIENT, status=status, body=SHAPES[0])
    bodies = {
        family: orjson.loads(render_refusal(family, error, "r")[2])
        for family in ("openai", "anthropic", "gemini")
    }

    assert bodies["openai"]["error"]["type"] == openai
    assert bodies["anthropic"]["error"]["type"] == anthropic
    assert bodies["gemini"]["error"]["status"] == google
    assert bodies["gemini"]["error"]["code"] == status
    assert bodies["anthropic"]["request_id"] == "r"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (
            b'{"error":{"message":"No.","type":"invalid_request_error","code":"bad_value"}}',
            "bad_value",
        ),
        (b'{"type":"error","error":{"type":"api_error","message":"No."}}', None),
        (b'{"error":{"code":500,"message":"No.","status":"INTERNAL"}}', None),
        (b'{"error":{"message":"No.","type":"server_error","code":null}}', None),
    ],
)
def test_no_other_vendors_word_becomes_a_code(body: bytes, code: str | None) -> None:
    error = UpstreamError(Cause.SERVER, status=500, body=body)

    assert orjson.loads(render_refusal("openai", error, "r")[2])["error"]["code"] == code


def test_a_full_window_is_known_by_what_clients_look_for() -> None:
    error = UpstreamError(Cause.CONTEXT, status=400, body=b'{"message":"Input is too long."}')

    openai = orjson.loads(render_refusal("openai", error, "r")[2])
    anthropic = orjson.loads(render_refusal("anthropic", error, "r")[2])

    assert openai["error"]["code"] == "context_length_exceeded"
    assert anthropic["error"]["message"] == "prompt is too long: Input is too long."


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 999) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "message", "code", "errors", "detail", "metadata", "raw"])
            | st.text(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(
    st.binary() | JSON.map(orjson.dumps),
    st.sampled_from(["openai", "anthropic", "gemini"]),
    st.integers(0, 700),
)
def test_no_body_is_too_odd(body: bytes, family: str, status: int) -> None:
    told, headers, rendered = render_refusal(
        family, UpstreamError(Cause.CLIENT, status=status, body=body), "r"
    )

    assert 400 <= told <= 599
    assert headers[0][0] == b"content-type"
    assert isinstance(orjson.loads(rendered)["error"]["message"], str)
