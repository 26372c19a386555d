"""What an answer says of itself is found in every dialect, and whoever looks on besides sees it too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from proxy.gateway.capture import Capture
from proxy.gateway.sight import LARGEST, Sight
from tests.gateway.rig import Rig

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
CHAT = (
    b'data: {"id":"c-1","model":"gpt-x","choices":[{"index":0,"delta":{"content":"hel"}}]}\n\n',
    b'data: {"id":"c-1","model":"gpt-x","choices":[{"index":0,"delta":{"content":"lo"}}]}\n\n',
    b"data: [DONE]\n\n",
)
MESSAGES = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m-1","model":"cl-x","usage":{}}}\n\n',
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n',
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hello"}}\n\n',
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
)
RESPONSES = (
    b'event: response.created\ndata: {"type":"response.created","response":{"id":"r-1","model":"gpt-x"}}\n\n',
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"hello"}\n\n',
)
GEMINI = (
    b'data: {"candidates":[{"content":{"parts":[{"text":"hello"}]}}],"modelVersion":"ge-x","responseId":"g-1"}\n\n',
)

New = Callable[[str], tuple[Rig, Sight]]


@pytest.fixture
def new() -> Iterator[New]:
    loop = asyncio.new_event_loop()
    rigs: list[Rig] = []

    def make(name: str, **settings: Any) -> tuple[Rig, Sight]:
        rig = Rig(loop, name, **settings)
        rigs.append(rig)
        sight = rig.exchange.witness = Sight(rig.exchange, None, 100)
        return rig, sight

    yield make
    for rig in rigs:
        rig.close()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


@pytest.mark.parametrize(
    ("name", "events", "id", "model"),
    [
        ("chat", CHAT, "c-1", "gpt-x"),
        ("messages", MESSAGES, "m-1", "cl-x"),
        ("responses", RESPONSES, "r-1", "gpt-x"),
        ("gemini", GEMINI, "g-1", "ge-x"),
    ],
)
def test_the_first_event_says_who_answers(
    new: New, name: str, events: tuple[bytes, ...], id: str, model: str
) -> None:
    rig, sight = new(name)

    rig.feed(HEAD, *events)

    assert (sight.id, sight.model, sight.text) == (id, model, "hello")
    # From then on nobody looks at events any more.
    assert rig.body == b"".join(events)


@pytest.mark.parametrize(
    ("body", "id", "model"),
    [
        (b'{"id":"a","model":"m","choices":[]}', "a", "m"),
        (b'{"candidates":[],"responseId":"a","modelVersion":"m"}', "a", "m"),
        (b'{"id":7,"model":"m"}', "", ""),
        (b"[]", "", ""),
        (b"no JSON", "", ""),
        (b'{"id":"a","model":"m","x":"%b"}' % (b"x" * LARGEST), "", ""),
    ],
)
def test_a_whole_answer_says_who_gave_it(new: New, body: bytes, id: str, model: str) -> None:
    _, sight = new("chat")

    sight.whole(body)

    assert (sight.id, sight.model) == (id, model)


def test_a_stream_that_says_nothing_of_itself_is_not_looked_at_for_ever(new: New) -> None:
    rig, sight = new("chat")
    event = b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'

    rig.feed(HEAD, *[event] * 20)

    assert (sight.id, sight.model, sight.text) == ("", "", "x" * 20)
    assert sight._looks == 0


def test_who_keeps_answers_keeps_them_as_before(new: New) -> None:
    rig, _ = new("chat")
    kept = Capture(rig.exchange, 100)
    rig.exchange.witness = sight = Sight(rig.exchange, kept, 0)

    rig.feed(HEAD, *CHAT)
    sight.said(" and more")

    assert kept.text() == "hello and more"
    assert sight.text == ""
