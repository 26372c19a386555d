"""Google's own client, given what we write and giving back what it keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from google.genai import chats, types

from proxy.dialects import ir
from proxy.dialects.base import Usage
from proxy.dialects.fold import unfold
from tests.dialects.contents import STREAMS, chunks_of, decoded, encoded, folded, name, parse

BLOCKS: list[ir.Block] = [
    ir.Reasoning("Let me look.", "EqAB+/=", "anthropic"),
    ir.Reasoning("", "opaque", "openai", redacted=True),
    ir.Text("Looking."),
    ir.ToolCall("call_1", "look", '{"at":"sky"}'),
    ir.ToolCall("call_2", "look", ""),
]
ANSWER = ir.Response("r", "m", 0, [ir.Choice(BLOCKS, "tool_calls")], Usage(1, 0, 0, 1))


def read(stream: bytes) -> list[types.GenerateContentResponse]:
    return [types.GenerateContentResponse.model_validate(chunk) for chunk in chunks_of(stream)]


def kept(responses: list[types.GenerateContentResponse]) -> list[Any]:
    """The turn as the client sends it back."""
    contents = [response.candidates[0].content for response in responses if response.candidates]
    return [
        orjson.loads(content.model_dump_json(exclude_none=True, by_alias=True))
        for content in contents
        if content is not None
    ]


KNOWN = [path for path in STREAMS if name(path) != "unknown_fields"]


@pytest.mark.parametrize("path", KNOWN, ids=name)
def test_the_client_reads_every_stream(path: Path) -> None:
    response = folded(decoded(path.read_bytes()))
    response.origin = "openai.chat"

    assert read(encoded(unfold(response))[0])


def test_the_client_keeps_a_conversation_of_ours() -> None:
    responses = read(encoded(unfold(ANSWER))[0])

    assert all(chats._validate_response(response) for response in responses)
    assert responses[-1].candidates is not None
    assert responses[-1].candidates[0].finish_reason == types.FinishReason.STOP
    assert responses[-1].usage_metadata is not None
    assert responses[-1].usage_metadata.total_token_count == 2


def test_what_the_client_gives_back_is_what_the_provider_said() -> None:
    history = kept(read(encoded(unfold(ANSWER))[0]))
    results = [
        {"functionResponse": {"id": id, "name": "look", "response": {"output": "x"}}}
        for id in ("call_1", "call_2")
    ]
    contents = [{"role": "user", "parts": [{"text": "Look"}]}, *history]

    request = parse(orjson.dumps({"contents": [*contents, {"role": "user", "parts": results}]}))

    _, answer, result = request.messages
    expected = [*BLOCKS[:-1], ir.ToolCall("call_2", "look", "{}")]
    assert answer.content == expected
    assert [block.id for block in result.content if isinstance(block, ir.ToolResult)] == [
        "call_1",
        "call_2",
    ]
