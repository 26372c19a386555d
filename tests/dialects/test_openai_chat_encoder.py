"""Answers of any dialect as chat clients are given them: validated and added up by the official library."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from proxy.core.clock import held
from proxy.dialects import identity, ir
from proxy.dialects.fold import unfold
from proxy.dialects.loss import Loss
from proxy.dialects.openai_chat import DIALECT
from proxy.dialects.openai_chat.completion import render_response
from proxy.dialects.openai_chat.messages import parse
from tests.dialects.choices import accumulated, chunks, completion, told, validated

CODEC = DIALECT.codec
assert CODEC is not None
USAGE = ir.Usage(input=10, cache_read=64, cache_write=6, output=40, reasoning=24)


def response(*blocks: ir.Block, finish: ir.Finish = "stop", **fields: Any) -> ir.Response:
    fields = {"id": "msg_1", "model": "claude", "created": 1_700_000_000, "usage": USAGE, **fields}
    fields.setdefault("origin", "anthropic.messages")
    return ir.Response(choices=[ir.Choice(list(blocks), finish)], **fields)


def whole(found: ir.Response, **request: Any) -> tuple[dict[str, Any], Loss]:
    loss = Loss()
    return completion(render_response(found, ir.Request(**request), loss)), loss


def streamed(found: ir.Response, **request: Any) -> tuple[dict[str, Any], bytes, Loss]:
    """The message as the library adds it up, its bytes, and what was lost."""
    assert CODEC is not None
    stream, loss = told(CODEC, unfold(found), **request)
    validated(stream)
    return accumulated(stream)[0], stream, loss


EVERYTHING: list[ir.Block] = [
    ir.Reasoning("Hm, well.", "c2ln", "anthropic"),
    ir.Reasoning("", "ZW5j", "anthropic", redacted=True),
    ir.Text("Hello ", citations=[ir.Citation(url="https://example.com/a", title="A", start=0, end=5)]),
    ir.Text("there", citations=[ir.Citation(url="https://example.com/b")]),
    ir.ToolCall("toolu_1", "f", '{"a":1}'),
    ir.ToolCall("toolu_2", "g", ""),
]  # fmt: skip


def test_a_whole_answer_says_everything() -> None:
    body, loss = whole(response(*EVERYTHING, finish="tool_calls"))

    assert body["id"] == "chatcmpl-1"
    assert body["object"] == "chat.completion"
    assert body["usage"]["prompt_tokens"] == 80
    assert body["usage"]["prompt_tokens_details"]["cached_tokens"] == 64
    assert body["usage"]["completion_tokens_details"]["reasoning_tokens"] == 24
    choice = body["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    message = choice["message"]
    assert message["content"] == "Hello there"
    assert message["refusal"] is None
    assert message["reasoning_content"] == "Hm, well."
    assert message["tool_calls"] == [
        {"id": "toolu_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
        {"id": "toolu_2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]
    places = [
        (note["url_citation"]["start_index"], note["url_citation"]["end_index"])
        for note in message["annotations"]
    ]
    assert places == [(0, 5), (6, 11)]
    assert not loss


def test_a_stream_adds_up_to_the_whole_answer() -> None:
    found = response(*EVERYTHING, finish="tool_calls")

    message, stream, loss = streamed(found, include_usage=True)

    body, _ = whole(found)
    expected = body["choices"][0]["message"]
    for number, call in enumerate(expected["tool_calls"]):
        call["index"] = number
    assert message == expected
    last = chunks(stream)[-1]
    assert last["choices"] == []
    assert last["usage"] == body["usage"]
    assert not loss


def test_what_a_client_echoes_is_what_the_model_said() -> None:
    found = response(*EVERYTHING, finish="tool_calls")

    message, _, _ = streamed(found)

    again = parse([message])[0].content
    assert [block for block in again if isinstance(block, ir.Reasoning)] == EVERYTHING[:2]
    assert [block.id for block in again if isinstance(block, ir.ToolCall)] == ["toolu_1", "toolu_2"]


@pytest.mark.parametrize(
    "block",
    [
        ir.Reasoning("Hm", "c2ln", "anthropic"),
        ir.Reasoning("", "c2ln", "anthropic"),
        ir.Reasoning("", "ZW5j", "anthropic", redacted=True),
        ir.Reasoning("Sum", "Z0FB", "openai", id="rs_1"),
        ir.Reasoning("", "Z0FB", "openai", id="rs_1", redacted=True),
        ir.Reasoning("Hm", "c2ln", "gemini"),
        ir.Reasoning("Hm", "c2ln", "bedrock"),
        ir.Reasoning("Hm"),
        ir.ToolCall("call_1", "f", "{}", signature="c2ln", origin="gemini"),
        ir.ToolCall("call_1", "f", "{}", signature="c2ln", origin="anthropic"),
        ir.Text("Hi", signature="c2ln", origin="gemini"),
        ir.Refusal("No."),
        ir.Text("Hi"),
    ],
)
def test_state_survives_a_journey_through_a_client(block: ir.Block) -> None:
    origin = "openai.responses" if getattr(block, "origin", "") == "openai" else "x"
    found = response(deepcopy(block), origin=origin)
    body, _ = whole(found)
    message, _, _ = streamed(found)

    assert parse([body["choices"][0]["message"]])[0].content == [block]
    assert parse([message])[0].content == [block]


def test_the_first_chunk_says_who_speaks_and_all_have_one_head() -> None:
    _, stream, _ = streamed(response(ir.Text("Hi")))

    found = chunks(stream)
    assert found[0]["choices"][0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert {
        (chunk["id"], chunk["created"], chunk["model"], chunk["object"]) for chunk in found
    } == {("chatcmpl-1", 1_700_000_000, "claude", "chat.completion.chunk")}
    assert found[-1]["choices"][0]["finish_reason"] == "stop"
    assert stream.endswith(b"data: [DONE]\n\n")


def test_usage_is_sent_only_when_it_was_asked_for() -> None:
    _, stream, _ = streamed(response(ir.Text("Hi")))

    assert all("usage" not in chunk for chunk in chunks(stream))


def test_a_name_and_a_time_are_made_up_where_there_are_none() -> None:
    with held(1_800_000_000.0):
        body, _ = whole(response(ir.Text("Hi"), id="", created=0, usage=None))

    assert body["id"].startswith("chatcmpl-")
    assert body["created"] == 1_800_000_000
    assert "usage" not in body


@pytest.mark.parametrize(
    ("finish", "word"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("context", "length"),
        ("content_filter", "content_filter"),
        ("refusal", "content_filter"),
        ("pause", "stop"),
        ("error", "stop"),
        ("tool_calls", "stop"),
    ],
)
def test_a_finish_is_a_word_the_client_knows(finish: ir.Finish, word: str) -> None:
    found = response(ir.Text("Hi"), finish=finish)

    body, _ = whole(found)
    _, stream, _ = streamed(found)

    assert body["choices"][0]["finish_reason"] == word
    assert chunks(stream)[-1]["choices"][0]["finish_reason"] == word


def test_functions_are_answered_as_functions() -> None:
    found = response(ir.ToolCall("call_1", "f", '{"a":1}'), finish="tool_calls")

    body, _ = whole(found, functions=True)
    message, stream, _ = streamed(found, functions=True)

    expected = {"name": "f", "arguments": '{"a":1}'}
    assert body["choices"][0]["message"]["function_call"] == expected
    assert body["choices"][0]["finish_reason"] == "function_call"
    assert message["function_call"] == expected
    assert chunks(stream)[-1]["choices"][0]["finish_reason"] == "function_call"


def test_a_second_function_has_no_place() -> None:
    two = [ir.ToolCall("call_1", "f", "{}"), ir.ToolCall("call_2", "g", "{}")]

    _, loss = whole(response(*two), functions=True)
    message, _, streamed_loss = streamed(response(*two), functions=True)

    assert message["function_call"]["name"] == "f"
    assert list(loss.names) == list(streamed_loss.names) == ["tool_call"]


def test_images_and_sound_are_shown() -> None:
    image = ir.Media("image", mime="image/png", data="aGk=")
    sound = ir.Media("audio", mime="audio/wav", data="UklG", transcript="Hello")
    found = response(ir.Text("See"), image, image, sound)

    body, _ = whole(found)
    message, _, loss = streamed(found)

    expected = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    for said in (body["choices"][0]["message"], message):
        assert said["images"] == [{"index": 0, **expected}, {"index": 1, **expected}]
        assert (said["audio"]["data"], said["audio"]["transcript"]) == ("UklG", "Hello")
    assert not loss


def test_a_picture_in_pieces_that_were_encoded_by_themselves_is_one() -> None:
    found: list[ir.Event] = [
        ir.ResponseStart("r", "m", 5),
        ir.BlockStart(0, ir.Media("image", mime="image/png", data="YWJjZA==")),
        ir.DataDelta(0, "ZWZnaA=="),
        ir.BlockEnd(0),
        ir.ChoiceEnd("stop"),
        ir.ResponseEnd(),
    ]
    assert CODEC is not None
    stream, _ = told(CODEC, found)

    (image,) = accumulated(stream)[0]["images"]
    assert image["image_url"]["url"] == "data:image/png;base64,YWJjZGVmZ2g="


def test_what_has_no_place_is_counted() -> None:
    found = response(
        ir.Opaque("anthropic", "server_tool_use"),
        ir.Media("document", mime="application/pdf", data="aGk="),
        ir.Text("Hi", citations=[ir.Citation(text="from a file", file_id="f")]),
    )

    _, loss = whole(found)
    _, _, streamed_loss = streamed(found)

    lost = {"opaque", "document.data", "citations"}
    assert set(loss.names) == set(streamed_loss.names) == lost


def test_probabilities_are_with_their_choice() -> None:
    token = {"token": "Hi", "logprob": -0.5, "bytes": None, "top_logprobs": []}
    found = response(ir.Text("Hi", logprobs=[token]))

    body, _ = whole(found)
    _, stream, _ = streamed(found)

    expected = {"content": [token], "refusal": None}
    assert body["choices"][0]["logprobs"] == expected
    said = [choice["logprobs"] for chunk in chunks(stream) for choice in chunk["choices"]]
    assert expected in said


def test_several_choices_are_told_each_with_its_own_role() -> None:
    found = response(ir.Text("One"))
    found.choices.append(ir.Choice([ir.Text("Two")], "length"))
    assert CODEC is not None

    body, _ = whole(found)
    stream, _ = told(CODEC, unfold(found))

    validated(stream)
    assert [choice["message"]["content"] for choice in body["choices"]] == ["One", "Two"]
    assert [message["content"] for message in accumulated(stream).values()] == ["One", "Two"]
    assert [message["role"] for message in accumulated(stream).values()] == ["assistant"] * 2


def test_overlapping_calls_are_told_as_they_come() -> None:
    assert CODEC is not None
    events: list[ir.Event] = [
        ir.ResponseStart("r", "m", 1),
        ir.BlockStart(0, ir.ToolCall("call_1", "f")),
        ir.BlockStart(1, ir.ToolCall("call_2", "g")),
        ir.ArgumentsDelta(1, '{"b":'),
        ir.ArgumentsDelta(0, '{"a":1}'),
        ir.ArgumentsDelta(1, "2}"),
        ir.SignatureDelta(1, "c2ln", "gemini"),
        ir.BlockEnd(0),
        ir.BlockEnd(1),
        ir.ChoiceEnd("tool_calls"),
        ir.ResponseEnd(),
    ]

    stream, _ = told(CODEC, events)

    validated(stream)
    first, second = accumulated(stream)[0]["tool_calls"]
    assert first["function"]["arguments"] == '{"a":1}'
    assert second["function"]["arguments"] == '{"b":2}'
    assert second["extra_content"] == {"google": {"thought_signature": "c2ln"}}


def test_a_custom_call_is_told_as_one() -> None:
    assert CODEC is not None
    call = ir.ToolCall("call_1", "sql", "select 1", custom=True)

    body, _ = whole(response(call))
    stream, _ = told(CODEC, unfold(response(call)))

    assert body["choices"][0]["message"]["tool_calls"][0]["custom"]["input"] == "select 1"
    assert accumulated(stream)[0]["tool_calls"][0]["custom"] == {"name": "sql", "input": "select 1"}


def test_an_error_ends_a_stream_and_a_ping_is_a_comment() -> None:
    assert CODEC is not None
    events: list[ir.Event] = [
        ir.ResponseStart("r", "m", 1),
        ir.Ping(),
        ir.StreamError(529, "Busy", "overloaded"),
    ]

    stream, _ = told(CODEC, events)

    assert b": ping\n\n" in stream
    assert chunks(stream)[-1]["error"]["message"] == "Busy"
    assert chunks(stream)[-1]["error"]["code"] == "overloaded"
    assert b"[DONE]" not in stream


def test_an_id_no_client_would_take_is_another() -> None:
    call = ir.ToolCall("call with spaces", "f", "{}")

    body, _ = whole(response(call))

    id = body["choices"][0]["message"]["tool_calls"][0]["id"]
    assert id == identity.tool_id("call with spaces")


def test_events_are_not_changed() -> None:
    assert CODEC is not None
    events = list(unfold(response(*deepcopy(EVERYTHING))))
    before = deepcopy(events)

    told(CODEC, events)

    assert events == before
