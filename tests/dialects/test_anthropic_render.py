"""Requests for messages providers, written from what clients of other dialects asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.errors import ProxyError
from proxy.dialects import ir
from proxy.dialects.anthropic.read import TOOLS
from proxy.dialects.arguments import FREE_TEXT
from proxy.dialects.base import Target
from proxy.dialects.loss import Loss
from tests.dialects.checkers.messages import check_request
from tests.dialects.messages import CODEC, REQUESTS, asked, fixture, rendered, said
from tests.dialects.test_anthropic_request import mutate

PNG = "iVBORw0KGgo="
OPUS = "claude-opus-4-6"


def written(request: ir.Request, model: str = "claude-sonnet-4-5", **target: Any) -> Any:
    """The same as `rendered`, of a body that the API takes."""
    body, dropped = rendered(request, model, **target)
    assert check_request(orjson.dumps(body)) == []
    return body, dropped


def turns(*messages: ir.Message, model: str = "claude-sonnet-4-5") -> Any:
    """`messages` of a conversation."""
    return written(asked(*messages), model)[0]["messages"]


def call(id: str = "call_1", name: str = "f", arguments: str = "{}", **more: Any) -> ir.ToolCall:
    return ir.ToolCall(id, name, arguments, **more)


def result(id: str = "call_1", text: str = "ok", **more: Any) -> ir.Message:
    return ir.Message("user", [ir.ToolResult(id, content=[ir.Text(text)], **more)])


TOOL = ir.Tool("f", "Does f.", {"type": "object", "properties": {"a": {"type": "integer"}}})


def test_the_target_says_the_model_the_limit_and_whether_to_stream() -> None:
    body, dropped = written(asked(stream=False), "claude-x", max_tokens=77, stream=True)

    assert body == {
        "model": "claude-x",
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 77,
        "stream": True,
    }
    assert dropped == {}


def test_parameters_are_written() -> None:
    body, dropped = written(
        asked(max_tokens=5, temperature=0.5, top_k=3, stop=["a"], user="u", service_tier="default")
    )

    assert body["max_tokens"] == 5
    assert (body["temperature"], body["top_k"], body["stop_sequences"]) == (0.5, 3, ["a"])
    assert body["metadata"] == {"user_id": "u"}
    assert body["service_tier"] == "standard_only"
    assert dropped == {}


@pytest.mark.parametrize(
    ("fields", "model", "kept", "dropped"),
    [
        ({"temperature": 1.7}, "claude-sonnet-4-5", {"temperature": 1}, ["temperature"]),
        ({"temperature": 0.5}, "claude-opus-4-7", {}, ["temperature"]),
        ({"temperature": 1}, "claude-opus-4-7", {}, []),
        ({"temperature": 0.5, "top_p": 0.9}, "claude-sonnet-4-5", {"temperature": 0.5}, ["top_p"]),
        ({"temperature": 0.5, "top_p": 0.9}, "kimi-k2", {"temperature": 0.5, "top_p": 0.9}, []),
        ({"top_k": 0}, "claude-sonnet-4-5", {}, ["top_k"]),
        ({"seed": 1, "n": 2, "logprobs": True}, "m", {}, ["seed", "logprobs", "n"]),
        ({"stop": [" ", "x"]}, "m", {"stop_sequences": ["x"]}, ["stop"]),
        ({"user": "u" * 300}, "m", {}, ["user"]),
        ({"max_tokens": 99_999}, "claude-opus-4-1", {"max_tokens": 32_000}, ["max_tokens"]),
    ],
)
def test_what_is_out_of_range_is_fitted_and_said(
    fields: Any, model: str, kept: Any, dropped: list[str]
) -> None:
    body, lost = written(asked(**fields), model)

    assert kept.items() <= body.items()
    others = {"temperature", "top_p", "top_k", "stop_sequences", "metadata"} - kept.keys()
    assert not others & body.keys()
    assert list(lost) == dropped


# --- turns ---------------------------------------------------------------------------------------------------


def test_leading_instructions_are_the_system_prompt() -> None:
    body, dropped = written(
        asked(said("One.", "system"), said("Two.", "developer"), said("Hi")),
    )

    assert [part["text"] for part in body["system"]] == ["One.", "Two."]
    assert body["messages"] == [{"role": "user", "content": "Hi"}]
    assert dropped == {}


def test_later_instructions_stay_where_a_model_follows_them() -> None:
    told = [said("Hi"), said("Be brief.", "developer"), said("Yo", "assistant"), said("?")]

    body, dropped = written(asked(*told), "claude-opus-4-8")

    assert [turn["role"] for turn in body["messages"]] == ["user", "system", "assistant", "user"]
    assert "system" not in body
    assert dropped == {}


def test_later_instructions_go_to_the_system_prompt_of_others() -> None:
    told = [
        said("A", "system"),
        said("Hi"),
        said("B", "system"),
        said("Yo", "assistant"),
        said("?"),
    ]

    body, _ = written(asked(*told))

    assert [part["text"] for part in body["system"]] == ["A", "B"]
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]


def test_later_instructions_never_come_between_a_call_and_its_result() -> None:
    told = [said("Hi"), ir.Message("assistant", [call()]), said("B", "system"), result()]

    body, _ = written(asked(*told, tools=[TOOL]), "claude-opus-4-8")

    assert body["system"] == "B"
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]


def test_neighbours_are_one_turn_and_results_come_first() -> None:
    told = [
        said("Go"),
        said("Looking", "assistant"),
        ir.Message("assistant", [call("a"), call("b")]),
        result("a"),
        said("And?"),
        result("b"),
    ]

    first, second, third = turns(*told)

    assert first == {"role": "user", "content": "Go"}
    assert [block["type"] for block in second["content"]] == ["text", "tool_use", "tool_use"]
    assert [block["type"] for block in third["content"]] == ["tool_result", "tool_result", "text"]


def test_empty_texts_and_turns_are_left_out() -> None:
    told = [said("Hi"), said("", "assistant"), said(" \n"), said("There")]

    assert turns(*told) == [
        {"role": "user", "content": [
            {"type": "text", "text": "Hi"},
            {"type": "text", "text": "There"},
        ]}
    ]  # fmt: skip


@pytest.mark.parametrize("told", [[said("Hello", "assistant"), said("Hi")], [said("A", "system")]])
def test_the_user_begins(told: list[ir.Message]) -> None:
    assert turns(*told)[0] == {"role": "user", "content": "."}


def test_the_beginning_of_an_answer_stays_without_white_space_at_its_end() -> None:
    body, dropped = written(asked(said("Hi"), said("It is ", "assistant")))

    assert body["messages"][-1] == {"role": "assistant", "content": "It is"}
    assert dropped == {}


def test_the_beginning_of_an_answer_is_a_turn_where_models_do_not_continue_it() -> None:
    body, dropped = written(asked(said("Hi"), said("It is ", "assistant")), OPUS)

    assert body["messages"][-1] == {"role": "user", "content": "."}
    assert list(dropped) == ["prefill"]


def test_a_refusal_is_text() -> None:
    told = [said("Hi"), ir.Message("assistant", [ir.Refusal("No.")]), said("Why?")]

    body, dropped = written(asked(*told))

    assert body["messages"][1] == {"role": "assistant", "content": "No."}
    assert list(dropped) == ["refusal"]


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ("", {}),
        ("null", {}),
        ('{"a": 1}', {"a": 1}),
        ("[1]", {"input": [1]}),
        ('"x"', {"input": "x"}),
        ('{"a": ', {"input": '{"a": '}),
    ],
)
def test_an_input_is_always_an_object(arguments: str, given: Any) -> None:
    told = turns(said("Go"), ir.Message("assistant", [call(arguments=arguments)]), result())

    assert told[1]["content"][0]["input"] == given


def test_ids_and_names_are_made_acceptable() -> None:
    told = [said("Go"), ir.Message("assistant", [call("a.b/c", "mcp.tool:x")]), result("a.b/c")]

    body, _ = written(asked(*told, tools=[ir.Tool("mcp.tool:x")]))

    used = body["messages"][1]["content"][0]
    assert used["id"] == body["messages"][2]["content"][0]["tool_use_id"]
    assert used["name"] == body["tools"][0]["name"]
    assert used["name"].startswith("mcp_tool_x_")


# --- media ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("media", "source"),
    [
        (
            ir.Media("image", "image/jpg", PNG),
            {"type": "base64", "media_type": "image/jpeg", "data": PNG},
        ),
        (ir.Media("image", "", PNG), {"type": "base64", "media_type": "image/png", "data": PNG}),
        (
            ir.Media("image", url="https://example.com/a.png"),
            {"type": "url", "url": "https://example.com/a.png"},
        ),
        (
            ir.Media("image", file_id="file_1", origin="anthropic"),
            {"type": "file", "file_id": "file_1"},
        ),
        (
            ir.Media("document", "application/pdf", "JVBERi0="),
            {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
        ),
        (
            ir.Media("document", "text/csv", "YSxi"),
            {"type": "text", "media_type": "text/plain", "data": "a,b"},
        ),
        (
            ir.Media("document", text="Plain."),
            {"type": "text", "media_type": "text/plain", "data": "Plain."},
        ),
        (
            ir.Media("document", url="https://example.com/a.pdf"),
            {"type": "url", "url": "https://example.com/a.pdf"},
        ),
    ],
)
def test_media_are_written(media: ir.Media, source: Any) -> None:
    body, dropped = written(asked(ir.Message("user", [media])))

    assert body["messages"][0]["content"][0] == {"type": media.kind, "source": source}
    assert dropped == {}


@pytest.mark.parametrize(
    ("media", "feature"),
    [
        (ir.Media("image", "image/bmp", "Qk0="), "image.data"),
        (ir.Media("image", url="gs://bucket/a.png"), "image.url"),
        (ir.Media("image", file_id="file-1", origin="openai"), "image.file"),
        (ir.Media("document", "application/msword", "0M8R"), "document.data"),
        (ir.Media("document", "text/plain", "/w=="), "document.data"),
        (ir.Media("audio", "audio/wav", "UklG"), "audio.data"),
        (ir.Media("video", url="https://example.com/a.mp4"), "video.url"),
    ],
)
def test_media_that_have_no_place_are_dropped(media: ir.Media, feature: str) -> None:
    body, dropped = written(asked(ir.Message("user", [media, ir.Text("What?")])))

    assert body["messages"] == [{"role": "user", "content": "What?"}]
    assert list(dropped) == [feature]


def test_a_document_is_described() -> None:
    media = ir.Media("document", text="T", name="n", context="c", citations=True, cache=ir.Cache())

    body, _ = written(asked(ir.Message("user", [media])))

    block = body["messages"][0]["content"][0]
    assert (block["title"], block["context"]) == ("n", "c")
    assert block["citations"] == {"enabled": True}
    assert block["cache_control"] == {"type": "ephemeral"}


def test_the_model_shows_no_images_but_says_its_sounds() -> None:
    spoken = ir.Media("audio", file_id="audio_1", origin="openai", transcript="Hello")
    drawn = ir.Media("image", "image/png", PNG)
    told = [said("Hi"), ir.Message("assistant", [spoken, drawn]), said("?")]

    body, dropped = written(asked(*told))

    assert body["messages"][1] == {"role": "assistant", "content": "Hello"}
    assert set(dropped) == {"audio.file", "image.data"}


def test_a_result_shows_images_and_documents() -> None:
    shown: list[ir.Text | ir.Media | ir.Opaque] = [
        ir.Text("see"),
        ir.Media("image", "image/png", PNG),
        ir.Media("document", text="D"),
    ]
    told = [
        said("Go"),
        ir.Message("assistant", [call()]),
        ir.Message("user", [ir.ToolResult("call_1", content=shown)]),
    ]

    body, dropped = written(asked(*told, tools=[TOOL]))

    (block,) = body["messages"][2]["content"]
    assert [part["type"] for part in block["content"]] == ["text", "image", "document"]
    assert dropped == {}


def test_a_failed_call_shows_its_images_after_it() -> None:
    image = ir.Media("image", "image/png", PNG)
    told = [
        said("Go"),
        ir.Message("assistant", [call()]),
        ir.Message("user", [ir.ToolResult("call_1", content=[image], is_error=True)]),
    ]

    body, _ = written(asked(*told, tools=[TOOL]))

    failed, shown = body["messages"][2]["content"]
    assert failed == {
        "type": "tool_result", "tool_use_id": "call_1", "content": ".", "is_error": True,
    }  # fmt: skip
    assert shown["type"] == "image"


def test_foreign_citations_and_blocks_are_dropped() -> None:
    text = ir.Text("x", citations=[ir.Citation("https://example.com")])
    told = [said("Hi"), ir.Message("assistant", [text, ir.Opaque("openai", "k")]), said("?")]

    body, dropped = written(asked(*told))

    assert body["messages"][1] == {"role": "assistant", "content": "x"}
    assert set(dropped) == {"citations", "opaque"}


def test_marks_of_the_cache_are_at_most_four_and_long_ones_first() -> None:
    texts = [ir.Text(str(n), cache=ir.Cache("1h" if n == 4 else "")) for n in range(5)]

    body, dropped = written(asked(ir.Message("user", list(texts))))

    marks = [block.get("cache_control") for block in body["messages"][0]["content"]]
    assert marks == [None, *[{"type": "ephemeral"}] * 4]
    assert list(dropped) == ["cache", "cache.ttl"]


# --- thoughts ------------------------------------------------------------------------------------------------


def test_own_thoughts_go_back_whole_and_others_not_at_all() -> None:
    thoughts: list[ir.Block] = [
        ir.Reasoning("Mine", "sig", "anthropic"),
        ir.Reasoning("", "red", "anthropic", redacted=True),
        ir.Reasoning("Theirs", "enc", "openai"),
        ir.Reasoning("Nobody's"),
        ir.Text("So."),
    ]

    body, dropped = written(asked(said("Hi"), ir.Message("assistant", thoughts), said("?")))

    assert body["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "Mine", "signature": "sig"},
        {"type": "redacted_thinking", "data": "red"},
        {"type": "text", "text": "So."},
    ]
    assert set(dropped) == {"thinking.signature", "thinking.text"}


def test_state_of_another_family_on_a_call_is_dropped() -> None:
    made = call(signature="sig", origin="gemini")

    body, dropped = written(asked(said("Go"), ir.Message("assistant", [made]), result()))

    assert body["messages"][1]["content"][0].keys() == {"type", "id", "name", "input"}
    assert list(dropped) == ["tool_call.signature"]


# --- tools ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "parallel", "rendered_choice", "dropped"),
    [
        (None, None, None, []),
        (None, True, None, []),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}, []),
        (ir.ToolChoice("auto"), None, {"type": "auto"}, []),
        (ir.ToolChoice("none"), False, {"type": "none"}, []),
        (
            ir.ToolChoice("required"),
            False,
            {"type": "any", "disable_parallel_tool_use": True},
            [],
        ),
        (ir.ToolChoice("tool", ["f"]), None, {"type": "tool", "name": "f"}, []),
        (ir.ToolChoice("tool", ["nope"]), None, None, ["tool_choice.tool"]),
        (ir.ToolChoice("allowed", ["f"]), None, {"type": "auto"}, ["tool_choice.allowed"]),
        (
            ir.ToolChoice("allowed", ["f"], required=True),
            None,
            {"type": "any"},
            ["tool_choice.allowed"],
        ),
    ],
)
def test_a_choice_is_written(
    choice: Any, parallel: bool | None, rendered_choice: Any, dropped: list[str]
) -> None:
    request = asked(tools=[TOOL], tool_choice=choice, parallel_tool_calls=parallel)

    body, lost = written(request)

    assert body.get("tool_choice") == rendered_choice
    assert [tool["name"] for tool in body["tools"]] == ["f"]
    assert list(lost) == dropped


def test_models_that_are_never_forced_choose_themselves() -> None:
    body, dropped = written(
        asked(tools=[TOOL], tool_choice=ir.ToolChoice("required")), "claude-opus-5-5"
    )

    assert body["tool_choice"] == {"type": "auto"}
    assert list(dropped) == ["tool_choice.required"]


def test_only_allowed_tools_are_offered() -> None:
    request = asked(tools=[TOOL, ir.Tool("g")], tool_choice=ir.ToolChoice("allowed", ["g"]))

    assert [tool["name"] for tool in written(request)[0]["tools"]] == ["g"]


@pytest.mark.parametrize(
    ("schema", "made"),
    [
        (None, {"type": "object", "properties": {}}),
        ({}, {"type": "object", "properties": {}}),
        ({"properties": {"a": {}}}, {"type": "object", "properties": {"a": {}}}),
        (
            {"anyOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]},
            {"type": "object", "properties": {"a": {}, "b": {}}},
        ),
    ],
)
def test_a_tool_has_a_schema_of_an_object(schema: Any, made: Any) -> None:
    body, _ = written(asked(tools=[ir.Tool("f", schema=schema)]))

    assert body["tools"] == [{"name": "f", "input_schema": made}]


@pytest.mark.parametrize("strict", [True, False])
def test_an_older_model_enforces_no_schema_and_that_is_told_to_who_asked(strict: bool) -> None:
    body, dropped = written(
        asked(tools=[ir.Tool("f", schema=TOOL.schema, strict=strict)]), "claude-sonnet-4-0"
    )

    assert "strict" not in body["tools"][0]
    assert list(dropped) == (["tool.strict"] if strict else [])


def test_a_strict_tool_is_closed() -> None:
    tool = ir.Tool("f", schema=TOOL.schema, strict=True)

    body, dropped = written(asked(tools=[tool]))

    assert body["tools"][0]["strict"]
    assert body["tools"][0]["input_schema"]["additionalProperties"] is False
    assert dropped == {}


def test_no_tool_is_offered_twice() -> None:
    body, dropped = written(asked(tools=[TOOL, TOOL]))

    assert [tool["name"] for tool in body["tools"]] == ["f"]
    assert dropped == {}


def test_free_text_is_the_one_argument_of_a_function() -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: /a+/"}
    tools: list[ir.Tool | ir.ServerTool] = [
        ir.Tool("apply.patch", "Edits.", custom=True, format=grammar)
    ]
    asked_ = asked(
        said("Go"),
        ir.Message(
            "assistant", [call(name="apply.patch", arguments='{"is": "text"}', custom=True)]
        ),
        result(custom=True),
        tools=tools,
        tool_choice=ir.ToolChoice("tool", ["apply.patch"]),
    )

    body, dropped = written(asked_)

    name = TOOLS.made("apply.patch")
    (made,) = body["tools"]
    assert made["input_schema"] == FREE_TEXT
    assert made["description"].endswith("start: /a+/")
    assert body["tool_choice"] == {"type": "tool", "name": name}
    assert (made["name"], body["messages"][1]["content"][0]["name"]) == (name, name)
    assert body["messages"][1]["content"][0]["input"] == {"input": '{"is": "text"}'}
    assert list(dropped) == ["tool.custom"]


def test_a_result_of_no_call_becomes_words_of_the_user() -> None:
    body, dropped = written(
        asked(said("Go"), ir.Message("assistant", [ir.Text("No.")]), result("gone"), said("So?"))
    )

    assert body["messages"][2]["content"] == [
        {"type": "text", "text": "ok"},
        {"type": "text", "text": "So?"},
    ]
    assert list(dropped) == ["tool_result"]


def test_tools_of_the_past_are_named() -> None:
    body, _ = written(asked(said("Go"), ir.Message("assistant", [call()]), result()))

    assert [tool["name"] for tool in body["tools"]] == ["f"]
    assert body["tool_choice"] == {"type": "none"}


def test_another_familys_search_becomes_its_own() -> None:
    place = {"city": "Oslo", "country": "NO"}
    tools = [
        ir.ServerTool("openai", "web_search", allowed_domains=["a.example"], location=place),
        ir.ServerTool("gemini", "web_fetch", max_uses=2, blocked_domains=["b.example"]),
        ir.ServerTool("openai", "code_execution"),
    ]

    body, dropped = written(asked(tools=list(tools)))

    assert body["tools"] == [
        {
            "type": "web_search_20250305",
            "name": "web_search",
            "allowed_domains": ["a.example"],
            "user_location": {"type": "approximate", **place},
        },
        {
            "type": "web_fetch_20250910",
            "name": "web_fetch",
            "blocked_domains": ["b.example"],
            "max_uses": 2,
        },
        {"type": "code_execution_20250825", "name": "code_execution"},
    ]
    assert dropped == {}


# --- formats -------------------------------------------------------------------------------------------------

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}}


def test_a_schema_is_closed_and_what_it_cannot_count_is_told() -> None:
    body, dropped = written(asked(format=ir.Format("schema", "x", schema=SCHEMA)))

    assert body["output_config"]["format"] == {
        "type": "json_schema",
        "schema": {
            "type": "object",
            "properties": {"a": {"type": "integer", "description": "{minimum: 1}"}},
            "additionalProperties": False,
        },
    }
    assert list(dropped) == ["format.schema"]
    assert SCHEMA["properties"] == {"a": {"type": "integer", "minimum": 1}}


def test_json_is_had_by_way_of_a_tool_and_known_again() -> None:
    body, dropped = written(asked(format=ir.Format("json")))

    assert body["tool_choice"] == {"type": "tool", "name": "json_response"}
    assert dropped == {}
    assert CODEC.parse_request is not None
    again = CODEC.parse_request(orjson.dumps(body))
    assert again.format == ir.Format("json")
    assert (again.tools, again.tool_choice) == ([], None)


@pytest.mark.parametrize(
    ("request_", "model"),
    [
        (asked(format=ir.Format("json"), tools=[TOOL]), "claude-sonnet-4-5"),
        (asked(format=ir.Format("json")), "claude-opus-5-5"),
    ],
)
def test_json_is_dropped_beside_tools_and_where_nothing_is_forced(
    request_: ir.Request, model: str
) -> None:
    body, dropped = written(request_, model)

    assert "json_response" not in str(body)
    assert list(dropped) == ["format.json"]


def test_old_models_follow_a_schema_by_way_of_a_tool() -> None:
    body, _ = written(asked(format=ir.Format("schema", schema=SCHEMA)), "claude-3-5-haiku-latest")

    assert body["tools"][0]["input_schema"] == SCHEMA
    assert body["tool_choice"] == {"type": "tool", "name": "json_response"}


# --- thinking ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("thinking", "model", "made", "effort", "limit", "dropped"),
    [
        (ir.Thinking("high"), OPUS, {"type": "adaptive"}, "high", 100, []),
        (ir.Thinking("minimal"), OPUS, {"type": "adaptive"}, "low", 100, []),
        (ir.Thinking("xhigh"), OPUS, {"type": "adaptive"}, "high", 100, []),
        (ir.Thinking("xhigh"), "claude-opus-4-8", {"type": "adaptive"}, "xhigh", 100, []),
        (
            ir.Thinking("low", visible=True),
            "claude-sonnet-5",
            {"type": "adaptive", "display": "summarized"},
            "low",
            100,
            [],
        ),
        (
            ir.Thinking(budget=-1, visible=False),
            OPUS,
            {"type": "adaptive", "display": "omitted"},
            None,
            100,
            [],
        ),
        (
            ir.Thinking(budget=3000),
            OPUS,
            {"type": "enabled", "budget_tokens": 3000},
            None,
            3100,
            [],
        ),
        (
            ir.Thinking(budget=3000),
            "claude-opus-4-7",
            {"type": "adaptive"},
            "medium",
            100,
            ["thinking.budget"],
        ),
        (
            ir.Thinking("medium"),
            "claude-sonnet-4-5",
            {"type": "enabled", "budget_tokens": 8192},
            None,
            8292,
            [],
        ),
        (
            ir.Thinking("max"),
            "claude-haiku-4-5",
            {"type": "enabled", "budget_tokens": 63900},
            None,
            64000,
            [],
        ),
        (
            ir.Thinking(budget=10),
            "glm-5",
            {"type": "enabled", "budget_tokens": 1024},
            None,
            1124,
            ["thinking.budget"],
        ),
        (ir.Thinking("none"), "claude-sonnet-4-5", {"type": "disabled"}, None, 100, []),
        (ir.Thinking(budget=0), "claude-sonnet-5-5", {"type": "between_tools"}, None, 100, []),
        (ir.Thinking("none"), "claude-opus-5-5", None, "low", 100, ["thinking.off"]),
        (ir.Thinking("none"), "claude-3-5-haiku-latest", None, None, 100, []),
        (ir.Thinking("high"), "claude-3-5-haiku-latest", None, None, 100, ["thinking.effort"]),
        (ir.Thinking(visible=True), "claude-sonnet-4-5", None, None, 100, ["thinking.visible"]),
        (
            ir.Thinking(visible=True),
            "claude-opus-5",
            {"type": "adaptive", "display": "summarized"},
            None,
            100,
            [],
        ),
    ],
)
def test_thinking_is_asked_for_in_the_way_of_the_model(
    thinking: ir.Thinking, model: str, made: Any, effort: Any, limit: int, dropped: list[str]
) -> None:
    body, lost = written(asked(thinking=thinking, max_tokens=100), model)

    assert body.get("thinking") == made
    assert body.get("output_config", {}).get("effort") == effort
    assert body["max_tokens"] == limit
    assert list(lost) == dropped


def test_a_limit_that_is_larger_than_the_budget_stays() -> None:
    body, _ = written(asked(thinking=ir.Thinking("low"), max_tokens=5000))

    assert (body["thinking"]["budget_tokens"], body["max_tokens"]) == (1024, 5000)


def test_sampling_gives_way_to_thinking() -> None:
    request = asked(thinking=ir.Thinking("low"), temperature=0.3, top_k=5)

    body, dropped = written(request)

    assert not {"temperature", "top_k"} & body.keys()
    assert list(dropped) == ["temperature", "top_k"]


@pytest.mark.parametrize("model", ["claude-sonnet-4-5", OPUS])
def test_thinking_gives_way_to_a_forced_call(model: str) -> None:
    request = asked(
        thinking=ir.Thinking("low"), tools=[TOOL], tool_choice=ir.ToolChoice("required")
    )

    body, dropped = written(request, model)

    assert "thinking" not in body
    assert list(dropped) == ["thinking.effort"]


OPEN = [said("Go"), ir.Message("assistant", [call()]), result()]
SIGNED = [
    said("Go"),
    ir.Message("assistant", [ir.Reasoning("Hm", "sig", "anthropic"), call()]),
    result(),
]


def test_an_open_turn_without_its_thoughts_is_finished_without_thinking() -> None:
    body, dropped = written(asked(*OPEN, tools=[TOOL], thinking=ir.Thinking("low")))

    assert "thinking" not in body
    assert list(dropped) == ["thinking.effort"]


@pytest.mark.parametrize(
    ("told", "model"),
    [
        (SIGNED, "claude-sonnet-4-5"),
        (OPEN, "claude-opus-4-8"),
        ([*OPEN, said("Done", "assistant"), said("More")], "claude-sonnet-4-5"),
    ],
)
def test_thinking_goes_on_where_the_thoughts_are_shown_or_not_missed(
    told: list[ir.Message], model: str
) -> None:
    body, dropped = written(asked(*told, tools=[TOOL], thinking=ir.Thinking("low")), model)

    assert body["thinking"]["type"] in ("enabled", "adaptive")
    assert dropped == {}


def test_an_answer_that_has_begun_is_finished_without_thinking() -> None:
    request = asked(said("Hi"), said("It", "assistant"), thinking=ir.Thinking("low"))

    body, dropped = written(request)

    assert "thinking" not in body
    assert list(dropped) == ["thinking.effort"]


# --- counting, and the rest ----------------------------------------------------------------------------------


def test_a_question_for_a_count_is_the_prompt_alone() -> None:
    assert CODEC.count is not None
    request = asked(said("S", "system"), said("Hi"), tools=[TOOL], temperature=0.5, stop=["x"])

    body = orjson.loads(CODEC.count.render(request, Target("claude-sonnet-4-5"), Loss()))

    assert body.keys() == {"model", "system", "messages", "tools"}


@pytest.mark.parametrize(
    ("raw", "tokens"),
    [(b'{"input_tokens": 12}', 12), (b'{"input_tokens": true}', None), (b"{}", None), (b"x", None)],
)
def test_a_count_is_read(raw: bytes, tokens: int | None) -> None:
    assert CODEC.count is not None

    assert CODEC.count.parse(raw) == tokens
    assert CODEC.count.answer(12) == b'{"input_tokens":12}'


def test_a_request_is_written_as_often_as_it_is_tried() -> None:
    assert CODEC.parse_request is not None
    for name in ("agent", "unknown-fields", "documents"):
        request = CODEC.parse_request(fixture(f"{name}.request.json"))
        first = rendered(request)
        request.origin = "openai.chat"
        other = rendered(request)
        request.origin = "anthropic.messages"

        assert rendered(request) == first
        request.origin = "openai.chat"
        assert rendered(request) == other


@settings(max_examples=200)
@given(path=st.sampled_from(REQUESTS), choose=st.data())
def test_no_request_is_answered_by_a_traceback(path: Path, choose: st.DataObject) -> None:
    assert CODEC.count is not None
    assert CODEC.count.parse_request is not None
    body = mutate(orjson.loads(path.read_bytes()), choose)
    try:
        request = CODEC.count.parse_request(orjson.dumps(body))
        request.origin, request.musts = "openai.chat", {}

        for model in ("claude-sonnet-4-5", "claude-opus-5-5"):
            rendered(request, model)
    except ProxyError:
        pass


def test_what_is_nested_too_deeply_is_refused() -> None:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(5000):
        schema = {"type": "object", "properties": {"a": schema}}

    with pytest.raises(ProxyError):
        rendered(asked(format=ir.Format("schema", schema=schema)))


def test_an_agent_of_this_dialect_could_be_served_by_any_model() -> None:
    assert CODEC.parse_request is not None
    request = CODEC.parse_request(fixture("agent.request.json"))
    request.origin = "openai.chat"

    for model in ("claude-sonnet-4-5", OPUS, "claude-opus-5-5", "glm-5"):
        body, _ = written(request, model)
        assert len(body["tools"]) == 30
