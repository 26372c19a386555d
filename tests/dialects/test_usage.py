"""Token reports, made disjoint."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects import usage
from proxy.dialects.base import Usage


def openai(**report: Any) -> Usage | None:
    return usage.openai(orjson.dumps(report))


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}, Usage(10, 0, 0, 4)),
        ({"input_tokens": 10, "output_tokens": 4}, Usage(10, 0, 0, 4)),
        (
            {"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 8}},
            Usage(2, 8),
        ),
        (
            {
                "input_tokens": 10,
                "input_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 3},
            },
            Usage(2, 5, 3),
        ),
        ({"prompt_tokens": 10, "prompt_cache_hit_tokens": 6}, Usage(4, 6)),
        ({"prompt_tokens": 10, "cached_tokens": 6}, Usage(4, 6)),
        (
            {"completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 7}},
            Usage(0, 0, 0, 9, 7),
        ),
        ({"prompt_tokens": 10.0, "completion_tokens": None}, Usage(10)),
        ({"total_tokens": 12}, Usage(12)),
        ({"prompt_tokens_details": None, "prompt_tokens": 1}, Usage(1)),
        ({"type": "duration", "seconds": 2.5}, Usage(seconds=2.5)),
        ({"seconds": -1, "x": 1}, Usage()),
    ],
)
def test_openai_counts_cached_tokens_in_the_prompt(report: dict[str, Any], expected: Usage) -> None:
    assert openai(**report) == expected


def test_a_total_tells_reasoning_that_is_not_in_the_answer() -> None:
    # As xAI does: named, but not counted.
    beside = openai(
        prompt_tokens=10,
        completion_tokens=4,
        total_tokens=34,
        completion_tokens_details={"reasoning_tokens": 20},
    )
    # As Google's imitation does: counted in the total alone.
    unnamed = openai(prompt_tokens=10, completion_tokens=4, total_tokens=34)

    assert beside == unnamed == Usage(10, 0, 0, 24, 20)


def test_a_total_tells_a_prompt_without_its_cached_tokens() -> None:
    found = openai(
        prompt_tokens=10,
        completion_tokens=4,
        total_tokens=114,
        prompt_tokens_details={"cached_tokens": 100},
    )

    assert found == Usage(10, 100, 0, 4)


def test_a_total_that_explains_nothing_is_not_believed() -> None:
    found = openai(
        prompt_tokens=10,
        completion_tokens=4,
        total_tokens=99,
        completion_tokens_details={"reasoning_tokens": 2},
    )

    assert found == Usage(10, 0, 0, 4, 2)


@pytest.mark.parametrize("absurd", [-1, 10**9 + 1, 10**12, 1.5, "12", True, [1], {}])
def test_an_absurd_count_is_nothing_and_marked(absurd: object) -> None:
    found = openai(prompt_tokens=absurd, completion_tokens=4)

    assert found == Usage(0, 0, 0, 4, suspect=True)


def test_an_absurd_detail_is_marked_too() -> None:
    found = openai(prompt_tokens=5, prompt_tokens_details={"cached_tokens": -3})

    assert found == Usage(5, suspect=True)


def test_more_cached_than_asked_is_kept_to_what_was_asked() -> None:
    found = openai(prompt_tokens=29, prompt_tokens_details={"cached_tokens": 157})

    assert found == Usage(0, 29, suspect=True)


def test_more_reasoning_than_answer_is_kept_to_the_answer() -> None:
    found = openai(completion_tokens=4, completion_tokens_details={"reasoning_tokens": 9})

    assert found == Usage(0, 0, 0, 4, 4, suspect=True)


@pytest.mark.parametrize("raw", [b"null", b"{}", b"[]", b"", b"{", b"3", b"[" * 100_000])
def test_no_report_is_none(raw: bytes) -> None:
    assert usage.openai(raw) is None
    assert usage.gemini(raw) is None
    assert usage.anthropic(raw, raw) is None


def test_images_are_counted_even_without_a_report() -> None:
    assert usage.openai(b"null", images=2) == Usage(images=2)


def anthropic(start: object, delta: object = None) -> Usage | None:
    return usage.anthropic(orjson.dumps(start), orjson.dumps(delta))


def test_anthropic_counts_cached_tokens_apart() -> None:
    found = anthropic(
        {
            "input_tokens": 10,
            "cache_read_input_tokens": 100,
            "cache_creation_input_tokens": 50,
            "output_tokens": 20,
            "output_tokens_details": {"thinking_tokens": 12},
        }
    )

    assert found == Usage(10, 100, 50, 20, 12)


@pytest.mark.parametrize(
    ("delta", "expected"),
    [
        (None, Usage(10, 100, 0, 1)),
        ({}, Usage(10, 100, 0, 1)),
        ({"output_tokens": 9}, Usage(10, 100, 0, 9)),
        ({"output_tokens": 9, "input_tokens": 0}, Usage(10, 100, 0, 9)),
        (
            {"output_tokens": 9, "input_tokens": 0, "cache_read_input_tokens": 0},
            Usage(10, 100, 0, 9),
        ),
        ({"output_tokens": 9, "input_tokens": None}, Usage(10, 100, 0, 9)),
        (
            {"output_tokens": 9, "input_tokens": 3, "cache_read_input_tokens": 107},
            Usage(3, 107, 0, 9),
        ),
        ({"output_tokens": -9}, Usage(10, 100, 0, 0, suspect=True)),
    ],
)
def test_the_last_report_wins_in_what_it_states(delta: object, expected: Usage) -> None:
    start = {"input_tokens": 10, "cache_read_input_tokens": 100, "output_tokens": 1}

    assert anthropic(start, delta) == expected


def test_a_report_at_the_end_alone_is_enough() -> None:
    assert anthropic(None, {"input_tokens": 3, "output_tokens": 2}) == Usage(3, 0, 0, 2)


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (
            {"promptTokenCount": 50, "candidatesTokenCount": 7, "thoughtsTokenCount": 5},
            Usage(50, 0, 0, 12, 5),
        ),
        ({"promptTokenCount": 50, "cachedContentTokenCount": 40}, Usage(10, 40)),
        ({"promptTokenCount": 50, "toolUsePromptTokenCount": 30}, Usage(80)),
        ({"promptTokenCount": 50, "responseTokenCount": 3}, Usage(50, 0, 0, 3)),
        ({"promptTokenCount": 0, "totalTokenCount": 0}, Usage()),
        ({"trafficType": "ON_DEMAND"}, None),
    ],
)
def test_google_counts_thoughts_beside_the_answer(
    report: dict[str, Any], expected: Usage | None
) -> None:
    assert usage.gemini(orjson.dumps(report)) == expected


REPORT = st.dictionaries(
    st.sampled_from(
        [
            "prompt_tokens",
            "completion_tokens",
            "total_tokens",
            "input_tokens",
            "output_tokens",
            "cache_read_input_tokens",
            "cache_creation_input_tokens",
            "promptTokenCount",
            "cachedContentTokenCount",
            "candidatesTokenCount",
            "thoughtsTokenCount",
            "prompt_tokens_details",
            "completion_tokens_details",
            "seconds",
        ]
    ),
    st.none()
    | st.integers(-(10**13), 10**13)
    | st.integers(0, 100)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="ascii"), max_size=2)
    | st.dictionaries(st.sampled_from(["cached_tokens", "reasoning_tokens"]), st.integers(-9, 99)),
)


@given(REPORT, REPORT)
def test_parts_are_disjoint_and_sane_whatever_is_reported(
    report: dict[str, Any], later: dict[str, Any]
) -> None:
    raw, last = orjson.dumps(report), orjson.dumps(later)

    for found in (usage.openai(raw), usage.anthropic(raw, last), usage.gemini(raw)):
        if found is not None:
            parts = (found.input, found.cache_read, found.cache_write, found.output)
            assert all(0 <= part <= 4 * usage.ABSURD for part in parts)
            assert 0 <= found.reasoning <= found.output
            assert 0 <= found.seconds <= usage.ABSURD


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        ({"inputTokens": 10, "outputTokens": 4, "totalTokens": 14}, Usage(10, 0, 0, 4)),
        (
            {"inputTokens": 3, "outputTokens": 4, "cacheReadInputTokens": 30, "cacheWriteInputTokens": 6},
            Usage(3, 30, 6, 4),
        ),
        ({"inputTokens": 3, "outputTokens": 4, "cacheReadInputTokenCount": 30}, Usage(3, 30, 0, 4)),
        ({"inputTokens": -3, "outputTokens": 4}, Usage(0, 0, 0, 4, suspect=True)),
        ({"totalTokens": 4}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_bedrock_does_not_count_the_cached_among_its_input(
    report: dict[str, int], expected: Usage | None
) -> None:
    assert usage.bedrock(orjson.dumps(report)) == expected


def test_a_report_is_told_as_chat_completions_have_it() -> None:
    report = Usage(input=10, cache_read=64, cache_write=6, output=40, reasoning=24)

    told = usage.completion(report)

    assert openai(**told) == report
    assert told["prompt_tokens"] == 80
    assert told["total_tokens"] == 120
