from __future__ import annotations

from proxy.core.model import Auth, Credential
from proxy.core.secret import Secret
from proxy.upstream import presented
from tests.upstream.places import provider

KEY = Credential("p#0", Secret("token"))
URL = "http://127.0.0.1:1"


def test_the_credential_is_where_its_family_expects_it() -> None:
    one = provider(URL)

    assert presented.headers(one, "openai", KEY) == {"authorization": "Bearer token"}
    assert presented.headers(one, "anthropic", KEY) == {"x-api-key": "token"}
    assert presented.headers(one, "openai", None) == {}
    assert presented.query(one, "openai", KEY) == []


def test_the_provider_says_where_else() -> None:
    one = provider(
        URL,
        auth={"openai": Auth("query", "key"), "anthropic": Auth("header", "x-token")},
        query={"v": "1"},
    )

    assert presented.headers(one, "openai", KEY) == {}
    assert presented.query(one, "openai", KEY) == [("v", "1"), ("key", "token")]
    assert presented.query(one, "openai", None) == [("v", "1")]
    assert presented.headers(one, "anthropic", KEY) == {"x-token": "token"}


def test_configured_headers_go_over_the_credential() -> None:
    one = provider(URL, headers={"Authorization": "Basic x", "X-Title": "t"})

    assert presented.headers(one, "openai", KEY) == {"authorization": "Basic x", "x-title": "t"}
