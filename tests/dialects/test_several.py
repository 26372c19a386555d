"""An answer of several is whole when all of them are."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.dialects import DIALECTS
from proxy.dialects.base import Dialect, Tap
from proxy.dialects.several import expect
from tests.dialects.streams import data

CHAT, TEXT, GEMINI = (
    DIALECTS[name] for name in ("openai.chat", "openai.completions", "gemini.generate")
)
each = pytest.mark.parametrize("dialect", [CHAT, TEXT, GEMINI], ids=lambda dialect: dialect.name)


def said(dialect: Dialect, index: int, reason: str | None = None) -> dict[str, Any]:
    """A chunk of one answer."""
    if dialect is GEMINI:
        content = {"parts": [{"text": "a"}]}
        return {"candidates": [{"index": index, "content": content, "finishReason": reason}]}
    choice = {"index": index, "text": "a", "delta": {"content": "a"}, "finish_reason": reason}
    return {"choices": [choice]}


def shown(dialect: Dialect, answers: int, *chunks: dict[str, Any]) -> Tap:
    tap = dialect.tap()
    expect(tap, answers)
    for chunk in chunks:
        tap.event(b"", data(chunk)[6:-2])
    return tap


@each
def test_an_answer_that_has_not_begun_is_waited_for(dialect: Dialect) -> None:
    first, second = said(dialect, 0, "STOP"), said(dialect, 1, "STOP")

    assert shown(dialect, 1, first).complete()
    assert not shown(dialect, 2, first).complete()
    assert shown(dialect, 2, first, second).complete()
    assert shown(dialect, 2, second, first).complete()


@each
def test_more_than_were_asked_for_end_as_well(dialect: Dialect) -> None:
    chunks = [said(dialect, 0, "STOP"), said(dialect, 1, "STOP"), said(dialect, 2)]

    assert not shown(dialect, 2, *chunks).complete()
    assert shown(dialect, 2, *chunks, said(dialect, 2, "STOP")).complete()


@each
def test_what_has_begun_is_all_once_no_more_can_come(dialect: Dialect) -> None:
    ended = shown(dialect, 3, said(dialect, 0, "STOP"))
    open_ended = shown(dialect, 3, said(dialect, 0, "STOP"), said(dialect, 1))

    expect(ended, 1)
    expect(open_ended, 1)

    assert ended.complete()
    assert not open_ended.complete()
    assert not shown(dialect, 1).complete()


def test_the_last_word_is_one_however_many_were_asked_for() -> None:
    tap = shown(CHAT, 3, said(CHAT, 0, "stop"))
    tap.event(b"", b"[DONE]")

    assert tap.complete()


def test_a_tap_of_one_answer_expects_nothing() -> None:
    tap = DIALECTS["anthropic.messages"].tap()
    expect(tap, 3)

    assert not tap.complete()
