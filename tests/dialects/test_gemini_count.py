"""How many tokens a prompt is."""

from __future__ import annotations

import orjson
import pytest

from proxy.core.errors import ProxyError
from proxy.dialects import ir
from proxy.dialects.base import Target
from proxy.dialects.gemini.count import COUNT
from proxy.dialects.loss import Loss
from tests.dialects.contents import asked

HI = {"contents": [{"parts": [{"text": "Hi"}]}]}


@pytest.mark.parametrize(
    "body",
    [HI, {"generateContentRequest": {"model": "models/g", **HI}}, {"generate_content_request": HI}],
)
def test_a_question_has_two_forms(body: object) -> None:
    assert COUNT.parse_request is not None

    request = COUNT.parse_request(orjson.dumps(body))

    assert request.messages == [ir.Message("user", [ir.Text("Hi")])]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"generateContentRequest":5}'])
def test_what_is_no_question_is_refused(body: bytes) -> None:
    assert COUNT.parse_request is not None

    with pytest.raises(ProxyError):
        COUNT.parse_request(body)


def test_our_question_is_read_as_it_was_meant() -> None:
    assert COUNT.parse_request is not None

    request = COUNT.parse_request(COUNT.render(asked(), Target("g"), Loss()))

    assert request.model == "g"
    assert request.messages == [ir.Message("user", [ir.Text("Hi")])]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"totalTokens": 7, "promptTokensDetails": []}', 7),
        (b'{"totalTokens": -7}', None),
        (b'{"totalTokens": true}', None),
        (b'{"error": {}}', None),
        (b"", None),
    ],
)
def test_an_answer_is_a_number(body: bytes, expected: int | None) -> None:
    assert COUNT.parse(body) == expected


def test_a_client_is_given_a_number() -> None:
    assert COUNT.parse(COUNT.answer(7)) == 7
