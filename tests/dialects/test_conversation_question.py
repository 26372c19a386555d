from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.core.errors import ProxyError
from proxy.core.model import Conversation
from proxy.dialects import ir
from proxy.dialects.base import Opened, Target
from proxy.dialects.conversation.question import Question
from proxy.dialects.loss import FEATURES, Loss
from tests.dialects.services import PLAIN, said, service

TARGET = Target("m", opened=Opened("c1", "u1"))
TALK = said(("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello."), ("user", "Why?"))


def asked(
    settings: Conversation, request: ir.Request, target: Target = TARGET
) -> tuple[Any, dict[str, str]]:
    """The body, and what was left out."""
    loss = Loss()
    body = Question(settings).render(request, target, loss)
    return orjson.loads(body), loss.names


def test_every_name_of_a_template_is_filled_in() -> None:
    settings = service(
        body={
            "c": "{conversation_id}",
            "id": "{message_id}",
            "model": "{model}",
            "q": "{prompt}",
            "s": "{system}",
            "all": "{messages}",
            "stream": "{stream}",
            "fixed": [1, None, True, {"a": "b {model}"}],
        }
    )

    body, lost = asked(settings, TALK, Target("up", stream=True, opened=Opened(7, "u1")))

    assert body == {
        "c": 7,
        "id": "u1",
        "model": "up",
        "q": "Why?",
        "s": "Be brief.",
        "all": "User: Hi\n\nAssistant: Hello.\n\nUser: Why?",
        "stream": True,
        "fixed": [1, None, True, {"a": "b up"}],
    }
    assert lost == {}


def test_a_template_may_be_any_value() -> None:
    assert asked(service(body="{prompt}"), said(("user", "Hi")))[0] == "Hi"
    assert asked(service(body=["{prompt}", "{stream}"]), said(("user", "Hi")))[0] == ["Hi", False]


def test_instructions_are_part_of_the_conversation_unless_they_have_a_place() -> None:
    body, lost = asked(PLAIN, TALK)

    assert body["prompt"].startswith("System: Be brief.\n\nUser: Hi\n\n")
    assert lost == {}


def test_a_single_question_stands_for_itself() -> None:
    assert asked(PLAIN, said(("user", "Hi")))[0]["prompt"] == "Hi"


def test_what_one_says_in_several_messages_is_one_turn() -> None:
    request = said(
        ("system", "A"),
        ("developer", "B"),
        ("user", "one"),
        ("user", "two"),
        ("assistant", "three"),
    )
    settings = service(body={"q": "{prompt}", "all": "{messages}"})

    body, lost = asked(settings, request)

    assert body["q"] == "one\n\ntwo"
    assert body["all"] == "System: A\n\nB\n\nUser: one\n\ntwo\n\nAssistant: three"
    assert lost == {}


def test_what_a_template_has_no_place_for_is_counted() -> None:
    _, lost = asked(service(body="{prompt}"), TALK)

    assert lost == {"system": "system", "messages": "text"}


def test_the_beginning_of_an_answer_needs_the_whole_conversation() -> None:
    request = said(("user", "Hi"), ("assistant", "Hel"))

    assert "prefill" in asked(service(body="{prompt}"), request)[1]
    assert asked(PLAIN, request)[1] == {}


def test_what_no_such_service_takes_is_left_out_and_counted() -> None:
    request = said(
        ("user", "Hi"),
        temperature=0.5,
        max_tokens=5,
        tools=[ir.Tool("look")],
        thinking=ir.Thinking(effort="high"),
        format=ir.Format("json"),
        extras={"odd": 1},
    )
    request.messages[0].content.append(ir.Media("image", url="https://a.example/b.png"))

    body, lost = asked(PLAIN, request)

    assert body == {"prompt": "Hi", "stream": False}
    assert set(lost) == {
        "temperature", "max_tokens", "tool", "thinking.effort", "format.json", "image.url", "odd",
    }  # fmt: skip


def test_calls_and_results_are_left_out_of_the_conversation() -> None:
    request = said(("user", "Hi"), ("assistant", "Let me look."), ("user", "and?"))
    request.messages[1].content.append(ir.ToolCall("call_1", "look", "{}"))
    request.messages.insert(
        2, ir.Message("user", [ir.ToolResult("call_1", "look", [ir.Text("nothing")])])
    )

    body, lost = asked(PLAIN, request)

    assert body["prompt"] == "User: Hi\n\nAssistant: Let me look.\n\nUser: and?"
    assert set(lost) == {"tool_call", "tool_result"}


def test_a_request_without_a_word_of_the_users_is_refused() -> None:
    for request in (said(), said(("system", "Be brief.")), said(("user", ""))):
        with pytest.raises(ProxyError) as caught:
            asked(PLAIN, request)
        assert caught.value.code == "translation_not_supported"


def test_tools_that_the_provider_runs_are_refused() -> None:
    with pytest.raises(ProxyError, match="bad_req"):
        asked(PLAIN, said(("user", "Hi"), tools=[ir.ServerTool("openai", "web_search")]))


def test_a_request_can_be_rendered_again() -> None:
    question = Question(PLAIN)

    assert question.render(TALK, TARGET, Loss()) == question.render(TALK, TARGET, Loss())


@pytest.mark.parametrize("body", ["{prompt}", "{messages}", "{prompt} {system}"])
def test_the_fields_of_a_template_are_features(body: str) -> None:
    fields = Question(service(body=body)).fields

    assert fields.keys() <= FEATURES.keys()
    assert "text" in fields


# --- headers ---


def test_the_conversation_is_named_in_headers() -> None:
    settings = service(
        headers={"X-Conversation": "{conversation_id}", "x-message": "m-{message_id}"},
        referer="https://chat.example.com/c/{conversation_id}?m={model}",
    )

    assert Question(settings).headers(TARGET) == [
        (b"x-conversation", b"c1"),
        (b"x-message", b"m-u1"),
        (b"referer", b"https://chat.example.com/c/c1?m=m"),
    ]
    assert Question(PLAIN).headers(TARGET) == []


def test_no_name_of_a_model_breaks_a_header() -> None:
    settings = service(headers={"x-model": "{model}"}, referer="https://a.example/{model}")

    found = Question(settings).headers(Target("a b\r\nx: é", opened=Opened("c", "u")))

    assert found == [
        (b"x-model", b"a b%0D%0Ax: %C3%A9"),
        (b"referer", b"https://a.example/a%20b%0D%0Ax:%20%C3%A9"),
    ]
