"""Whole messages, read from providers and written for clients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from anthropic.types import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.dialects import identity, ir
from proxy.dialects.anthropic.read import TOOLS
from proxy.dialects.loss import Loss
from tests.dialects.checkers.messages import check_response
from tests.dialects.messages import CODEC, RESPONSES, fixture, name
from tests.dialects.test_anthropic_request import mutate

ANSWERS = [path for path in RESPONSES if name(path) != "error"]


def read(raw: bytes, request: ir.Request | None = None) -> ir.Response:
    return CODEC.parse_response(raw, request or ir.Request())


def write(response: ir.Response) -> tuple[Any, dict[str, str]]:
    """(the body for a client, what was dropped). The body is one the vendor's own library takes."""
    assert CODEC.render_response is not None
    loss = Loss()
    body = CODEC.render_response(response, ir.Request(model="m"), loss)
    Message.model_validate_json(body)
    if response.origin != "anthropic.messages":
        assert check_response(body) == []
    return orjson.loads(body), dict(loss.names)


def answer(*blocks: ir.Block, finish: ir.Finish = "stop", **more: Any) -> ir.Response:
    """An answer of a provider of another dialect."""
    choice = ir.Choice(list(blocks), finish, **more)
    return ir.Response("chatcmpl-1", "gpt-5", choices=[choice], origin="openai.chat")


def said(text: str) -> bytes:
    """A provider's message that is this text."""
    return orjson.dumps({"content": [{"type": "text", "text": text}]})


KNOWN = [path for path in ANSWERS if not name(path).startswith("unknown")]


@pytest.mark.parametrize("path", KNOWN, ids=name)
def test_an_answer_read_and_written_is_the_same(path: Path) -> None:
    body, dropped = write(read(path.read_bytes()))

    assert body == orjson.loads(path.read_bytes())
    assert dropped == {}


@pytest.mark.parametrize("case", ["unknown-fields", "unknown-stop"])
def test_what_nobody_knows_is_kept(case: str) -> None:
    response = read(fixture(f"{case}.response.json"))

    assert CODEC.render_response is not None
    body = orjson.loads(CODEC.render_response(response, ir.Request(), Loss()))
    assert body == orjson.loads(fixture(f"{case}.response.json"))


@pytest.mark.parametrize(
    ("case", "finish"),
    [
        ("text", "stop"),
        ("stop-sequence", "stop"),
        ("max-tokens", "length"),
        ("context", "context"),
        ("tool", "tool_calls"),
        ("refusal", "refusal"),
        ("pause", "pause"),
        ("unknown-stop", "stop"),
    ],
)
def test_a_stop_reason_has_a_meaning(case: str, finish: str) -> None:
    (choice,) = read(fixture(f"{case}.response.json")).choices

    assert choice.finish == finish


def test_a_message_without_a_reason_ended_with_what_it_holds() -> None:
    call = {"type": "tool_use", "name": "f", "input": {}}

    assert read(said("x")).choices[0].finish == "stop"
    (choice,) = read(orjson.dumps({"content": [call]})).choices
    assert choice.finish == "tool_calls"
    assert isinstance(choice.blocks[0], ir.ToolCall)
    assert choice.blocks[0].id.startswith("call_")


def test_tokens_are_disjoint() -> None:
    response = read(fixture("web-search.response.json"))

    assert response.usage == ir.Usage(input=90, cache_read=200, cache_write=10, output=50)
    assert response.service_tier == "priority"
    assert response.extras["usage"]["server_tool_use"]["web_search_requests"] == 1


def test_citations_are_read() -> None:
    (choice,) = read(fixture("search-result.response.json")).choices

    (text,) = choice.blocks
    assert isinstance(text, ir.Text)
    (citation,) = text.citations
    assert (citation.url, citation.title) == ("https://example.com/ruby", "Ruby")
    assert (citation.text, citation.origin) == ("Made in 1993.", "anthropic")


def test_thoughts_are_read() -> None:
    (choice,) = read(fixture("thinking-budget.response.json")).choices

    assert choice.blocks[0] == ir.Reasoning("8*2=16", "EqcCCpMBSIG", "anthropic")


def test_imitators_are_understood() -> None:
    raw = orjson.dumps(
        {"content": ["x", {"type": "text"}, {"type": "text", "text": "Hi"}, 5], "usage": "none"}
    )

    (choice,) = read(raw).choices

    assert choice.blocks == [ir.Text("Hi")]
    assert read(orjson.dumps({"content": "Hi"})).choices[0].blocks == [ir.Text("Hi")]


def test_a_call_of_the_tool_that_takes_json_is_the_answer() -> None:
    call = {"type": "tool_use", "id": "t", "name": "json_response", "input": {"a": 1}}
    raw = orjson.dumps({"content": [call], "stop_reason": "tool_use"})

    (choice,) = read(raw, ir.Request(format=ir.Format("json"))).choices

    assert choice.blocks == [ir.Text('{"a":1}')]
    assert (choice.finish, choice.reason) == ("stop", "")


def test_free_text_comes_out_of_its_argument() -> None:
    request = ir.Request(tools=[ir.Tool("patch", custom=True)])
    call = {"type": "tool_use", "id": "t", "name": "patch", "input": {"input": "*** Begin"}}

    (choice,) = read(orjson.dumps({"content": [call]}), request).choices

    assert choice.blocks == [ir.ToolCall("t", "patch", "*** Begin", custom=True)]
    assert choice.finish == "tool_calls"


def test_a_tool_has_its_name_back() -> None:
    request = ir.Request(tools=[ir.Tool("mcp.tool")])
    call = {"type": "tool_use", "id": "t", "name": TOOLS.made("mcp.tool"), "input": {}}

    made = read(orjson.dumps({"content": [call]}), request).choices[0].blocks[0]

    assert isinstance(made, ir.ToolCall)
    assert made.name == "mcp.tool"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"{}",
        b'{"content": null}',
        b'{"content": {}}',
        b'{"content": [], "error": {"message": "x"}}',
        b'{"type": "error", "content": []}',
        fixture("error.response.json"),
    ],
)
def test_what_is_no_answer_is_a_value_error(raw: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        read(raw)


@settings(max_examples=200)
@given(path=st.sampled_from(ANSWERS), choose=st.data())
def test_no_answer_of_a_provider_is_a_traceback(path: Path, choose: st.DataObject) -> None:
    body = mutate(orjson.loads(path.read_bytes()), choose)

    try:
        response = read(orjson.dumps(body))
    except ValueError:
        return

    response.origin = "another"
    assert CODEC.render_response is not None
    assert CODEC.render_response(response, ir.Request(), Loss())


# --- written for clients -------------------------------------------------------------------------------------


def test_an_answer_of_another_dialect_is_a_message() -> None:
    response = answer(ir.Text("Hi"))
    response.usage = ir.Usage(input=5, cache_read=3, cache_write=2, output=7, reasoning=4)
    response.service_tier = "priority"

    body, dropped = write(response)

    assert body == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "gpt-5",
        "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 5,
            "cache_creation_input_tokens": 2,
            "cache_read_input_tokens": 3,
            "output_tokens": 7,
            "output_tokens_details": {"thinking_tokens": 4},
            "service_tier": "priority",
        },
    }
    assert dropped == {}


CALL = ir.ToolCall("call_1", "f", '{"a":1}')


@pytest.mark.parametrize(
    ("response", "reason", "sequence"),
    [
        (answer(ir.Text("x")), "end_turn", None),
        (answer(ir.Text("x"), stop_sequence="END"), "stop_sequence", "END"),
        (answer(ir.Text("x"), reason="stop_sequence"), "end_turn", None),
        (answer(ir.Text("x"), finish="length", stop_sequence="END"), "max_tokens", None),
        (answer(ir.Text("x"), finish="context"), "model_context_window_exceeded", None),
        (answer(CALL, finish="tool_calls"), "tool_use", None),
        (answer(CALL, finish="stop", reason="STOP"), "tool_use", None),
        (answer(ir.Text("x"), finish="tool_calls"), "end_turn", None),
        (answer(finish="content_filter"), "refusal", None),
        (answer(ir.Refusal("No."), finish="refusal"), "refusal", None),
        (answer(ir.Refusal("No.")), "refusal", None),
        (answer(finish="pause"), "pause_turn", None),
        (answer(finish="error", reason="MALFORMED_FUNCTION_CALL"), "end_turn", None),
    ],
)
def test_an_end_is_written(response: ir.Response, reason: str, sequence: str | None) -> None:
    body, _ = write(response)

    assert (body["stop_reason"], body["stop_sequence"]) == (reason, sequence)


@pytest.mark.parametrize(
    ("thought", "block"),
    [
        (
            ir.Reasoning("Hm", "sig", "anthropic"),
            {"type": "thinking", "thinking": "Hm", "signature": "sig"},
        ),
        (
            ir.Reasoning("Hm", "enc", "openai"),
            {"type": "thinking", "thinking": "Hm", "signature": identity.seal("openai", "enc")},
        ),
        (
            ir.Reasoning("", "enc", "openai"),
            {"type": "redacted_thinking", "data": identity.seal("openai", "enc")},
        ),
        (
            ir.Reasoning("Hm"),
            {"type": "thinking", "thinking": "Hm", "signature": identity.seal("unsigned", "")},
        ),
        (
            ir.Reasoning("", "red", "anthropic", redacted=True),
            {"type": "redacted_thinking", "data": "red"},
        ),
        (
            ir.Reasoning("", "sig", "anthropic"),
            {"type": "thinking", "thinking": "", "signature": "sig"},
        ),
    ],
)
def test_thoughts_are_written(thought: ir.Reasoning, block: Any) -> None:
    body, dropped = write(answer(thought, ir.Text("So.")))

    assert body["content"] == [block, {"type": "text", "text": "So."}]
    assert dropped == {}


def test_thoughts_without_anything_are_none() -> None:
    assert write(answer(ir.Reasoning(), ir.Text("So.")))[0]["content"] == [
        {"type": "text", "text": "So."}
    ]


def test_sealed_state_of_calls_and_texts_survives_the_client() -> None:
    call = ir.ToolCall("call_1", "f", "{}", signature="sig", origin="gemini")
    text = ir.Text("Hi", signature="last", origin="gemini")

    body, _ = write(answer(text, call, finish="tool_calls"))

    kinds = [block["type"] for block in body["content"]]
    assert kinds == ["text", "redacted_thinking", "redacted_thinking", "tool_use"]
    history = [{"role": "assistant", "content": body["content"]}]
    asked = orjson.dumps({"model": "m", "max_tokens": 1, "messages": history})
    assert CODEC.parse_request is not None
    assert CODEC.parse_request(asked).messages[0].content == [text, call]


@pytest.mark.parametrize(
    ("arguments", "given"), [("", {}), ("[]", {"input": []}), ('{"a":', {"input": '{"a":'})]
)
def test_an_input_is_always_an_object(arguments: str, given: Any) -> None:
    body, _ = write(answer(ir.ToolCall("c", "f", arguments), finish="tool_calls"))

    assert body["content"][0]["input"] == given


def test_calls_are_told_apart() -> None:
    calls = [ir.ToolCall("call_0", "f"), ir.ToolCall("call_0", "g"), ir.ToolCall("a b", "")]

    body, _ = write(answer(*calls, finish="tool_calls"))

    first, second, third = body["content"]
    assert first["id"] == "call_0"
    assert second["id"].startswith("toolu_")
    assert third["id"].startswith("toolu_")
    assert third["name"] == "unknown"


def test_citations_with_an_address_are_written_and_others_dropped() -> None:
    cited = ir.Text("x", citations=[ir.Citation("https://example.com", "T", "c"), ir.Citation()])

    body, dropped = write(answer(cited))

    assert body["content"][0]["citations"] == [
        {
            "type": "web_search_result_location",
            "url": "https://example.com",
            "title": "T",
            "cited_text": "c",
            "encrypted_index": "",
        }
    ]
    assert list(dropped) == ["citations"]


def test_what_a_client_has_no_block_for_is_dropped_and_said() -> None:
    response = answer(
        ir.Media("image", "image/png", "aGk="),
        ir.Media("audio", "audio/wav", "aGk=", transcript="Hello"),
        ir.Opaque("openai", "computer_call"),
        ir.Text("x", logprobs=[{"token": "x"}]),
        ir.Text(""),
    )
    response.choices.append(ir.Choice([ir.Text("other")], "stop"))

    body, dropped = write(response)

    assert [block["text"] for block in body["content"]] == ["Hello", "x"]
    assert set(dropped) == {"n", "image.data", "audio.data", "opaque", "logprobs"}


def test_an_answer_without_choices_or_names_is_a_message() -> None:
    body, _ = write(ir.Response())

    assert body["content"] == []
    assert body["model"] == "m"
    assert body["id"].startswith("msg_")
