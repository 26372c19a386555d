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
BEDROCK = {"toolConfig": {"tools": [{"toolSpec": {"name": "a"}}, {"toolSpec": {"name": "b"}}]}}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
LIKED = {"tools": [{"type": "function", "name": "a", "parameters": CITY}, {"name": "b"}]}
ANSWERED = [
    {"role": "user", "content": "hi"},
    {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "a"}}]},
    {"role": "tool", "tool_call_id": "1", "content": "21 degrees"},
]


def asked(body: dict[str, Any], steer: Steer) -> Call:
    raw = msgspec.json.encode(body)
    return Call(msgspec.json.decode(raw, type=Ask), steer, b"1", body=raw)


def made(body: dict[str, Any], steer: Steer, *, think: bool = False, wanted: Any = None) -> Shape:
    return shape(asked(body, steer), think=think, wanted=wanted)


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (CHAT, ("a", "a")),
        (FLAT, ("a", "b")),
        (GEMINI, ("a", "b")),
        (OLD, ("a", "a")),
        (BEDROCK, ("a", "b")),
    ],
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
    answer = made(LIKED, Steer(tokens=10, tools=2, think=True))

    assert (answer.tools, answer.thought, answer.said) == (("a", "b"), 5, 11)
    assert made({}, Steer(tokens=10), think=True).output == 15
    assert made({}, Steer(tokens=0)).output == 0


def test_arguments_fit_the_schema_and_are_none_without_one() -> None:
    steer = Steer(tokens=2, tools=2)

    arguments = [text.whole(steer) for text in made(LIKED, steer).arguments]

    assert arguments == ['{"city":"The mill"}', "{}"]


def test_results_are_answered_with_a_text_that_quotes_them() -> None:
    answer = made({**CHAT, "messages": ANSWERED}, Steer(tools=1))

    assert answer.tools == ()
    assert answer.text is not None
    assert answer.text.whole(Steer()) == "The tools said: 21 degrees."


def test_tools_are_called_for_as_many_rounds_as_steered() -> None:
    answer = made({**CHAT, "messages": ANSWERED}, Steer(tools=1, rounds=2))

    assert answer.tools == ("a",)


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({**CHAT, "tool_choice": "required"}, ("a",)),
        ({**FLAT, "tool_choice": {"type": "any"}}, ("a",)),
        ({**FLAT, "tool_choice": {"type": "tool", "name": "b"}}, ("b",)),
        ({**CHAT, "tool_choice": {"type": "function", "function": {"name": "a"}}}, ("a",)),
        (
            {**GEMINI, "toolConfig": {"functionCallingConfig": {
                "mode": "ANY", "allowedFunctionNames": ["b"]}}},
            ("b",),
        ),
        (
            {**FLAT, "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [
                {"type": "function", "name": "b"}]}},
            ("b",),
        ),
        ({"toolConfig": {**BEDROCK["toolConfig"], "toolChoice": {"tool": {"name": "b"}}}}, ("b",)),
        ({**CHAT, "tool_choice": "auto"}, ()),
    ],
)  # fmt: skip
def test_a_tool_that_must_be_called_is_called_unsteered(
    body: dict[str, Any], wanted: tuple[str, ...]
) -> None:
    assert made(body, Steer()).tools == wanted


@pytest.mark.parametrize(
    "tool", [{"type": "web_search_20250305", "name": "web_search"}, {"type": "custom", "name": "x"}]
)
def test_tools_that_are_no_functions_are_not_called(tool: dict[str, Any]) -> None:
    assert made({"tools": [tool]}, Steer(tools=1)).tools == ()


def test_an_answer_in_json_fits_the_schema() -> None:
    steer = Steer(tokens=3)

    text = made({}, steer, wanted=CITY).text

    assert text is not None
    assert text.count == 3
    assert text.whole(steer) == '{"city":"The mill turns"}'


def test_it_says_what_it_saw() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:"}}
    body = {"messages": [{"role": "user", "content": [image, image]}]}

    text = made(body, Steer(look=True)).text

    assert text is not None
    assert text.whole(Steer()) == "I see 2 image."


def test_ids_of_parallel_calls_differ() -> None:
    assert call_id("call", b"7", 0) != call_id("call", b"7", 1)
