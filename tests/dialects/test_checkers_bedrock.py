"""The rules for Converse find what is planted, and nothing in what is legal."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.dialects.checkers import bedrock
from tests.dialects.planted import GONE, assert_found, edited

CALL = {"toolUse": {"toolUseId": "a", "name": "f", "input": {}}}
RESULT = {"toolResult": {"toolUseId": "a", "content": [{"text": "1"}]}}
THOUGHT = {"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "s"}}}
IMAGE = {"image": {"format": "png", "source": {"bytes": "aGk="}}}
DOCUMENT = {"document": {"format": "pdf", "name": "a (1)", "source": {"bytes": "aGk="}}}
SPEC = {"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}
REQUEST: dict[str, Any] = {
    "system": [{"text": "Be brief."}, {"cachePoint": {"type": "default"}}],
    "messages": [
        {"role": "user", "content": [{"text": "Hi"}, IMAGE, DOCUMENT]},
        {"role": "assistant", "content": [THOUGHT, CALL]},
        {"role": "user", "content": [RESULT]},
    ],
    "toolConfig": {"tools": [SPEC], "toolChoice": {"tool": {"name": "f"}}},
    "inferenceConfig": {"maxTokens": 5, "temperature": 0.5},
    "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget": [1, None]}},
    "requestMetadata": {"team": "a"},
}
HEAD = "messages.0.content"


@pytest.mark.parametrize(
    ("word", "edits"),
    [
        ("belongs to the address", {"modelId": "m"}),
        ('Unknown parameter in input: "foo"', {"foo": 1}),
        ('"foo"', {f"{HEAD}.1.image.foo": 1}),
        ("Missing required", {f"{HEAD}.1.image.format": GONE}),
        ("format: 'tiff' is none of", {f"{HEAD}.1.image.format": "tiff"}),
        ("bytes: is not base64", {f"{HEAD}.1.image.source.bytes": "?"}),
        ("exactly one field", {f"{HEAD}.0": {"text": "Hi", **IMAGE}}),
        ("does not match", {"messages.1.content.1.toolUse.toolUseId": "a b"}),
        ("65 is more than 64", {"toolConfig.tools.0.toolSpec.name": "f" * 65}),
        ("2 is more than 1", {"inferenceConfig.temperature": 2}),
        ("valid min value: 1", {"inferenceConfig.maxTokens": 0}),
        ("Invalid type", {"inferenceConfig.maxTokens": "5"}),
        ("17 is more than 16", {"requestMetadata": {str(n): "" for n in range(17)}}),
        ("does not match", {"requestMetadata": {"k": "?!"}}),
        ("messages: must not be empty", {"messages": []}),
        ("must be of the user", {"messages.0": GONE}),
        ("the same as before", {"messages.+": {"role": "user", "content": [{"text": "x"}]}}),
        ("content: must not be empty", {"messages.0.content": []}),
        ("must be of the assistant", {f"{HEAD}.+": CALL}),
        ("must be of the assistant", {f"{HEAD}.+": THOUGHT}),
        ("must be of the user", {"messages.1.content.+": IMAGE}),
        ("two toolUse", {"messages.1.content.+": CALL}),
        ("at the end has no toolResult", {"messages.2": GONE}),
        ("has no toolResult", {"messages.2.content": [{"text": "x"}]}),
        ("answers no toolUse", {"messages.2.content.0.toolResult.toolUseId": "b"}),
        ("answered twice", {"messages.2.content.+": RESULT}),
        ("text: must not be blank", {f"{HEAD}.0.text": " "}),
        ("text must not be blank", {"messages.2.content.0.toolResult.content.0.text": ""}),
        ("valid min length: 1", {"system.0.text": ""}),
        ("more than 20 images", {HEAD: [IMAGE] * 21}),
        ("the name of two", {"toolConfig.tools.+": SPEC}),
        ("must be of an object", {"toolConfig.tools.0.toolSpec.inputSchema.json": {}}),
        ("there is no tool 'g'", {"toolConfig.toolChoice.tool.name": "g"}),
        ("must be given where", {"toolConfig": GONE}),
        ("input of a toolUse", {"messages.1.content.1.toolUse.input": "{}"}),
        ("needs a text beside it", {f"{HEAD}.0": GONE}),
        ("more than 5 documents", {HEAD: [{"text": "x"}, *[edited(DOCUMENT, {"document.name": str(n)}) for n in range(6)]]}),
        ("no name of a document", {f"{HEAD}.2.document.name": "a.pdf"}),
        ("no name of a document", {f"{HEAD}.2.document.name": "a  b"}),
        ("two documents", {f"{HEAD}.+": DOCUMENT}),
    ],
)  # fmt: skip
def test_a_planted_violation_of_a_request_is_found(word: str, edits: dict[str, Any]) -> None:
    assert_found(bedrock.check_request, REQUEST, edits, word)


def test_what_is_no_json_is_found() -> None:
    assert "is not JSON" in bedrock.check_request(b"{")[0]
    assert "must be an object" in bedrock.check_request(orjson.dumps([]))[0]
