"""Conversations in every dialect."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.simulator.talk import read

CHAT = {
    "messages": [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image_url"}]},
        {"role": "assistant", "reasoning_content": "hm", "tool_calls": [{"type": "function"}]},
        {"role": "tool", "content": "rain"},
        {"role": "user", "content": [{"type": "image_url"}]},
    ]
}
MESSAGES = {
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image"}]},
        {"role": "assistant", "content": [{"type": "thinking"}, {"type": "tool_use"}]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "content": [{"type": "text", "text": "rain"}, {"type": "image"}]},
                {"type": "text", "text": "go on"},
            ],
        },
    ]
}  # fmt: skip
RESPONSES = {
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "hi"}, {"type": "input_image"}]},
        {"type": "reasoning", "summary": []},
        {"type": "function_call", "call_id": "1"},
        {"type": "function_call_output", "output": [
            {"type": "input_text", "text": "rain"}, {"type": "input_image"}]},
    ]
}  # fmt: skip
GEMINI = {
    "contents": [
        {"role": "user", "parts": [{"text": "hi"}, {"inlineData": {"mimeType": "image/png"}}]},
        {"role": "model", "parts": [{"text": "hm", "thought": True}, {"functionCall": {}}]},
        {"role": "user", "parts": [
            {"functionResponse": {"response": "rain", "parts": [{"inlineData": {"mimeType": "image/png"}}]}}]},
    ]
}  # fmt: skip
BEDROCK = {
    "messages": [
        {"role": "user", "content": [{"text": "hi"}, {"image": {}}]},
        {"role": "assistant", "content": [{"reasoningContent": {}}, {"toolUse": {}}]},
        {"role": "user", "content": [{"toolResult": {"content": [{"json": "rain"}, {"image": {}}]}}]},
    ]
}  # fmt: skip


@pytest.mark.parametrize("body", [CHAT, MESSAGES, RESPONSES, GEMINI, BEDROCK])
def test_a_conversation_is_read_alike(body: dict[str, Any]) -> None:
    told = read(body)

    assert [result.strip('"') for result in told.results()] == ["rain"]
    assert told.rounds() == 1
    assert told.media() == {"image": 2, "document": 0, "audio": 0, "video": 0}
    assert [piece.kind for piece in told.current() if piece.role == "model"] == ["thought", "call"]


@pytest.mark.parametrize(
    "body", [None, {}, {"input": "hi"}, {"messages": [1, {}]}, {"contents": {}}]
)
def test_without_results_there_are_none(body: Any) -> None:
    told = read(body)

    assert (told.results(), told.rounds()) == ([], 0)


def test_results_the_model_has_seen_are_old() -> None:
    told = read({"messages": [*MESSAGES["messages"], {"role": "assistant", "content": "wet"}]})

    assert told.results() == []


def test_rounds_are_counted_since_the_user_spoke() -> None:
    once = MESSAGES["messages"][1:]

    again = read({"messages": [*MESSAGES["messages"], *once]})
    anew = read(
        {
            "messages": [
                *MESSAGES["messages"],
                {"role": "assistant", "content": "wet"},
                *MESSAGES["messages"],
            ]
        }
    )

    assert again.rounds() == 2
    assert anew.rounds() == 1
