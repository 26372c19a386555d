"""Text through screens: nothing lost, nothing held too long."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import ProxyError
from proxy.dialects import ir
from proxy.gateway.hooks.screening import Screening, joined
from proxy.hooks import Piece, Point, Refuse, Request, Window
from proxy.hooks.chain import Chain, Hook
from tests.gateway.hooks.made import hook, hooked, request

START, END = ir.BlockStart(0, ir.Text()), ir.BlockEnd(0)


async def held(request: Request, window: Window) -> Piece:
    """Holds back all it may."""
    return Piece("", window.text)


async def odd(request: Request, window: Window) -> Piece:
    """Lets the first of three letters go."""
    at = len(window.text) // 3
    return Piece(window.text[:at], window.text[at:])


async def passed(request: Request, window: Window) -> None:
    """Says nothing."""


def screen(function: Any, **fields: Any) -> Hook:
    return hook(Point.SCREEN, function, **fields)


def screening(*hooks: Hook) -> Screening:
    return Screening(hooked(request(), *hooks), Chain(hooks).screens)


async def told(made: Screening, *events: ir.Event) -> list[ir.Event]:
    out: list[ir.Event] = []
    await made.take(events, out)
    return out


def text(events: Iterable[ir.Event]) -> str:
    return "".join(one.text for one in events if isinstance(one, ir.TextDelta))


@given(
    st.lists(st.text(alphabet="abc", max_size=6), max_size=10),
    st.lists(st.sampled_from([held, odd, passed]), min_size=1, max_size=3),
    st.integers(0, 8),
    st.lists(st.booleans(), max_size=10),
)
def test_nothing_is_lost_and_no_more_is_held_than_may_be(
    pieces: list[str], functions: list[Any], characters: int, late: list[bool]
) -> None:
    async def run() -> None:
        made = screening(*(screen(one, characters=characters, seconds=0.0) for one in functions))
        out = await told(made, START)
        came = 0
        for index, piece in enumerate(pieces):
            out += await told(made, ir.TextDelta(0, piece))
            came += len(piece)
            if index < len(late) and late[index]:
                while made.due < inf:
                    await made.late(inf, out)
                assert len(text(out)) == came
            assert came - len(text(out)) <= characters * len(functions)
        out += await told(made, END)
        assert text(out) == "".join(pieces)
        assert made.due == inf

    asyncio.run(run())


async def test_a_window_is_what_was_held_and_what_came() -> None:
    windows = []

    async def see(request: Request, window: Window) -> Piece:
        windows.append(window)
        return Piece(window.text[:-1].upper(), window.text[-1:])

    made = screening(screen(see, characters=3))
    out = await told(made, START, ir.TextDelta(0, "abc"))
    out += await told(made, ir.TextDelta(0, "de"), END)

    assert text(out) == "ABCDe"
    assert windows == [
        Window("abc"),
        Window("cde", "AB"),
        Window("e", "BCD", final=True),
    ]


async def test_blocks_do_not_mix_and_keep_their_kinds() -> None:
    kinds = []

    async def see(request: Request, window: Window) -> Piece:
        kinds.append((window.kind, window.text, window.final))
        return Piece("", window.text)

    made = screening(screen(see))
    out = await told(
        made,
        ir.BlockStart(0, ir.Reasoning(text="a")),
        ir.BlockStart(1, ir.ToolCall(id="c", name="f", arguments="{")),
        ir.ReasoningDelta(0, "b"),
        ir.ArgumentsDelta(1, "}"),
        ir.BlockEnd(0),
        ir.BlockEnd(1),
    )

    assert kinds == [
        ("reasoning", "a", False),
        ("arguments", "{", False),
        ("reasoning", "ab", False),
        ("arguments", "{}", False),
        ("reasoning", "ab", True),
        ("arguments", "{}", True),
    ]
    assert out == [
        ir.BlockStart(0, ir.Reasoning()),
        ir.BlockStart(1, ir.ToolCall(id="c", name="f")),
        ir.ReasoningDelta(0, "ab"),
        ir.BlockEnd(0),
        ir.ArgumentsDelta(1, "{}"),
        ir.BlockEnd(1),
    ]


async def test_what_comes_before_a_refusal_is_told() -> None:
    async def refuse(request: Request, window: Window) -> None:
        if "x" in window.text:
            raise Refuse("no")

    out: list[ir.Event] = []
    events: list[ir.Event] = [START, ir.TextDelta(0, "a"), ir.Ping(), ir.TextDelta(0, "x"), END]

    with pytest.raises(ProxyError):
        await screening(screen(refuse)).take(events, out)

    assert out == [START, ir.TextDelta(0, "a"), ir.Ping()]


async def test_probabilities_would_tell() -> None:
    block = ir.Text("hi", logprobs=[{"token": "hi"}])

    out = await told(screening(screen(passed)), ir.BlockStart(0, block), ir.LogprobsDelta(0, []))

    assert out == [START, ir.TextDelta(0, "hi")]
    assert block.text == "hi"


async def test_what_has_no_words_passes() -> None:
    events: list[ir.Event] = [
        ir.ResponseStart(id="a"),
        ir.BlockStart(0, ir.Opaque("openai", "x", {})),
        ir.TextDelta(7, "of no block"),
        ir.LogprobsDelta(7, []),
        ir.BlockEnd(0),
        ir.ChoiceEnd("stop"),
        ir.ResponseEnd(),
    ]

    assert await told(screening(screen(held)), *events) == events


async def test_a_screen_that_fails_lets_all_go_where_that_is_wanted() -> None:
    async def fails(request: Request, window: Window) -> Piece:
        if len(window.text) > 2:
            raise ValueError
        return Piece("", window.text)

    made = screening(screen(fails, open=True))
    out = await told(made, START, ir.TextDelta(0, "ab"))
    assert text(out) == ""

    assert (
        text(await told(made, ir.TextDelta(0, "c"), ir.Ping(), ir.TextDelta(0, "d"), END)) == "abcd"
    )


@pytest.mark.parametrize("said", [Piece("\ud83d"), Piece("", "a\ude00")])
async def test_half_a_character_is_no_piece(said: Piece) -> None:
    async def halves(request: Request, window: Window) -> Piece:
        return said

    words: list[ir.Event] = [START, ir.TextDelta(0, "abc"), END]

    assert text(await told(screening(screen(halves, open=True)), *words)) == "abc"
    with pytest.raises(ProxyError) as raised:
        await told(screening(screen(halves)), *words)
    assert raised.value.ref == "hook_failed"


def test_pieces_of_one_text_that_follow_each_other_are_one() -> None:
    events: list[ir.Event] = [
        ir.TextDelta(0, "a"),
        ir.TextDelta(0, "b"),
        ir.TextDelta(1, "c"),
        ir.ReasoningDelta(1, "d"),
        ir.Ping(),
        ir.ReasoningDelta(1, "e"),
    ]

    assert joined(events) == [
        ir.TextDelta(0, "ab"),
        ir.TextDelta(1, "c"),
        ir.ReasoningDelta(1, "d"),
        ir.Ping(),
        ir.ReasoningDelta(1, "e"),
    ]
