"""Where words are, in each dialect's requests and answers."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from proxy.hooks import Answer, Request

REQUESTS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "chat": (
        {
            "model": "no",
            "user": "no",
            "messages": [
                {"role": "system", "content": "one", "name": "no"},
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "two"},
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,no"}},
                    ],
                },
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {"id": "no", "type": "function", "function": {"name": "no", "arguments": "three"}}
                    ],
                },
                {"role": "tool", "tool_call_id": "no", "content": "four"},
            ],
            "tools": [{"type": "function", "function": {"name": "no", "description": "no"}}],
        },
        ["one", "two", "three", "four"],
    ),
    "responses": (
        {
            "instructions": "one",
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "two"}]},
                {"type": "function_call", "call_id": "no", "name": "no", "arguments": "three"},
                {"type": "function_call_output", "call_id": "no", "output": "four"},
                {"type": "reasoning", "id": "no", "summary": [{"type": "summary_text", "text": "no"}]},
            ],
            "reasoning": {"effort": "no", "summary": "no"},
            "text": {"format": {"type": "no"}},
        },
        ["one", "two", "three", "four"],
    ),
    "messages": (
        {
            "system": [{"type": "text", "text": "one"}],
            "messages": [
                {"role": "user", "content": "two"},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "no", "signature": "no"},
                        {"type": "tool_use", "id": "no", "name": "no", "input": {"a": ["three"], "type": "four"}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "no", "content": [{"type": "text", "text": "five"}]},
                        {"type": "document", "source": {"type": "text", "media_type": "no", "data": "six"}},
                        {"type": "image", "source": {"type": "base64", "media_type": "no", "data": "no"}},
                    ],
                },
            ],
        },
        ["one", "two", "three", "four", "five", "six"],
    ),
    "generate": (
        {
            "systemInstruction": {"parts": [{"text": "one"}]},
            "contents": [
                {"role": "user", "parts": [{"text": "two"}, {"inlineData": {"mimeType": "no", "data": "no"}}]},
                {"role": "model", "parts": [{"text": "no", "thought": True, "thoughtSignature": "no"}]},
                {"role": "model", "parts": [{"functionCall": {"name": "no", "args": {"x": {"y": "three"}}}}]},
                {
                    "role": "user",
                    "parts": [{"functionResponse": {"name": "no", "response": {"result": "four"}}}],
                },
            ],
        },
        ["one", "two", "three", "four"],
    ),
    "embeddings": ({"input": ["one", "two"]}, ["one", "two"]),
    "completions": ({"prompt": "one", "suffix": "two", "stop": ["no"]}, ["one", "two"]),
    "rerank": ({"query": "one", "documents": ["two", {"text": "three"}]}, ["one", "two", "three"]),
}  # fmt: skip
ANSWERS: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "chat": (
        {
            "id": "no",
            "choices": [
                {
                    "message": {
                        "role": "assistant", "content": "one", "refusal": None, "reasoning_content": "two",
                        "tool_calls": [{"id": "no", "function": {"name": "no", "arguments": "three"}}],
                    },
                    "finish_reason": "no",
                }
            ],
        },
        [("one", "text"), ("two", "reasoning"), ("three", "arguments")],
    ),
    "responses": (
        {
            "instructions": "no", "reasoning": {"summary": "no"}, "text": {"format": {"type": "no"}},
            "output": [
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "one"}]},
                {"type": "message", "content": [{"type": "output_text", "text": "two", "annotations": []}]},
                {"type": "function_call", "name": "no", "arguments": "three"},
            ],
        },
        [("one", "reasoning"), ("two", "text"), ("three", "arguments")],
    ),
    "messages": (
        {
            "content": [
                {"type": "thinking", "thinking": "one", "signature": "no"},
                {"type": "text", "text": "two"},
                {"type": "tool_use", "name": "no", "input": {"x": "three"}},
            ],
            "stop_reason": "no",
        },
        [("one", "reasoning"), ("two", "text"), ("three", "arguments")],
    ),
    "generate": (
        {
            "candidates": [
                {
                    "content": {
                        "role": "model",
                        "parts": [
                            {"text": "one", "thought": True}, {"text": "two"},
                            {"functionCall": {"name": "no", "args": {"x": "three"}}},
                        ],
                    },
                    "finishReason": "no",
                }
            ]
        },
        [("one", "reasoning"), ("two", "text"), ("three", "arguments")],
    ),
}  # fmt: skip


def raw(body: dict[str, Any]) -> dict[str, bytes]:
    return {name: msgspec.json.encode(value) for name, value in body.items()}


@pytest.mark.parametrize("name", REQUESTS)
def test_all_that_is_said_in_a_request(name: str) -> None:
    body, said = REQUESTS[name]

    assert [word.text for word in Request(raw(body)).words()] == said


@pytest.mark.parametrize("name", ANSWERS)
def test_all_that_is_new_in_an_answer(name: str) -> None:
    body, said = ANSWERS[name]

    assert [(word.text, word.kind) for word in Answer(raw(body)).words()] == said


@pytest.mark.parametrize("name", REQUESTS)
def test_each_can_be_changed_where_it_stands(name: str) -> None:
    body, said = REQUESTS[name]
    request = Request(raw(body))

    for word in request.words():
        word.text = word.text.upper()

    text = msgspec.json.encode(body)
    for one in said:
        text = text.replace(b'"%b"' % one.encode(), b'"%b"' % one.upper().encode())
    changed = {key: msgspec.json.decode(value or b"") for key, value in request.changes().items()}
    assert {**body, **changed} == msgspec.json.decode(text)


def test_a_tower_of_lists_is_not_climbed_for_ever() -> None:
    deep: Any = "no"
    for _ in range(200):
        deep = [deep]

    assert list(Request(raw({"input": deep})).words()) == []
