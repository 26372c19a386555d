"""A stream for a client of the Responses API."""

from __future__ import annotations

import pytest

from proxy.dialects import identity, ir
from proxy.dialects.loss import Loss
from proxy.dialects.openai_responses.items import read_item
from tests.dialects.answers import (
    CODEC,
    asked,
    kinds,
    payloads,
    stream,
    told_to,
    whole_block,
    written,
)

START = ir.ResponseStart("r1", "m", 1_786_400_000, origin="x")


def test_a_text_is_told_with_the_whole_of_its_life() -> None:
    found = written(
        ir.BlockStart(0, ir.Text()), ir.TextDelta(0, "Hel"), ir.TextDelta(0, "lo"), ir.BlockEnd(0)
    )

    assert kinds(found) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [payload["sequence_number"] for payload in found] == list(range(10))
    assert found[4]["delta"] == "Hel"
    assert found[-1]["response"]["output"] == [found[-2]["item"]]


def test_texts_in_a_row_are_parts_of_one_message() -> None:
    found = written(*whole_block(0, ir.Text("One")), *whole_block(1, ir.Text("Two")))

    (item,) = found[-1]["response"]["output"]
    assert [part["text"] for part in item["content"]] == ["One", "Two"]


def test_a_message_ends_when_something_else_begins() -> None:
    found = written(
        *whole_block(0, ir.Text("One")),
        *whole_block(1, ir.ToolCall("call_1", "f", "{}")),
        *whole_block(2, ir.Text("Two")),
    )

    assert [item["type"] for item in found[-1]["response"]["output"]] == [
        "message", "function_call", "message",
    ]  # fmt: skip


def test_a_message_whose_text_is_still_coming_ends_with_it() -> None:
    found = written(
        ir.BlockStart(0, ir.Text()),
        ir.TextDelta(0, "a"),
        ir.BlockStart(1, ir.ToolCall("call_1", "f")),
        ir.ArgumentsDelta(1, "{}"),
        ir.TextDelta(0, "b"),
        ir.BlockEnd(0),
        ir.BlockEnd(1),
    )

    message, call = found[-1]["response"]["output"]
    assert message["content"][0]["text"] == "ab"
    assert call["arguments"] == "{}"


def test_calls_may_overlap() -> None:
    found = written(
        ir.BlockStart(0, ir.ToolCall("call_1", "f")),
        ir.BlockStart(1, ir.ToolCall("call_2", "g")),
        ir.ArgumentsDelta(0, '{"a"'),
        ir.ArgumentsDelta(1, "{}"),
        ir.ArgumentsDelta(0, ":1}"),
        ir.BlockEnd(1),
        ir.BlockEnd(0),
    )

    calls = found[-1]["response"]["output"]
    assert [(call["id"], call["arguments"]) for call in calls] == [
        ("fc_1", '{"a":1}'),
        ("fc_2", "{}"),
    ]


def test_a_call_without_arguments_has_an_empty_object() -> None:
    found = written(*whole_block(0, ir.ToolCall("call_1", "f")))

    assert found[-1]["response"]["output"][0]["arguments"] == "{}"


def test_a_custom_call_has_its_own_events() -> None:
    found = written(*whole_block(0, ir.ToolCall("call_1", "c", "print(1)", custom=True)))

    assert "custom_tool_call_input.delta" in kinds(found)
    assert found[-1]["response"]["output"][0]["input"] == "print(1)"


def test_a_thought_is_a_summary_and_its_seal() -> None:
    found = written(
        ir.BlockStart(0, ir.Reasoning()),
        ir.ReasoningDelta(0, "Hm"),
        ir.SignatureDelta(0, "sign", "anthropic"),
        ir.BlockEnd(0),
    )

    (item,) = found[-1]["response"]["output"]
    assert item["summary"] == [{"type": "summary_text", "text": "Hm"}]
    assert identity.unseal(item["encrypted_content"], "openai") == ("anthropic", "sign")


@pytest.mark.parametrize(
    "block",
    [
        ir.Reasoning("Hm", "sign", "anthropic"),
        ir.Reasoning("", "sign", "anthropic"),
        ir.Reasoning("", "data", "anthropic", redacted=True),
        ir.Reasoning("Hm", "gAAA", "openai"),
        ir.Reasoning("Raw", "gAAA", "openai", raw=True),
        ir.Reasoning("Hm"),
    ],
)
def test_a_thought_comes_back_as_it_went(block: ir.Reasoning) -> None:
    found = written(*whole_block(0, block))

    (again,) = read_item(found[-1]["response"]["output"][0])

    assert isinstance(again, ir.Reasoning)
    again.id = ""
    assert again == block


def test_state_of_a_call_is_carried_before_it() -> None:
    call = ir.ToolCall("call_1", "f", "{}", signature="state", origin="gemini")

    found = written(*whole_block(0, call))

    blocks = [block for item in found[-1]["response"]["output"] for block in read_item(item)]
    (again,) = identity.attach(blocks)
    assert isinstance(again, ir.ToolCall)
    assert (again.signature, again.origin) == ("state", "gemini")


def test_state_of_a_text_is_carried_behind_it() -> None:
    found = written(
        ir.BlockStart(0, ir.Text()),
        ir.TextDelta(0, "Hi"),
        ir.SignatureDelta(0, "state", "gemini"),
        ir.BlockEnd(0),
    )

    blocks = [block for item in found[-1]["response"]["output"] for block in read_item(item)]
    (again,) = identity.attach(blocks)
    assert isinstance(again, ir.Text)
    assert (again.signature, again.origin) == ("state", "gemini")


def test_state_that_comes_after_its_call_is_reported() -> None:
    call: list[ir.Event] = [
        ir.BlockStart(0, ir.ToolCall("call_1", "f")),
        ir.SignatureDelta(0, "s", "gemini"),
    ]

    _, lost = told_to(asked(), stream(*call, ir.BlockEnd(0)))

    assert lost == ["tool_call.signature"]


def test_citations_are_annotations() -> None:
    about_all = ir.Citation(url="https://x", title="X")
    found = written(
        ir.BlockStart(0, ir.Text()),
        ir.CitationDelta(0, about_all),
        ir.TextDelta(0, "Hello"),
        ir.CitationDelta(0, ir.Citation(url="https://y", start=1, end=2)),
        ir.BlockEnd(0),
    )

    notes = found[-1]["response"]["output"][0]["content"][0]["annotations"]
    assert [(note["url"], note["end_index"]) for note in notes] == [
        ("https://y", 2),
        ("https://x", 5),
    ]


def test_probabilities_are_told_with_the_text_and_at_its_end() -> None:
    token = {"token": "Hi", "logprob": -0.1, "bytes": None, "top_logprobs": []}
    found = written(
        ir.BlockStart(0, ir.Text()),
        ir.TextDelta(0, "Hi"),
        ir.LogprobsDelta(0, [token]),
        ir.BlockEnd(0),
    )

    part = found[-1]["response"]["output"][0]["content"][0]
    assert part["logprobs"] == [
        {"token": "Hi", "bytes": [72, 105], "logprob": -0.1, "top_logprobs": []}
    ]


def test_a_refusal_is_a_part() -> None:
    found = written(*whole_block(0, ir.Refusal("No")), finish="refusal")

    assert found[-1]["response"]["output"][0]["content"] == [{"type": "refusal", "refusal": "No"}]
    assert found[-1]["type"] == "response.completed"


@pytest.mark.parametrize(
    ("finish", "last"),
    [("length", "incomplete"), ("content_filter", "incomplete"), ("error", "failed")],
)
def test_an_answer_that_is_not_whole_says_so(finish: ir.Finish, last: str) -> None:
    found = written(*whole_block(0, ir.Text("And th")), finish=finish)

    assert kinds(found)[-1] == last
    assert found[-1]["response"]["output"][0]["status"] == (
        "completed" if last == "failed" else "incomplete"
    )


@pytest.mark.parametrize(
    ("pieces", "whole"), [(["aGk="], "aGk="), (["YWJjZA==", "ZWZnaA=="], "YWJjZGVmZ2g=")]
)
def test_a_picture_is_what_a_tool_would_have_made(pieces: list[str], whole: str) -> None:
    image = ir.Media("image", mime="image/png")
    data = [ir.DataDelta(0, piece) for piece in pieces]
    found = written(ir.BlockStart(0, image), *data, ir.BlockEnd(0))

    (item,) = found[-1]["response"]["output"]
    assert (item["type"], item["result"]) == ("image_generation_call", whole)


@pytest.mark.parametrize(
    ("block", "feature"),
    [
        (ir.Media("audio", data="aGk="), "audio.data"),
        (ir.Opaque("anthropic", "x", {"id": "x"}), "opaque"),
        (ir.Text("Hi", citations=[ir.Citation(text="words")]), "citations"),
    ],
)
def test_what_has_no_place_is_reported(block: ir.Block, feature: str) -> None:
    _, lost = told_to(asked(), stream(*whole_block(0, block)))

    assert lost == [feature]


def test_only_the_first_of_several_answers_is_told() -> None:
    second: list[ir.Event] = [
        ir.BlockStart(1, ir.Text(), 1),
        ir.TextDelta(1, "x"),
        ir.BlockEnd(1),
        ir.ChoiceEnd("length", 1),
    ]

    raw, lost = told_to(
        asked(),
        [START, *whole_block(0, ir.Text("Hi")), *second, ir.ChoiceEnd("stop"), ir.ResponseEnd()],
    )

    assert payloads(raw)[-1]["type"] == "response.completed"
    assert lost == ["n"]


def test_usage_is_the_last_that_was_reported() -> None:
    found = written(ir.UsageReport(ir.Usage(input=1)), ir.UsageReport(ir.Usage(input=3, output=2)))

    assert found[-1]["response"]["usage"]["total_tokens"] == 5


def test_an_error_is_an_event_and_the_end() -> None:
    raw, _ = told_to(asked(), [START, ir.StreamError(429, "Slow", "rate_limit_exceeded")])

    last = payloads(raw)[-1]
    assert (last["type"], last["code"], last["message"]) == ("error", "rate_limit_exceeded", "Slow")


def test_the_next_number_is_known() -> None:
    assert CODEC is not None
    assert CODEC.encoder is not None
    encoder = CODEC.encoder(asked(), Loss())
    encoder.encode(START)

    assert encoder.sequence == 2
    assert encoder.encode(ir.Ping()) == b": ping\n\n"
    assert encoder.sequence == 2


def test_its_own_items_keep_their_ids_and_phases() -> None:
    first = ir.Text("One", extras={"item": {"id": "msg_a", "phase": "commentary"}})
    second = ir.Text("Two", extras={"item": {"id": "msg_b", "phase": "final_answer"}})
    raw, _ = told_to(
        asked(),
        stream(*whole_block(0, first), *whole_block(1, second), origin="openai.responses"),
    )

    items = payloads(raw)[-1]["response"]["output"]
    assert [(item["id"], item["phase"]) for item in items] == [
        ("msg_a", "commentary"),
        ("msg_b", "final_answer"),
    ]
