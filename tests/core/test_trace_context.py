"""W3C Trace Context, read as its grammar says: https://www.w3.org/TR/trace-context/."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core import trace_context
from proxy.core.trace_context import Parent, parse, render, state

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"

hexadecimal = st.sampled_from("0123456789abcdef")


def ids(length: int) -> st.SearchStrategy[str]:
    return st.text(hexadecimal, min_size=length, max_size=length).filter(
        lambda id: set(id) != {"0"}
    )


flags = st.integers(0, 255)


@given(ids(32), ids(16), flags)
def test_what_is_rendered_is_read_as_it_was(trace_id: str, span_id: str, flag: int) -> None:
    parent = parse(render(trace_id, span_id, flag))

    assert parent == Parent(trace_id, span_id, flag)
    assert parent.sampled is bool(flag & 1)


@given(st.text(max_size=80))
def test_any_text_is_a_parent_as_the_grammar_has_it_or_none(text: str) -> None:
    _agrees(text)


@given(
    st.tuples(ids(32), ids(16), flags).map(lambda made: render(*made)),
    st.integers(0, 54),
    st.characters(max_codepoint=0x7F),
)
def test_one_character_changed_is_read_as_the_grammar_says(good: str, at: int, put: str) -> None:
    _agrees(good[:at] + put + good[at + 1 :])


def _agrees(text: str) -> None:
    """Against the words of the specification, one after the other."""
    parts = text.split("-")
    fits = (
        len(parts) >= 4
        and all(re.fullmatch("[0-9a-f]*", part, re.ASCII) for part in parts[:4])
        and [len(part) for part in parts[:4]] == [2, 32, 16, 2]
        and parts[0] != "ff"
        and not (parts[0] == "00" and len(parts) > 4)
        and set(parts[1]) != {"0"}
        and set(parts[2]) != {"0"}
        and "\n" not in text
    )
    parent = parse(text)
    assert (parent is not None) is fits
    if parent is not None:
        assert (parent.trace_id, parent.span_id) == (parts[1], parts[2])


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-1",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f" 00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n",
    ],
)
def test_what_is_malformed_is_no_parent(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize("text", [f"01-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01-what-comes"])
def test_a_later_version_is_read_as_far_as_it_is_the_same(text: str) -> None:
    assert parse(text) == Parent(TRACE, SPAN, 1)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], ""),
        (["a=1,b=2"], "a=1,b=2"),
        (["a=1", "b=2"], "a=1,b=2"),
        ([" a=1 \t, ,b=2"], "a=1,b=2"),
        (["tenant@vendor=x y"], "tenant@vendor=x y"),
        (["0a@v=1"], "0a@v=1"),
        (["a=1,a=2"], ""),
        (["A=1"], ""),
        (["a"], ""),
        (["a="], ""),
        (["a=b=c"], ""),
        (["a=\x7f"], ""),
        ([",".join(f"k{index}=1" for index in range(33))], ""),
        ([",".join(f"k{index}=1" for index in range(32))], ",".join(f"k{index}=1" for index in range(32))),
        (["a=" + "x" * 256 + ",b=" + "y" * 256], ""),
    ],
)  # fmt: skip
def test_a_state_is_passed_on_whole_or_not_at_all(lines: list[str], expected: str) -> None:
    assert state(lines) == expected


@given(st.lists(st.text(max_size=300), max_size=4))
def test_a_state_from_anybody_can_stand_in_a_header(lines: list[str]) -> None:
    found = state(lines)

    assert len(found) <= trace_context.LONGEST_STATE
    assert not re.search(r"[^\x20-\x7e]", found)
    assert state([found]) == found
