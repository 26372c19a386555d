"""Reasons, figures and times."""

from __future__ import annotations

import orjson
import pytest

from proxy.dialects import ir
from proxy.dialects.base import Usage
from proxy.dialects.gemini.finish import (
    FINISH,
    finish_of,
    read_finish,
    read_tier,
    read_time,
    word_of,
    write_time,
    write_usage,
)
from proxy.dialects.usage import gemini


@pytest.mark.parametrize("word", FINISH)
def test_every_word_comes_back(word: str) -> None:
    assert word_of(finish_of(word, calls=False), word) == word


def test_calls_make_a_stop_a_call() -> None:
    assert finish_of("STOP", calls=True) == "tool_calls"
    assert finish_of("MAX_TOKENS", calls=True) == "length"
    assert finish_of("NEW", calls=False) == "stop"


@pytest.mark.parametrize(
    ("finish", "word"),
    [("stop", "STOP"), ("tool_calls", "STOP"), ("length", "MAX_TOKENS"), ("refusal", "SAFETY"), ("pause", "OTHER")],
)  # fmt: skip
def test_reasons_from_elsewhere_have_a_word(finish: ir.Finish, word: str) -> None:
    assert word_of(finish, "end_turn") == word


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("stop", "STOP"), ("FINISH_REASON_UNSPECIFIED", ""), ("", ""), (None, ""), (5, "")],
)
def test_an_unspecified_reason_is_none(reason: object, expected: str) -> None:
    assert read_finish(reason) == expected


def test_figures_come_back() -> None:
    usage = Usage(input=5, cache_read=4, output=7, reasoning=3)

    assert gemini(orjson.dumps(write_usage(usage))) == usage
    assert write_usage(usage, "default")["serviceTier"] == "standard"
    assert read_tier("STANDARD") == "default"
    assert read_tier(None) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-02T03:04:05Z", 1767323045),
        ("2026-01-02T03:04:05.123456789Z", 1767323045),
        ("soon", 0),
        (5, 0),
    ],
)
def test_times_are_seconds(text: object, expected: int) -> None:
    assert read_time(text) == expected


def test_times_are_written_back() -> None:
    assert write_time(1767323045) == "2026-01-02T03:04:05Z"
    assert write_time(10**18) == "1970-01-01T00:00:00Z"
