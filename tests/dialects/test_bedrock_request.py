"""Requests written for Converse: nothing the service refuses, and everything lost is said."""

from __future__ import annotations

import copy
from base64 import b64encode
from typing import Any

import orjson
import pytest
from hypothesis import given

from proxy.core.errors import ProxyError
from proxy.dialects import DIALECTS, ir
from proxy.dialects.arguments import FREE_TEXT
from proxy.dialects.base import Target
from proxy.dialects.bedrock.models import model
from proxy.dialects.bedrock.words import TOOLS
from proxy.dialects.loss import Loss
from proxy.dialects.names import Names
from tests.dialects.checkers.bedrock import check_request
from tests.dialects.examples import requests

SONNET = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
OPUS = "global.anthropic.claude-opus-4-7-v1:0"
NOVA = "us.amazon.nova-2-lite-v1:0"
LLAMA = "meta.llama3-3-70b-instruct-v1:0"
GPT = "openai.gpt-oss-120b-1:0"
PROFILE = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/ab12cd34"
ALL = (SONNET, OPUS, NOVA, LLAMA, GPT, PROFILE)
FILLER = {"role": "user", "content": [{"text": "."}]}
WEATHER = ir.Tool("get_weather", "Weather", {"type": "object", "properties": {"city": {}}})


def user(*blocks: ir.Block | str) -> ir.Message:
    return ir.Message("user", [ir.Text(b) if isinstance(b, str) else b for b in blocks])


def assistant(*blocks: ir.Block | str) -> ir.Message:
    return ir.Message("assistant", [ir.Text(b) if isinstance(b, str) else b for b in blocks])


def system(*blocks: ir.Block | str) -> ir.Message:
    return ir.Message("system", [ir.Text(b) if isinstance(b, str) else b for b in blocks])


def rendered(request: ir.Request, name: str = SONNET) -> tuple[dict[str, Any], set[str]]:
    """(body, features lost) of a request, which must be one the service takes."""
    codec = DIALECTS["bedrock.converse"].codec
    assert codec is not None
    assert codec.render_request is not None
    loss = Loss()
    before = copy.deepcopy(request)
    body = codec.render_request(request, Target(name), loss)
    assert request == before
    assert check_request(body) == []
    return orjson.loads(body), set(loss.names.values())


def asked(*messages: ir.Message, **fields: Any) -> ir.Request:
    return ir.Request(model="m", messages=list(messages) or [user("Hi")], **fields)


def told(*messages: ir.Message, name: str = SONNET) -> tuple[list[Any], set[str]]:
    body, lost = rendered(asked(*messages), name)
    return body["messages"], lost


# --- turns ---


def test_the_shortest_question() -> None:
    assert rendered(asked()) == (
        {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]},
        set(),
    )


def test_neighbours_are_one_turn_and_blank_texts_are_none() -> None:
    messages, lost = told(user("a"), user(" \n"), user("b"), assistant(""), user("c"))

    assert messages == [{"role": "user", "content": [{"text": "a"}, {"text": "b"}, {"text": "c"}]}]
    assert lost == set()


@pytest.mark.parametrize("messages", [[], [assistant("Hello"), user("Hi")], [system("Be good.")]])
def test_the_user_speaks_first(messages: list[ir.Message]) -> None:
    body, _ = rendered(ir.Request(messages=messages))

    assert body["messages"][0] == FILLER


def test_instructions_have_a_place_of_their_own_wherever_they_stood() -> None:
    body, lost = rendered(
        asked(
            system("One.", ir.Text("Two.", cache=ir.Cache("1h"))),
            ir.Message("developer", [ir.Text("Three."), ir.Text(" ")]),
            user("Hi"),
            system("Four.", ir.Media("image", mime="image/png", data="AAAA")),
        )
    )

    assert body["system"] == [
        {"text": "One."},
        {"text": "Two."},
        {"cachePoint": {"type": "default", "ttl": "1h"}},
        {"text": "Three."},
        {"text": "Four."},
    ]
    assert lost == {"system"}


def test_the_beginning_of_an_answer_ends_without_space_or_is_not_possible() -> None:
    messages, lost = told(user("Hi"), assistant("Sure: "))
    later, dropped = told(user("Hi"), assistant("Sure: "), name=OPUS)

    assert (messages[-1], lost) == ({"role": "assistant", "content": [{"text": "Sure:"}]}, set())
    assert (later[-1], dropped) == (FILLER, {"prefill"})


def test_results_come_first_with_their_marks() -> None:
    call = ir.ToolCall("call_1", "get_weather", '{"city":"Paris"}')
    result = ir.ToolResult("call_1", "get_weather", [ir.Text("sun")], cache=ir.Cache())

    messages, _ = told(user("Hi"), assistant(call), user("Well?", result))

    assert messages[1]["content"] == [
        {"toolUse": {"toolUseId": "call_1", "name": "get_weather", "input": {"city": "Paris"}}}
    ]
    assert messages[2]["content"] == [
        {"toolResult": {"toolUseId": "call_1", "content": [{"text": "sun"}]}},
        {"cachePoint": {"type": "default"}},
        {"text": "Well?"},
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        (" ", {}),
        ("null", {}),
        ('{"a":1}', {"a": 1}),
        ("[1]", {"input": [1]}),
        ("{oops", {"input": "{oops"}),
    ],
)
def test_arguments_are_an_object(text: str, expected: Any) -> None:
    result = ir.ToolResult("c", "f", [ir.Text("x")])
    messages, _ = told(user("Hi"), assistant(ir.ToolCall("c", "f", text)), user(result))

    assert messages[1]["content"][0]["toolUse"]["input"] == expected


def test_a_result_holds_images_and_documents_and_a_sound_follows_it() -> None:
    image = ir.Media("image", data="iVBORw0KGgo=", cache=ir.Cache())
    sound = ir.Media("audio", mime="audio/wav", data="UklGRg==")
    result = ir.ToolResult("c 1", "f", [ir.Text(" "), image, sound], is_error=True)

    messages, lost = told(user("Hi"), assistant(ir.ToolCall("c 1", "f")), user(result))

    content = messages[2]["content"]
    assert content[0]["toolResult"]["content"] == [
        {"image": {"format": "png", "source": {"bytes": "iVBORw0KGgo="}}}
    ]
    assert content[0]["toolResult"]["status"] == "error"
    assert (
        content[0]["toolResult"]["toolUseId"] == messages[1]["content"][0]["toolUse"]["toolUseId"]
    )
    assert [*content[1]] == ["audio"]
    assert content[2] == {"cachePoint": {"type": "default"}}
    assert lost == set()


def test_a_result_that_says_nothing_says_a_dot() -> None:
    result = ir.ToolResult("c", "f", is_error=True)

    messages, lost = told(user("Hi"), assistant(ir.ToolCall("c", "f")), user(result), name=LLAMA)

    assert messages[2]["content"] == [
        {"toolResult": {"toolUseId": "c", "content": [{"text": "."}]}}
    ]
    assert lost == {"tool_result.error"}


def test_signed_thoughts_go_back_and_others_go() -> None:
    signed = ir.Reasoning("Hm.", "Eq==", "anthropic")
    hidden = ir.Reasoning("", "Er==", "anthropic", redacted=True)
    own = ir.Reasoning("", "/v7/", "bedrock", redacted=True)
    foreign = ir.Reasoning("Hm?", "x", "openai")
    plain = ir.Reasoning("Well")

    messages, lost = told(
        user("Hi"), assistant(signed, hidden, own, foreign, plain, "Yes"), user("?")
    )
    other, dropped = told(user("Hi"), assistant(signed, own, "Yes"), user("?"), name=NOVA)

    assert messages[1]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "Eq=="}}},
        {"reasoningContent": {"redactedContent": b64encode(b"Er==").decode()}},
        {"reasoningContent": {"redactedContent": "/v7/"}},
        {"text": "Yes"},
    ]
    assert lost == {"thinking.signature", "thinking.text"}
    assert [*other[1]["content"][0]["reasoningContent"]] == ["redactedContent"]
    assert dropped == {"thinking.signature", "thinking.text"}


def test_thoughts_are_not_the_end_of_a_turn() -> None:
    signed = ir.Reasoning("Hm.", "Eq==", "anthropic")

    messages, lost = told(user("Hi"), assistant(signed), user("Go on"))

    assert messages == [{"role": "user", "content": [{"text": "Hi"}, {"text": "Go on"}]}]
    assert lost == {"thinking.signature"}


def test_a_refusal_is_text_and_citations_of_others_are_lost() -> None:
    own = ir.Citation(origin="bedrock", own={"title": "t"})
    messages, lost = told(
        user("Hi"),
        assistant(
            ir.Refusal("No."),
            ir.Text("a", citations=[own]),
            ir.Text("b", citations=[ir.Citation(url="https://x.example")]),
            ir.Opaque("bedrock", "guardContent", {"text": {"text": "x"}}),
            ir.Opaque("openai", "web_search_call", {}),
        ),
        user("Why?"),
    )

    assert messages[1]["content"] == [
        {"text": "No."},
        {"citationsContent": {"content": [{"text": "a"}], "citations": [{"title": "t"}]}},
        {"text": "b"},
        {"guardContent": {"text": {"text": "x"}}},
    ]
    assert lost == {"refusal", "citations", "opaque"}


# --- media ---


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (ir.Media("image", mime="image/jpg", data="AAAA"), {"format": "jpeg", "source": {"bytes": "AAAA"}}),
        (ir.Media("image", data="/9j/AAAA"), {"format": "jpeg", "source": {"bytes": "/9j/AAAA"}}),
        (
            ir.Media("image", url="s3://bucket/cat.webp"),
            {"format": "webp", "source": {"s3Location": {"uri": "s3://bucket/cat.webp"}}},
        ),
        (ir.Media("audio", mime="audio/mpeg; x=1", data="AAAA"), {"format": "mp3", "source": {"bytes": "AAAA"}}),
        (ir.Media("video", mime="video/3gpp", data="AAAA"), {"format": "three_gp", "source": {"bytes": "AAAA"}}),
        (
            ir.Media("document", name="A report.PDF", data="AAAA", context="c", citations=True),
            {
                "format": "pdf", "source": {"bytes": "AAAA"}, "name": "A report",
                "context": "c", "citations": {"enabled": True},
            },
        ),
        (
            ir.Media("document", mime="text/x-python", text="print(1)"),
            {"format": "txt", "source": {"text": "print(1)"}, "name": "document"},
        ),
        (
            ir.Media("document", mime="text/markdown", data="AAAA", name="x"),
            {"format": "md", "source": {"bytes": "AAAA"}, "name": "x"},
        ),
    ],
)  # fmt: skip
def test_a_medium_has_a_format_and_a_source(block: ir.Media, expected: Any) -> None:
    messages, lost = told(user("Look", block))

    assert messages[0]["content"][1] == {block.kind: expected}
    assert lost == set()


@pytest.mark.parametrize(
    ("block", "feature"),
    [
        (ir.Media("image", url="https://example.com/a.png"), "image.url"),
        (ir.Media("image", file_id="file-1", origin="openai"), "image.file"),
        (ir.Media("image", mime="image/tiff", data="AAAA"), "image.data"),
        (ir.Media("document", mime="application/zip", data="AAAA"), "document.data"),
        (ir.Media("audio", mime="audio/x-odd", data="AAAA"), "audio.data"),
    ],
)
def test_a_medium_without_a_place_is_left_out_and_said(block: ir.Media, feature: str) -> None:
    messages, lost = told(user("Look", block))

    assert messages == [{"role": "user", "content": [{"text": "Look"}]}]
    assert lost == {feature}


def test_a_document_stands_beside_some_text_and_has_a_name_of_its_own() -> None:
    documents = [
        ir.Media("document", mime="application/pdf", data="AAAA", name=name)
        for name in ("a_b?.pdf", "a b", "", "x" * 300)
    ]

    messages, lost = told(user(*documents))

    content = messages[0]["content"]
    names = [block["document"]["name"] for block in content[:-1]]
    assert names == ["a b", "a b 2", "document", "x" * 200]
    assert content[-1] == {"text": "."}
    assert lost == {"document.name"}


def test_a_plain_text_is_bytes_for_those_who_know_no_other() -> None:
    messages, _ = told(user("Read", ir.Media("document", text="水")), name=NOVA)

    source = messages[0]["content"][1]["document"]["source"]
    assert source == {"bytes": b64encode("水".encode()).decode()}


def test_media_of_the_model_itself_have_no_place_but_what_they_say_has() -> None:
    messages, lost = told(
        user("Hi"),
        assistant(
            ir.Media("audio", mime="audio/wav", data="AAAA", transcript="Hello"),
            ir.Media("image", mime="image/png", data="AAAA"),
        ),
        user("More"),
    )

    assert messages[1]["content"] == [{"text": "Hello"}]
    assert lost == {"image.data"}


# --- tools ---


def tool_config(name: str = SONNET, **fields: Any) -> tuple[Any, set[str]]:
    body, lost = rendered(asked(tools=fields.pop("tools", [WEATHER]), **fields), name)
    return body.get("toolConfig"), lost


def test_a_tool_is_a_name_a_description_and_a_schema() -> None:
    config, lost = tool_config(tools=[WEATHER, ir.Tool("none", cache=ir.Cache())])

    assert config == {
        "tools": [
            {
                "toolSpec": {
                    "name": "get_weather",
                    "description": "Weather",
                    "inputSchema": {"json": WEATHER.schema},
                }
            },
            {
                "toolSpec": {
                    "name": "none",
                    "inputSchema": {"json": {"type": "object", "properties": {}}},
                }
            },
            {"cachePoint": {"type": "default"}},
        ]
    }
    assert lost == set()


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (ir.ToolChoice("auto"), {"auto": {}}),
        (ir.ToolChoice("required"), {"any": {}}),
        (ir.ToolChoice("tool", ["get_weather"]), {"tool": {"name": "get_weather"}}),
        (ir.ToolChoice("allowed", ["get_weather"]), {"auto": {}}),
        (ir.ToolChoice("allowed", ["get_weather"], required=True), {"any": {}}),
    ],
)
def test_every_choice_has_its_word(choice: ir.ToolChoice, expected: Any) -> None:
    config, lost = tool_config(tools=[WEATHER], tool_choice=choice)

    assert config["toolChoice"] == expected
    assert lost == set()


def test_only_the_tools_that_are_allowed_are_offered() -> None:
    choice = ir.ToolChoice("allowed", ["search"])

    config, _ = tool_config(tools=[WEATHER, ir.Tool("search")], tool_choice=choice)

    assert [tool["toolSpec"]["name"] for tool in config["tools"]] == ["search"]


@pytest.mark.parametrize(
    "choice", [ir.ToolChoice("required"), ir.ToolChoice("tool", ["get_weather"])]
)
def test_a_model_that_cannot_be_forced_is_not(choice: ir.ToolChoice) -> None:
    config, lost = tool_config(LLAMA, tool_choice=choice)

    assert "toolChoice" not in config
    assert lost == {f"tool_choice.{choice.mode}"}


def test_a_tool_that_is_not_offered_is_not_demanded() -> None:
    config, lost = tool_config(tool_choice=ir.ToolChoice("tool", ["other"]))

    assert "toolChoice" not in config
    assert lost == {"tool_choice.tool"}


def test_tools_that_are_forbidden_are_not_offered_unless_they_were_used() -> None:
    choice = ir.ToolChoice("none")
    call, result = ir.ToolCall("c", "old one"), ir.ToolResult("c", "old one", [ir.Text("x")])
    used = [user("Hi"), assistant(call), user(result)]

    assert tool_config(tool_choice=choice) == (None, set())
    body, lost = rendered(asked(*used, tools=[WEATHER], tool_choice=choice))
    assert body["toolConfig"]["tools"][0]["toolSpec"]["name"] == "get_weather"
    assert lost == {"tool_choice.none"}
    body, lost = rendered(asked(*used))
    (spec,) = body["toolConfig"]["tools"]
    assert spec["toolSpec"]["name"] == body["messages"][1]["content"][0]["toolUse"]["name"]
    assert lost == set()


def test_a_strict_tool_is_strict_where_the_model_can() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}
    tools = [ir.Tool("f", "d", schema, strict=True)]

    config, lost = tool_config(tools=tools)
    other, dropped = tool_config(NOVA, tools=tools)

    spec = config["tools"][0]["toolSpec"]
    assert spec["strict"] is True
    assert spec["inputSchema"]["json"]["additionalProperties"] is False
    assert "strict" not in other["tools"][0]["toolSpec"]
    assert lost == dropped == {"tool.strict"}


def test_marks_are_for_those_who_keep_a_cache() -> None:
    cached = ir.Text("x", cache=ir.Cache("1h"))
    tools = [ir.Tool("f", cache=ir.Cache())]

    nova, nova_lost = rendered(asked(user(cached), tools=tools), NOVA)
    llama, llama_lost = rendered(asked(user(cached), tools=tools), LLAMA)

    assert nova["messages"][0]["content"][1] == {"cachePoint": {"type": "default"}}
    assert len(nova["toolConfig"]["tools"]) == 1
    assert nova_lost == {"cache", "cache.ttl"}
    assert llama["messages"][0]["content"] == [{"text": "x"}]
    assert llama_lost == {"cache"}


def test_a_tool_may_be_called_anything() -> None:
    request = asked(tools=[ir.Tool("math.add"), ir.Tool("x" * 70), ir.Tool("fine")])

    body, dropped = rendered(request)

    called = [tool["toolSpec"]["name"] for tool in body["toolConfig"]["tools"]]
    names = Names(TOOLS, request)
    assert not dropped
    assert all(len(name) <= 64 and name.replace("_", "").isalnum() for name in called)
    assert [names.back(name) for name in called] == ["math.add", "x" * 70, "fine"]


# --- parameters ---


def test_the_usual_parameters_have_their_places() -> None:
    body, lost = rendered(
        asked(
            max_tokens=100,
            temperature=0.5,
            stop=["END"],
            top_k=5,
            metadata={"team": "a"},
            service_tier="flex",
        )
    )

    assert body["inferenceConfig"] == {
        "maxTokens": 100,
        "temperature": 0.5,
        "stopSequences": ["END"],
    }
    assert body["additionalModelRequestFields"] == {"top_k": 5}
    assert body["additionalModelResponseFieldPaths"] == ["/stop_sequence"]
    assert body["requestMetadata"] == {"team": "a"}
    assert body["serviceTier"] == {"type": "flex"}
    assert lost == set()


@pytest.mark.parametrize(
    ("name", "fields", "config", "lost"),
    [
        (LLAMA, {"temperature": 1.7, "top_p": 0.5}, {"temperature": 1.0, "topP": 0.5}, {"temperature"}),
        (LLAMA, {"top_p": -0.1}, {"topP": 0.0}, {"top_p"}),
        (SONNET, {"temperature": 0.5, "top_p": 0.5}, {"temperature": 0.5}, {"top_p"}),
        (OPUS, {"temperature": 0.5, "top_p": 0.5, "top_k": 5}, None, {"temperature", "top_p", "top_k"}),
        (LLAMA, {"max_tokens": 0}, {"maxTokens": 1}, {"max_tokens"}),
        (SONNET, {"stop": ["\n", "x"]}, {"stopSequences": ["x"]}, {"stop"}),
        (NOVA, {"stop": ["\n"]}, {"stopSequences": ["\n"]}, set()),
        (NOVA, {"stop": ["", "x"]}, {"stopSequences": ["x"]}, {"stop"}),
        (SONNET, {"seed": 1, "n": 2, "user": "u"}, None, {"seed", "n", "user"}),
        (SONNET, {"metadata": {"a": 1, "b": "x\0"}, "service_tier": "scale"}, None, {"metadata", "service_tier"}),
        (SONNET, {"service_tier": "auto"}, None, set()),
        (SONNET, {"service_tier": "default"}, None, set()),
    ],
)  # fmt: skip
def test_what_a_model_does_not_take_is_fitted_or_left_out(
    name: str, fields: dict[str, Any], config: Any, lost: set[str]
) -> None:
    body, dropped = rendered(asked(**fields), name)

    assert body.get("inferenceConfig") == config
    assert dropped == lost


@pytest.mark.parametrize(
    ("name", "expected", "lost"),
    [
        (NOVA, {"inferenceConfig": {"topK": 5}}, set()),
        ("cohere.command-r-v1:0", {"k": 5}, set()),
        ("mistral.mistral-large-2407-v1:0", {"top_k": 5}, set()),
        (LLAMA, None, {"top_k"}),
    ],
)
def test_top_k_is_every_vendors_own(name: str, expected: Any, lost: set[str]) -> None:
    body, dropped = rendered(asked(top_k=5), name)

    assert body.get("additionalModelRequestFields") == expected
    assert dropped == lost


def test_only_sixteen_labels_go_along() -> None:
    body, lost = rendered(asked(metadata={f"k{number}": "v" for number in range(20)}))

    assert len(body["requestMetadata"]) == 16
    assert lost == {"metadata"}


def test_a_schema_is_a_text_where_the_model_can_keep_to_it() -> None:
    wanted = ir.Format(
        "schema", "city", "A city", {"type": "object", "properties": {"n": {}}}, True
    )

    body, lost = rendered(asked(format=wanted))
    other, dropped = rendered(asked(format=wanted), LLAMA)

    made = body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    assert (made["name"], made["description"]) == ("city", "A city")
    assert orjson.loads(made["schema"]) == {
        "type": "object",
        "properties": {"n": {}},
        "additionalProperties": False,
    }
    assert lost == set()
    assert "outputConfig" not in other
    assert dropped == {"format.schema"}


SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("wanted", "model_", "schema"),
    [
        (ir.Format("json"), SONNET, {"type": "object", "additionalProperties": True}),
        (ir.Format("json"), NOVA, {"type": "object", "additionalProperties": True}),
        (ir.Format("schema", schema=SCHEMA), NOVA, SCHEMA),
        (ir.Format("schema", schema=SCHEMA), "anthropic.claude-3-5-haiku-20241022-v1:0", SCHEMA),
    ],
)
def test_json_is_had_by_way_of_a_tool(wanted: ir.Format, model_: str, schema: ir.Json) -> None:
    thinking = ir.Thinking(budget=2000)

    body, lost = rendered(asked(format=wanted), model_)
    thoughtful, unthought = rendered(asked(format=wanted, thinking=thinking), model_)

    (tool,) = body["toolConfig"]["tools"]
    assert tool["toolSpec"]["name"] == "json_response"
    assert tool["toolSpec"]["inputSchema"] == {"json": schema}
    assert body["toolConfig"]["toolChoice"] == {"tool": {"name": "json_response"}}
    assert "outputConfig" not in body
    assert lost == set()
    # A Claude may not be forced while it thinks.
    if "claude" in model_:
        assert "additionalModelRequestFields" not in thoughtful
        assert unthought == {"thinking.budget"}


@pytest.mark.parametrize(
    ("request_", "model_"),
    [
        (asked(format=ir.Format("json"), tools=[WEATHER]), SONNET),
        (asked(format=ir.Format("json")), LLAMA),
        (asked(format=ir.Format("json")), GPT),
        (asked(format=ir.Format("json")), "anthropic.claude-opus-5-5-v1:0"),
    ],
)
def test_json_is_dropped_beside_tools_and_where_nothing_is_forced(
    request_: ir.Request, model_: str
) -> None:
    body, lost = rendered(request_, model_)

    assert "json_response" not in str(body)
    assert lost == {"format.json"}


def test_free_text_is_the_one_argument_of_a_function() -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: /a+/"}
    patch = ir.Tool("patch", "Edits.", custom=True, format=grammar)
    call = ir.ToolCall("1", "patch", '{"is": "text"}', custom=True)
    done = ir.ToolResult("1", "patch", [ir.Text("ok")], custom=True)
    request = asked(
        user("x"),
        assistant(call),
        user(done),
        tools=[patch],
        tool_choice=ir.ToolChoice("tool", ["patch"]),
    )

    body, lost = rendered(request)

    (tool,) = body["toolConfig"]["tools"]
    assert tool["toolSpec"]["inputSchema"]["json"] == FREE_TEXT
    assert tool["toolSpec"]["description"].endswith("start: /a+/")
    assert body["toolConfig"]["toolChoice"] == {"tool": {"name": "patch"}}
    assert body["messages"][1]["content"][0]["toolUse"]["input"] == {"input": '{"is": "text"}'}
    assert lost == {"tool.custom"}


def test_a_result_of_no_call_becomes_words_of_the_user() -> None:
    orphan = ir.ToolResult("gone", "f", [ir.Text("It is 5 degrees.")])

    body, lost = rendered(asked(user("x"), assistant("y"), user(orphan, "So?")))

    assert body["messages"][2]["content"] == [{"text": "It is 5 degrees."}, {"text": "So?"}]
    assert lost == {"tool_result"}


# --- thinking ---


@pytest.mark.parametrize(
    ("name", "thinking", "extra", "output", "lost"),
    [
        (SONNET, ir.Thinking(budget=2048), {"thinking": {"type": "enabled", "budget_tokens": 2048}}, None, set()),
        (SONNET, ir.Thinking(effort="low"), {"thinking": {"type": "enabled", "budget_tokens": 1024}}, None, set()),
        (
            SONNET, ir.Thinking(budget=100, visible=False),
            {"thinking": {"type": "enabled", "budget_tokens": 1024}}, None, {"thinking.budget", "thinking.visible"},
        ),
        (SONNET, ir.Thinking(budget=-1), {"thinking": {"type": "enabled", "budget_tokens": 8192}}, None, set()),
        (SONNET, ir.Thinking(effort="none"), {"thinking": {"type": "disabled"}}, None, set()),
        (SONNET, ir.Thinking(visible=True), None, None, {"thinking.visible"}),
        (
            OPUS, ir.Thinking(effort="high", visible=True),
            {"thinking": {"type": "adaptive", "display": "summarized"}}, {"effort": "high"}, set(),
        ),
        (OPUS, ir.Thinking(budget=-1, visible=False), {"thinking": {"type": "adaptive", "display": "omitted"}}, None, set()),
        (OPUS, ir.Thinking(budget=20000), {"thinking": {"type": "adaptive"}}, {"effort": "high"}, {"thinking.budget"}),
        (OPUS, ir.Thinking(visible=True), {"thinking": {"type": "adaptive", "display": "summarized"}}, None, set()),
        (NOVA, ir.Thinking(effort="max"), {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}, None, set()),
        (NOVA, ir.Thinking(effort="none"), None, None, set()),
        (GPT, ir.Thinking(effort="minimal"), {"reasoning_effort": "low"}, None, set()),
        (GPT, ir.Thinking(effort="none"), {"reasoning_effort": "low"}, None, {"thinking.off"}),
        (LLAMA, ir.Thinking(budget=1024), None, None, {"thinking.budget"}),
        (LLAMA, ir.Thinking(effort="high", visible=True), None, None, {"thinking.effort", "thinking.visible"}),
        ("anthropic.claude-3-haiku-20240307-v1:0", ir.Thinking(effort="high"), None, None, {"thinking.effort"}),
        (PROFILE, ir.Thinking(budget=2048), {"thinking": {"type": "enabled", "budget_tokens": 2048}}, None, set()),
    ],
)  # fmt: skip
def test_how_much_to_think_is_said_as_the_model_takes_it(
    name: str, thinking: ir.Thinking, extra: Any, output: Any, lost: set[str]
) -> None:
    body, dropped = rendered(asked(thinking=thinking), name)

    assert body.get("additionalModelRequestFields") == extra
    assert body.get("outputConfig") == output
    assert dropped == lost


def test_a_budget_leaves_room_for_the_answer() -> None:
    body, _ = rendered(asked(thinking=ir.Thinking(budget=2048), max_tokens=1000))
    most, _ = rendered(asked(thinking=ir.Thinking(budget=200_000), max_tokens=1000))

    assert body["inferenceConfig"]["maxTokens"] == 3048
    assert most["inferenceConfig"]["maxTokens"] == 64_000
    assert most["additionalModelRequestFields"]["thinking"]["budget_tokens"] == 63_000


def test_thinking_hard_nova_takes_no_limits() -> None:
    body, lost = rendered(asked(thinking=ir.Thinking(effort="high"), max_tokens=10), NOVA)

    chosen = body["additionalModelRequestFields"]["reasoningConfig"]["maxReasoningEffort"]
    assert (chosen, lost) == ("medium", {"thinking.effort"})


def test_thinking_gives_way_to_what_it_forbids() -> None:
    thinking = ir.Thinking(budget=2048)
    call, result = ir.ToolCall("c", "get_weather"), ir.ToolResult("c", "", [ir.Text("x")])
    signed = ir.Reasoning("Hm.", "Eq==", "anthropic")

    forced, lost = rendered(
        asked(tools=[WEATHER], tool_choice=ir.ToolChoice("required"), thinking=thinking)
    )
    unsigned, dropped = rendered(
        asked(user("Hi"), assistant(call), user(result), thinking=thinking)
    )
    good, none = rendered(
        asked(user("Hi"), assistant(signed, call), user(result), thinking=thinking)
    )

    assert "additionalModelRequestFields" not in forced
    assert "additionalModelRequestFields" not in unsigned
    assert lost == dropped == {"thinking.budget"}
    assert "thinking" in good["additionalModelRequestFields"]
    assert none == set()


def test_thinking_takes_the_place_of_other_temperatures() -> None:
    body, lost = rendered(asked(thinking=ir.Thinking(budget=2048), temperature=0.3, top_k=3))
    same, none = rendered(asked(thinking=ir.Thinking(budget=2048), temperature=1.0))

    assert "temperature" not in body["inferenceConfig"]
    assert lost == {"temperature", "top_k"}
    assert same["inferenceConfig"]["temperature"] == 1.0
    assert none == set()


# --- models ---


@pytest.mark.parametrize(
    ("name", "vendor"),
    [
        ("anthropic.claude-3-haiku-20240307-v1:0", "anthropic"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic"),
        ("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0", "amazon"),
        (
            "arn:aws:bedrock:us-east-1:1:inference-profile/eu.mistral.pixtral-large-2502-v1:0",
            "mistral",
        ),
        (PROFILE, "anthropic"),
        ("deepseek.v3-v1:0", "deepseek"),
        ("qwen.qwen3-32b-v1:0", "qwen"),
        ("moonshot.kimi-k2-thinking", "moonshot"),
    ],
)
def test_a_name_tells_its_vendor(name: str, vendor: str) -> None:
    assert model(name).vendor == vendor


# --- the rest ---


def test_a_question_for_the_number_of_tokens_is_the_prompt_alone() -> None:
    codec = DIALECTS["bedrock.converse"].codec
    assert codec is not None
    assert codec.count is not None
    request = asked(system("s"), user("Hi"), tools=[WEATHER], max_tokens=5, stop=["x"])

    body = orjson.loads(codec.count.render(request, Target(SONNET), Loss()))

    assert [*body] == ["input"]
    assert sorted(body["input"]["converse"]) == ["messages", "system", "toolConfig"]
    assert codec.count.parse(codec.count.answer(7)) == 7
    assert codec.count.parse(b'{"inputTokens":true}') is None
    assert codec.count.parse(b'{"inputTokens":-1}') is None
    assert codec.count.parse(b"x") is None


def test_tools_others_run_are_refused() -> None:
    with pytest.raises(ProxyError) as caught:
        rendered(asked(tools=[ir.ServerTool("anthropic", "web_search")]))

    assert caught.value.param == "web_search"


@pytest.mark.parametrize("name", ALL)
@given(made=requests())
def test_whatever_is_asked_the_service_takes(name: str, made: ir.Request) -> None:
    rendered(made, name)
