"""The rules for Gemini find what is planted, and nothing in what is legal."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.dialects.checkers import gemini
from tests.dialects.planted import GONE, assert_found, edited, stream

CALL = {"functionCall": {"name": "f", "args": {}, "id": "call_1"}, "thoughtSignature": "c2ln"}
RESULT = {"functionResponse": {"name": "f", "response": {"result": 1}, "id": "call_1"}}
TOOL = {"name": "f", "parameters": {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}}
IMAGE = {"inlineData": {"mimeType": "image/png", "data": "aGk="}}
REQUEST: dict[str, Any] = {
    "systemInstruction": {"parts": [{"text": "Be brief."}]},
    "contents": [
        {"role": "user", "parts": [{"text": "Hi"}, IMAGE]},
        {"role": "model", "parts": [{"text": "Hm", "thought": True}, CALL]},
        {"role": "user", "parts": [RESULT]},
    ],
    "tools": [{"functionDeclarations": [TOOL]}],
    "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
    "generationConfig": {"temperature": 1.5, "thinkingConfig": {"thinkingBudget": -1}},
}
CHOICE = "toolConfig.functionCallingConfig"


@pytest.mark.parametrize(
    "edits",
    [
        {},
        {"contents.0.role": GONE},
        {"tools.0.functionDeclarations.0": {"name": "f", "parametersJsonSchema": {}}},
        {"tools.+": {"googleSearch": {}}},
        {"contents.0.parts.+": {"fileData": {"fileUri": "https://a/b.pdf"}}},
        {"generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": {}}},
        {"contents.1.parts.1.thoughtSignature": "skip_thought_signature_validator"},
    ],
)
def test_a_legal_request_has_no_violations(edits: dict[str, Any]) -> None:
    assert gemini.check_request(orjson.dumps(edited(REQUEST, edits))) == []


@pytest.mark.parametrize(
    ("word", "edits"),
    [
        ("foo: unknown", {"foo": 1}),
        ("thought_signature: unknown", {"contents.1.parts.1.thought_signature": "aGk="}),
        ("parameters.foo: unknown", {"tools.0.functionDeclarations.0.parameters.foo": 1}),
        ("args: must be", {"contents.1.parts.1.functionCall.args": "{}"}),
        ("must not be empty", {"contents": []}),
        ("is none of user, model", {"contents.0.role": "system"}),
        ("the same as before", {"contents.1": {"role": "user", "parts": [{"text": "x"}]}}),
        ("parts: must not be empty", {"contents.0.parts": []}),
        ("exactly one kind of data", {"contents.0.parts.0": {}}),
        ("exactly one kind of data", {"contents.0.parts.0": {"text": "x", **IMAGE}}),
        ("text: must not be empty", {"contents.0.parts.0.text": ""}),
        ("is not base64", {"contents.1.parts.1.thoughtSignature": "?"}),
        ("mimeType: is missing", {"contents.0.parts.1.inlineData.mimeType": GONE}),
        ("data: is not base64", {"contents.0.parts.1.inlineData.data": "?"}),
        ("fileUri: is missing", {"contents.0.parts.1": {"fileData": {}}}),
        ("no name of a function", {"contents.1.parts.1.functionCall.name": "1"}),
        ("must be an object", {"contents.2.parts.0.functionResponse.response": GONE}),
        ("at the end have no functionResponse", {"contents.2": GONE}),
        ("do not answer 1 functionCall", {"contents.2.parts.0": {"text": "x"}}),
        ("do not answer 1 functionCall", {"contents.2.parts.+": RESULT}),
        ("do not answer ['f']", {"contents.2.parts.0.functionResponse.name": "g"}),
        ("id of no functionCall", {"contents.2.parts.0.functionResponse.id": "call_2"}),
        ("must be of the model", {"contents.0.parts.+": CALL}),
        ("must be of the user", {"contents.1.parts.+": RESULT}),
        ("must not be the first", {"contents.0": GONE}),
        ("right after a turn of the user", {"contents.0": {"role": "model", "parts": [{"text": "x"}]}}),
        ("systemInstruction.parts: must", {"systemInstruction.parts": []}),
        ("must be text", {"systemInstruction.parts": [IMAGE]}),
        ("an entry is empty", {"tools.+": {}}),
        ("the name of two", {"tools.0.functionDeclarations.+": TOOL}),
        ("no name of a function", {"tools.0.functionDeclarations.0.name": "1"}),
        ("not together with parametersJsonSchema", {"tools.0.functionDeclarations.0.parametersJsonSchema": {}}),
        ("must be OBJECT", {"tools.0.functionDeclarations.0.parameters.type": "STRING"}),
        ("only with mode ANY", {f"{CHOICE}.mode": "AUTO"}),
        ("there is no 'g'", {f"{CHOICE}.allowedFunctionNames": ["g"]}),
        ("only with functions", {"tools": [{"googleSearch": {}}]}),
        ("temperature: 3", {"generationConfig.temperature": 3}),
        ("topP: 2", {"generationConfig.topP": 2}),
        ("topK: 0", {"generationConfig.topK": 0}),
        ("candidateCount: 9", {"generationConfig.candidateCount": 9}),
        ("maxOutputTokens: 0", {"generationConfig.maxOutputTokens": 0}),
        ("seed", {"generationConfig.seed": 2**31}),
        ("presencePenalty: 3", {"generationConfig.presencePenalty": 3}),
        ("frequencyPenalty: 3", {"generationConfig.frequencyPenalty": 3}),
        ("logprobs: 21", {"generationConfig.logprobs": 21, "generationConfig.responseLogprobs": True}),
        ("logprobs: only", {"generationConfig.logprobs": 2}),
        ("more than 5", {"generationConfig.stopSequences": list("abcdef")}),
        ("only with the responseMimeType", {"generationConfig.responseJsonSchema": {}}),
        ("not together with responseJsonSchema", {"generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": {}, "responseSchema": {}}}),
        ("not together with thinkingLevel", {"generationConfig.thinkingConfig.thinkingLevel": "LOW"}),
    ],
)  # fmt: skip
def test_a_planted_violation_of_a_request_is_found(word: str, edits: dict[str, Any]) -> None:
    assert_found(gemini.check_request, REQUEST, edits, word)


USAGE = {
    "promptTokenCount": 3,
    "candidatesTokenCount": 2,
    "thoughtsTokenCount": 1,
    "totalTokenCount": 6,
}
RESPONSE: dict[str, Any] = {
    "candidates": [
        {
            "index": 0,
            "content": {"role": "model", "parts": [{"text": "Hi"}, CALL, IMAGE]},
            "finishReason": "STOP",
        }
    ],
    "usageMetadata": USAGE,
    "modelVersion": "m",
    "responseId": "r",
}
PARTS = "candidates.0.content.parts"


@pytest.mark.parametrize(
    ("word", "edits"),
    [
        (".foo: unknown", {"foo": 1}),
        ("is not on the wire", {"parsed": {}}),
        ("finishReason: 'stop_it'", {"candidates.0.finishReason": "stop_it"}),
        ("so is promptFeedback", {"candidates": GONE, "usageMetadata": GONE}),
        ("content: is missing", {"candidates.0": {"index": 0}}),
        ("role: must be model", {"candidates.0.content.role": "user"}),
        ("exactly one kind", {f"{PARTS}.0": {}}),
        ("thoughtSignature: Data should be valid base64", {f"{PARTS}.1.thoughtSignature": "?"}),
        ("name: must not be empty", {f"{PARTS}.1.functionCall.name": ""}),
        ("args: must be", {f"{PARTS}.1.functionCall.args": "{}"}),
        ("data: Data should be valid base64", {f"{PARTS}.2.inlineData.data": "?"}),
        ("finishReason: is missing", {"candidates.0.finishReason": GONE}),
        ("do not count up", {"candidates.+": RESPONSE["candidates"][0]}),
        ("without a blockReason", {"candidates": GONE}),
        ("is negative", {"usageMetadata.promptTokenCount": -3}),
        ("is not the sum", {"usageMetadata.totalTokenCount": 5}),
        ("more cached tokens", {"usageMetadata.cachedContentTokenCount": 4}),
    ],
)
def test_a_planted_violation_of_an_answer_is_found(word: str, edits: dict[str, Any]) -> None:
    assert_found(gemini.check_response, RESPONSE, edits, word)


def chunk(parts: list[Any], **more: Any) -> dict[str, Any]:
    content = {"role": "model", "parts": parts}
    return {
        "candidates": [{"index": 0, "content": content, **more}],
        "modelVersion": "m",
        "responseId": "r",
    }


CHUNKS = [
    chunk([{"text": "Hi"}]),
    chunk([CALL]),
    {**chunk([{"text": ""}], finishReason="STOP"), "usageMetadata": USAGE},
]
BLOCKED = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 1}}
ERROR = {"error": {"code": 500, "message": "m", "status": "INTERNAL"}}


@pytest.mark.parametrize(
    "raw",
    [
        stream(CHUNKS),
        orjson.dumps(CHUNKS),
        stream([BLOCKED]),
        stream([CHUNKS[0], ERROR]),
    ],
)
def test_a_legal_stream_has_no_violations(raw: bytes) -> None:
    assert gemini.check_stream(raw) == []


@pytest.mark.parametrize(
    ("word", "edits"),
    [
        ("no finishReason", {"2.candidates.0.finishReason": GONE}),
        ("after its finishReason", {"0.candidates.0.finishReason": "STOP"}),
        ("have become", {"1.responseId": "s"}),
        ("has no usageMetadata", {"2.usageMetadata": GONE}),
        ("has no candidates", {str(n): {"usageMetadata": USAGE} for n in range(3)}),
        ("after an error", {"1": ERROR}),
        ("error.code", {"2": {"error": {"message": "m", "status": "s"}}}),
        ("error: must be an object", {"2": {"error": "m"}}),
        ("args: must be", {"1.candidates.0.content.parts.0.functionCall.args": "{"}),
    ],
)  # fmt: skip
def test_a_planted_violation_of_a_stream_is_found(word: str, edits: dict[str, Any]) -> None:
    for raw in (stream(edited(CHUNKS, edits)), orjson.dumps(edited(CHUNKS, edits))):
        problems = gemini.check_stream(raw)

        assert any(word in problem for problem in problems), problems


def test_a_stream_is_not_empty_named_or_done() -> None:
    assert "has no chunks" in gemini.check_stream(b"")[0]
    assert "has a name" in gemini.check_stream(b"event: x\n" + stream(CHUNKS))[0]
    assert "is not JSON" in gemini.check_stream(stream(CHUNKS, done=b"data: [DONE]\n\n"))[0]
