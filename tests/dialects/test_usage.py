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
        ({"seconds": -1, "x": 1}, Usage(suspect="absurd")),
        (
            {
                "prompt_tokens": 90,
                "completion_tokens": 60,
                "total_tokens": 150,
                "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 70},
                "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 48},
            },
            Usage(90, 0, 0, 60, audio_input=70, audio_output=48),
        ),
        (
            {
                "input_tokens": 14,
                "input_token_details": {"text_tokens": 4, "audio_tokens": 10},
                "output_tokens": 5,
            },
            Usage(14, 0, 0, 5, audio_input=10),
        ),
        (
            {
                "input_tokens": 20,
                "input_tokens_details": {"cached_tokens": 15, "audio_tokens": 10},
                "output_tokens": 5,
                "output_tokens_details": {"audio_tokens": 5},
            },
            # What is cached is text as far as there is any: all that was not is audio.
            Usage(5, 15, 0, 5, audio_input=5, audio_output=5),
        ),
        (
            {
                "input_tokens": 200,
                "output_tokens": 5,
                "input_token_details": {
                    "text_tokens": 50,
                    "audio_tokens": 150,
                    "cached_tokens": 180,
                    "cached_tokens_details": {"text_tokens": 45, "audio_tokens": 135},
                },
            },
            Usage(20, 180, 0, 5, audio_input=15),
        ),
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

    assert found == Usage(0, 0, 0, 4, suspect="absurd")


@pytest.mark.parametrize(
    "report",
    [
        {"prompt_tokens": 500_001, "completion_tokens": 1, "total_tokens": 500_002},
        {"prompt_tokens": 1, "completion_tokens": 500_001, "total_tokens": 500_002},
        {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 500_003},
        {"prompt_tokens": 1, "completion_tokens": 1, "seconds": 86_401},
    ],
)
def test_what_is_unusually_large_is_marked(report: dict[str, int]) -> None:
    found = openai(**report)

    assert found is not None
    assert found.suspect == "large"


def test_so_are_more_images_than_usual() -> None:
    found = usage.openai(b"null", images=65)

    assert found == Usage(images=65, suspect="large")


def test_what_is_large_and_in_order_is_not_marked() -> None:
    found = openai(prompt_tokens=500_000, completion_tokens=500_000, total_tokens=1_000_000)

    assert found == Usage(500_000, 0, 0, 500_000)


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        (0.0, None),
        (8.5, Usage(seconds=8.5)),
        (90_000.0, Usage(seconds=90_000.0, suspect="large")),
        (-8.5, Usage(suspect="absurd")),
        (1e300, Usage(suspect="absurd")),
    ],
)
def test_a_recording_is_as_long_as_it_is_said_to_be(
    duration: float, expected: Usage | None
) -> None:
    assert usage.heard(duration) == expected


@pytest.mark.parametrize("seconds", [-1, "9", True, 1e300])
def test_absurd_seconds_are_nothing_and_marked(seconds: object) -> None:
    assert openai(seconds=seconds) == Usage(suspect="absurd")


def test_an_absurd_detail_is_marked_too() -> None:
    found = openai(prompt_tokens=5, prompt_tokens_details={"cached_tokens": -3})

    assert found == Usage(5, suspect="absurd")


def test_more_cached_than_asked_is_kept_to_what_was_asked() -> None:
    found = openai(prompt_tokens=29, prompt_tokens_details={"cached_tokens": 157})

    assert found == Usage(0, 29, suspect="torn")


def test_more_reasoning_than_answer_is_kept_to_the_answer() -> None:
    found = openai(completion_tokens=4, completion_tokens_details={"reasoning_tokens": 9})

    assert found == Usage(0, 0, 0, 4, 4, suspect="torn")


@pytest.mark.parametrize("raw", [b"null", b"{}", b"[]", b"", b"{", b"3", b"[" * 100_000])
def test_no_report_is_none(raw: bytes) -> None:
    assert usage.openai(raw) is None
    assert usage.gemini(raw) is None
    assert usage.anthropic(raw, raw) is None


def test_more_audio_than_tokens_is_kept_to_the_tokens() -> None:
    heard = openai(prompt_tokens=4, prompt_tokens_details={"audio_tokens": 9})
    said = openai(completion_tokens=4, completion_tokens_details={"audio_tokens": 9})

    assert heard == Usage(4, suspect="torn", audio_input=4)
    assert said == Usage(0, 0, 0, 4, suspect="torn", audio_output=4)


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


def test_anthropic_tells_what_is_cached_for_an_hour() -> None:
    start = {
        "input_tokens": 10,
        "cache_creation_input_tokens": 50,
        "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 30},
        "output_tokens": 1,
    }
    # What has no prompt says nothing about it.
    silent = {"output_tokens": 7, "cache_creation": {"ephemeral_1h_input_tokens": 0}}

    expected = Usage(10, 0, 50, 7, cache_write_1h=30)
    assert anthropic(start, {"output_tokens": 7}) == anthropic(start, silent) == expected
    assert anthropic({**start, "cache_creation_input_tokens": 9}) == Usage(
        10, 0, 9, 1, suspect="torn", cache_write_1h=9
    )


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
        ({"output_tokens": -9}, Usage(10, 100, 0, 0, suspect="absurd")),
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
        (
            {
                "promptTokenCount": 90,
                "cachedContentTokenCount": 30,
                "candidatesTokenCount": 9,
                "promptTokensDetails": [
                    {"modality": "TEXT", "tokenCount": 30},
                    {"modality": "AUDIO", "tokenCount": 60},
                ],
                "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 30}],
                "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 9}],
            },
            Usage(60, 30, 0, 9, audio_input=30, audio_output=9),
        ),
        (
            {
                "promptTokenCount": 5,
                "promptTokensDetails": [7, {"modality": "AUDIO", "tokenCount": -1}],
            },
            Usage(5, suspect="absurd"),
        ),
        ({"promptTokenCount": 5, "promptTokensDetails": "AUDIO"}, Usage(5)),
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
            "promptTokensDetails",
            "candidatesTokensDetails",
            "cache_creation",
            "seconds",
        ]
    ),
    st.none()
    | st.integers(-(10**13), 10**13)
    | st.integers(0, 100)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="ascii"), max_size=2)
    | st.dictionaries(
        st.sampled_from(
            ["cached_tokens", "reasoning_tokens", "audio_tokens", "ephemeral_1h_input_tokens"]
        ),
        st.integers(-9, 99),
    )
    | st.lists(
        st.fixed_dictionaries({"modality": st.just("AUDIO"), "tokenCount": st.integers(-9, 99)}),
        max_size=2,
    ),
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
            assert 0 <= found.audio_input <= found.input
            assert 0 <= found.audio_output <= found.output
            assert 0 <= found.cache_write_1h <= found.cache_write
            assert 0 <= found.seconds <= usage.ABSURD
            assert found.suspect or max(*parts, found.images, found.seconds) <= usage.USUAL


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        ({"inputTokens": 10, "outputTokens": 4, "totalTokens": 14}, Usage(10, 0, 0, 4)),
        (
            {"inputTokens": 3, "outputTokens": 4, "cacheReadInputTokens": 30, "cacheWriteInputTokens": 6},
            Usage(3, 30, 6, 4),
        ),
        ({"inputTokens": 3, "outputTokens": 4, "cacheReadInputTokenCount": 30}, Usage(3, 30, 0, 4)),
        (
            {
                "inputTokens": 3, "outputTokens": 4, "cacheWriteInputTokens": 6,
                "cacheDetails": [{"ttl": "5m", "inputTokens": 2}, {"ttl": "1h", "inputTokens": 4}],
            },
            Usage(3, 0, 6, 4, cache_write_1h=4),
        ),
        ({"inputTokens": -3, "outputTokens": 4}, Usage(0, 0, 0, 4, suspect="absurd")),
        ({"totalTokens": 4}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_bedrock_does_not_count_the_cached_among_its_input(
    report: dict[str, Any], expected: Usage | None
) -> None:
    assert usage.bedrock(orjson.dumps(report)) == expected


def test_a_report_is_told_as_chat_completions_have_it() -> None:
    report = Usage(10, 64, 6, 40, 24, audio_input=8, audio_output=12)

    told = usage.completion(report)

    assert openai(**told) == report
    assert told["prompt_tokens"] == 80
    assert told["total_tokens"] == 120


@pytest.mark.parametrize(
    ("one", "more", "expected"),
    [
        ({"input_tokens": 9}, {"output_tokens": 4}, {"input_tokens": 9, "output_tokens": 4}),
        ({"a": 1, "details": {"b": 2}}, {"a": 3, "details": {"b": 4}}, {"a": 4, "details": {"b": 6}}),
        ({"a": 1}, {"a": "many", "details": None}, {"a": 1}),
        ({"a": 1, "details": {"b": 1}}, {"a": {"b": 1}, "details": 3}, {"a": 1, "details": {"b": 1}}),
        ({"a": 1}, None, {"a": 1}),
    ],
)  # fmt: skip
def test_reports_of_two_parts_are_added_up(one: Any, more: Any, expected: Any) -> None:
    assert orjson.loads(usage.added(orjson.dumps(one), orjson.dumps(more))) == expected


def test_no_depth_of_a_report_is_too_much() -> None:
    deep = b'{"a":' * 900 + b"1" + b"}" * 900

    assert usage.added(deep, b'{"b":2}').endswith(b'"b":2}')
