"""What an answer of a token server is taken for."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.minting.grant import Minted, Refused, Unreachable, answer, form, token


def test_an_object_is_an_answer() -> None:
    assert answer(200, b'{"access_token": "x"}') == {"access_token": "x"}


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refusal_says_why(status: int) -> None:
    said = orjson.dumps({"error": "invalid_grant", "error_description": "clock\nskew"})
    with pytest.raises(Refused, match=r"invalid_grant: clock\\x0askew"):
        answer(status, said)


@pytest.mark.parametrize(
    ("status", "body"), [(500, b"{}"), (200, b"<html>"), (200, b"[]"), (302, b"")]
)
def test_anything_else_is_no_answer(status: int, body: bytes) -> None:
    with pytest.raises(Unreachable, match=str(status)):
        answer(status, body)


@given(st.integers(100, 599), st.binary(max_size=80))
def test_whatever_comes_it_is_an_object_or_one_of_two_errors(status: int, body: bytes) -> None:
    said = ""
    try:
        assert isinstance(answer(status, body), dict)
    except (Refused, Unreachable) as error:
        said = str(error)
    assert said.isprintable()
    assert said or status == 200


@pytest.mark.parametrize("life", [3599, "3599", 3599.0])
def test_a_token_lives_as_long_as_it_says(life: object) -> None:
    assert token({"access_token": "t"}, life) == Minted("t", 3599.0)


@pytest.mark.parametrize(
    ("found", "life"),
    [
        *(({"access_token": text}, 60) for text in ("", "tök", "a\r\nb: c", "a b", 7)),
        *(({"access_token": "t"}, life) for life in (0, -1, None, "soon", "nan", "inf")),
        ({}, 60),
    ],
)
def test_a_token_without_text_or_life_is_none(found: dict[str, object], life: object) -> None:
    with pytest.raises(Unreachable):
        token(found, life)


def test_a_form_is_quoted() -> None:
    headers, body = form({"a": "b&c", "d": "é"})

    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert body == b"a=b%26c&d=%C3%A9"
