"""What a client has of an answer: the same, whether it passed or was translated; and whether it can go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from proxy.dialects import DIALECTS, ir
from proxy.dialects.loss import Loss
from proxy.gateway.continuation import sent as module
from proxy.gateway.continuation.sent import MOST_HOPS, Sent, is_plain
from proxy.gateway.endpoints import match
from proxy.gateway.exchange import Exchange
from proxy.gateway.translation import asked, codec_of
from proxy.wire.sse import events
from tests.gateway.rig import PATHS
from tests.line.streams import STREAMS, TEXT

BODIES: dict[str, dict[str, Any]] = {
    "chat": {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]},
    "messages": {
        "model": "m",
        "max_tokens": 9,
        "stream": True,
        "messages": [{"role": "user", "content": "hi"}],
    },
    "responses": {"model": "m", "stream": True, "input": "hi", "store": False},
    "gemini": {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
}
SAID = [orjson.loads(f'"{text}"') for text in TEXT]


def exchange(name: str, **fields: Any) -> Exchange:
    found = match("POST", PATHS[name])
    assert found is not None
    made = object.__new__(Exchange)
    made.endpoint, made.query, made.stream = found[0], "alt=sse", True
    made.body = orjson.dumps({**BODIES[name], **fields})
    made.asked, made.params = None, {}
    return made


def noted(name: str, raw: bytes, **fields: Any) -> Sent:
    """After a stream that passed as it came."""
    sent = Sent(exchange(name, **fields))
    for event in events(raw):
        assert event.data is not None
        sent.note(event.name, event.data)
    return sent


@pytest.mark.parametrize("name", ["chat", "messages", "gemini"])
@pytest.mark.parametrize("many", [0, 1, 256], ids=["each", "two", "all at the end"])
def test_what_passed_is_known(name: str, many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MANY", many)
    stream = STREAMS[name]
    sent = noted(name, b"".join((*stream.opening, *stream.content[:4])))

    assert sent.fits()
    assert sent.text == "".join(SAID[:4])
    assert (sent.open, sent.next, sent.started) == (0, 1, True)
    assert sent.encoder is not None
    # Whoever goes on says only what is new.
    more = sent.encoder.encode(ir.TextDelta(0, "more"))
    assert b"more" in more
    assert b"role" not in more or name == "gemini"
    assert b"_start" not in more


def test_a_block_that_has_begun_does_not_begin_again() -> None:
    sent = noted("messages", b"".join(STREAMS["messages"].opening))
    assert sent.fits()
    assert sent.encoder is not None
    assert b"content_block_start" not in sent.encoder.encode(ir.TextDelta(0, "a"))


def test_an_answer_with_events_left_out_is_not_continued() -> None:
    stream = STREAMS["responses"]  # written without the beginning of its part
    assert not noted("responses", b"".join((*stream.opening, *stream.content))).fits()


def chat(delta: dict[str, Any], **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": None, **more}
    return b"data: %b\n\n" % orjson.dumps({"id": "c", "choices": [choice]})


CALL = {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}]}
HALF_CALL = {"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}
NOT_PLAIN = {
    "a call": [chat({"content": "a"}), chat(CALL)],
    "a call without its name": [chat({"content": "a"}), chat(HALF_CALL)],
    "a refusal": [chat({"refusal": "no"})],
    "thoughts": [chat({"reasoning_content": "hm"})],
    "probabilities": [chat({"content": "a"}, logprobs={"content": [{"token": "a", "logprob": 0}]})],
    "another choice": [chat({"content": "a"}), chat({"content": "b"}, index=1)],
    "sound": [chat({"audio": {"id": "x", "data": "AAAA"}})],
    "its end": [chat({"content": "a"}), chat({}, finish_reason="stop"), b"data: [DONE]\n\n"],
}


@pytest.mark.parametrize("stream", NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_what_is_no_plain_text_does_not_fit(stream: list[bytes]) -> None:
    assert not noted("chat", b"".join(stream)).fits()


def test_thoughts_before_a_text_do_not_matter() -> None:
    sent = noted("chat", chat({"reasoning_content": "hm"}) + chat({"content": "a"}))
    assert sent.fits()
    assert (sent.text, sent.thought) == ("a", True)


REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "choices": ("chat", {"n": 2}),
    "json": ("chat", {"response_format": {"type": "json_object"}}),
    "probabilities": ("chat", {"logprobs": True}),
    "sound": ("chat", {"modalities": ["text", "audio"]}),
    "a schema": ("gemini", {"generationConfig": {"responseMimeType": "application/json"}}),
    "a server's tool": ("messages", {"tools": [{"type": "web_search_20250305", "name": "w"}]}),
    "kept": ("responses", {"store": True}),
    "usually kept": ("responses", {"store": None}),
    "goes on with another": ("responses", {"previous_response_id": "resp_1"}),
    "in the background": ("responses", {"background": True}),
}


@pytest.mark.parametrize(("name", "fields"), REQUESTS.values(), ids=REQUESTS)
def test_a_request_for_more_than_a_text_does_not_fit(name: str, fields: dict[str, Any]) -> None:
    assert is_plain(asked(exchange(name)))
    assert not is_plain(asked(exchange(name, **fields)))


def test_a_request_that_cannot_be_read_does_not_fit() -> None:
    assert not noted("chat", chat({"content": "a"}), n="two").fits()


def test_it_goes_on_twice() -> None:
    sent = noted("chat", chat({"content": "a"}))
    sent.hops = MOST_HOPS
    assert not sent.fits()


def test_what_was_not_understood_spoils_it() -> None:
    sent = noted("chat", chat({"content": "a"}))
    sent.spoil()
    assert not sent.fits()


def translated(name: str) -> tuple[Sent, Callable[[ir.Event], None]]:
    made = exchange(name)
    request = asked(made)
    encode = codec_of(DIALECTS[made.endpoint.dialect]).encoder
    assert encode is not None
    sent = Sent(made, encode(request, Loss()))
    return sent, lambda event: sent.add([event])


def test_what_was_translated_is_told_as_it_is() -> None:
    sent, tell = translated("messages")
    tell(ir.ResponseStart("x", usage=ir.Usage(input=7)))
    tell(ir.BlockStart(0, ir.Text("a")))
    tell(ir.TextDelta(0, "b"))
    tell(ir.Ping())
    assert sent.fits()
    assert (sent.text, sent.open, sent.usage) == ("ab", 0, ir.Usage(input=7))
    tell(ir.BlockEnd(0))
    assert (sent.fits(), sent.open) == (True, -1)
    tell(ir.BlockStart(1, ir.Text("c")))
    assert not sent.fits()
