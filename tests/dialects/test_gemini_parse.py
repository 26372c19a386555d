"""A client's request for generated content, in words of the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.errors import ProxyError
from proxy.dialects import ir
from proxy.dialects.base import Target
from proxy.dialects.identity import seal
from proxy.dialects.loss import Loss
from tests.dialects.contents import CODEC, REQUESTS, fixture, name, parse, parsed, turned

SEALED = ("sealed_thought", "redacted_thought")
"""Cases with state that no Gemini can use."""


@pytest.mark.parametrize("path", [path for path in REQUESTS if name(path) not in SEALED], ids=name)
def test_a_request_is_the_same_after_a_journey_through_the_hub(path: Path) -> None:
    request = parse(path.read_bytes())
    assert CODEC.render_request is not None
    loss = Loss()

    again = parse(CODEC.render_request(request, Target("some-model"), loss))

    assert again == request
    assert not loss


def test_the_hub_sees_what_a_client_of_this_dialect_sends() -> None:
    request = parse(fixture("snake_case.request.json"))

    assert [message.role for message in request.messages] == ["system", "user", "assistant", "user"]
    assert request.messages[0].content == [ir.Text("Be brief.")]
    assert request.messages[1].content[1] == ir.Media("image", "image/png", "iVBORw0KGgo=")
    call, result = request.messages[2].content[0], request.messages[3].content[0]
    assert isinstance(call, ir.ToolCall)
    assert isinstance(result, ir.ToolResult)
    assert (call.name, call.arguments) == ("weather", '{"some_city":"Rome"}')
    assert (call.signature, call.origin) == ("c2lnbmF0dXJl", "gemini")
    assert (result.id, result.name, result.content) == (call.id, "weather", [ir.Text("sunny")])
    assert request.tools[0] == ir.Tool(
        "weather", schema={"type": "object", "properties": {"some_city": {"type": "string"}}}
    )
    assert request.tool_choice == ir.ToolChoice("tool", ["weather"])
    assert request.max_tokens == 100
    assert request.thinking == ir.Thinking(budget=1024, visible=True)
    assert request.service_tier == "flex"
    assert list(request.extras) == ["safetySettings"]


@pytest.mark.parametrize("case", ["bare_string", "bare_content", "bare_part"])
def test_what_lenient_clients_write_for_contents_is_understood(case: str) -> None:
    request = parse(fixture(f"{case}.request.json"))

    assert request.messages[0] == ir.Message("user", [ir.Text("Hello")])


@pytest.mark.parametrize("case", ["system_string", "system_parts", "system_list"])
def test_instructions_are_the_first_message(case: str) -> None:
    request = parse(fixture(f"{case}.request.json"))

    assert request.messages[0].role == "system"
    assert request.messages[0].content[0] == ir.Text("Be brief.")


def test_a_turn_that_was_kept_as_it_was_streamed_is_one() -> None:
    request = parse(fixture("streamed_history.request.json"))

    assert [message.role for message in request.messages] == ["user", "assistant", "user"]
    assert request.messages[1].content == [
        ir.Reasoning("Let me think.", "c2lnbmF0dXJl", "gemini"),
        ir.Text("Because so."),
    ]


def test_signed_pieces_stay_apart() -> None:
    blocks = turned(
        {"text": "a", "thoughtSignature": "c2ln"},
        {"text": "b"},
        {"thought": True, "thoughtSignature": "c2ln"},
        {"thought": True, "thoughtSignature": "c2lo"},
        role="model",
    )

    assert blocks == [
        ir.Text("a", signature="c2ln", origin="gemini"),
        ir.Text("b"),
        ir.Reasoning(signature="c2ln", origin="gemini", redacted=True),
        ir.Reasoning(signature="c2lo", origin="gemini", redacted=True),
    ]


def test_state_of_another_family_is_unsealed() -> None:
    (thought,) = turned(
        {"text": "Hm", "thought": True, "thoughtSignature": seal("anthropic", "EqAB")}, role="model"
    )

    assert thought == ir.Reasoning("Hm", "EqAB", "anthropic")


def test_roles_in_any_case_and_none_at_all_are_known() -> None:
    request = parse(fixture("role_absent.request.json"))

    assert [message.role for message in request.messages] == ["user", "assistant", "user"]


def test_results_without_ids_find_their_calls() -> None:
    request = parse(fixture("tools_no_ids.request.json"))

    calls = [block for block in request.messages[1].content if isinstance(block, ir.ToolCall)]
    results = [block for block in request.messages[2].content if isinstance(block, ir.ToolResult)]
    assert [result.id for result in results] == [calls[2].id, calls[0].id, calls[1].id]


def test_a_cached_prompt_must_not_be_left_out() -> None:
    request = parse(fixture("cached_content.request.json"))

    assert list(request.musts) == ["cachedContent"]
    assert request.extras["cachedContent"] == "cachedContents/abc"


def test_unknown_fields_are_kept_under_their_names() -> None:
    request = parse(fixture("unknown_fields.request.json"))

    assert request.extras == {
        "newTop": {"z": 3},
        "toolConfig.newConfig": 8,
        "generationConfig.newSetting": 9,
    }
    assert request.messages[0].extras == {"newContent": 3}
    assert request.messages[0].content[0].extras == {"partMetadata": {"a": 1}, "newPart": 2}  # type: ignore[union-attr]
    assert request.messages[1].content[1] == ir.Opaque("gemini", "newKind", {"newKind": {"x": 1}})


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"contents": 5}, "contents"),
        ({"contents": [{"parts": 5}]}, "contents[0].parts"),
        ({"contents": [{"role": "robot", "parts": []}]}, "contents[0].role"),
        ({"contents": [{"parts": [{"text": 5}]}]}, "contents[0].parts[0].text"),
        ({"contents": [{"parts": [7]}]}, "contents[0].parts[0]"),
        (
            {"contents": [{"parts": [{"functionCall": {"args": "x"}}]}]},
            "contents[0].parts[0].functionCall.args",
        ),
        (
            {"contents": [{"parts": [{"functionResponse": {"response": "x"}}]}]},
            "contents[0].parts[0].functionResponse.response",
        ),
        (
            {"tools": [{"functionDeclarations": [{"name": 1}]}]},
            "tools[0].functionDeclarations[0].name",
        ),
        ({"generationConfig": {"temperature": "warm"}}, "generationConfig.temperature"),
        ({"generationConfig": {"maxOutputTokens": 1.5}}, "generationConfig.maxOutputTokens"),
        ({"generationConfig": {"stopSequences": [1]}}, "generationConfig.stopSequences[0]"),
        ({"toolConfig": {"functionCallingConfig": 1}}, "toolConfig.functionCallingConfig"),
        ({"systemInstruction": 1}, "systemInstruction"),
        ({"labels": "x"}, "labels"),
    ],
)
def test_a_field_of_the_wrong_type_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(ProxyError) as caught:
        parsed(**fields)

    assert caught.value.param == param
    assert caught.value.row.status == 400


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"5", b'{"model":"m"}', b"[" * 5000])
def test_what_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(ProxyError):
        parse(body)


def test_a_schema_nested_too_deeply_is_refused() -> None:
    schema = b'{"items":' * 900 + b"{}" + b"}" * 900
    body = b'{"contents":"x","tools":[{"functionDeclarations":[{"parameters":%b}]}]}' % schema

    with pytest.raises(ProxyError):
        parse(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(REQUESTS), st.data())
def test_a_damaged_request_is_read_or_refused(path: Path, draw: st.DataObject) -> None:
    body: Any = orjson.loads(path.read_bytes())
    place = body
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            break
        key = draw.draw(st.sampled_from(keys))
        if isinstance(place[key], dict | list) and draw.draw(st.booleans()):
            place = place[key]
            continue
        place[key] = draw.draw(JSON)
        break

    try:
        request = parse(orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS))
    except ProxyError:
        return
    assert CODEC.render_request is not None
    CODEC.render_request(request, Target("gemini-3-pro"), Loss())
    request.origin, request.musts, request.tools = "openai.chat", {}, []
    CODEC.render_request(request, Target("gemini-3-pro"), Loss())
