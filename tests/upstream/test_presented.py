from __future__ import annotations

from proxy.core.model import Auth, Credential, Provider
from proxy.core.secret import Secret
from proxy.upstream import presented
from tests.upstream.places import provider

KEY = Credential("p#0", Secret("token"))
URL = "http://127.0.0.1:1"


def fields(one: Provider, family: str, credential: Credential | None) -> dict[str, str]:
    """The headers, without those that are always the same."""
    same = {"user-agent": presented.USER_AGENT, "accept-encoding": "identity"}
    return {
        name: value
        for name, value in presented.headers(one, family, credential).items()
        if same.get(name) != value
    }


def test_the_credential_is_where_its_family_expects_it() -> None:
    one = provider(URL)

    assert fields(one, "openai", KEY) == {"authorization": "Bearer token"}
    assert fields(one, "anthropic", KEY) == {"x-api-key": "token"}
    assert fields(one, "openai", None) == {}
    assert presented.query(one, "openai", KEY) == []


def test_the_provider_says_where_else() -> None:
    one = provider(
        URL,
        auth={"openai": Auth("query", "key"), "anthropic": Auth("header", "x-token")},
        query={"v": "1"},
    )

    assert fields(one, "openai", KEY) == {}
    assert presented.query(one, "openai", KEY) == [("v", "1"), ("key", "token")]
    assert presented.query(one, "openai", None) == [("v", "1")]
    assert fields(one, "anthropic", KEY) == {"x-token": "token"}


def test_configured_headers_go_over_the_credential() -> None:
    one = provider(URL, headers={"Authorization": "Basic x", "X-Title": "t"})

    assert fields(one, "openai", KEY) == {"authorization": "Basic x", "x-title": "t"}


def test_a_request_says_who_asks_and_wants_nothing_compressed() -> None:
    found = presented.headers(provider(URL, headers={"User-Agent": "other"}), "openai", None)

    assert found == {"user-agent": "other", "accept-encoding": "identity"}
    assert presented.USER_AGENT.startswith("headrace/")
