"""What chat and text completions share is the same in both."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.dialects import DIALECTS
from proxy.dialects.base import BAD, CONTENT, ERROR, FINISH, Dialect, Usage
from tests.dialects.streams import data, feed

BOTH = [DIALECTS["openai.chat"], DIALECTS["openai.completions"]]
both = pytest.mark.parametrize("dialect", BOTH, ids=lambda dialect: dialect.name)


def chunk(text: str, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "text": text, "delta": {"content": text}, "finish_reason": finish}
    return {"choices": [choice], **more}


@both
def test_done_or_a_reason_completes(dialect: Dialect) -> None:
    open_ended = data(chunk("a"))

    assert not feed(dialect, open_ended)[0].complete()
    assert feed(dialect, open_ended, data(chunk("", "stop")))[0].complete()
    assert feed(dialect, open_ended, data(b"[DONE]"))[0].complete()


@both
def test_done_is_added_only_where_it_is_missing(dialect: Dialect) -> None:
    assert feed(dialect, data(chunk("", "stop")))[0].closing == b"data: [DONE]\n\n"
    assert feed(dialect, data(chunk("", "stop"), b"[DONE]"))[0].closing == b""


@both
def test_usage_alone_is_told_apart(dialect: Dialect) -> None:
    tap, flags = feed(
        dialect, data(chunk("a"), {"choices": [], "usage": {"prompt_tokens": 3, "total_tokens": 3}})
    )

    assert flags == "C U"
    assert tap.usage == Usage(input=3)


@both
def test_usage_without_any_choices_is_kept_but_passes(dialect: Dialect) -> None:
    tap, flags = feed(dialect, data({"usage": {"prompt_tokens": 3}}))

    assert flags == "-"
    assert tap.usage == Usage(input=3)


@both
def test_an_oversized_event_may_finish_with_an_error(dialect: Dialect) -> None:
    tap = dialect.tap()

    assert tap.oversized(b"data: {", b'"finish_reason":"error"}]}') == CONTENT
    assert tap.error is not None
    assert not tap.complete()


@both
@pytest.mark.parametrize(
    ("raw", "flags"),
    [
        ({"choices": [{"text": "a", "finish_reason": "stop"}]}, CONTENT | FINISH),
        ({"choices": [{"text": "a"}]}, CONTENT | FINISH),
        ({"choices": []}, BAD),
        ({"error": {"message": "m"}}, ERROR),
    ],
)
def test_bodies_need_a_choice(dialect: Dialect, raw: dict[str, Any], flags: int) -> None:
    assert dialect.tap().body(orjson.dumps(raw)) == flags


def test_usage_inside_a_choice_of_a_whole_answer_is_found() -> None:
    tap = DIALECTS["openai.chat"].tap()

    tap.body(
        b'{"choices":[{"message":{"content":"hi"},"finish_reason":"stop",'
        b'"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}]}'
    )

    assert tap.usage is not None
    assert (tap.usage.input, tap.usage.output) == (7, 2)
