"""Only listed headers pass, in either direction."""

from __future__ import annotations

import pytest

from proxy.wire.headers import (
    HOP_BY_HOP,
    TO_CLIENT,
    TO_UPSTREAM,
    arguments,
    to_client,
    to_upstream,
    with_one_user_agent,
)

SECRETS = [
    b"Authorization",
    b"X-Api-Key",
    b"X-Goog-Api-Key",
    b"Cookie",
    b"Proxy-Authorization",
    b"X-Forwarded-For",
    b"Forwarded",
    b"Via",
    b"Expect",
    b"Range",
    b"Host",
    b"Content-Length",
    b"Accept-Encoding",
    b"User-Agent",
    b"X-Stainless-Lang",
    b"OpenAI-Organization",
]


def test_a_request_keeps_what_describes_it() -> None:
    headers = [
        (b"Content-Type", b"application/json"),
        (b"Accept", b"text/event-stream"),
        (b"anthropic-beta", b"one"),
        (b"Anthropic-Beta", b"two"),
        (b"Anthropic-Version", b"2023-06-01"),
        (b"OpenAI-Beta", b"assistants=v2"),
        (b"Idempotency-Key", b"k"),
    ]

    assert to_upstream(headers) == [(name.lower(), value) for name, value in headers]


@pytest.mark.parametrize("name", SECRETS)
def test_a_request_keeps_nothing_else(name: bytes) -> None:
    assert to_upstream([(name, b"x")]) == []


def test_a_route_may_let_more_pass() -> None:
    headers = [(b"X-Extra", b"1"), (b"X-Other", b"2")]

    assert to_upstream(headers, frozenset({b"x-extra"})) == [(b"x-extra", b"1")]


def test_what_a_tool_is_called_with_may_be_called_as_the_tool_likes() -> None:
    headers = [(b"Mcp-Param-Who_To", b"Ann"), (b"X_Extra", b"1"), (b"Mcp-Parameters", b"2")]
    names = arguments(headers)

    assert names == {b"mcp-param-who_to"}
    assert to_upstream(headers, names | {b"x_extra"}) == [(b"mcp-param-who_to", b"Ann")]
    assert to_upstream(headers) == []


@pytest.mark.parametrize("name", [*sorted(HOP_BY_HOP), b"x_extra"])
def test_no_route_lets_hop_by_hop_or_underscored_headers_pass(name: bytes) -> None:
    assert to_upstream([(name, b"x")], frozenset({name})) == []
    assert to_client([(name, b"x")]) == []


@pytest.mark.parametrize("value", [b"accept", b"close, Accept", b"keep-alive ,\tACCEPT"])
def test_what_connection_lists_is_dropped(value: bytes) -> None:
    headers = [(b"Connection", value), (b"Accept", b"*/*"), (b"Content-Type", b"a/b")]

    assert to_upstream(headers) == [(b"content-type", b"a/b")]


def test_an_ordinary_connection_header_drops_nothing() -> None:
    headers = [(b"Accept", b"*/*"), (b"Connection", b"keep-alive")]

    assert to_upstream(headers) == [(b"accept", b"*/*")]


@pytest.mark.parametrize("value", [b"a\nset-cookie: x", b"a\rb", b"a\0b"])
def test_a_value_that_would_end_its_line_is_dropped(value: bytes) -> None:
    headers = [(b"content-type", value), (b"retry-after", b"1")]

    assert to_client(headers) == [(b"retry-after", b"1")]


def test_an_answer_keeps_what_a_client_needs() -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"retry-after", b"2"),
        (b"retry-after-ms", b"1500"),
        (b"x-should-retry", b"true"),
        (b"openai-processing-ms", b"12"),
        (b"set-cookie", b"a=b"),
        (b"server", b"cloudflare"),
        (b"openai-organization", b"org-1"),
        (b"alt-svc", b"h3"),
        (b"location", b"https://elsewhere"),
        (b"access-control-allow-origin", b"*"),
        (b"strict-transport-security", b"max-age=1"),
        (b"transfer-encoding", b"chunked"),
    ]

    assert [name for name, _ in to_client(headers)] == [
        b"content-type",
        b"retry-after",
        b"retry-after-ms",
        b"x-should-retry",
        b"openai-processing-ms",
    ]


@pytest.mark.parametrize("name", [b"x-request-id", b"request-id"])
def test_the_providers_request_id_gets_a_name_of_its_own(name: bytes) -> None:
    assert to_client([(name, b"req_1")]) == [(b"x-upstream-request-id", b"req_1")]


def test_two_request_ids_become_one() -> None:
    headers = [(b"request-id", b"first"), (b"x-request-id", b"second")]

    assert to_client(headers) == [(b"x-upstream-request-id", b"first")]


def test_the_providers_limits_are_its_accounts_and_pass_to_nobody() -> None:
    headers = [
        (b"x-ratelimit-remaining-requests", b"3"),
        (b"anthropic-ratelimit-tokens-reset", b"2026-01-01T00:00:00Z"),
    ]

    assert to_client(headers) == []


def test_the_lists_are_in_lower_case() -> None:
    for name in TO_UPSTREAM | TO_CLIENT | HOP_BY_HOP:
        assert name == name.lower()


def test_a_request_keeps_the_first_of_its_user_agents_and_all_else() -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nUser-Agent: one\r\nX: y\r\nuser-agent: two"
    body = b"\r\n\r\nuser-agent: three\r\n"

    assert with_one_user_agent(head + body) == head.removesuffix(b"\r\nuser-agent: two") + body
