from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.base import BAD, CONTENT, ERROR, FINISH
from proxy.dialects.conversation.answer import Reader
from proxy.dialects.conversation.tap import ConversationTap
from tests.dialects.services import PLAIN, service


def tap() -> ConversationTap:
    return ConversationTap(Reader(PLAIN))


@pytest.mark.parametrize(
    ("data", "flags"),
    [
        (b'{"type": "start"}', 0),
        (b'{"delta": ""}', 0),
        (b'{"delta": "Hi"}', CONTENT),
        (b'{"type": "end"}', FINISH),
        (b'{"type": "end", "delta": "Hi"}', CONTENT | FINISH),
        (b"[DONE]", FINISH),
        (b'{"error": "x"}', ERROR),
        (b"  ", 0),
        (b"nonsense", BAD),
        (b"[1]", BAD),
    ],
)
def test_every_event_is_seen_for_what_it_is(data: bytes, flags: int) -> None:
    one = tap()

    assert one.event(b"", data) == flags
    assert one.complete() is bool(flags & FINISH)
    assert one.bad == bool(flags & BAD)
    assert (one.error is None) is not bool(flags & ERROR)


def test_the_end_of_the_body_completes_what_has_no_other_end() -> None:
    one = ConversationTap(Reader(service(done=None, done_at_end=True)))
    assert not one.complete()

    one.event(b"", b'{"delta": "Hi"}')

    assert one.complete()
    assert one.finish_reason == "stop"


@pytest.mark.parametrize(
    ("body", "flags"),
    [
        (b'{"message": {"text": "Hi"}}', CONTENT | FINISH),
        (b'{"error": {"code": 401}}', ERROR),
        (b"{}", BAD),
        (b"<html>", BAD),
    ],
)
def test_a_whole_body_is_an_answer_an_error_or_nothing_usable(body: bytes, flags: int) -> None:
    one = tap()

    assert one.body(body) == flags
    assert one.complete() is bool(flags & FINISH)


def test_an_error_is_known_by_its_status() -> None:
    one = tap()
    one.event(b"", orjson.dumps({"error": {"code": 429, "message": "slow down"}}))

    assert one.error is not None
    assert one.error.status == 429


def test_an_event_too_long_to_hold_is_content() -> None:
    assert tap().oversized(b'data: {"delta": "', b'"}') == CONTENT


def test_nothing_is_known_of_usage() -> None:
    assert (tap().usage, tap().sequence, tap().closing) == (None, 0, b"")


@given(st.binary(max_size=60))
def test_any_bytes_are_watched(data: bytes) -> None:
    tap().event(b"", data)
    tap().body(data)
