"""Requests of any dialect as a chat provider is sent them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.core.errors import ProxyError
from proxy.dialects import ir
from proxy.dialects.openai_chat import DIALECT
from tests.dialects.choices import lossy, rendered

CODEC = DIALECT.codec
assert CODEC is not None
TOOL = ir.Tool("f", "Does it", {"type": "object", "properties": {}})
CALL = ir.ToolCall("call_1", "f", '{"a":1}')
EXACT = {"type": "object", "properties": {}, "additionalProperties": False}
FIELDS_OF = {
    "verbosity": "verbosity",
    "cache_key": "prompt_cache_key",
    "cache_retention": "prompt_cache_retention",
}
PNG = ir.Media("image", mime="image/png", data="aGk=")
PDF = ir.Media("document", mime="application/pdf", data="JVBERi0=", name="a.pdf")


def made(*messages: ir.Message, model: str = "m", **fields: Any) -> dict[str, Any]:
    return lost(*messages, model=model, **fields)[0]


def lost(
    *messages: ir.Message, model: str = "m", **fields: Any
) -> tuple[dict[str, Any], list[str]]:
    assert CODEC is not None
    turns = list(messages) or [user(ir.Text("Hi"))]
    fields.setdefault("origin", "anthropic.messages")
    return lossy(CODEC, ir.Request(messages=turns, **fields), model)


def user(*blocks: ir.Block) -> ir.Message:
    return ir.Message("user", list(blocks))


def assistant(*blocks: ir.Block) -> ir.Message:
    return ir.Message("assistant", list(blocks))


def result(*content: ir.Text | ir.Media | ir.Opaque, id: str = "call_1") -> ir.ToolResult:
    return ir.ToolResult(id, "f", list(content))


def test_the_model_and_the_stream_are_the_targets() -> None:
    assert CODEC is not None
    request = ir.Request(model="alias", messages=[user(ir.Text("Hi"))], stream=False)

    assert rendered(CODEC, request, "real", stream=True) == {
        "model": "real",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@pytest.mark.parametrize(
    ("model", "field"),
    [
        ("o3-mini", "max_completion_tokens"),
        ("gpt-5", "max_completion_tokens"),
        ("openai/gpt-5.2", "max_completion_tokens"),
        ("gpt-6-nano", "max_completion_tokens"),
        ("gpt-5-chat-latest", "max_tokens"),
        ("gpt-4.1", "max_tokens"),
        ("openai/gpt-oss-120b", "max_tokens"),
        ("deepseek-chat", "max_tokens"),
    ],
)
def test_the_limit_is_called_what_the_model_knows(model: str, field: str) -> None:
    body = made(model=model, max_tokens=9)

    assert body[field] == 9
    assert {"max_tokens", "max_completion_tokens"} & set(body) == {field}


def test_text_alone_is_a_string_and_joined() -> None:
    body = made(user(ir.Text("One"), ir.Text("Two")), assistant(ir.Text("a "), ir.Text("b")))

    assert [message["content"] for message in body["messages"]] == ["One\n\nTwo", "a b"]


def test_instructions_are_said_by_the_system_wherever_they_are() -> None:
    body = made(
        ir.Message("system", [ir.Text("One")]),
        ir.Message("developer", [ir.Text("Two")]),
        user(ir.Text("Hi")),
        assistant(ir.Text("Yes")),
        ir.Message("system", [ir.Text("Three")]),
        user(ir.Text("Go")),
    )

    assert [message["role"] for message in body["messages"]] == [
        "system", "user", "assistant", "system", "user",
    ]  # fmt: skip
    assert body["messages"][0]["content"] == "One\n\nTwo"


def test_media_are_parts() -> None:
    body = made(
        user(
            ir.Text("See"),
            ir.Media("image", url="https://example.com/a.png", detail="low"),
            PNG,
            PDF,
            ir.Media("document", mime="text/plain", text="Hello", name="b.txt"),
            ir.Media("audio", mime="audio/mpeg", data="SUQz"),
            ir.Media("video", mime="video/mp4", data="AAAA"),
        )
    )

    assert body["messages"][0]["content"] == [
        {"type": "text", "text": "See"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
        {
            "type": "file",
            "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"},
        },
        {"type": "text", "text": "b.txt:\nHello"},
        {"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mp3"}},
        {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}},
    ]


def test_what_has_no_part_is_counted() -> None:
    _, dropped = lost(
        user(
            ir.Text("See"),
            ir.Media("document", url="https://example.com/a.pdf"),
            ir.Media("image", file_id="f", origin="anthropic"),
            ir.Media("audio", url="https://example.com/a.mp3"),
            ir.Opaque("anthropic", "search_result"),
        )
    )

    assert set(dropped) == {"document.url", "image.file", "audio.url", "opaque"}


def test_results_follow_their_calls_and_images_follow_all_results() -> None:
    body = made(
        assistant(CALL, ir.ToolCall("call_2", "f")),
        user(result(ir.Text("Here"), PNG), result(PDF, id="call_2"), ir.Text("Well?")),
        tools=[TOOL],
    )

    assert body["messages"] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
                {"id": "call_2", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "Here"},
        {"role": "tool", "tool_call_id": "call_2", "content": ""},
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
                {
                    "type": "file",
                    "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"},
                },
            ],
        },
        {"role": "user", "content": "Well?"},
    ]  # fmt: skip


def test_results_come_first_though_they_were_said_last() -> None:
    body = made(assistant(CALL), user(ir.Text("By the way")), user(result(ir.Text("1"))))

    assert [message["role"] for message in body["messages"]] == ["assistant", "tool", "user"]


def test_a_result_nobody_asked_for_is_said_by_the_user() -> None:
    body, dropped = lost(user(ir.Text("Hi")), assistant(ir.Text("Yes")), user(result(ir.Text("1"))))

    said = body["messages"][-1]
    assert said == {"role": "user", "content": "1"}
    assert dropped == ["tool_result"]


def test_pieces_of_one_answer_become_one_message() -> None:
    body = made(
        assistant(ir.Reasoning("Hm", "sig", "anthropic")),
        assistant(ir.Text("Let me see.")),
        assistant(CALL),
        assistant(ir.ToolCall("call_2", "f")),
        user(result(ir.Text("1")), result(ir.Text("2"), id="call_2")),
    )

    first = body["messages"][0]
    assert first["content"] == "Let me see."
    assert first["reasoning_content"] == "Hm"
    assert len(first["tool_calls"]) == 2


@pytest.mark.parametrize(
    ("model", "field"),
    [
        ("deepseek-reasoner", "reasoning_content"),
        ("m", "reasoning_content"),
        ("openai/gpt-oss-120b", "reasoning"),
        ("mistral-large-latest", None),
        ("gpt-5", None),
    ],
)
def test_thoughts_go_where_the_provider_takes_them(model: str, field: str | None) -> None:
    body, dropped = lost(user(), assistant(ir.Reasoning("Hm"), ir.Text("a")), user(), model=model)

    answer = body["messages"][1]
    assert ({"reasoning_content", "reasoning"} & set(answer)) == ({field} if field else set())
    assert ("thinking.text" in dropped) is (field is None)


def test_thoughts_of_magistral_are_parts() -> None:
    body = made(assistant(ir.Reasoning("Hm"), ir.Text("a")), user(), model="magistral-medium")

    assert body["messages"][0]["content"] == [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]},
        {"type": "text", "text": "a"},
    ]


def test_a_signature_goes_only_to_a_model_of_its_vendor() -> None:
    thought = assistant(ir.Reasoning("Hm", "sig", "anthropic"), ir.Text("a"))

    to_claude, kept = lost(thought, user(), model="anthropic/claude-sonnet-4.5")
    to_other, dropped = lost(thought, user(), model="deepseek-chat")

    assert to_claude["messages"][0]["reasoning_details"] == [
        {
            "type": "reasoning.text",
            "text": "Hm",
            "signature": "sig",
            "format": "anthropic-claude-v1",
            "index": 0,
        }
    ]
    assert kept == []
    assert "reasoning_details" not in to_other["messages"][0]
    assert dropped == ["thinking.signature"]


def test_a_calls_signature_goes_to_gemini_alone() -> None:
    call = ir.ToolCall("call_1", "f", "{}", signature="c2ln", origin="gemini")

    to_gemini = made(assistant(call), user(result()), model="gemini-3-pro")
    to_other, dropped = lost(assistant(call), user(result()))

    extra = to_gemini["messages"][0]["tool_calls"][0]["extra_content"]
    assert extra == {"google": {"thought_signature": "c2ln"}}
    assert "extra_content" not in to_other["messages"][0]["tool_calls"][0]
    assert "tool_call.signature" in dropped


def test_ids_and_names_are_ones_that_are_taken() -> None:
    call = ir.ToolCall("call:with spaces", "ns.tool:do", "{}")
    tool = ir.Tool("ns.tool:do")

    body = made(
        assistant(call),
        user(ir.ToolResult("call:with spaces")),
        tools=[tool],
        tool_choice=ir.ToolChoice("tool", ["ns.tool:do"]),
    )

    name = body["tools"][0]["function"]["name"]
    made_call = body["messages"][0]["tool_calls"][0]
    assert name.startswith("ns_tool_do_")
    assert made_call["function"]["name"] == name
    assert body["tool_choice"]["function"]["name"] == name
    assert made_call["id"] == body["messages"][1]["tool_call_id"]
    assert " " not in made_call["id"]


def test_tools_have_a_schema_and_a_choice_only_where_there_are_any() -> None:
    with_tools = made(
        model="gpt-5.1",
        tools=[ir.Tool("f", schema=EXACT, strict=True), ir.Tool("g", custom=True, format={"type": "grammar", "syntax": "lark", "definition": "x"})],
        tool_choice=ir.ToolChoice("allowed", ["g"], required=True),
        parallel_tool_calls=False,
    )  # fmt: skip
    without = made(tool_choice=ir.ToolChoice("none"), parallel_tool_calls=False)

    assert with_tools["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "f",
                "parameters": EXACT,
                "strict": True,
            },
        },
        {
            "type": "custom",
            "custom": {
                "name": "g",
                "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}},
            },
        },
    ]
    assert with_tools["tool_choice"] == {
        "type": "allowed_tools",
        "allowed_tools": {
            "mode": "required",
            "tools": [{"type": "custom", "custom": {"name": "g"}}],
        },
    }
    assert with_tools["parallel_tool_calls"] is False
    assert "tool_choice" not in without
    assert "parallel_tool_calls" not in without


@pytest.mark.parametrize(
    ("model", "missing"),
    [
        ("gpt-5.2", set()),
        ("gpt-4.1", {"verbosity"}),
        ("openai/gpt-oss-120b", {"verbosity", "cache_key", "cache_retention"}),
        ("mistral-large", {"verbosity", "cache_key", "cache_retention"}),
    ],
)
def test_hints_go_only_to_models_that_know_them(model: str, missing: set[str]) -> None:
    hints = {"verbosity": "low", "cache_key": "k", "cache_retention": "24h"}

    body, dropped = lost(model=model, **hints)
    as_it_came = made(model=model, origin="openai.chat", **hints)

    assert set(dropped) == missing
    assert body.keys() & FIELDS_OF.values() == {FIELDS_OF[name] for name in hints.keys() - missing}
    assert as_it_came.keys() >= {*FIELDS_OF.values()}


def test_all_that_the_system_says_at_the_start_is_one_message() -> None:
    turns = [
        ir.Message("system", [ir.Text("A")]),
        ir.Message("developer", [ir.Text("B")]),
        user(ir.Text("Hi")),
        ir.Message("developer", [ir.Text("C")]),
    ]

    joined = made(*turns, origin="openai.responses")["messages"]
    as_they_came = made(*turns, origin="openai.chat")["messages"]

    assert joined == [
        {"role": "system", "content": "A\n\nB"},
        {"role": "user", "content": "Hi"},
        {"role": "system", "content": "C"},
    ]
    assert [message["role"] for message in as_they_came] == [
        "system",
        "developer",
        "user",
        "developer",
    ]


def test_what_openai_does_not_enforce_is_not_to_be_enforced() -> None:
    schema = {**EXACT, "properties": {"a": {}, "b": {}}, "required": ["a"]}

    body, dropped = lost(tools=[ir.Tool("f", schema=schema, strict=True)])
    as_it_came = made(origin="openai.chat", tools=[ir.Tool("f", schema=schema, strict=True)])

    assert body["tools"][0]["function"]["strict"] is False
    assert dropped == ["tool.strict"]
    assert as_it_came["tools"][0]["function"]["strict"] is True


def test_who_knows_only_functions_is_given_free_text_as_one() -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: A"}
    call = ir.ToolCall("call_1", "patch", 'say "a"\n', custom=True)

    body, dropped = lost(
        user(ir.Text("Hi")),
        assistant(call),
        user(ir.ToolResult("call_1", "patch", [ir.Text("ok")], custom=True)),
        origin="openai.responses",
        model="deepseek-chat",
        tools=[ir.Tool("patch", "Patches", custom=True, format=grammar)],
        tool_choice=ir.ToolChoice("tool", ["patch"]),
    )

    (tool,) = body["tools"]
    assert tool["type"] == "function"
    assert tool["function"]["parameters"]["required"] == ["input"]
    assert "start: A" in tool["function"]["description"]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "patch"}}
    (called,) = body["messages"][1]["tool_calls"]
    assert called["type"] == "function"
    assert orjson.loads(called["function"]["arguments"]) == {"input": 'say "a"\n'}
    assert dropped == ["tool.custom"]


@pytest.mark.parametrize("schema", [{"type": "object"}, {"$schema": "s"}, {}, None])
def test_a_schema_without_properties_is_given_none(schema: dict[str, Any] | None) -> None:
    body = made(tools=[ir.Tool("f", schema=schema)])

    given = body["tools"][0]["function"]["parameters"]
    assert given == {**(schema or {}), "type": "object", "properties": {}}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (ir.ToolChoice("auto"), "auto"),
        (ir.ToolChoice("none"), "none"),
        (ir.ToolChoice("required"), "required"),
        (ir.ToolChoice("tool", ["f"]), {"type": "function", "function": {"name": "f"}}),
        # Who allows all of them needs no words that few providers know.
        (ir.ToolChoice("allowed", ["g", "f"], required=True), "required"),
        (ir.ToolChoice("allowed", ["f"]), "auto"),
    ],
)
def test_every_choice_is_said(choice: ir.ToolChoice, expected: object) -> None:
    assert made(tools=[TOOL], tool_choice=choice)["tool_choice"] == expected


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize("model", ["llama-3.3-70b", "openai/gpt-oss-120b", "my-gpt-4o", "deepseek"])
def test_who_does_not_know_allowed_tools_is_offered_no_others(model: str, required: bool) -> None:
    tools = [ir.Tool("f"), ir.Tool("g.h"), ir.ServerTool("openai", "web_search", {})]
    choice = ir.ToolChoice("allowed", ["g.h", "gone"], required)

    body = made(origin="gemini.generate", model=model, tools=tools, tool_choice=choice)

    names = [tool["function"]["name"] for tool in body["tools"]]
    assert len(names) == 1
    assert names[0].startswith("g_h_")
    assert body["tool_choice"] == ("required" if required else "auto")
    assert "web_search_options" not in body


def test_where_none_of_those_is_there_no_tool_is_offered() -> None:
    choice = ir.ToolChoice("allowed", ["gone"], required=True)

    body = made(model="llama", tools=[TOOL], tool_choice=choice)

    assert not body.keys() & {"tools", "tool_choice"}


def test_a_search_that_is_allowed_by_its_type_stays() -> None:
    search = ir.ServerTool("openai", "web_search", {"type": "web_search"})
    choice = ir.ToolChoice("allowed", [], extras={"tools": [{"type": "web_search"}]})

    body = made(origin="openai.responses", model="llama", tools=[TOOL, search], tool_choice=choice)

    assert "tools" not in body
    assert body["web_search_options"] == {}


def test_a_search_of_openais_becomes_options_and_any_other_tool_is_refused() -> None:
    search = ir.ServerTool("openai", "web_search", {"type": "web_search", "search_context_size": "low"}, location={"city": "Oslo"})  # fmt: skip

    body = made(origin="openai.responses", tools=[search])

    assert body["web_search_options"] == {
        "search_context_size": "low",
        "user_location": {"type": "approximate", "approximate": {"city": "Oslo"}},
    }
    for tool in (
        ir.ServerTool("openai", "code_interpreter"),
        ir.ServerTool("anthropic", "web_search"),
    ):
        with pytest.raises(ProxyError) as raised:
            made(tools=[tool])
        assert raised.value.code == "translation_not_supported"


@pytest.mark.parametrize(
    ("turns", "first", "size"),
    [
        ([user(ir.Text("Hi"))], "Answer in JSON.", 2),
        ([user(PNG, ir.Text("Hi"))], "Answer in JSON.", 2),
        (
            [ir.Message("system", [ir.Text("Be kind.")]), user(ir.Text("Hi"))],
            "Be kind.\n\nAnswer in JSON.",
            2,
        ),
        ([user(ir.Text("Hi, as Json"))], "Hi, as Json", 1),
    ],
)
def test_the_word_is_said_without_which_json_is_refused(
    turns: list[ir.Message], first: str, size: int
) -> None:
    body = made(*turns, origin="gemini.generate", format=ir.Format("json"))

    assert body["messages"][0]["content"] == first
    assert len(body["messages"]) == size


def test_values_out_of_range_are_clamped_and_counted() -> None:
    body, dropped = lost(
        temperature=3,
        top_p=1.5,
        presence_penalty=-9,
        logprobs=True,
        top_logprobs=50,
        stop=["a", "", "b", "c", "d", "e"],
        logit_bias={"1": 500},
        service_tier="standard_only",
        verbosity="huge",
        metadata={"a": "b", "c": 1},
    )

    assert body["temperature"] == 2
    assert body["top_p"] == 1
    assert body["presence_penalty"] == -2
    assert body["top_logprobs"] == 20
    assert body["stop"] == ["a", "b", "c", "d"]
    assert body["logit_bias"] == {"1": 100}
    assert body["metadata"] == {"a": "b"}
    assert "service_tier" not in body
    assert "verbosity" not in body
    assert set(dropped) == {
        "temperature", "top_p", "presence_penalty", "top_logprobs", "stop", "logit_bias", "service_tier",
        "verbosity", "metadata",
    }  # fmt: skip


def test_a_temperature_of_zero_is_said() -> None:
    assert made(temperature=0)["temperature"] == 0


def test_openais_reasoning_models_are_not_sent_what_they_refuse() -> None:
    body, dropped = lost(model="gpt-5", temperature=0.2, top_p=1, stop=["a"])

    assert not {"temperature", "top_p", "stop"} & set(body)
    assert set(dropped) == {"temperature", "stop"}


@pytest.mark.parametrize(
    ("model", "thinking", "word", "dropped"),
    [
        ("m", ir.Thinking("high"), "high", []),
        ("m", ir.Thinking("max"), "high", ["thinking.effort"]),
        ("m", ir.Thinking("none"), "none", []),
        ("m", ir.Thinking(budget=0), "none", []),
        ("m", ir.Thinking(budget=1024), "low", []),
        ("m", ir.Thinking(budget=-1), None, []),
        ("o3", ir.Thinking("none"), "low", ["thinking.off"]),
        ("gpt-5-mini", ir.Thinking("minimal"), "minimal", []),
        ("gpt-5.2", ir.Thinking("max"), "xhigh", ["thinking.effort"]),
        ("deepseek-v4", ir.Thinking("max"), "max", []),
        ("gpt-4.1", ir.Thinking("high"), None, ["thinking.effort"]),
        ("gpt-4.1", ir.Thinking(budget=9000), None, ["thinking.budget"]),
        ("gpt-4.1", ir.Thinking("none"), None, []),
    ],
)
def test_how_much_to_think_is_a_word_the_model_knows(
    model: str, thinking: ir.Thinking, word: str | None, dropped: list[str]
) -> None:
    body, names = lost(model=model, thinking=thinking)

    assert body.get("reasoning_effort") == word
    assert names == dropped


def test_formats_are_said() -> None:
    schema = {"type": "object"}

    assert "response_format" not in made(format=ir.Format("text"))
    assert made(format=ir.Format("json"))["response_format"] == {"type": "json_object"}
    assert made(format=ir.Format("schema"))["response_format"] == {"type": "json_object"}
    assert made(format=ir.Format("schema", schema=schema, strict=True))["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "response", "schema": schema, "strict": True},
    }


def test_marks_of_a_cache_are_dropped_and_counted() -> None:
    body, dropped = lost(user(ir.Text("Hi", cache=ir.Cache("1h"))))

    assert body["messages"] == [{"role": "user", "content": "Hi"}]
    assert dropped == ["cache", "cache.ttl"]


def test_sound_is_asked_of_nobody_without_a_voice() -> None:
    body, dropped = lost(modalities=["text", "audio"])
    images = made(modalities=["image", "text"], model="google/gemini-2.5-flash-image")

    assert "modalities" not in body
    assert dropped == ["modalities"]
    assert images["modalities"] == ["text", "image"]


def test_names_of_speakers_have_no_spaces() -> None:
    assert made(ir.Message("user", [ir.Text("a")], "Ann B"))["messages"][0]["name"] == "Ann_B"
