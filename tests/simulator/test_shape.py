"""Which tools are called."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from proxy.simulator.answers import Ask, Call
from proxy.simulator.grammar import Steer
from proxy.simulator.shape import Shape, call_id, shape

CHAT = {"tools": [{"type": "function", "function": {"name": "a"}}]}
FLAT = {"tools": [{"type": "function", "name": "a"}, {"name": "b"}]}
GEMINI = {"tools": [{"functionDeclarations": [{"name": "a"}, {"name": "b"}]}]}
OLD = {"functions": [{"name": "a"}]}


def made(body: dict[str, Any], steer: Steer, *, think: bool = False) -> Shape:
    ask = msgspec.json.decode(msgspec.json.encode(body), type=Ask)
    return shape(Call(ask, steer, b"1"), think=think)


@pytest.mark.parametrize(
    ("body", "wanted"),
    [(CHAT, ("a", "a")), (FLAT, ("a", "b")), (GEMINI, ("a", "b")), (OLD, ("a", "a"))],
)
def test_tools_are_found_in_every_dialect(body: dict[str, Any], wanted: tuple[str, ...]) -> None:
    assert made(body, Steer(tools=2)).tools == wanted


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"tools": None},
        {"tools": [{"type": "web_search"}]},
        {**CHAT, "tool_choice": "none"},
        {**FLAT, "tool_choice": {"type": "none"}},
        {**GEMINI, "toolConfig": {"functionCallingConfig": {"mode": "NONE"}}},
    ],
)
def test_no_tool_is_called_when_none_may_be(body: dict[str, Any]) -> None:
    assert made(body, Steer(tools=1)).tools == ()


def test_no_tool_is_called_unless_steered() -> None:
    assert made(CHAT, Steer()).tools == ()


def test_thoughts_and_calls_are_counted() -> None:
    assert made(FLAT, Steer(tokens=10, tools=2, think=True)) == Shape(("a", "b"), 5, 20)
    assert made({}, Steer(tokens=10), think=True).output == 15
    assert made({}, Steer(tokens=0)).output == 0


def test_ids_of_parallel_calls_differ() -> None:
    assert call_id("call", b"7", 0) != call_id("call", b"7", 1)
