"""A client's request to the Responses API, read."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.core.errors import ProxyError
from proxy.dialects import identity, ir
from tests.dialects.answers import CODEC, asked, items

CALL = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "call_1", "output": "4"}


def test_a_string_is_a_message_of_the_user() -> None:
    assert asked(input="Hi").messages == [ir.Message("user", [ir.Text("Hi")])]


def test_instructions_are_the_first_message() -> None:
    request = asked(instructions="Be brief.", input=[{"role": "developer", "content": "No lists."}])

    assert [message.role for message in request.messages] == ["system", "developer"]
    assert request.messages[0].content == [ir.Text("Be brief.")]


def test_items_of_the_model_in_a_row_are_one_turn() -> None:
    thought = {"type": "reasoning", "summary": [], "encrypted_content": "gAAA"}

    messages = items({"role": "user", "content": "Hi"}, thought, CALL, RESULT)

    assert [message.role for message in messages] == ["user", "assistant", "user"]
    assert [type(block) for block in messages[1].content] == [ir.Reasoning, ir.ToolCall]
    assert messages[2].content[0] == ir.ToolResult("call_1", "f", [ir.Text("4")])


def test_what_the_user_says_after_results_is_a_message_of_its_own() -> None:
    messages = items(CALL, RESULT, {"role": "user", "content": "So?"})

    assert [len(message.content) for message in messages] == [1, 1, 1]


def test_sealed_state_of_another_family_is_opened() -> None:
    sealed = identity.seal("anthropic", "sign")

    messages = items(
        {
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "Hm"}],
            "encrypted_content": sealed,
        }
    )

    assert messages[0].content == [ir.Reasoning("Hm", "sign", "anthropic")]


def test_state_that_was_carried_before_a_call_is_put_back_on_it() -> None:
    carrier = identity.seal("gemini/next", "state")

    messages = items(
        {"type": "reasoning", "summary": [], "encrypted_content": carrier}, CALL, RESULT
    )

    assert messages[0].content == [
        ir.ToolCall("call_1", "f", "{}", signature="state", origin="gemini")
    ]


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"previous_response_id": "resp_0"}, "previous_response_id"),
        ({"conversation": {"id": "conv_1"}}, "conversation"),
        ({"background": True}, "background"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"store": True}, "store"),
        ({"context_management": [{"type": "compaction"}]}, "context_management"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "item_reference"),
        ({"input": [{"id": "msg_1"}]}, "item_reference"),
        ({"input": [{"type": "compaction", "encrypted_content": "x"}]}, "compaction"),
    ],
)
def test_what_only_its_own_provider_has_must_not_be_left_out(
    fields: dict[str, Any], name: str
) -> None:
    assert list(asked(**fields).musts) == [name]


def test_who_names_an_item_is_told_how_to_send_it() -> None:
    """Vercel's AI SDK names whatever it was given an id for, unless `store` is false: so it does from the second turn on."""
    why = asked(input=[{"type": "item_reference", "id": "msg_1"}]).musts["item_reference"]

    assert "store: false" in why


def test_what_is_so_everywhere_is_no_field_to_miss() -> None:
    request = asked(
        store=False,
        background=False,
        truncation="disabled",
        stream_options={"include_obfuscation": False},
        include=["reasoning.encrypted_content"],
        previous_response_id=None,
    )

    assert request.extras == {}
    assert request.musts == {}


def test_other_truncation_is_a_field_others_do_not_know() -> None:
    assert asked(truncation="auto").extras == {"truncation": "auto"}


def test_a_summary_is_thoughts_that_are_shown() -> None:
    request = asked(reasoning={"effort": "low", "generate_summary": "concise"})

    assert request.thinking == ir.Thinking("low", visible=True, summary="concise")


def test_effort_alone_says_nothing_of_what_is_shown() -> None:
    assert asked(reasoning={"effort": "high"}).thinking == ir.Thinking("high")


def test_probabilities_are_asked_for_by_including_them() -> None:
    assert asked(include=["message.output_text.logprobs"]).logprobs
    assert asked(top_logprobs=3).logprobs
    assert not asked(include=["web_search_call.results"]).logprobs


def test_the_user_is_who_is_named_for_safety() -> None:
    assert asked(user="u", safety_identifier="s").user == "s"
    assert asked(user="u").user == "u"


def test_a_schema_is_read_with_its_name() -> None:
    wanted = {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}

    request = asked(text={"format": wanted, "verbosity": "low"})

    assert request.format == ir.Format("schema", "n", "", {"type": "object"}, True)
    assert request.verbosity == "low"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": 1}, "input"),
        ({"input": None}, "input"),
        ({"input": [1]}, "input[0]"),
        ({"input": [{}]}, "input[0].type"),
        ({"instructions": ["x"]}, "instructions"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_output_tokens": 1.5}, "max_output_tokens"),
        ({"reasoning": "high"}, "reasoning"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema"),
        ({"include": [1]}, "include[0]"),
        ({"metadata": []}, "metadata"),
        ({"stream": "yes"}, "stream"),
    ],
)
def test_a_field_of_the_wrong_type_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(ProxyError) as refused:
        asked(**fields)

    assert refused.value.param == param


def test_a_body_that_is_no_object_is_refused() -> None:
    assert CODEC is not None
    assert CODEC.parse_request is not None
    for body in (b"", b"[]", b"{"):
        with pytest.raises(ProxyError):
            CODEC.parse_request(body)


def test_nesting_without_end_is_refused() -> None:
    assert CODEC is not None
    assert CODEC.parse_request is not None
    deep = b"[" * 100_000 + b"]" * 100_000

    with pytest.raises(ProxyError):
        CODEC.parse_request(b'{"input":"Hi","new":%b}' % deep)
