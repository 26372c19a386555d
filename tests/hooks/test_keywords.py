"""A keyword is never let through, however an answer is cut."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.hooks import Piece, Refuse, Request, Window
from proxy.hooks.keywords import LONGEST, Keywords

REACH = 256


def now(work: Coroutine[Any, Any, Piece | None]) -> Piece | None:
    """What comes of a coroutine that waits for nothing."""
    with pytest.raises(StopIteration) as over:
        work.send(None)
    found: Piece | None = over.value.value
    return found


def screened(hook: Keywords, pieces: Sequence[str], late: Sequence[bool] = ()) -> str:
    """What a client is given of these pieces; after those that are `late` nothing is held any more."""
    said = held = ""
    for index, piece in enumerate([*pieces, ""]):
        final = index == len(pieces) or (index < len(late) and late[index])
        window = Window(held + piece, said[-REACH:], final)
        found = now(hook.screen(Request(), window)) if window.text else Piece("")
        assert found is not None
        assert not (final and found.held)
        assert len(found.held) <= hook.needs
        said, held = said + found.text, found.held
    return said


def cut(text: str, at: Sequence[int]) -> list[str]:
    places = sorted({0, len(text), *(place % (len(text) + 1) for place in at)})
    return [text[one:other] for one, other in pairwise(places)]


LETTERS = st.text(alphabet="abAB ", max_size=14)
WORD = st.text(alphabet="abAB ", min_size=1, max_size=5).filter(str.strip)
WORDS = st.lists(WORD, min_size=1, max_size=4)
CUTS = st.lists(st.integers(0, 100), max_size=8)
LATE = st.lists(st.booleans(), max_size=8)


def has(text: str, words: Sequence[str]) -> bool:
    return any(word.strip().lower() in text.lower() for word in words)


@given(WORDS, LETTERS, CUTS, LATE)
@example(["aba"], "xabax", [1, 2, 3], [True, True, True])
@example(["abb", "ba"], "aba", [1], [])
def test_nothing_is_let_through_where_it_is_refused(
    words: list[str], text: str, at: list[int], late: list[bool]
) -> None:
    pieces = cut(text, at)

    if has(text, words):
        with pytest.raises(Refuse) as refused:
            screened(Keywords(words), pieces, late)
        assert refused.value.code == "keyword_refused"
    else:
        assert screened(Keywords(words), pieces, late) == text


@given(WORDS, LETTERS, CUTS, LATE)
@example(["aba"], "xababax", [1, 2, 3, 4], [True, True, True])
def test_nor_where_it_is_masked(
    words: list[str], text: str, at: list[int], late: list[bool]
) -> None:
    hook = Keywords(words, action="mask", mask="#")

    said = screened(hook, cut(text, at), late)

    assert not has(said, words)
    if not has(text, words):
        assert said == text


@given(
    st.lists(st.sampled_from(["ab", "a", "ba"]), min_size=1),
    st.text(alphabet="ab -", max_size=14),
    CUTS,
)
def test_whole_words_are_those_that_stand_alone(words: list[str], text: str, at: list[int]) -> None:
    hook = Keywords(words, action="mask", mask="#", whole_words=True)

    said = screened(hook, cut(text, at))

    assert said == "".join("#" if part in words else part for part in _parts(text))


def _parts(text: str) -> list[str]:
    parts = [""]
    for letter in text:
        if parts[-1] and parts[-1].isalpha() and letter.isalpha():
            parts[-1] += letter
        else:
            parts.append(letter)
    return parts


def test_only_what_could_be_a_beginning_is_held_back() -> None:
    hook = Keywords(["secret"])

    assert now(hook.screen(Request(), Window("this is no se"))) == Piece("this is no ", "se")
    assert now(hook.screen(Request(), Window("this is nothing"))) == Piece("this is nothing")


def test_any_white_space_parts_two_words() -> None:
    with pytest.raises(Refuse):
        screened(Keywords(["top secret"]), ["a top\n", "secret"])


def test_a_request_is_refused_or_masked() -> None:
    raw = {"messages": b'[{"role":"user","content":"my Hunter2 is"}]'}
    with pytest.raises(Refuse, match="not here"):
        Keywords(["hunter2"], message="not here").before_route(Request(raw))
    request = Request(raw)

    Keywords(["hunter2"], action="mask").before_route(request)

    assert request.changes() == {"messages": b'[{"role":"user","content":"my *** is"}]'}


@pytest.mark.parametrize("word", ["straße", "İstanbul", "a.b(c", "\U0001f600!", "ﬁn", "Σίσυφος"])
def test_words_of_any_letters(word: str) -> None:
    for at in range(len(word) + 2):
        text = f"x{word}y"
        assert screened(Keywords([word], action="mask"), [text[:at], text[at:]]) == "x***y"


@pytest.mark.parametrize("shift", range(7))
def test_a_long_request_is_looked_at_in_steps(shift: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.hooks.keywords._STEP", 5)
    said = "x" * shift + "hunter2 hunter hunter2!"
    request = Request({"input": msgspec.json.encode([said, ""])})

    Keywords(["hunter2"], action="mask").before_route(request)

    assert request.field("input") == ["x" * shift + "*** hunter ***!", ""]


def test_kinds_that_are_not_wanted_pass() -> None:
    hook = Keywords(["x"], kinds=["arguments"])

    assert now(hook.screen(Request(), Window("x"))) is None
    with pytest.raises(Refuse):
        now(hook.screen(Request(), Window("x", kind="arguments")))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"words": []}, "at least one"),
        ({"words": "secret"}, "a list"),
        ({"words": [" "]}, "characters"),
        ({"words": ["x" * (LONGEST + 1)]}, "characters"),
        ({"words": ["x"], "action": "log"}, "refuse or mask"),
        ({"words": ["x"], "kinds": ["thoughts"]}, "some of"),
        ({"words": ["*"], "action": "mask"}, "none of the words"),
    ],
)
def test_options_that_mean_nothing(options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Keywords(**options)  # type: ignore[arg-type]


def test_many_long_words_can_be_compiled() -> None:
    hook = Keywords([f"{index:05d}".ljust(LONGEST, "x") for index in range(300)])

    assert hook.needs == LONGEST
    with pytest.raises(Refuse):
        screened(hook, ["00042" + "x" * 50, "x" * 45])
