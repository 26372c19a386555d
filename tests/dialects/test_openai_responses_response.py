"""Whole answers, read, and the object around a client's."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.core import clock
from proxy.dialects import ir
from proxy.dialects.openai_responses.fields import TOOLS
from proxy.dialects.openai_responses.response import render_usage, skeleton
from tests.dialects.answers import CODEC, answered, asked, sse
from tests.dialects.choices import fed, folded

TEXT = {"type": "output_text", "text": "Hi", "annotations": [], "logprobs": []}
MESSAGE = {"type": "message", "id": "msg_1", "role": "assistant", "content": [TEXT]}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "", "name": "f", "arguments": "{}"}


def test_an_answer_is_its_blocks() -> None:
    response = answered(MESSAGE, created_at=5.0, service_tier="flex", store=False)

    assert (response.id, response.model, response.created) == ("resp_1", "m", 5)
    assert response.choices[0].blocks == [ir.Text("Hi", extras={"item": {"id": "msg_1"}})]
    assert response.service_tier == "flex"
    assert response.extras == {"store": False}


def test_a_tool_has_its_name_back() -> None:
    assert CODEC is not None
    request = ir.Request(tools=[ir.Tool("ns.do")])
    call = {**CALL, "call_id": "c", "name": TOOLS.made("ns.do")}
    told = fed(
        CODEC.decoder(request),
        sse({"type": "response.output_item.done", "output_index": 0, "item": call})
        + sse({"type": "response.completed", "response": {"output": [call]}}),
    )
    body = orjson.dumps({"id": "r", "status": "completed", "output": [call]})

    for response in (CODEC.parse_response(body, request), folded(told)):
        (block,) = response.choices[0].blocks
        assert isinstance(block, ir.ToolCall)
        assert block.name == "ns.do"


def test_calls_are_why_an_answer_ended_and_always_have_a_name_to_answer_to() -> None:
    response = answered(CALL, {**CALL, "id": ""})

    calls = [block for block in response.choices[0].blocks if isinstance(block, ir.ToolCall)]
    assert response.choices[0].finish == "tool_calls"
    assert calls[0].id == "fc_1"
    assert calls[1].id.startswith("call_")


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "failed"},
        {"status": "in_progress"},
        {"error": {"message": "Oops"}},
        {"output": None},
    ],
)
def test_what_is_no_answer_is_none(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no "):
        answered(**fields)


def test_broken_text_is_mended() -> None:
    assert CODEC is not None
    body = b'{"status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"a\xff"}]}]}'

    (block,) = CODEC.parse_response(body, asked()).choices[0].blocks

    assert isinstance(block, ir.Text)
    assert block.text == "a\ufffd"


def test_tokens_are_counted_as_the_dialect_does() -> None:
    made = render_usage(ir.Usage(input=10, cache_read=20, cache_write=5, output=8, reasoning=3))

    assert made == {
        "input_tokens": 35,
        "input_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 5},
        "output_tokens": 8,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 43,
    }


def test_an_answer_repeats_the_request() -> None:
    request = asked(
        instructions="Be brief.",
        tools=[{"type": "function", "name": "f", "parameters": {"type": "object"}}],
        tool_choice={"type": "function", "name": "f"},
        temperature=0.5,
        max_output_tokens=99,
        metadata={"a": "b"},
        reasoning={"effort": "low", "summary": "auto"},
        text={"format": {"type": "json_object"}, "verbosity": "low"},
        parallel_tool_calls=False,
        safety_identifier="s",
    )

    with clock.held(now=77.5):
        made = skeleton(ir.ResponseStart("chatcmpl-1", "", origin="x"), request)

    assert made["id"] == "resp_1"
    assert (made["created_at"], made["model"], made["instructions"]) == (77, "m", "Be brief.")
    assert made["tools"][0]["name"] == "f"
    assert made["tool_choice"] == {"type": "function", "name": "f"}
    assert (made["temperature"], made["top_p"], made["max_output_tokens"]) == (0.5, 1.0, 99)
    assert made["reasoning"] == {"effort": "low", "summary": "auto"}
    assert made["text"] == {"format": {"type": "json_object"}, "verbosity": "low"}
    assert (made["parallel_tool_calls"], made["store"]) == (False, False)
    assert (made["safety_identifier"], made["user"]) == ("s", None)
    assert (made["truncation"], made["previous_response_id"]) == ("disabled", None)


def test_its_own_answer_says_what_it_said_and_no_more() -> None:
    made = skeleton(
        ir.ResponseStart("resp_1", "m", 5, origin="openai.responses", extras={"new": 1}), asked()
    )

    assert made["new"] == 1
    assert "store" not in made
