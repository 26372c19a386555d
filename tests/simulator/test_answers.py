"""Answers as steps."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from proxy.simulator.answers import Ask, Block, Stream, Whole, decoded, wrapped
from proxy.simulator.grammar import Steer


def block(count: int, width: int = 1) -> Block:
    """Tokens `<0>`, `<1>` and so on."""
    return Block(b"(", count, lambda index: b"%d" % index, wrapped(b"<", b">"), b")", width)


def stream(*blocks: Block) -> Stream:
    return Stream(
        list(blocks), opening=b"[", finish=b"f", usage=b"u", end=b"]", error=lambda _: b"!"
    )


def test_a_stream_is_played_in_order_with_its_pauses() -> None:
    answer = stream(block(2), block(1))

    steps = list(answer.steps(Steer(first=1.0, gap=0.5)))

    assert steps == [b"[", b"(", 1.0, b"<0>", 0.5, b"<1>", b")", b"(", 0.5, b"<0>", b")", b"fu]"]


def test_the_count_of_tokens_is_right_with_every_step() -> None:
    answer = stream(block(2, width=3))

    counts = [answer.sent for step in answer.steps(Steer()) if step not in (b"[", b"(", b")")]

    assert counts == [3, 6, 7]
    assert answer.tokens == 6


def test_one_more_event_can_have_any_text() -> None:
    assert stream(block(2)).event(b"odd") == b"<odd>"


def test_a_whole_answer_comes_in_two_halves() -> None:
    answer = Whole(b"abcdef", 4)

    assert list(answer.steps(Steer(first=0.5))) == [0.5, b"abc", b"def"]
    assert answer.sent == 5


def test_only_known_fields_of_a_request_are_read() -> None:
    ask = msgspec.json.decode(
        b'{"model":"m","messages":[1],"tools":[{"a":1}],"generationConfig":{}}', type=Ask
    )

    assert (ask.model, decoded(ask.tools), decoded(ask.generation_config)) == ("m", [{"a": 1}], {})
    assert decoded(Raw()) is None
