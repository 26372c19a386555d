"""Where the text of another answer goes on: found exactly, or not at all."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.gateway.continuation.rungs import BOUND, REPEAT, RUNGS, Rung, anchor_of

WORDS = (
    "The mill turns slowly while the river sings of stones, and an old keeper says that nobody "
    "has ever seen the water stand still; not in winter, not at night."
)


def cuts(text: str, sizes: Iterable[int]) -> list[str]:
    """A text in pieces of these sizes, round and round."""
    pieces, at = [], 0
    for size in sizes:
        pieces.append(text[at : at + size])
        at += size
        if at >= len(text):
            return pieces
    return [*pieces, text[at:]]


def new(rung: Rung, pieces: Iterable[str]) -> str | None:
    """All that is new in an answer of these pieces; None: it does not go on."""
    said, found = "", False
    for piece in pieces:
        part = rung.feed(piece)
        if rung.missed:
            assert part is None
            return None
        found = found or part is not None
        said += part or ""
    if found:
        return said
    rest = rung.end()
    return None if rest is None else said + rest


SIZES = st.lists(st.integers(1, 9), max_size=60)
TEXTS = st.text(alphabet="ab \n水é", max_size=30)


@given(TEXTS, TEXTS, SIZES)
def test_the_same_answer_matches_wherever_it_is_cut(said: str, rest: str, sizes: list[int]) -> None:
    assert new(RUNGS["match"](said), cuts(said + rest, sizes)) == rest


@given(TEXTS, TEXTS, SIZES)
def test_another_answer_never_matches(said: str, other: str, sizes: list[int]) -> None:
    found = new(RUNGS["match"](said), cuts(other, sizes))
    assert found == (other[len(said) :] if other.startswith(said) else None)


@pytest.mark.parametrize("at", range(20, len(WORDS), 7))
@pytest.mark.parametrize("before", ["", "Of course. ", "\n"], ids=["at once", "words", "a line"])
def test_a_repeat_is_found_up_to_its_white_space(at: int, before: str) -> None:
    said = WORDS[:at]
    repeat = re.sub(r"\s+", "\n", anchor_of(said))
    answer = before + repeat + WORDS[len(said.rstrip()) :]
    assert new(RUNGS["anchor"](said), cuts(answer, [3] * 99)) == WORDS[at:]


def test_an_answer_from_the_beginning_has_the_repeat_in_its_place() -> None:
    assert new(RUNGS["anchor"](WORDS[:90]), cuts(WORDS, [5] * 99)) == WORDS[90:]


def test_a_repeat_that_could_be_another_must_come_first() -> None:
    said = "one two three four five. one two three four five."
    words = RUNGS["anchor"]("short")
    assert new(words, ["Here: short and so on"]) is None
    assert new(RUNGS["anchor"]("short"), ["short and so on"]) == " and so on"
    assert new(RUNGS["anchor"](said[3:] + said[3:]), ["So: " + said[3:] * 2 + "!"]) is None


def test_a_repeat_that_came_out_too_short_is_not_looked_for_further_on() -> None:
    line = "the mill turns while the river sings over stones;"
    said = f"It is said: {line}"
    rung = RUNGS["anchor"](said)

    # It has the client's line but for its first letters, and the same line again.
    assert rung.feed(f"{anchor_of(said)[3:]} and {line} and so on") is None
    assert rung.missed


def test_without_a_repeat_nobody_waits_for_ever() -> None:
    rung = RUNGS["anchor"](WORDS)
    fed = 0
    while not rung.missed:
        assert rung.feed("other words ") is None
        fed += 1
    assert fed < BOUND / 10
    assert new(RUNGS["anchor"](WORDS), ["Something else."]) is None


def test_white_space_alone_is_nothing_to_repeat() -> None:
    assert RUNGS["anchor"](" \n ").missed


@given(st.integers(1, len(WORDS)), SIZES)
def test_what_follows_a_prefill_is_new(at: int, sizes: list[int]) -> None:
    said = WORDS[:at]
    rest = WORDS[len(said.rstrip()) :]
    assert new(RUNGS["prefill"](said), cuts(rest, sizes)) == WORDS[at:]


@pytest.mark.parametrize("again", [WORDS, "\n" + WORDS[25:], WORDS[25:65]])
def test_what_begins_again_is_no_rest(again: str) -> None:
    said = WORDS[:65]
    rung = RUNGS["prefill"](said)
    assert new(rung, cuts(again, [4] * 99)) is None
    assert rung.missed
    assert new(RUNGS["prefill"](said), [WORDS[65:]]) == WORDS[65:]


@pytest.mark.parametrize(
    ("said", "rest", "whole"),
    [
        ("a ", " b", "a b"),
        ("a ", "b", "a b"),
        ("a\n", "\n\nb", "a\n\nb"),
        ("a\n\n", "\nb", "a\n\nb"),
        ("a ", "\nb", "a \nb"),
        ("a\n", " b", "a\nb"),
        ("a ", "", "a "),
        ("a ", "  ", "a  "),
        ("a", " b", "a b"),
    ],
)
def test_white_space_at_the_seam_is_not_doubled(said: str, rest: str, whole: str) -> None:
    found = new(RUNGS["prefill"](said), [*rest] or [""])
    assert found is not None
    assert said + found == whole


def test_an_anchor_is_the_end_without_white_space_around_it() -> None:
    assert anchor_of("x" * 99) == "x" * REPEAT
    assert anchor_of("word " + "y" * (REPEAT - 1) + "  \n") == "y" * (REPEAT - 1)
