"""Arguments of calls as objects, and free text inside of one."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects import ir
from proxy.dialects.arguments import (
    FREE_TEXT,
    FreeText,
    as_object,
    description_of,
    free_text,
    free_tools,
    freed,
    schema_of,
)
from proxy.dialects.loss import Loss

GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: /a+/"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        (" \n", {}),
        ("null", {}),
        ("not json", {"input": "not json"}),
        ("[1]", {"input": [1]}),
        ('"x"', {"input": "x"}),
        ("7", {"input": 7}),
        ("[" * 100_000, {"input": "[" * 100_000}),
    ],
)
def test_arguments_that_are_no_object_become_one(text: str, expected: object) -> None:
    assert as_object(text) == expected


def test_arguments_go_out_as_they_came() -> None:
    assert msgspec.json.encode(as_object('{"a": 1.0}')) == b'{"a": 1.0}'
    assert as_object('{"a": 1}', custom=True) == {"input": '{"a": 1}'}


def test_a_tool_of_free_text_takes_one_text() -> None:
    tool = ir.Tool("patch", custom=True)

    assert schema_of(tool) == FREE_TEXT
    assert schema_of(ir.Tool("f", schema={"type": "object"})) == {"type": "object"}
    assert free_tools(ir.Request(tools=[tool, ir.Tool("f")])) == {"patch"}


def test_a_grammar_is_told_and_that_nobody_enforces_it_reported() -> None:
    loss = Loss()

    told = description_of(ir.Tool("patch", "Edits.", custom=True, format=GRAMMAR), loss)

    assert told == "Edits.\n\nThe input follows this grammar (lark):\n\nstart: /a+/"
    assert list(loss.names) == ["tool.custom"]


@pytest.mark.parametrize("wanted", [None, {"type": "text"}, {"type": "grammar", "definition": 1}])
def test_free_text_without_a_grammar_loses_nothing(wanted: ir.Json | None) -> None:
    loss = Loss()

    assert description_of(ir.Tool("note", "Notes.", custom=True, format=wanted), loss) == "Notes."
    assert not loss


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"input": "a\\nb"}', "a\nb"),
        ('{"why": "x", "input": "a"}', "a"),
        ('{"input": "\\ud83d half"}', "  half"),
        ('{"input": 1}', '{"input": 1}'),
        ('{"patch": "a"}', '{"patch": "a"}'),
        ("{}", ""),
        ("plain", "plain"),
        ("", ""),
    ],
)
def test_the_text_is_taken_out_of_its_object(arguments: str, text: str) -> None:
    assert free_text(arguments) == text
    assert streamed([arguments]) == text
    assert streamed(list(arguments)) == text


def test_a_call_is_freed_in_place() -> None:
    call = ir.ToolCall("1", "patch", '{"input": "x"}')

    freed(call)

    assert call == ir.ToolCall("1", "patch", "x", custom=True)


def streamed(fragments: list[str]) -> str:
    reader = FreeText()
    return "".join(map(reader.feed, fragments)) + reader.end()


@given(text=st.text(), cuts=st.lists(st.integers(0, 400)), escaped=st.booleans())
def test_any_text_comes_out_however_it_is_cut(text: str, cuts: list[int], escaped: bool) -> None:
    whole = msgspec.json.encode({"input": text}).decode()
    if escaped:
        whole = whole.encode("ascii", "backslashreplace").decode()
        whole = '{"input":"' + "".join(map(escape, text)) + '"}'
    places = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    pieces = [whole[a:b] for a, b in pairwise(places)]

    assert streamed(pieces) == text
    assert streamed(list(whole)) == text


def escape(letter: str) -> str:
    """A character as JSON's escapes, which a pair of them stands for beyond the first plane."""
    units = letter.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def test_a_long_text_is_told_as_it_comes() -> None:
    reader = FreeText()

    said = [reader.feed(piece) for piece in ('{"in', 'put": "*** Beg', "in\\", "n+a", '"}', " ")]

    assert said == ["", "*** Beg", "in", "\n+a", "", ""]
    assert reader.end() == ""


def test_a_text_that_was_cut_off_is_told_as_far_as_it_came() -> None:
    assert streamed(['{"input": "abc\\u00']) == "abc"
    assert streamed(['{"inp']) == '{"inp'


@given(st.lists(st.text(alphabet='{}"\\inputu:d83 \n')))
def test_nothing_breaks_it(fragments: list[str]) -> None:
    streamed(fragments)
    free_text("".join(fragments))
