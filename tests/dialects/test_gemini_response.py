"""Whole answers, read and written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.dialects import ir
from proxy.dialects.base import Usage
from proxy.dialects.gemini.response import parse_response, render_response
from proxy.dialects.identity import seal
from proxy.dialects.loss import Loss
from tests.dialects.checkers import gemini as checker
from tests.dialects.contents import RESPONSES, fixture, name, without_ids
from tests.dialects.test_gemini_decoder import damage

REQUEST = ir.Request(model="asked")
ERRORS = ("error", "error_in_array")
ODD = ("odd_types", "unknown_fields", "citation_sources")
"""Cases with what no client knows of, which one of this dialect is given all the same."""
ANSWERS = [path for path in RESPONSES if name(path) not in ERRORS]


def read(case: str) -> ir.Response:
    return parse_response(fixture(f"{case}.response.json"), REQUEST)


@pytest.mark.parametrize("path", ANSWERS, ids=name)
def test_an_answer_is_the_same_after_a_journey_through_the_hub(path: Path) -> None:
    response = without_ids(parse_response(path.read_bytes(), REQUEST))

    body = render_response(response, REQUEST, Loss())
    again = without_ids(parse_response(body, REQUEST))

    again.id = response.id
    for choice, before in zip(again.choices, response.choices, strict=True):
        choice.reason = before.reason or choice.reason
        before.reason = choice.reason
    if name(path) not in (
        "odd_types",
        "cached_content",
    ):  # figures the hub has corrected or added up
        assert again == response


@pytest.mark.parametrize("path", ANSWERS, ids=name)
@pytest.mark.parametrize("origin", ["gemini.generate", "openai.chat"])
def test_what_a_client_is_given_is_legal(path: Path, origin: str) -> None:
    response = parse_response(path.read_bytes(), REQUEST)
    response.origin = origin
    if name(path) in ODD:
        return

    body = render_response(response, REQUEST, Loss())

    assert checker.check_response(body) == []


@pytest.mark.parametrize(
    "body",
    [
        *(fixture(f"{case}.response.json") for case in ERRORS),
        b"",
        b"[]",
        b"{}",
        b"[1]",
        b"{",
        b"[" * 5000,
        b'{"a":' * 5000,
        b'{"usageMetadata":{"promptTokenCount":1}}',
    ],
)
def test_what_is_no_answer_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - which one is nobody's concern
        parse_response(body, REQUEST)


def test_thoughts_and_the_signed_text_are_apart() -> None:
    response = read("thoughts_back")

    assert response.choices[0].blocks == [
        ir.Reasoning("Doubling."),
        ir.Text("16", signature="c2lnbmF0dXJl", origin="gemini"),
    ]
    assert response.usage == Usage(input=21, output=36, reasoning=28)
    assert response.created == 1767323045


def test_a_call_is_a_call_whatever_the_reason_says() -> None:
    (choice,) = read("tools").choices

    assert (choice.finish, choice.reason) == ("tool_calls", "STOP")
    (call,) = choice.blocks
    assert isinstance(call, ir.ToolCall)
    assert (call.name, call.arguments, call.signature) == (
        "weather",
        '{"city":"Rome"}',
        "c2lnbmF0dXJl",
    )


def test_citations_of_a_whole_answer_count_characters_of_their_text() -> None:
    _, text = read("search").choices[0].blocks

    assert isinstance(text, ir.Text)
    assert [(cited.title, text.text[cited.start : cited.end]) for cited in text.citations] == [
        ("a.example", "日本が勝った"),
        ("a.example", "Yes, é!"),
        ("B", "Yes, é!"),
    ]
    assert text.citations[2].text == "source words"


def test_the_older_citations_are_read_too() -> None:
    (text,) = read("citation_sources").choices[0].blocks

    assert isinstance(text, ir.Text)
    assert [(cited.title, cited.start, cited.end) for cited in text.citations] == [("C", 7, 12)]


@pytest.mark.parametrize(
    ("case", "finish", "reason"),
    [
        ("max_tokens", "length", "MAX_TOKENS"),
        ("safety", "content_filter", "SAFETY"),
        ("blocked", "content_filter", "PROHIBITED_CONTENT"),
        ("malformed_call", "error", "MALFORMED_FUNCTION_CALL"),
        ("unknown_reason", "stop", "SOMETHING_NEW"),
        ("audio_out", "stop", ""),
    ],
)
def test_every_reason_has_a_meaning(case: str, finish: str, reason: str) -> None:
    (choice,) = read(case).choices

    assert (choice.finish, choice.reason) == (finish, reason)


def test_cached_tokens_and_the_tier_are_read() -> None:
    response = read("cached_content")

    assert response.usage == Usage(input=120, cache_read=400, output=2)
    assert response.service_tier == "flex"


def test_an_array_of_chunks_is_one_answer() -> None:
    (text,) = read("array").choices[0].blocks

    assert text == ir.Text("Alice", signature="c2lnbmF0dXJl", origin="gemini")


def test_odd_types_are_left_out() -> None:
    response = read("odd_types")

    texts = [block.text for block in response.choices[0].blocks if isinstance(block, ir.Text)]
    assert texts == ["plain", "ok"]
    assert response.usage is not None
    assert response.usage.suspect
    assert response.model == "asked"


def test_an_answer_from_elsewhere_is_written_part_by_part() -> None:
    loss = Loss()
    blocks: list[ir.Block] = [
        ir.Reasoning("Hm", "EqAB", "anthropic"),
        ir.Reasoning("", "x", "openai", redacted=True),
        ir.Text("A", citations=[ir.Citation(file_id="f1", text="words")]),
        ir.Text(""),
        ir.ToolCall("call_1", "f", "{}"),
        ir.ToolResult("call_1"),
        ir.Refusal("No."),
    ]
    response = ir.Response("id", "m", 0, [ir.Choice(blocks, "refusal")], Usage(1, 0, 0, 1))

    body: Any = orjson.loads(render_response(response, REQUEST, loss))

    assert body == {
        "candidates": [
            {
                "content": {
                    "parts": [
                        {
                            "text": "Hm",
                            "thought": True,
                            "thoughtSignature": seal("anthropic", "EqAB"),
                        },
                        {"text": "", "thought": True, "thoughtSignature": seal("openai", "x")},
                        {"text": "A"},
                        {"functionCall": {"id": "call_1", "name": "f", "args": {}}},
                        {"text": "No."},
                    ],
                    "role": "model",
                },
                "finishReason": "SAFETY",
                "index": 0,
                "groundingMetadata": {
                    "groundingChunks": [{"retrievedContext": {"title": "f1", "text": "words"}}],
                    "groundingSupports": [
                        {
                            "segment": {"endIndex": 1, "text": "A", "partIndex": 2},
                            "groundingChunkIndices": [0],
                        }
                    ],
                },
            }
        ],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
        "modelVersion": "m",
        "responseId": "id",
    }
    assert list(loss.names) == ["opaque", "refusal"]


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(RESPONSES), st.data())
def test_a_damaged_answer_is_read_or_refused(path: Path, draw: st.DataObject) -> None:
    body = damage(orjson.loads(path.read_bytes()), draw)

    try:
        response = parse_response(orjson.dumps(body), REQUEST)
    except ValueError:
        return
    render_response(response, REQUEST, Loss())
