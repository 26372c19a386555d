"""A request of another dialect, written for a provider of the Responses API."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.dialects import ir
from proxy.dialects.base import Target
from proxy.dialects.loss import Loss
from tests.dialects.answers import CODEC, asked
from tests.dialects.checkers.responses import check_request
from tests.dialects.choices import lossy, rendered

HI = [ir.Message("user", [ir.Text("Hi")])]
INCLUDED = ["reasoning.encrypted_content"]


def body(model: str = "m", **fields: Any) -> dict[str, Any]:
    assert CODEC is not None
    made = rendered(CODEC, ir.Request(origin="x", **{"messages": HI, **fields}), model)
    assert check_request(orjson.dumps(made)) == []
    return made


def lost(model: str = "m", **fields: Any) -> tuple[dict[str, Any], list[str]]:
    assert CODEC is not None
    return lossy(CODEC, ir.Request(origin="x", **{"messages": HI, **fields}), model)


def test_nothing_is_stored() -> None:
    assert body()["store"] is False
    assert "include" not in body()


@pytest.mark.parametrize(
    ("model", "fields", "sealed"),
    [
        ("m", {"thinking": ir.Thinking("high")}, True),
        ("m", {"thinking": ir.Thinking("none")}, False),
        ("gpt-5.2", {}, True),
        ("gpt-4.1", {"thinking": ir.Thinking("high")}, False),
        (
            "m",
            {
                "messages": [
                    *HI,
                    ir.Message("assistant", [ir.Reasoning("", "s", "openai"), ir.Text("Yes")]),
                    *HI,
                ]
            },
            True,
        ),
    ],
)
def test_thoughts_are_asked_for_sealed_where_there_may_be_some(
    model: str, fields: dict[str, Any], sealed: bool
) -> None:
    assert (body(model, **fields).get("include") == INCLUDED) is sealed


@pytest.mark.parametrize(
    ("model", "thinking", "reasoning", "dropped"),
    [
        ("m", ir.Thinking("low", visible=True), {"effort": "low", "summary": "auto"}, []),
        (
            "m",
            ir.Thinking("low", visible=True, summary="detailed"),
            {"effort": "low", "summary": "detailed"},
            [],
        ),
        ("m", ir.Thinking("high", visible=False), {"effort": "high"}, []),
        ("m", ir.Thinking(budget=9000), {"effort": "high"}, []),
        ("m", ir.Thinking(budget=-1, visible=True), {"summary": "auto"}, []),
        ("gpt-5.2", ir.Thinking(budget=0), {"effort": "none"}, []),
        ("gpt-5", ir.Thinking("none"), {"effort": "minimal"}, ["thinking.off"]),
        ("o3", ir.Thinking("max"), {"effort": "high"}, ["thinking.effort"]),
        ("gpt-4.1", ir.Thinking("high"), None, ["thinking.effort"]),
        ("gpt-4.1", ir.Thinking("none"), None, []),
        ("gpt-4.1", ir.Thinking(visible=True), None, ["thinking.visible"]),
    ],
)
def test_how_much_to_think_is_a_word_the_model_takes(
    model: str, thinking: ir.Thinking, reasoning: Any, dropped: list[str]
) -> None:
    made, features = lost(model, thinking=thinking)

    assert made.get("reasoning") == reasoning
    assert features == dropped


def test_models_that_think_take_no_sampling() -> None:
    made, features = lost("gpt-5.2", temperature=0.2, top_p=0.5, logprobs=True)

    assert "temperature" not in made
    assert features == ["temperature", "top_p", "logprobs"]


def test_models_that_need_not_think_take_sampling() -> None:
    made, features = lost("gpt-5.2", temperature=0.2, thinking=ir.Thinking("none"))

    assert made["temperature"] == 0.2
    assert features == []


def test_numbers_out_of_range_are_brought_into_it_and_reported() -> None:
    made, features = lost(temperature=3, top_p=2, max_tokens=1, logprobs=True, top_logprobs=30)

    assert (made["temperature"], made["top_p"], made["max_output_tokens"]) == (2, 1, 16)
    assert made["top_logprobs"] == 20
    assert features == ["max_tokens", "temperature", "top_p", "top_logprobs"]


def test_probabilities_are_included() -> None:
    made = body(logprobs=True, top_logprobs=2)

    assert made["include"] == ["message.output_text.logprobs"]
    assert made["top_logprobs"] == 2


def test_a_schema_has_a_name() -> None:
    schema = {"type": "object", "properties": {}}

    unnamed = body(format=ir.Format("schema", schema=schema))
    named = body(format=ir.Format("schema", "my schema!", "Who", schema, True))

    assert unnamed["text"]["format"] == {
        "type": "json_schema",
        "name": "response",
        "schema": schema,
    }
    assert named["text"]["format"]["name"] == "my_schema_"
    assert named["text"]["format"]["strict"] is True


def test_json_is_spoken_of_in_the_input() -> None:
    made = body(format=ir.Format("json"))
    spoken = body(format=ir.Format("json"), messages=[ir.Message("user", [ir.Text("JSON!")])])

    assert made["text"] == {"format": {"type": "json_object"}}
    assert made["input"][0]["role"] == "developer"
    assert len(spoken["input"]) == 1


def test_labels_that_do_not_fit_are_reported() -> None:
    made, features = lost(
        metadata={"a": "b", "n": 1, "k" * 65: "v"},
        user="u" * 65,
        service_tier="batch",
        verbosity="x",
    )

    assert made["metadata"] == {"a": "b"}
    assert features == ["verbosity", "metadata", "service_tier", "user"]


def test_labels_are_written() -> None:
    made = body(
        user="u", service_tier="flex", cache_key="k", cache_retention="in-memory", verbosity="low"
    )

    assert (made["user"], made["service_tier"], made["prompt_cache_key"]) == ("u", "flex", "k")
    assert made["prompt_cache_retention"] == "in_memory"
    assert made["text"] == {"verbosity": "low"}


def test_what_the_dialect_has_not_is_reported() -> None:
    _, features = lost(stop=["x"], seed=1, top_k=3, n=2, presence_penalty=0.1)

    assert set(features) == {"stop", "seed", "top_k", "n", "presence_penalty"}


def test_a_choice_is_only_made_among_tools() -> None:
    assert "tool_choice" not in body(tool_choice=ir.ToolChoice("auto"))
    made = body(
        tools=[ir.Tool("f")], tool_choice=ir.ToolChoice("required"), parallel_tool_calls=False
    )
    assert made["tool_choice"] == "required"
    assert made["parallel_tool_calls"] is False


def test_whether_to_stream_is_for_the_target_to_say() -> None:
    assert CODEC is not None
    request = asked(stream=True, stream_options={"include_obfuscation": False})

    assert "stream_options" not in rendered(CODEC, request)
    streamed = rendered(CODEC, request, stream=True)
    assert streamed["stream"] is True
    assert streamed["stream_options"] == {"include_obfuscation": False}


def test_a_client_of_the_dialect_gets_its_own_words_back() -> None:
    assert CODEC is not None
    said = {
        "input": [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
        ],
        "include": ["reasoning.encrypted_content", "web_search_call.results"],
        "store": True,
        "user": "u",
        "safety_identifier": "s",
        "truncation": "auto",
        "new": {"a": 1},
        "reasoning": {"effort": "low", "new": 1},
        "text": {"format": {"type": "text"}, "new": 1},
    }

    assert rendered(CODEC, asked(**said)) == {"model": "m", **said}


def test_a_question_of_tokens_is_only_about_the_prompt() -> None:
    assert CODEC is not None
    assert CODEC.count is not None
    request = ir.Request(
        messages=[ir.Message("system", [ir.Text("Be brief.")]), *HI], max_tokens=100, origin="x"
    )

    question = orjson.loads(CODEC.count.render(request, Target("m", stream=True), Loss()))

    assert question.keys() == {"model", "instructions", "input"}
    assert CODEC.count.parse(CODEC.count.answer(12)) == 12
    assert CODEC.count.parse(b'{"input_tokens":"12"}') is None
    assert CODEC.count.parse(b"[") is None
