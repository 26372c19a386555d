from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.model import Done
from proxy.dialects import ir
from proxy.dialects.conversation.answer import Reader, decoded
from tests.dialects.services import PLAIN, said, service

REQUEST = said(("user", "Hi"))


def text_of(body: Any, reader: Reader | None = None) -> str:
    response = (reader or Reader(PLAIN)).response(orjson.dumps(body), REQUEST)
    return "".join(block.text for block in response.choices[0].blocks if isinstance(block, ir.Text))


def test_a_whole_answer_has_its_text_where_the_provider_says() -> None:
    response = Reader(PLAIN).response(b'{"message": {"text": "Hello."}}', REQUEST)

    assert response.choices == [ir.Choice([ir.Text("Hello.")], "stop")]
    assert (response.model, response.origin, response.usage) == ("m", "conversation.chat", None)


def test_the_first_place_that_has_a_text_counts() -> None:
    assert text_of({"delta": "a", "message": {"text": "b"}}) == "a"
    assert text_of({"delta": None, "message": {"text": "b"}}) == "b"
    assert text_of({"delta": 5, "message": {"text": ["b", "c"]}}) == "bc"


def test_an_empty_answer_is_an_answer() -> None:
    assert Reader(PLAIN).response(b'{"delta": ""}', REQUEST).choices == [ir.Choice([], "stop")]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"hello",
        b"{}",
        b'{"message": {}}',
        b'{"error": "x", "delta": "a"}',
        b'{"delta": [1]}',
    ],
)
def test_what_is_no_answer_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="no answer"):
        Reader(PLAIN).response(body, REQUEST)


def test_broken_texts_are_mended() -> None:
    assert Reader(PLAIN).response(b'{"delta": "a\xff"}', REQUEST).choices[0].blocks == [
        ir.Text("a\ufffd")
    ]
    assert decoded(b'{"a": "\\ud83d"}') == {"a": " "}
    assert decoded(b"{}") == {}


@pytest.mark.parametrize(
    ("done", "event", "last"),
    [
        (Done(("type",), "end"), {"type": "end"}, True),
        (Done(("type",), "end"), {"type": "more"}, False),
        (Done(("type",), "end"), {}, False),
        (Done(("n",), 1), {"n": 1}, True),
        (Done(("n",), 1), {"n": 1.0}, True),
        (Done(("n",), 1), {"n": True}, False),
        (Done(("n",), False), {"n": False}, True),
        (Done(("n",), False), {"n": 0}, False),
        (Done(("why",)), {"why": "stop"}, True),
        (Done(("why",)), {"why": None}, False),
        (Done(("why",)), {"why": ""}, False),
        (None, {"type": "end"}, False),
    ],
)
def test_the_last_event_says_so(done: Done | None, event: dict[str, Any], last: bool) -> None:
    assert Reader(service(done=done)).is_last(event) is last


@pytest.mark.parametrize(
    ("path", "event", "status", "message"),
    [
        (
            ("error",),
            {"error": {"message": "Too fast", "type": "rate_limit_error"}},
            429,
            "Too fast",
        ),
        (("error",), {"error": "Sorry"}, 502, "Sorry"),
        (("error", "message"), {"error": {"message": "Sorry", "code": 403}}, 403, "Sorry"),
        (("code",), {"code": 401, "msg": "token expired"}, 401, "token expired"),
        (("code",), {"code": 40001, "msg": "odd"}, 502, "odd"),
        (("failed",), {"failed": True}, 502, "The provider reported an error."),
    ],
)
def test_errors_are_found_where_the_provider_says(
    path: tuple[str, ...], event: dict[str, Any], status: int, message: str
) -> None:
    reader = Reader(service(error=path))
    raw = orjson.dumps(event)

    assert reader.failed(event)
    assert reader.error(raw, event).status == status
    assert reader.stream_error(raw, event) == ir.StreamError(status, message, "upstream_error")


@pytest.mark.parametrize("event", [{}, {"code": 0}, {"code": None}, {"code": ""}, {"code": False}])
def test_nothing_at_the_place_of_an_error_is_no_error(event: dict[str, Any]) -> None:
    assert not Reader(service(error=("code",))).failed(event)


@given(st.binary(max_size=60))
def test_any_body_is_an_answer_or_refused(body: bytes) -> None:
    try:
        response = Reader(PLAIN).response(body, REQUEST)
    except ValueError:
        return
    assert response.choices
