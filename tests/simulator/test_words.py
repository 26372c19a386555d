"""The text of answers."""

from __future__ import annotations

import orjson
import pytest

from proxy.simulator.grammar import Steer
from proxy.simulator.words import (
    WORDS,
    Text,
    arguments,
    cut,
    fitting,
    quoted,
    source,
    stamp,
    whole,
    whole_arguments,
)

STEERS = [Steer(), Steer(pad=3), Steer(tokens=1), Steer(tokens=100, pad=1)]


def test_some_words_are_long_in_bytes_and_one_needs_escaping() -> None:
    assert any(len(word.encode()) > len(word) for word in WORDS[:8])
    assert any(len(orjson.dumps(word)) > len(word.encode()) + 2 for word in WORDS)


@pytest.mark.parametrize("steer", STEERS)
def test_tokens_add_up_to_the_whole_text(steer: Steer) -> None:
    token = source(steer)

    joined = b"".join([token(index) for index in range(steer.tokens)])

    assert orjson.loads(b'"' + joined + b'"') == whole(steer, steer.tokens)


@pytest.mark.parametrize("steer", [*STEERS, Steer(tokens=0)])
def test_fragments_add_up_to_the_arguments(steer: Steer) -> None:
    count, fragment = arguments(steer)

    joined = orjson.loads(b'"' + b"".join([fragment(index) for index in range(count)]) + b'"')

    if steer.tokens:
        assert joined == whole_arguments(steer)
    assert orjson.loads(joined) == orjson.loads(whole_arguments(steer))


def test_a_stamped_token_is_the_clock_and_padding() -> None:
    token = source(Steer(stamp=True, pad=4))

    before, text, after = stamp(), token(0), stamp()

    assert before <= text[:20] <= after
    assert text[20:] == b"xxxx"


@pytest.mark.parametrize(
    "text",
    [
        cut('He said "no" to 水車.'),
        cut(""),
        fitting(Steer(tokens=9), {"type": "object"}),
        fitting(Steer(), {"type": "object"}, 'quo"te'),
        fitting(Steer(), {"type": "integer"}),
        fitting(Steer(), None),
    ],
)
def test_pieces_add_up_to_the_text(text: Text) -> None:
    token = text.source(Steer())

    joined = b"".join([token(index) for index in range(text.count)])

    assert orjson.loads(b'"' + joined + b'"') == text.whole(Steer())


def test_results_are_quoted_and_long_ones_shortened() -> None:
    assert quoted(["rain", "x" * 100]) == f"The tools said: rain | {'x' * 80}…."
