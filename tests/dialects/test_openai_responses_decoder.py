"""A provider's stream, read, whatever it leaves out."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.dialects import ir
from proxy.dialects.openai_responses.said import SAID
from tests.dialects.answers import CODEC, asked, blocks, decoded, sse, whole
from tests.dialects.choices import fed, fixture, folded, keeps_the_grammar

NOTE = {"type": "url_citation", "start_index": 0, "end_index": 2, "url": "https://x", "title": "X"}
TOKEN = {"token": "Hi", "bytes": [72, 105], "logprob": -0.1, "top_logprobs": []}


def event(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", **fields}


def done(*output: dict[str, Any], status: str = "completed", **fields: Any) -> dict[str, Any]:
    response = {"id": "resp_1", "status": status, "output": list(output), **fields}
    return event(status, response=response)


def text(words: str, **fields: Any) -> dict[str, Any]:
    return {"type": "output_text", "text": words, "annotations": [], "logprobs": [], **fields}


def message(*parts: dict[str, Any], id: str = "msg_1") -> dict[str, Any]:
    return {"type": "message", "id": id, "role": "assistant", "content": list(parts)}


def call(arguments: str = '{"a":1}', **fields: Any) -> dict[str, Any]:
    return {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "call_1",
        "name": "f",
        "arguments": arguments,
        **fields,
    }


def texts(found: list[ir.Event]) -> list[str]:
    keeps_the_grammar(found)
    return [block.text for block in blocks(found) if isinstance(block, ir.Text)]


def calls(found: list[ir.Event]) -> list[tuple[str, str, str]]:
    keeps_the_grammar(found)
    return [
        (block.id, block.name, block.arguments)
        for block in blocks(found)
        if isinstance(block, ir.ToolCall)
    ]


HELLO = message(text("Hello"))
DELTAS = [
    event("output_text.delta", output_index=0, content_index=0, delta="Hel"),
    event("output_text.delta", output_index=0, content_index=0, delta="lo"),
]


@pytest.mark.parametrize(
    "events",
    [
        DELTAS,
        [*DELTAS, event("output_text.done", output_index=0, content_index=0, text="Hello")],
        [*DELTAS, event("output_item.done", output_index=0, item=HELLO)],
        [event("output_text.done", output_index=0, content_index=0, text="Hello")],
        [event("content_part.done", output_index=0, content_index=0, part=text("Hello"))],
        [event("output_item.done", output_index=0, item=HELLO)],
        [DELTAS[0], event("output_item.done", output_index=0, item=HELLO)],
        [DELTAS[0]],
        [],
        [{**delta, "output_index": None} for delta in DELTAS],
        [{**delta, "item_id": f"x{at}"} for at, delta in enumerate(DELTAS)],
        [
            event("output_item.added", output_index=3, item=message()),
            {**DELTAS[0], "output_index": 3},
        ],
    ],
)
def test_text_is_said_once(events: list[dict[str, Any]]) -> None:
    assert texts(decoded(*events, done(HELLO))) == ["Hello"]


def test_text_that_is_not_in_the_end_is_said_all_the_same() -> None:
    assert texts(decoded(*DELTAS, done())) == ["Hello"]


def test_text_that_differs_in_the_end_is_not_said_again() -> None:
    assert texts(decoded(*DELTAS, done(message(text("Hallo"))))) == ["Hello"]


def test_every_message_of_a_provider_that_numbers_nothing_is_said() -> None:
    items = [message(text(words), id=words) for words in ("One", "Two")]
    events = [
        step
        for item in items
        for step in (
            event("output_item.added", output_index=0, item={**item, "content": []}),
            event("output_item.done", output_index=0, item=item),
        )
    ]

    assert texts(decoded(*events, done(*items))) == ["One", "Two"]


@pytest.mark.parametrize(
    "events",
    [
        [event("output_item.done", output_index=0, item=call())],
        [event("function_call_arguments.done", output_index=0, name="f", arguments='{"a":1}')],
        [
            event("function_call_arguments.delta", output_index=0, delta='{"a"'),
            event("output_item.done", output_index=0, item=call()),
        ],
        [
            event("output_item.added", output_index=0, item=call("")),
            event("function_call_arguments.delta", output_index=0, delta='{"a"'),
            event("function_call_arguments.delta", output_index=0, delta=":1}"),
        ],
        [],
    ],
)
def test_a_call_is_made_once(events: list[dict[str, Any]]) -> None:
    found = calls(decoded(*events, done(call())))

    assert [one[1:] for one in found] == [("f", '{"a":1}')]


def test_calls_may_come_at_the_same_time() -> None:
    found = folded(fed_fixture("interleaved"))

    made = [block for block in found.choices[0].blocks if isinstance(block, ir.ToolCall)]
    assert [block.arguments for block in made] == ['{"city":"Oslo"}', "{}"]
    assert found.choices[0].finish == "tool_calls"


def fed_fixture(name: str) -> list[ir.Event]:
    assert CODEC is not None
    return fed(CODEC.decoder(asked()), fixture(f"responses/{name}.stream.sse"))


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("only_items", [ir.Reasoning, ir.Text, ir.ToolCall]),
        ("only_the_end", [ir.Reasoning, ir.Text, ir.ToolCall]),
        ("only_texts", [ir.Text, ir.ToolCall]),
        ("turns", [ir.Text, ir.Text, ir.Text]),
        ("citations", [ir.Opaque, ir.Text]),
        ("reasoning_sealed_only", [ir.Reasoning, ir.Text]),
    ],
)
def test_a_stream_is_its_blocks(name: str, kinds: list[type]) -> None:
    assert [type(block) for block in blocks(fed_fixture(name))] == kinds


def test_parts_of_a_summary_are_joined_and_sealed() -> None:
    thought = blocks(fed_fixture("reasoning"))[0]

    assert isinstance(thought, ir.Reasoning)
    assert (thought.text, thought.signature) == ("One.\n\nTwo.", "gAAAA7")


def test_a_thought_itself_is_known_from_a_summary() -> None:
    thought = blocks(fed_fixture("reasoning_raw"))[0]

    assert isinstance(thought, ir.Reasoning)
    assert (thought.text, thought.raw) == ("Raw thought", True)


def test_citations_and_probabilities_come_once() -> None:
    part = text("Hi", annotations=[NOTE], logprobs=[TOKEN])
    at = {"output_index": 0, "content_index": 0}

    (block,) = blocks(
        decoded(
            event("output_text.delta", **at, delta="Hi", logprobs=[TOKEN]),
            event("output_text.annotation.added", **at, annotation=NOTE),
            event("output_text.done", **at, text="Hi", logprobs=[TOKEN]),
            event("content_part.done", **at, part=part),
            done(message(part)),
        )
    )

    assert isinstance(block, ir.Text)
    assert [citation.own for citation in block.citations] == [NOTE]
    assert block.logprobs == [TOKEN]


def test_citations_may_come_after_the_text() -> None:
    at = {"output_index": 0, "content_index": 0}

    (block,) = blocks(
        decoded(
            *DELTAS,
            event("content_part.done", **at, part=text("Hello")),
            event("output_text.annotation.added", **at, annotation=NOTE),
            done(HELLO),
        )
    )

    assert isinstance(block, ir.Text)
    assert len(block.citations) == 1


@pytest.mark.parametrize(
    ("last", "finish"),
    [
        (done(HELLO), "stop"),
        (done(HELLO, call()), "tool_calls"),
        (
            done(HELLO, status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
            "length",
        ),
        (done(HELLO, status="cancelled"), "error"),
    ],
)
def test_why_it_ended_is_understood(last: dict[str, Any], finish: str) -> None:
    assert whole(decoded(last)).response.choices[0].finish == finish


@pytest.mark.parametrize(
    ("event", "status", "code"),
    [
        (
            {"type": "error", "code": "rate_limit_exceeded", "message": "Slow"},
            429,
            "rate_limit_exceeded",
        ),
        (
            {"type": "error", "error": {"code": "server_error", "message": "Slow"}},
            500,
            "server_error",
        ),
        ({"error": {"message": "Slow"}}, 502, ""),
        (
            done(status="failed", error={"code": "server_error", "message": "Slow"}),
            500,
            "server_error",
        ),
    ],
)
def test_an_error_ends_a_stream(event: dict[str, Any], status: int, code: str) -> None:
    found = decoded(*DELTAS, event, done(HELLO))

    assert found[-1] == ir.StreamError(status, "Slow", code)


@pytest.mark.parametrize("response", [{"error": None}, {"status": None}, {}])
def test_an_event_of_a_failure_is_one_whatever_its_response_says(response: dict[str, Any]) -> None:
    (*_, error) = decoded(*DELTAS, event("failed", response={"id": "resp_1", **response}))

    assert isinstance(error, ir.StreamError)


def test_a_failure_without_words_has_some() -> None:
    (error,) = decoded(done(status="failed"))[-1:]

    assert isinstance(error, ir.StreamError)
    assert error.message


def test_a_stream_that_breaks_off_has_no_end() -> None:
    found = decoded(*DELTAS)

    assert not any(isinstance(event, ir.ResponseEnd) for event in found)


def test_the_end_of_other_dialects_is_one_too() -> None:
    assert CODEC is not None

    found = fed(CODEC.decoder(asked()), sse(*DELTAS) + b"data: [DONE]\n\n")

    assert texts(found) == ["Hello"]
    assert isinstance(found[-1], ir.ResponseEnd)


def test_the_name_of_an_event_will_do() -> None:
    assert CODEC is not None
    decoder = CODEC.decoder(asked())

    found = decoder.feed(b"response.output_text.delta", b'{"delta":"Hi"}')

    assert found[-1] == ir.TextDelta(0, "Hi")


def test_nothing_comes_after_the_end() -> None:
    assert decoded(done(HELLO)) == decoded(done(HELLO), *DELTAS)


def test_usage_is_reported_at_the_end() -> None:
    usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}

    assert whole(decoded(done(HELLO, usage=usage))).response.usage == ir.Usage(input=3, output=2)


def test_every_event_that_says_something_has_an_item() -> None:
    assert {said.item for said in SAID.values()} == {
        "message", "reasoning", "function_call", "custom_tool_call",
    }  # fmt: skip
