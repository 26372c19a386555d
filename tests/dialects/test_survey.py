"""What a request asks for, held against what a dialect has."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.core.errors import ProxyError
from proxy.dialects import ir
from proxy.dialects.loss import FEATURES, Loss
from proxy.dialects.survey import features, survey

TEXT, IMAGE = ir.Text("Hi"), ir.Media("image", data="aGk=")


def asking(**fields: Any) -> ir.Request:
    return ir.Request(origin="openai.chat", **fields)


def saying(*blocks: ir.Block, role: ir.Role = "user") -> ir.Request:
    return asking(messages=[ir.Message(role, list(blocks)), ir.Message("user")])


def using(*tools: ir.Tool | ir.ServerTool) -> ir.Request:
    return asking(tools=list(tools))


def thinking(**fields: Any) -> ir.Request:
    return asking(thinking=ir.Thinking(**fields))


def media(kind: Any, **fields: Any) -> ir.Request:
    return saying(ir.Media(kind, **fields))


def document(**fields: Any) -> ir.Request:
    return media("document", data="aGk=", **fields)


def search(kind: str, origin: str = "anthropic") -> ir.Request:
    return using(ir.ServerTool(origin, kind))


LATER = [ir.Message("user", [TEXT]), ir.Message("system", [TEXT]), ir.Message("user")]

EXAMPLES: list[tuple[str, ir.Request]] = [
    ("max_tokens", asking(max_tokens=1)),
    ("temperature", asking(temperature=0.0)),
    ("top_p", asking(top_p=0.0)),
    ("top_k", asking(top_k=0)),
    ("stop", asking(stop=["END"])),
    ("seed", asking(seed=0)),
    ("presence_penalty", asking(presence_penalty=0.0)),
    ("frequency_penalty", asking(frequency_penalty=1.0)),
    ("logit_bias", asking(logit_bias={"1": 1})),
    ("logprobs", asking(logprobs=True)),
    ("top_logprobs", asking(top_logprobs=0)),
    ("n", asking(n=2)),
    ("modalities", asking(modalities=["text", "audio"])),
    ("user", asking(user="u")),
    ("metadata", asking(metadata={"k": "v"})),
    ("service_tier", asking(service_tier="flex")),
    ("cache_key", asking(cache_key="k")),
    ("cache_retention", asking(cache_retention="24h")),
    ("verbosity", asking(verbosity="low")),
    ("thinking.effort", thinking(effort="low")),
    ("thinking.budget", thinking(budget=1024)),
    ("thinking.budget", thinking(budget=-1)),
    ("thinking.off", thinking(budget=0)),
    ("thinking.off", thinking(effort="none")),
    ("thinking.visible", thinking(visible=False)),
    ("thinking.summary", thinking(summary="detailed")),
    ("format.json", asking(format=ir.Format("json"))),
    ("format.schema", asking(format=ir.Format("schema"))),
    ("format.strict", asking(format=ir.Format("schema", strict=True))),
    ("system", saying(TEXT, role="system")),
    ("system", saying(TEXT, role="developer")),
    ("system.later", asking(messages=LATER)),
    ("message.name", asking(messages=[ir.Message("user", name="Ann")])),
    ("prefill", asking(messages=[ir.Message("assistant", [TEXT])])),
    ("text", saying(TEXT)),
    ("text.signature", saying(ir.Text("Hi", signature="s", origin="gemini"))),
    ("citations", saying(ir.Text("Hi", [ir.Citation()]))),
    ("cache", saying(ir.Text("Hi", cache=ir.Cache()))),
    ("cache", using(ir.Tool("f", cache=ir.Cache()))),
    ("cache.ttl", saying(ir.Text("Hi", cache=ir.Cache("1h")))),
    ("refusal", saying(ir.Refusal("No."), role="assistant")),
    ("image.data", saying(IMAGE)),
    ("image.url", media("image", url="https://a")),
    ("image.file", media("image", file_id="f")),
    ("image.detail", media("image", data="aGk=", detail="low")),
    ("document.data", document()),
    ("document.url", media("document", url="https://a")),
    ("document.file", media("document", file_id="f")),
    ("document.text", media("document", text="Hi")),
    ("document.name", document(name="a")),
    ("document.context", document(context="a")),
    ("document.citations", document(citations=True)),
    ("audio.data", media("audio", data="aGk=")),
    ("audio.url", media("audio", url="https://a")),
    ("audio.file", media("audio", file_id="f")),
    ("video.data", media("video", data="aGk=")),
    ("video.url", media("video", url="https://a")),
    ("video.file", media("video", file_id="f")),
    ("thinking.text", saying(ir.Reasoning("Hm"))),
    ("thinking.signature", saying(ir.Reasoning(signature="s", origin="openai"))),
    ("tool", using(ir.Tool("f"))),
    ("tool.strict", using(ir.Tool("f", strict=True))),
    ("tool.custom", using(ir.Tool("f", custom=True))),
    ("tool.custom", saying(ir.ToolCall("c", "f", custom=True))),
    ("tool_call", saying(ir.ToolCall("c", "f"))),
    ("tool_call.signature", saying(ir.ToolCall("c", "f", signature="s", origin="gemini"))),
    ("tool_result", saying(ir.ToolResult("c"))),
    ("tool_result.error", saying(ir.ToolResult("c", is_error=True))),
    ("tool_result.image", saying(ir.ToolResult("c", content=[IMAGE]))),
    ("tool_result.document", saying(ir.ToolResult("c", content=[ir.Media("document", data="a")]))),
    ("tool_choice.none", asking(tool_choice=ir.ToolChoice("none"))),
    ("tool_choice.required", asking(tool_choice=ir.ToolChoice("required"))),
    ("tool_choice.tool", asking(tool_choice=ir.ToolChoice("tool", ["f"]))),
    ("tool_choice.allowed", asking(tool_choice=ir.ToolChoice("allowed", ["f"]))),
    ("parallel_tool_calls", asking(parallel_tool_calls=False)),
    ("server_tool.web_search", search("web_search")),
    ("server_tool.web_fetch", search("web_fetch")),
    ("server_tool.code_execution", search("code_execution")),
    ("server_tool", search("computer_use")),
    ("opaque", saying(ir.Opaque("anthropic", "container_upload"))),
    ("unknown", asking(extras={"frobnicate": 1})),
    ("unknown", asking(messages=[ir.Message("user", extras={"x": 1})])),
    ("unknown", using(ir.Tool("f", extras={"x": 1}))),
]


@pytest.mark.parametrize(("feature", "request_"), EXAMPLES)
def test_a_feature_is_seen(feature: str, request_: ir.Request) -> None:
    assert feature in {found for found, _ in features(request_, "openai")}


def test_every_feature_has_an_example() -> None:
    assert {feature for feature, _ in EXAMPLES} == FEATURES.keys()


@pytest.mark.parametrize(
    "request_",
    [
        asking(n=1),
        asking(modalities=["text"]),
        asking(service_tier="auto"),
        asking(service_tier="default"),
        asking(parallel_tool_calls=True),
        thinking(summary="auto"),
        asking(format=ir.Format("text", strict=False)),
        asking(format=ir.Format("text")),
        asking(tool_choice=ir.ToolChoice("auto")),
        asking(thinking=ir.Thinking()),
        asking(stream=True, include_usage=True),
        search("web_search", origin="openai"),
        saying(ir.Opaque("openai", "web_search_call")),
    ],
)
def test_what_is_usual_or_the_familys_own_is_no_feature(request_: ir.Request) -> None:
    assert list(features(request_, "openai")) == []


@pytest.mark.parametrize(
    "request_",
    [using(ir.Tool("f", strict=False)), asking(format=ir.Format("schema", strict=False))],
)
def test_a_schema_that_need_not_be_met_to_the_letter_is_any_schema(request_: ir.Request) -> None:
    assert [name for name, _ in features(request_, "openai") if "strict" in name] == []


def test_what_a_dialect_has_not_is_dropped_and_named() -> None:
    loss = Loss()
    request = asking(top_k=3, seed=0, messages=[ir.Message("user", [TEXT], extras={"x": 1})])
    request.extras = {"frobnicate": 1}

    survey(request, "anthropic.messages", {"text": "text", "top_k": "top_k"}, loss)

    assert loss.names == {"seed": "seed", "messages.x": "unknown", "frobnicate": "unknown"}


def test_fields_nobody_knows_stay_in_their_own_dialect() -> None:
    loss = Loss()

    survey(asking(extras={"frobnicate": 1}), "openai.chat", {}, loss)

    assert not loss


def test_what_means_too_much_is_refused_elsewhere_and_kept_at_home() -> None:
    request = asking(extras={"background": True}, musts={"background": "It is kept."})
    loss = Loss()

    survey(request, "openai.chat", {}, loss)
    assert not loss
    with pytest.raises(ProxyError) as raised:
        survey(request, "anthropic.messages", {}, Loss())
    assert raised.value.param == "background"
    assert raised.value.message.endswith("It is kept.")


def test_a_tool_that_only_some_providers_run_is_refused() -> None:
    with pytest.raises(ProxyError) as raised:
        survey(search("web_search"), "openai.chat", {"text": "text"}, Loss())
    assert raised.value.code == "translation_not_supported"
