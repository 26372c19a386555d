"""Secrets of objects: what stays, what goes, where they may be sent."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.control.admin.sealing import (
    fields_of,
    is_private,
    is_sent_elsewhere,
    kept,
    key_of,
    last4,
    open_sealed,
    revealed,
    seal,
)
from proxy.control.admin.web import Problem
from proxy.core.records import Kind, Record
from proxy.core.secret import Secret
from proxy.core.vault import Vault

ONE, OTHER = "Jq7vT2mXc9Lr4KfWz8Pb1NsYd6HgEa3U", "uD5hRk9ZpQ2wXe7TnLc4VbJm8Gs1FyAo"
VAULT = Vault([Secret(ONE)])
KNOWN = {"headers": {"a": "1", "b": "2"}, "proxy": "http://p:1"}


@pytest.mark.parametrize(
    ("given", "put", "patch"),
    [
        ({}, KNOWN, KNOWN),
        (
            {"headers": {"a": "9"}},
            {**KNOWN, "headers": {"a": "9"}},
            {**KNOWN, "headers": {"a": "9", "b": "2"}},
        ),
        ({"headers": {"a": "***"}}, {**KNOWN, "headers": {"a": "1"}}, KNOWN),
        ({"headers": {"a": None}}, {"proxy": "http://p:1"}, {**KNOWN, "headers": {"b": "2"}}),
        ({"headers": None, "proxy": "***"}, {"proxy": "http://p:1"}, {"proxy": "http://p:1"}),
        ({"proxy": None}, {"headers": KNOWN["headers"]}, {"headers": KNOWN["headers"]}),
        ({"query": {"k": "v"}}, {**KNOWN, "query": {"k": "v"}}, {**KNOWN, "query": {"k": "v"}}),
        ({"headers": {}}, {"proxy": "http://p:1"}, KNOWN),
    ],
)
def test_what_is_not_given_stays(given: Any, put: Any, patch: Any) -> None:
    assert kept(KNOWN, given, merge=False) == put
    assert kept(KNOWN, given, merge=True) == patch
    assert KNOWN == {"headers": {"a": "1", "b": "2"}, "proxy": "http://p:1"}


def test_a_header_is_the_same_in_other_letters() -> None:
    known = {"headers": {"X-Account": "1", "b": "2"}, "query": {"k": "1"}}

    assert kept(known, {"headers": {"x-account": "9"}}, merge=True)["headers"] == {
        "x-account": "9",
        "b": "2",
    }
    assert kept(known, {"headers": {"x-account": None}}, merge=True)["headers"] == {"b": "2"}
    assert kept(known, {"headers": {"x-account": "***"}}, merge=False)["headers"] == {
        "x-account": "1"
    }
    both = {"X-Account": "8", "x-account": "9"}
    assert kept(known, {"headers": both}, merge=False)["headers"] == both
    moved = {"x-account": "9", "X-Account": None}
    assert kept(known, {"headers": moved}, merge=False)["headers"] == {"x-account": "9"}
    assert kept(known, {"query": {"K": "9"}}, merge=True)["query"] == {"k": "1", "K": "9"}


def test_a_mask_of_nothing_is_no_secret() -> None:
    with pytest.raises(Problem) as caught:
        kept({}, {"key": "***", "headers": {"x": "***"}}, merge=False)

    assert [fault.field for fault in caught.value.faults] == ["key", "headers.x"]


BASE = {"base_url": "https://a.example/v1"}


@pytest.mark.parametrize(
    ("after", "elsewhere"),
    [
        (BASE, False),
        ({"base_url": "https://A.example:443/other"}, False),
        ({"base_url": "https://a.example./v1"}, False),
        ({"base_url": " https://a.example"}, False),
        ({"base_url": "https://b.example/v1"}, True),
        ({"base_url": "http://a.example/v1"}, True),
        ({"base_url": "https://a.example:8443/v1"}, True),
        ({"base_url": "https://a.example@b.example/v1"}, True),
        ({"base_url": "https://a.example.b.example/v1"}, True),
        ({"base_url": "https://[::1"}, True),
        ({**BASE, "verify_tls": False}, True),
        ({**BASE, "verify_tls": True}, False),
        ({**BASE, "verify_tls": "yes"}, False),
        *(({**BASE, "verify_tls": said}, True) for said in ("false", "Off", "no", "0", 0, 0.0)),
        ({"preset": "openai"}, True),
        ({**BASE, "preset": "openai"}, False),
        ({}, True),
    ],
)
def test_where_secrets_are_sent(after: dict[str, Any], elsewhere: bool) -> None:
    assert is_sent_elsewhere(BASE, after) is elsewhere


def test_another_preset_is_another_place() -> None:
    assert is_sent_elsewhere({"preset": "openai"}, {"preset": "anthropic"})
    assert not is_sent_elsewhere({"preset": "openai"}, {"preset": "openai", "note": "x"})


@pytest.mark.parametrize(
    ("spec", "private"),
    [
        (BASE, True),
        ({**BASE, "verify_tls": False}, False),
        ({**BASE, "verify_tls": "off"}, False),
        ({"base_url": "http://a.example"}, False),
        ({"preset": "openai"}, True),
    ],
)
def test_who_on_the_way_could_read_them(spec: dict[str, Any], private: bool) -> None:
    assert is_private(spec) is private


def test_what_is_sealed_opens_in_its_place_alone() -> None:
    sealed = seal(VAULT, Kind.CREDENTIAL, 7, {"key": Secret("a-key")})
    record = Record(Kind.CREDENTIAL, 7, 9, sealed=sealed)

    assert "a-key" not in sealed
    assert open_sealed(VAULT, record) == {"key": "a-key"}
    assert open_sealed(VAULT, Record(Kind.CREDENTIAL, 8, 9, sealed=sealed)) is None
    assert open_sealed(Vault([Secret(OTHER)]), record) is None
    assert open_sealed(None, record) is None
    assert open_sealed(None, Record(Kind.CREDENTIAL, 7, 9)) == {}


def test_nothing_needs_no_key_and_something_does() -> None:
    assert seal(None, Kind.PROVIDER, 1, {}) == ""
    with pytest.raises(Problem) as caught:
        seal(None, Kind.PROVIDER, 1, {"proxy": "x"})
    assert caught.value.code == "no_master_key"


def test_only_two_kinds_have_secrets() -> None:
    assert {kind for kind in Kind if fields_of(kind)} == {Kind.PROVIDER, Kind.CREDENTIAL}


def test_an_encoder_shows_secrets_and_nothing_else() -> None:
    assert orjson.dumps({"a": Secret("s")}, default=revealed) == b'{"a":"s"}'
    with pytest.raises(TypeError):
        orjson.dumps({"a": object()}, default=revealed)


def test_a_key_is_opened_only_where_it_was_put() -> None:
    sealed = VAULT.seal(orjson.dumps({"key": "sk-one"}), "credential/7")

    assert key_of(Record("credential", 7, 7, sealed=sealed), VAULT) == "sk-one"
    assert key_of(Record("credential", 8, 8, sealed=sealed), VAULT) is None
    assert key_of(Record("credential", 7, 7, sealed=sealed), None) is None
    assert key_of(Record("credential", 7, 7), VAULT) is None


@pytest.mark.parametrize(
    ("key", "shown"),
    [("sk-one-1234", ""), ("sk-longer-1234", "1234"), ('{"type":"service_account"}', "")],
)
def test_the_end_of_a_key_tells_it_apart(key: str, shown: str) -> None:
    assert last4(key) == shown
