"""Answers up to a cut and after it."""

from __future__ import annotations

import pytest

from proxy.simulator.answers import Act, Block, Stream, Whole, wrapped
from proxy.simulator.grammar import Steer
from proxy.simulator.take import Take, answered, framed, sized


def stream(tokens: int) -> Stream:
    """Events `<0>`, `<1>` and so on between `[` and `]`."""
    block = Block(b"", tokens, lambda index: b"%d" % index, wrapped(b"<", b">"))
    return Stream([block], opening=b"[", end=b"]", error=lambda _: b"!")


def take(answer: Stream | Whole, steer: Steer) -> Take:
    return Take(answer, steer, "openai", b"7")


@pytest.mark.parametrize(
    ("at", "before", "half"),
    [
        (0, [b"["], b"<"),
        (2, [b"[", b"<0>", b"<1>"], b"<"),
        (-1, [b"[", b"<0>", b"<1>"], b"<"),
        (4, [b"[", b"<0>", b"<1>", b"<2>", b"<3>"], b""),
        (9, [b"[", b"<0>", b"<1>", b"<2>", b"<3>"], b""),
    ],
)
def test_the_cut_is_between_two_tokens(at: int, before: list[bytes], half: bytes) -> None:
    one = take(stream(4), Steer(at=at))

    steps = list(one.until_cut())

    assert steps == before
    assert one.tokens_sent() == len(before) - 1
    assert one.half() == half
    assert b"".join([*before, *(step for step in one.rest() if isinstance(step, bytes))]) == (
        b"[<0><1><2><3>]"
    )
    assert one.tokens_sent() == 4


def test_a_whole_answer_is_cut_in_the_middle() -> None:
    one = take(Whole(b"abcdef"), Steer())

    assert list(one.until_cut()) == [b"abc"]
    assert list(one.rest()) == [b"def"]


def test_a_body_is_framed_in_chunks_or_in_pieces() -> None:
    plain = list(framed(take(stream(1), Steer()), [b"abc", b"", 0.5]))
    split = list(framed(take(stream(1), Steer(split=2)), [b"abc"]))

    assert plain[1:] == [b"3\r\nabc\r\n", 0.5, b"0\r\n\r\n"]
    assert split[1:] == [b"2\r\nab\r\n", Act.TURN, b"1\r\nc\r\n", Act.TURN, b"0\r\n\r\n"]


def test_a_whole_answer_has_its_length_and_waits_first() -> None:
    first, wire = answered(take(Whole(b"{}"), Steer(first=0.5)), b"x-a: b\r\n")

    assert first == 0.5
    assert isinstance(wire, bytes)
    assert wire.endswith(b"x-a: b\r\ncontent-length: 2\r\n\r\n{}")


def test_a_length_can_be_a_lie() -> None:
    assert sized(b"", b"ab", 9) == b"content-length: 9\r\n\r\nab"
