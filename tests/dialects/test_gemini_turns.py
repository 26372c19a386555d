"""The conversation for a provider."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.dialects import ir
from proxy.dialects.gemini.turns import UNSIGNED
from tests.dialects.contents import asked, rendered, said

CALL = ir.ToolCall("call_1", "look", '{"at": "sky"}')
OTHER = ir.ToolCall("call_2", "look", "")
RESULT = ir.ToolResult("call_1", "look", [ir.Text("blue")])
OTHER_RESULT = ir.ToolResult("call_2", "look", [ir.Text("dark")], is_error=True)
IMAGE = ir.Media("image", "image/png", "iVBORw0KGgo=")
LINK = ir.Media("image", url="https://example.com/a.png")


def contents(*messages: ir.Message, model: str = "gemini-2.5-flash") -> Any:
    return rendered(asked(*messages), model)[0]["contents"]


def parts(*blocks: ir.Block) -> Any:
    return contents(ir.Message("user", list(blocks)))[0]["parts"]


def test_instructions_have_a_place_of_their_own_wherever_they_stood() -> None:
    later = ir.Message("developer", [ir.Text("Be kind.")])

    body, dropped = rendered(asked(said("Be brief.", "system"), said("Hi"), later))

    assert body["systemInstruction"] == {"parts": [{"text": "Be brief."}, {"text": "Be kind."}]}
    assert body["contents"] == [{"role": "user", "parts": [{"text": "Hi"}]}]
    assert list(dropped) == ["system.later"]


def test_what_instructions_show_goes_to_the_user() -> None:
    body, _ = rendered(asked(ir.Message("system", [ir.Text("Look."), IMAGE]), said("Hi")))

    assert body["systemInstruction"] == {"parts": [{"text": "Look."}]}
    assert [list(part) for part in body["contents"][0]["parts"]] == [["inlineData"], ["text"]]


def test_neighbours_of_one_role_are_one_turn() -> None:
    found = contents(said("a"), said("b"), said("c", "assistant"), said("d", "assistant"))

    assert [(turn["role"], len(turn["parts"])) for turn in found] == [("user", 2), ("model", 2)]


@pytest.mark.parametrize("first", [[], [said("I am.", "assistant")], [said("", "user")]])
def test_a_conversation_begins_with_the_user(first: list[ir.Message]) -> None:
    found = rendered(ir.Request(messages=first, origin="openai.chat"))[0]["contents"]

    assert found[0] == {"role": "user", "parts": [{"text": "."}]}


def test_empty_texts_are_left_out() -> None:
    assert parts(ir.Text(""), ir.Text("a"), ir.Refusal(""), ir.Refusal("No.")) == [
        {"text": "a"},
        {"text": "No."},
    ]


def test_results_come_first_and_what_they_show_after_them() -> None:
    shown = ir.ToolResult("call_2", "look", [ir.Text("see"), IMAGE])

    found = contents(
        said("Look"),
        ir.Message("assistant", [CALL, OTHER]),
        ir.Message("user", [ir.Text("And?"), RESULT]),
        ir.Message("user", [shown]),
    )

    kinds = [next(iter(part)) for part in found[-1]["parts"]]
    assert kinds[:2] == ["functionResponse", "functionResponse"]
    assert sorted(kinds[2:]) == ["inlineData", "text"]


def test_an_image_in_a_result_is_inside_it_since_gemini_3() -> None:
    shown = ir.ToolResult("call_1", "look", [ir.Text("see"), IMAGE, LINK])

    found = contents(
        said("Look"),
        ir.Message("assistant", [CALL]),
        ir.Message("user", [shown]),
        model="gemini-3-pro",
    )

    inside, beside = found[-1]["parts"]
    assert inside["functionResponse"]["parts"] == [
        {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}
    ]
    assert beside == {"fileData": {"fileUri": "https://example.com/a.png", "mimeType": "image/png"}}


def test_calls_and_results_carry_the_same_id() -> None:
    odd = ir.ToolCall("odd id!", "look", "{}")
    found = contents(
        said("Look"),
        ir.Message("assistant", [odd]),
        ir.Message("user", [ir.ToolResult("odd id!", "look", [ir.Text("a"), ir.Text("b")])]),
    )

    call, response = (
        found[1]["parts"][0]["functionCall"],
        found[2]["parts"][0]["functionResponse"],
    )
    assert call["id"] == response["id"] != "odd id!"
    assert response["response"] == {"output": "a\nb"}


def test_a_failed_call_says_so() -> None:
    found = contents(
        said("Look"), ir.Message("assistant", [OTHER]), ir.Message("user", [OTHER_RESULT])
    )

    assert found[1]["parts"][0]["functionCall"]["args"] == {}
    assert found[2]["parts"][0]["functionResponse"]["response"] == {"error": "dark"}


def test_only_state_of_this_family_goes_out() -> None:
    blocks: list[ir.Block] = [
        ir.Reasoning("Hm", "c2ln", "gemini"),
        ir.Reasoning("Foreign", "x", "anthropic"),
        ir.Reasoning("", "x", "openai", redacted=True),
        ir.Text("Yes", signature="dGV4dA==", origin="gemini"),
        ir.Text("", signature="bGFzdA==", origin="gemini"),
        ir.Opaque("anthropic", "server_tool_use", {"a": 1}),
        ir.Opaque("gemini", "executableCode", {"executableCode": {"code": "1"}}),
    ]

    body, dropped = rendered(asked(said("Hi"), ir.Message("assistant", blocks), said("So?")))

    assert body["contents"][1]["parts"] == [
        {"text": "Hm", "thought": True, "thoughtSignature": "c2ln"},
        {"text": "Foreign", "thought": True},
        {"text": "Yes", "thoughtSignature": "dGV4dA=="},
        {"text": "", "thoughtSignature": "bGFzdA=="},
        {"executableCode": {"code": "1"}},
    ]
    assert set(dropped) == {"thinking.signature", "opaque"}


def test_a_thought_that_was_nothing_but_foreign_state_leaves_no_empty_part() -> None:
    blocks: list[ir.Block] = [ir.Reasoning("", "x", "anthropic", redacted=True), ir.Text("8")]
    request = asked(said("Hi"), ir.Message("assistant", blocks), said("So?"))
    request.origin = "gemini.generate"

    body, dropped = rendered(request)

    assert body["contents"][1]["parts"] == [{"text": "8"}]
    assert set(dropped) == {"thinking.signature"}


def signatures(found: list[Any]) -> list[str | None]:
    return [
        part.get("thoughtSignature")
        for turn in found
        for part in turn["parts"]
        if "functionCall" in part
    ]


def test_a_call_of_the_current_turn_gets_the_documented_word_once_a_step() -> None:
    signed = ir.ToolCall("call_3", "look", "{}", signature="c2ln", origin="gemini")
    messages = [
        said("Before"),
        ir.Message("assistant", [ir.ToolCall("call_0", "look", "{}")]),
        ir.Message("user", [ir.ToolResult("call_0", "look", [ir.Text("x")])]),
        said("Done.", "assistant"),
        said("Look"),
        ir.Message("assistant", [CALL, OTHER]),
        ir.Message("user", [RESULT, OTHER_RESULT]),
        ir.Message("assistant", [signed]),
        ir.Message("user", [ir.ToolResult("call_3", "look", [ir.Text("y")])]),
    ]

    assert signatures(contents(*messages, model="gemini-3-flash-preview")) == [
        None,
        UNSIGNED,
        None,
        "c2ln",
    ]
    assert signatures(contents(*messages, model="gemini-2.5-flash")) == [None, None, None, "c2ln"]


def test_an_upload_of_another_provider_is_left_out_and_reported() -> None:
    file = ir.Media("document", file_id="file-1", origin="openai")

    body, dropped = rendered(asked(ir.Message("user", [ir.Text("Read"), file])))

    assert body["contents"][0]["parts"] == [{"text": "Read"}]
    assert list(dropped) == ["document.file"]


def test_rendering_changes_nothing_of_the_request() -> None:
    request = asked(said("Look"), ir.Message("assistant", [CALL]), ir.Message("user", [RESULT]))

    first = rendered(request, "gemini-3-pro")
    again = rendered(request, "gemini-3-pro")

    assert first == again
    assert request.messages[1].content == [ir.ToolCall("call_1", "look", '{"at": "sky"}')]
