"""The registry: every name that configuration may use, and what each offers."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.dialects import DIALECTS
from proxy.dialects.base import BAD, CONTENT, ERROR, FINISH, USAGE_ONLY, Usage


def test_all_dialects_are_listed() -> None:
    assert sorted(DIALECTS) == [
        "anthropic.messages",
        "bedrock.converse",
        "gemini.generate",
        "mcp.http",
        "openai.audio",
        "openai.chat",
        "openai.completions",
        "openai.embeddings",
        "openai.images",
        "openai.moderations",
        "openai.other",
        "openai.realtime",
        "openai.rerank",
        "openai.responses",
    ]


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_a_dialect_is_called_what_it_is_listed_as(name: str) -> None:
    dialect = DIALECTS[name]

    assert dialect.name == name
    assert dialect.family == name.partition(".")[0]


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_a_tap_begins_knowing_nothing(name: str) -> None:
    tap = DIALECTS[name].tap()

    assert (tap.usage, tap.finish_reason, tap.error, tap.bad, tap.sequence) == (
        None,
        None,
        None,
        0,
        0,
    )
    assert not tap.complete()


def test_flags_are_single_bits_and_content_is_the_least() -> None:
    flags = [CONTENT, FINISH, ERROR, USAGE_ONLY, BAD]

    assert flags == [1, 2, 4, 8, 16]


def test_usage_has_nothing_unless_reported() -> None:
    assert Usage() == Usage(0, 0, 0, 0, 0, suspect="", images=0, seconds=0.0)


KEYS = [
    "arguments",
    "candidates",
    "choices",
    "content",
    "content_block",
    "data",
    "delta",
    "error",
    "finishReason",
    "finish_reason",
    "index",
    "item",
    "message",
    "parts",
    "response",
    "sequence_number",
    "status",
    "text",
    "type",
    "usage",
    "usageMetadata",
]
WORDS = ["", "a", "error", "message_stop", "message_delta", "response.completed", "response.failed"]
ODD = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 2**62) | st.just(1.5) | st.sampled_from(WORDS),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
    ),
    max_leaves=20,
)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(sorted(DIALECTS)), st.dictionaries(st.sampled_from(KEYS), ODD, max_size=6))
def test_no_object_of_any_shape_breaks_a_tap(name: str, payload: dict[str, Any]) -> None:
    raw = orjson.dumps(payload)
    tap = DIALECTS[name].tap()

    assert not tap.event(b"", raw) & BAD
    assert tap.body(raw) in range(32)
    assert tap.usage is None or tap.usage.output >= 0
    assert isinstance(tap.complete(), bool)
    assert isinstance(tap.closing, bytes)
    assert tap.finish_reason is None or isinstance(tap.finish_reason, str)
