from __future__ import annotations

import random
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.model import Conversation
from proxy.dialects import ir
from proxy.dialects.conversation.answer import Reader
from proxy.dialects.conversation.stream import StreamDecoder
from proxy.dialects.fold import Fold
from proxy.wire import sse
from tests.dialects.services import PLAIN, said, service

REQUEST = said(("user", "Hi"))
STREAM = (
    b": hello\n\n"
    b'data: {"type": "start"}\n\n'
    b'data: {"delta": "Hel"}\n\nevent: x\r\ndata: {"delta": "lo \\u4f60"}\r\n\r\n'
    b'data: {"delta": "\xf0\x9f\x98\x80."}\n\n'
    b'data: {"type": "end"}\n\ndata: {"delta": "behind"}\n\n'
)


def decoder(settings: Conversation = PLAIN) -> StreamDecoder:
    return StreamDecoder(Reader(settings), REQUEST)


def told(settings: Conversation, *events: Any) -> tuple[list[ir.Event], Fold]:
    """What events say, and that folded."""
    one = decoder(settings)
    found: list[ir.Event] = []
    for event in events:
        found += one.feed(b"", event if isinstance(event, bytes) else orjson.dumps(event))
    found += one.end()
    fold = Fold()
    fold.add(found)
    return found, fold


def text(fold: Fold) -> str:
    return "".join(
        block.text
        for choice in fold.response.choices
        for block in choice.blocks
        if isinstance(block, ir.Text)
    )


def test_a_stream_is_told_by_the_grammar() -> None:
    found, _ = told(PLAIN, {"type": "start"}, {"delta": "He"}, {"delta": "llo"}, {"type": "end"})

    assert found == [
        ir.ResponseStart(model="m", origin="conversation.chat"),
        ir.BlockStart(0, ir.Text()),
        ir.TextDelta(0, "He"),
        ir.TextDelta(0, "llo"),
        ir.BlockEnd(0),
        ir.ChoiceEnd("stop"),
        ir.ResponseEnd(),
    ]


def test_the_last_event_may_hold_text() -> None:
    found, fold = told(PLAIN, {"delta": "He"}, {"type": "end", "delta": "llo"}, {"delta": "more"})

    assert (text(fold), fold.ended) == ("Hello", True)
    assert isinstance(found[-1], ir.ResponseEnd)


def test_done_always_ends_a_stream() -> None:
    assert told(PLAIN, {"delta": "Hi"}, b"[DONE]")[1].ended
    assert told(service(done=None), {"delta": "Hi"}, b" [DONE] ")[1].ended


def test_a_stream_that_breaks_off_has_no_end() -> None:
    found, fold = told(PLAIN, {"delta": "Hi"})

    assert not fold.ended
    assert not any(isinstance(event, ir.BlockEnd) for event in found)


def test_the_end_of_the_body_is_an_end_where_there_is_no_other() -> None:
    settings = service(done=None, done_at_end=True)

    assert told(settings, {"delta": "Hi"})[1].ended
    assert told(settings)[0] == []
    assert [type(event) for event in told(settings, {"delta": "Hi"}, b"[DONE]")[0]].count(
        ir.ResponseEnd
    ) == 1


def test_events_that_repeat_the_whole_text_give_what_is_new() -> None:
    found, fold = told(
        service(delta=False), {"delta": "He"}, {"delta": "He"}, {"delta": "Hello"}, {"type": "end"}
    )

    assert [event.text for event in found if isinstance(event, ir.TextDelta)] == ["He", "llo"]
    assert text(fold) == "Hello"


def test_a_text_that_was_changed_is_told_from_where_it_is_longer() -> None:
    _, fold = told(service(delta=False), {"delta": "Helo"}, {"delta": "He"}, {"delta": "Hello!"})

    assert text(fold) == "Heloo!"


def test_an_answer_without_a_word_is_complete() -> None:
    found, fold = told(PLAIN, {"type": "end"})

    assert fold.ended
    assert [type(event) for event in found] == [ir.ResponseStart, ir.ChoiceEnd, ir.ResponseEnd]


def test_an_error_ends_a_stream() -> None:
    found, fold = told(
        PLAIN, {"delta": "Hi"}, {"error": {"message": "Over", "code": 503}}, {"type": "end"}
    )

    assert found[-1] == ir.StreamError(503, "Over", "upstream_error")
    assert fold.error is not None


@pytest.mark.parametrize("data", [b"", b"ping", b"[]", b"null", b'{"delta": {}}', b'{"delta": "'])
def test_what_says_nothing_is_passed_over(data: bytes) -> None:
    assert decoder().feed(b"", data) == []


def read(*cuts: bytes) -> list[ir.Event]:
    """What a stream in these reads says."""
    one, held = decoder(), b""
    found: list[ir.Event] = []
    for cut in cuts:
        held += cut
        end = sse.last_boundary(held)
        for event in sse.events(held[:end]) if end else []:
            if event.data is not None:
                found += one.feed(event.name, event.data)
        held = held[end:]
    return found + one.end()


@given(st.randoms(use_true_random=False))
def test_where_a_stream_is_cut_means_nothing(rng: random.Random) -> None:
    places = sorted(rng.sample(range(1, len(STREAM)), rng.randrange(1, 12)))
    cuts = [STREAM[a:b] for a, b in zip([0, *places], [*places, len(STREAM)], strict=True)]

    whole = read(STREAM)

    assert read(*cuts) == whole
    assert read(*(STREAM[at : at + 1] for at in range(len(STREAM)))) == whole
    fold = Fold()
    fold.add(whole)
    assert text(fold) == "Hello \u4f60\U0001f600."


@given(st.lists(st.binary(max_size=40)), st.booleans())
def test_any_bytes_are_read_without_a_word(events: list[bytes], delta: bool) -> None:
    told(service(delta=delta), *events)
