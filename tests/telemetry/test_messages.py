"""What was said, in the words of the conventions: roles and parts, short, and without secrets."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.span import Content
from proxy.telemetry.messages import attributes, fit


def asked(body: Any, most: int = 1000) -> list[Any]:
    found = attributes(Content(orjson.dumps(body), "", "", most))
    turns: list[Any] = orjson.loads(found["gen_ai.input.messages"])
    return turns


def text(content: str) -> dict[str, str]:
    return {"type": "text", "content": content}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            {"messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]},
            [("system", [text("be brief")]), ("user", [text("hi")])],
        ),
        (
            {"system": "be brief", "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image", "source": {}}]}]},
            [("system", [text("be brief")]), ("user", [text("hi"), {"type": "image"}])],
        ),
        ({"input": "hi", "instructions": "be brief"}, [("system", [text("be brief")]), ("user", [text("hi")])]),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}]}, [("user", [text("hi")])]),
        (
            {"systemInstruction": {"parts": [{"text": "be brief"}]}, "contents": [{"role": "user", "parts": [{"text": "hi"}, {"inlineData": {}}]}]},
            [("system", [text("be brief")]), ("user", [text("hi"), {"type": "inlineData"}])],
        ),
        ({"prompt": "once"}, [("user", [text("once")])]),
        (
            {"messages": [{"role": "assistant", "content": None, "tool_calls": [{"id": "a"}, {"id": "b"}]}]},
            [("assistant", [{"type": "tool_call"}, {"type": "tool_call"}])],
        ),
        (
            {"messages": [{"role": "assistant", "content": "let me see", "tool_calls": [{"id": "a"}]}, {"role": "tool", "content": "42"}]},
            [("assistant", [text("let me see"), {"type": "tool_call"}]), ("tool", [text("42")])],
        ),
        ({"messages": [{"role": "assistant", "content": None}]}, [("assistant", [])]),
        ({"input": [15339, 1917]}, []),
        ({"input": [[15339], [1917]]}, []),
        ({"model": "m"}, []),
        ({"messages": 3}, []),
    ],
)  # fmt: skip
def test_every_dialect_has_turns(body: Any, expected: list[Any]) -> None:
    assert [(turn["role"], turn["parts"]) for turn in asked(body)] == expected


def test_an_answer_is_one_turn() -> None:
    found = attributes(Content(b"no JSON", "hello", "stop", 3))

    assert orjson.loads(found["gen_ai.output.messages"]) == [
        {"role": "assistant", "parts": [text("hel")], "finish_reason": "stop"}
    ]
    assert "gen_ai.input.messages" not in found


def test_all_texts_together_are_as_long_as_is_wanted() -> None:
    turns = asked({"messages": [{"content": "abc"}, {"content": "def"}, {"content": "g"}]}, 4)

    assert [turn["parts"][0]["content"] for turn in turns] == ["abc", "d", ""]


@pytest.mark.parametrize("depth", [988, 1020])
def test_of_what_is_nested_too_deep_nothing_is_said(depth: int) -> None:
    body = b'{"messages":' + b"[" * depth + b'"hi"' + b"]" * depth + b"}"

    found = attributes(Content(body, "hello", "stop", 1000))

    assert "gen_ai.input.messages" not in found
    assert "hello" in found["gen_ai.output.messages"]


def test_a_secret_is_masked_wherever_a_client_puts_it() -> None:
    secret = "sk-abcdefgh12345678"

    turns = asked({"messages": [{"role": secret, "content": [{secret: 1}, {"type": secret}]}]})

    assert turns == [{"role": "***", "parts": [{"type": "***"}, {"type": "***"}]}]


def test_words_that_should_be_short_are() -> None:
    (turn,) = asked({"messages": [{"role": "r" * 10_000, "content": [{"type": "t" * 10_000}]}]})

    assert (len(turn["role"]), len(turn["parts"][0]["type"])) == (256, 256)


def test_a_secret_at_the_end_is_masked_all_the_same() -> None:
    assert fit("x " * 5 + "sk-abcdefgh12345678", 14) == "x " * 5 + "***"


values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "content", "parts", "text", "type", "a"]), inner)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["messages", "input", "contents", "system"]), values))
def test_whatever_a_client_sends_is_written_or_left_out(body: Any) -> None:
    for turn in asked(body):
        assert isinstance(turn["role"], str)
        for part in turn["parts"]:
            assert isinstance(part["type"], str)
