"""What an operator reads of a failure: what it means, and the provider's own words, without secrets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.control.explained import MOST, WORDS, explained, safe, said
from proxy.core.errors import Cause, UpstreamError
from proxy.core.model import Credential
from proxy.core.secret import Secret

_NEVER = {Cause.DEADLINE, Cause.MISMATCH, Cause.VETOED, Cause.FULL, Cause.LOCAL}
"""Of clients, of answers that are gone on with, and of limits of ours."""


def test_every_cause_an_operator_can_meet_has_words() -> None:
    assert set(WORDS) == set(Cause) - _NEVER


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"error":{"message":"no such model","code":"x"}}', "no such model"),
        (b'{"type":"error","error":{"type":"t","message":"overloaded"}}', "overloaded"),
        (b'{"message":"too many"}', "too many"),
        (b'{"error":"plain"}', "plain"),
        (b'[{"error":{"message":"in a list"}}]', "in a list"),
        (b'{"detail":[{"msg":"x","message":"first"}]}', "first"),
        (b"upstream connect error", "upstream connect error"),
        (b"<html><body>Bad Gateway", ""),
        (b"{}", ""),
        (b"7", ""),
        (b"", ""),
    ],
)
def test_what_a_provider_says_is_found(body: bytes, expected: str) -> None:
    assert said(body) == expected


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_nothing_a_provider_says_is_too_odd(body: bytes) -> None:
    assert isinstance(said(body), str)


def test_no_secret_comes_back() -> None:
    key = Credential("p#0", Secret("not-of-any-known-form"))
    body = b'{"error":{"message":"Incorrect key: not-of-any-known-form, Bearer abcdefgh12345678"}}'

    found = explained(UpstreamError(Cause.AUTH, status=401, body=body), key)

    assert found["cause"] == "http_401"
    assert "does not accept the credential" in found["message"]
    assert found["detail"].startswith("Incorrect key: ***")
    assert "abcdefgh12345678" not in found["detail"]


def test_long_words_are_cut() -> None:
    assert safe("é" * 1000) == "é" * MOST + " …"
