"""Messages of a client, block by block: content parts, calls, results, thoughts."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.core.errors import ProxyError
from proxy.dialects import identity, ir
from proxy.dialects.openai_chat import parts
from proxy.dialects.openai_chat.messages import parse
from proxy.dialects.openai_chat.request import parse_request
from tests.dialects.choices import fixture

PNG = "iVBORw0KGgoAAAANSUhEUg=="


def blocks(case: str, at: int = 0) -> list[ir.Block]:
    return parse_request(fixture(f"chat/{case}.request.json")).messages[at].content


def answer(**fields: Any) -> list[ir.Block]:
    return parse([{"role": "assistant", **fields}])[0].content


def test_system_and_developer_keep_their_role_and_marks() -> None:
    messages = parse_request(fixture("chat/system_forms.request.json")).messages

    assert [message.role for message in messages] == [
        "system", "developer", "user", "assistant", "system", "user",
    ]  # fmt: skip
    assert messages[1].name == "boss"
    first = messages[0].content[0]
    assert isinstance(first, ir.Text)
    assert first.cache == ir.Cache()


def test_images_are_taken_apart() -> None:
    found = [block for block in blocks("images") if isinstance(block, ir.Media)]

    assert [(block.url, block.mime, block.data, block.detail) for block in found] == [
        ("https://example.com/a.png", "", "", "low"),
        ("", "image/png", PNG, "high"),
        ("https://example.com/b.jpg", "", "", ""),
    ]


def test_documents_are_taken_apart() -> None:
    found = [block for block in blocks("documents") if isinstance(block, ir.Media)]

    assert [(block.name, block.mime, block.data or block.text or block.file_id or block.url) for block in found] == [
        ("a.pdf", "application/pdf", "JVBERi0="),
        ("", "", "file-1"),
        ("b.txt", "text/plain", "Hello"),
        ("c.pdf", "application/pdf", "JVBERi0="),
        ("d", "", "https://example.com/d.pdf"),
    ]  # fmt: skip
    assert found[1].origin == "openai"


def test_sound_and_film_are_taken_apart() -> None:
    found = [block for block in blocks("sound_and_film") if isinstance(block, ir.Media)]

    assert [(block.kind, block.mime, block.data or block.url) for block in found] == [
        ("audio", "audio/wav", "UklGRg=="),
        ("audio", "audio/mpeg", "SUQz"),
        ("video", "", "https://example.com/a.mp4"),
        ("video", "video/mp4", "AAAA"),
    ]
    assert blocks("sound_and_film", 1) == [ir.Media("audio", file_id="audio_1", origin="openai")]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("data:image/png;base64,aGk=", ("image/png", "aGk=")),
        ("DATA:image/PNG;charset=x;base64,aGk=", ("image/png", "aGk=")),
        ("data:text/plain,h%69", ("text/plain", "aGk=")),
        ("data:,hi", ("", "aGk=")),
        ("https://example.com/data:", None),
    ],
)
def test_data_urls_hold_their_bytes(url: str, expected: tuple[str, str] | None) -> None:
    assert parts.data_url(url) == expected


def test_parts_nobody_knows_are_kept() -> None:
    first, second, third = blocks("odd_parts")

    assert first == ir.Text("Bare")
    assert second == ir.Opaque("openai", "x_part", {"type": "x_part", "x": 1})
    assert third == ir.Text("No type")


def test_an_address_in_place_of_sound_is_one() -> None:
    part = {"type": "input_audio", "input_audio": {"data": "https://example.com/a.mp3"}}

    assert parts.parse(part, "") == ir.Media("audio", url="https://example.com/a.mp3")


def test_explicit_breakpoints_are_cache_marks() -> None:
    part = {
        "type": "text",
        "text": "a",
        "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"},
    }

    block = parts.parse(part, "")

    assert isinstance(block, ir.Text)
    assert block.cache == ir.Cache("1h")


def test_calls_and_results_are_matched() -> None:
    messages = parse_request(fixture("chat/parallel_results.request.json")).messages

    calls = [block for block in messages[1].content if isinstance(block, ir.ToolCall)]
    results = [message.content[0] for message in messages[2:]]
    assert [call.id for call in calls] == ["call_1", "call_2"]
    assert [(result.id, result.name) for result in results if isinstance(result, ir.ToolResult)] == [
        ("call_1", "get_weather"),
        ("call_2", "get_weather"),
    ]  # fmt: skip
    assert all(message.role == "user" for message in messages[2:])


def test_a_custom_call_and_its_result_are_custom() -> None:
    messages = parse_request(fixture("chat/custom.request.json")).messages

    call, result = messages[1].content[0], messages[2].content[0]
    assert call == ir.ToolCall("call_1", "sql", "select 1", custom=True)
    assert isinstance(result, ir.ToolResult)
    assert result.custom


def test_arguments_given_decoded_are_encoded_and_ids_invented() -> None:
    messages = parse_request(fixture("chat/object_arguments.request.json")).messages

    call, result = messages[1].content[0], messages[2].content[0]
    assert isinstance(call, ir.ToolCall)
    assert isinstance(result, ir.ToolResult)
    assert call.arguments == '{"a":1}'
    assert call.id == result.id == "call_0_now"


def test_details_of_thoughts_are_preferred_to_their_text() -> None:
    found = [block for block in blocks("thoughts_openrouter", 1) if isinstance(block, ir.Reasoning)]

    assert found == [
        ir.Reasoning("Greet.", "c2ln", "anthropic"),
        ir.Reasoning("", "ZW5j", "anthropic", redacted=True),
        ir.Reasoning("Short.", "Z0FB", "openai", id="rs_1"),
    ]


def test_plain_thoughts_are_read_where_there_are_no_details() -> None:
    assert answer(content="4", reasoning_content="Easy.") == [ir.Reasoning("Easy."), ir.Text("4")]
    assert answer(content="4", reasoning="Easy.") == [ir.Reasoning("Easy."), ir.Text("4")]


def test_a_signature_of_googles_belongs_to_its_call() -> None:
    own = {"google": {"thought_signature": "c2ln"}}
    foreign = {"google": {"thought_signature": identity.seal("anthropic", "sig")}}
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}

    found = answer(tool_calls=[{**call, "extra_content": own}, {**call, "extra_content": foreign}])

    assert [(block.signature, block.origin) for block in found if isinstance(block, ir.ToolCall)] == [
        ("c2ln", "gemini"),
        ("sig", "anthropic"),
    ]  # fmt: skip


def test_state_carried_beside_a_text_is_put_back_on_it() -> None:
    sealed = {
        "type": "reasoning.encrypted",
        "data": "c2ln",
        "format": "google-gemini-v1/last",
        "index": 0,
    }

    assert answer(content="Hi", reasoning_details=[sealed]) == [
        ir.Text("Hi", signature="c2ln", origin="gemini")
    ]


def test_refusals_are_read_as_field_and_as_part() -> None:
    assert blocks("refusal", 1) == [ir.Refusal("I will not.")]
    assert blocks("refusal", 3) == [ir.Refusal("No.")]


def test_annotations_and_images_of_an_earlier_answer_are_read() -> None:
    text = blocks("citations", 1)[0]
    image = blocks("pictures", 1)[1]

    assert isinstance(text, ir.Text)
    assert [(cited.url, cited.title, cited.start, cited.end) for cited in text.citations] == [
        ("https://example.com/a", "A", 0, 5)
    ]
    assert image == ir.Media("image", mime="image/png", data=PNG)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tool_calls": [{}]}, "messages[0].tool_calls[0].function"),
        ({"tool_calls": [7]}, "messages[0].tool_calls[0]"),
        ({"tool_calls": {"a": 1}}, "messages[0].tool_calls"),
        ({"function_call": {}}, "messages[0].function_call.name"),
        ({"audio": {}}, "messages[0].audio.id"),
        ({"reasoning": {}}, "messages[0].reasoning"),
        ({"content": [{"type": "text"}]}, "messages[0].content[0].text"),
        ({"content": [{"type": "file", "file": {}}]}, "messages[0].content[0].file.file_data"),
        ({"content": [{"type": "image_url"}]}, "messages[0].content[0].image_url.url"),
    ],
)
def test_a_wrong_field_of_an_answer_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(ProxyError) as raised:
        answer(**fields)

    assert raised.value.param == param
