"""Beginnings are hashed at doubling lengths, each once."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from proxy.gateway.hints import LONGEST, SHORTEST, Hints, digest

TEXT = Random(1).randbytes(2 * LONGEST)


@given(st.integers(0, 2 * LONGEST))
def test_there_is_a_beginning_for_each_doubling_that_fits(length: int) -> None:
    head = TEXT[:length]
    found = list(Hints(head=head).beginnings())

    lengths = [SHORTEST << at for at in range(6)]
    assert lengths[-1] == LONGEST
    assert found == [digest(head[:each]) for each in lengths if each <= length]


def test_what_was_hashed_is_kept() -> None:
    hints = Hints(head=TEXT[:5000])
    first = next(iter(hints.beginnings()))

    found = list(hints.beginnings())

    assert found[0] == first
    assert len(found) == 3
    assert list(hints.beginnings()) == found


def test_without_a_request_there_is_nothing_to_know() -> None:
    hints = Hints()

    assert (hints.caller, hints.prompt, hints.tokens, list(hints.beginnings())) == (0, 0, 0, [])
    assert hints.stream
    assert hints.snapshot.models == {}


def test_tokens_are_those_of_prompt_and_answer() -> None:
    hints = Hints(sizes=(100, 20))

    assert (hints.prompt, hints.tokens) == (100, 120)
