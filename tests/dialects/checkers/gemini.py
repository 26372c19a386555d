"""`:generateContent`, after Google's reference, its SDK and what the endpoint is known to refuse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tests.dialects.checkers.reading import (
    Json,
    decode,
    decode_object,
    events,
    is_base64,
    objects,
    twice,
    within,
)
from tests.dialects.checkers.shape import invalid, is_readable, violations

_TOOL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}")
_DATA = frozenset({
    "text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode",
    "codeExecutionResult", "toolCall", "toolResponse",
})  # fmt: skip
_NOT_ON_THE_WIRE = ("sdkHttpResponse", "automaticFunctionCallingHistory", "parsed")

# Newer than the SDK; seen in every answer.
_BEYOND = {"GenerateContentResponseUsageMetadata": frozenset({"serviceTier"})}

# --- requests -----------------------------------------------------------------------------------------------


def _request_fields() -> dict[str, Any]:
    """The types of a request's fields. Google's SDK, slow to import, has none for the whole."""
    from google.genai import types

    return {
        "contents": list[types.Content],
        "systemInstruction": types.Content,
        "tools": list[types.Tool],
        "toolConfig": types.ToolConfig,
        "safetySettings": list[types.SafetySetting],
        "generationConfig": types.GenerationConfig,
        "cachedContent": str,
        "labels": dict[str, str],
        "serviceTier": str,
        "store": bool,
    }


def check_request(body: bytes) -> list[str]:
    """Every reason for which a request would be refused."""
    request, problems = decode_object(body)
    known = _request_fields()
    for name, value in request.items():
        if name in known:
            problems += violations(value, known[name], name)
        else:
            problems.append(f"{name}: unknown field")
    if problems:
        return problems
    return [
        *_contents(request.get("contents") or []),
        *_system(request.get("systemInstruction")),
        *_tools(request),
        *_config(request.get("generationConfig") or {}),
    ]


def _contents(contents: list[Json]) -> Iterator[str]:
    if not contents:
        yield "contents: must not be empty"
    before: Json = {}
    for number, content in enumerate(contents):
        where = f"contents[{number}]"
        role = content.get("role", "user")
        if role not in ("user", "model"):
            yield f"{where}.role: {role!r} is none of user, model"
        if number and role == before.get("role", "user"):
            yield f"{where}.role: is the same as before"
        parts = content.get("parts") or []
        if not parts:
            yield f"{where}.parts: must not be empty"
        for position, part in enumerate(parts):
            yield from _part(f"{where}.parts[{position}]", part)
        yield from _functions(where, before, content)
        before = content
    if _named(before, "functionCall"):
        yield "contents: the calls at the end have no functionResponse"


def _named(content: Json, kind: str) -> list[str]:
    return [part[kind].get("name", "") for part in content.get("parts") or [] if part.get(kind)]


def _functions(where: str, before: Json, content: Json) -> Iterator[str]:
    calls, results = _named(content, "functionCall"), _named(content, "functionResponse")
    asked = _named(before, "functionCall")
    if calls and content.get("role") != "model":
        yield f"{where}: a functionCall must be of the model"
    if results and content.get("role", "user") != "user":
        yield f"{where}: a functionResponse must be of the user"
    if calls and before.get("role", "user") != "user":
        yield f"{where}: a functionCall must come right after a turn of the user"
    if calls and not before:
        yield f"{where}: a functionCall must not be the first"
    if len(results) != len(asked):
        yield f"{where}: {len(results)} functionResponse do not answer {len(asked)} functionCall"
    elif sorted(results) != sorted(asked):
        yield f"{where}: functionResponse {results} do not answer {asked}"
    if results and asked:
        yield from _matching_ids(where, before, content)


def _matching_ids(where: str, before: Json, content: Json) -> Iterator[str]:
    asked = {part["functionCall"].get("id") for part in before["parts"] if "functionCall" in part}
    for part in content["parts"]:
        id = part.get("functionResponse", {}).get("id")
        if id is not None and id not in asked:
            yield f"{where}: functionResponse {id!r} has the id of no functionCall"


def _part(where: str, part: Json) -> Iterator[str]:
    kinds = _DATA & part.keys()
    if len(kinds) != 1:
        yield f"{where}: must have exactly one kind of data, not {sorted(kinds)}"
    if part.get("text") == "" and not part.get("thoughtSignature"):
        yield f"{where}.text: must not be empty"
    signature = part.get("thoughtSignature")
    # A documented word is taken in place of a signature that is lost.
    if signature not in (None, "skip_thought_signature_validator") and not is_base64(
        signature, url_safe=True
    ):
        yield f"{where}.thoughtSignature: is not base64"
    yield from _function_part(where, part)
    if "inlineData" in part:
        blob = part["inlineData"]
        if not blob.get("mimeType"):
            yield f"{where}.inlineData.mimeType: is missing"
        if not is_base64(blob.get("data"), url_safe=True):
            yield f"{where}.inlineData.data: is not base64"
    if "fileData" in part and not part["fileData"].get("fileUri"):
        yield f"{where}.fileData.fileUri: is missing"


def _function_part(where: str, part: Json) -> Iterator[str]:
    for kind in ("functionCall", "functionResponse"):
        if kind in part and not _TOOL_NAME.fullmatch(part[kind].get("name") or ""):
            yield f"{where}.{kind}.name: {part[kind].get('name')!r} is no name of a function"
    if "functionResponse" in part and not isinstance(
        part["functionResponse"].get("response"), dict
    ):
        yield f"{where}.functionResponse.response: must be an object"


def _system(system: Json | None) -> Iterator[str]:
    if system is None:
        return
    if not system.get("parts"):
        yield "systemInstruction.parts: must not be empty"
    for position, part in enumerate(system.get("parts") or []):
        yield from _part(f"systemInstruction.parts[{position}]", part)
        if "text" not in part:
            yield f"systemInstruction.parts[{position}]: must be text"


def _tools(request: Json) -> Iterator[str]:
    declared = [
        declaration
        for tool in request.get("tools") or []
        for declaration in tool.get("functionDeclarations") or []
    ]
    names = [declaration.get("name") or "" for declaration in declared]
    yield from (f"tools: {name!r} is the name of two" for name in twice(names))
    for tool in request.get("tools") or []:
        if not tool:
            yield "tools: an entry is empty"
    for number, declaration in enumerate(declared):
        yield from _declaration(f"functionDeclarations[{number}]", declaration)
    choice = (request.get("toolConfig") or {}).get("functionCallingConfig") or {}
    allowed = choice.get("allowedFunctionNames") or []
    if allowed and choice.get("mode") not in ("ANY", "VALIDATED"):
        yield "toolConfig: allowedFunctionNames only with mode ANY"
    yield from (f"toolConfig: there is no {name!r}" for name in allowed if name not in names)
    if choice.get("mode") in ("ANY", "VALIDATED") and not declared:
        yield "toolConfig: only with functions"


def _declaration(where: str, declaration: Json) -> Iterator[str]:
    name = declaration.get("name") or ""
    if not _TOOL_NAME.fullmatch(name):
        yield f"{where}.name: {name!r} is no name of a function"
    schema = declaration.get("parameters")
    if schema is None:
        return
    if "parametersJsonSchema" in declaration:
        yield f"{where}: parameters not together with parametersJsonSchema"
    if str(schema.get("type", "")).upper() != "OBJECT":
        yield f"{where}.parameters.type: must be OBJECT"


def _config(config: Json) -> Iterator[str]:
    yield from within("temperature", config.get("temperature"), 0, 2)
    yield from within("topP", config.get("topP"), 0, 1)
    yield from within("topK", config.get("topK"), 1, 1e6)
    yield from within("candidateCount", config.get("candidateCount"), 1, 8)
    yield from within("maxOutputTokens", config.get("maxOutputTokens"), 1, 1e9)
    yield from within("logprobs", config.get("logprobs"), 0, 20)
    yield from within("seed", config.get("seed"), -(2**31), 2**31 - 1)
    yield from within("presencePenalty", config.get("presencePenalty"), -2, 2)
    yield from within("frequencyPenalty", config.get("frequencyPenalty"), -2, 2)
    if len(config.get("stopSequences") or []) > 5:
        yield "stopSequences: has more than 5"
    if config.get("logprobs") is not None and config.get("responseLogprobs") is not True:
        yield "logprobs: only with responseLogprobs"
    schemas = [key for key in ("responseSchema", "responseJsonSchema") if key in config]
    if len(schemas) == 2:
        yield "responseSchema: not together with responseJsonSchema"
    is_json = config.get("responseMimeType") in ("application/json", "text/x.enum")
    if schemas and not is_json:
        yield f"{schemas[0]}: only with the responseMimeType application/json"
    thinking = config.get("thinkingConfig") or {}
    if "thinkingBudget" in thinking and "thinkingLevel" in thinking:
        yield "thinkingConfig: thinkingBudget not together with thinkingLevel"


# --- answers ------------------------------------------------------------------------------------------------


def check_response(body: bytes) -> list[str]:
    """Every way in which an answer is none."""
    response, problems = decode_object(body)
    return problems + _response(response) + list(_whole(response))


def _response(response: Json) -> list[str]:
    """What holds for a whole answer and for each chunk of one."""
    from google.genai import types

    problems = [f"{name}: is not on the wire" for name in _NOT_ON_THE_WIRE if name in response]
    problems = problems or violations(response, types.GenerateContentResponse, "", _BEYOND)
    known = {**response, "usageMetadata": {**(response.get("usageMetadata") or {})}}
    known["usageMetadata"].pop("serviceTier", None)
    problems = problems or invalid(known, types.GenerateContentResponse)
    if problems:
        return problems
    if not any(response.get(key) for key in ("candidates", "promptFeedback", "usageMetadata")):
        problems.append("candidates: is missing, and so is promptFeedback")
    for number, candidate in enumerate(response.get("candidates") or []):
        problems += _candidate(f"candidates[{number}]", candidate)
    return problems + list(_usage(response.get("usageMetadata")))


def _candidate(where: str, candidate: Json) -> Iterator[str]:
    content = candidate.get("content")
    if content is None:
        if not candidate.get("finishReason"):
            yield f"{where}.content: is missing, and so is finishReason"
        return
    if content.get("role") != "model":
        yield f"{where}.content.role: must be model"
    for position, part in enumerate(content.get("parts") or []):
        place = f"{where}.content.parts[{position}]"
        if len(_DATA & part.keys()) != 1:
            yield f"{place}: must have exactly one kind of data, not {sorted(_DATA & part.keys())}"
        call = part.get("functionCall")
        if call is not None and not call.get("name"):
            yield f"{place}.functionCall.name: must not be empty"


def _whole(response: Json) -> Iterator[str]:
    candidates = objects(response.get("candidates"))
    for number, candidate in enumerate(candidates):
        if not candidate.get("finishReason"):
            yield f"candidates[{number}].finishReason: is missing"
    indexes = [candidate.get("index", 0) for candidate in candidates]
    if len(candidates) > 1 and indexes != list(range(len(candidates))):
        yield "candidates: the indexes do not count up from 0"
    if not candidates and not (response.get("promptFeedback") or {}).get("blockReason"):
        yield "candidates: is missing without a blockReason"


_PARTS = (
    "promptTokenCount",
    "candidatesTokenCount",
    "thoughtsTokenCount",
    "toolUsePromptTokenCount",
)


def _usage(usage: Json | None) -> Iterator[str]:
    if usage is None:
        return
    parts = [usage.get(name) or 0 for name in _PARTS]
    if min(parts) < 0:
        yield "usageMetadata: is negative"
    total = usage.get("totalTokenCount")
    if total is not None and total != sum(parts):
        yield f"usageMetadata.totalTokenCount: {total} is not the sum of {parts}"
    if (usage.get("cachedContentTokenCount") or 0) > (usage.get("promptTokenCount") or 0):
        yield "usageMetadata: there are more cached tokens than tokens of the prompt"


# --- streams ------------------------------------------------------------------------------------------------


def check_stream(raw: bytes) -> list[str]:
    """Every way in which a stream is none, be it of events or one array that grows."""
    if raw.lstrip()[:1] == b"[":
        chunks, problems = decode(raw)
    else:
        found, problems = events(raw)
        problems += [f"stream: event {event.name!r} has a name" for event in found if event.name]
        chunks = []
        for event in found:
            chunk, broken = decode_object(event.data)
            chunks.append(chunk)
            problems += broken
    if not chunks:
        return [*problems, "stream: has no chunks"]
    stream = _Stream()
    for number, chunk in enumerate(objects(chunks)):
        is_last = number == len(chunks) - 1
        problems += [f"chunk {number}: {problem}" for problem in stream.chunk(chunk, is_last)]
    return problems + list(stream.close())


class _Stream:
    """What has been seen of a stream."""

    def __init__(self) -> None:
        self.head: tuple[object, object] | None = None
        self.finished: dict[int, bool] = {}
        self.blocked = self.failed = False
        self.usage = False

    def chunk(self, chunk: Json, is_last: bool) -> Iterator[str]:
        if self.failed:
            yield "comes after an error"
        if "error" in chunk:
            self.failed = True
            yield from _error(chunk["error"])
            return
        wrong = _response(chunk)
        yield from wrong
        if not is_readable(wrong):
            return
        head = (chunk.get("responseId"), chunk.get("modelVersion"))
        if self.head is not None and head != self.head:
            yield f"responseId and modelVersion have become {head}"
        self.head = head
        self.usage = "usageMetadata" in chunk
        self.blocked |= bool((chunk.get("promptFeedback") or {}).get("blockReason"))
        for candidate in chunk.get("candidates") or []:
            index = candidate.get("index", 0)
            if self.finished.get(index):
                yield f"candidate {index} goes on after its finishReason"
            self.finished[index] = bool(candidate.get("finishReason"))

    def close(self) -> Iterator[str]:
        if self.failed:
            return
        if not self.finished and not self.blocked:
            yield "stream: has no candidates"
        for index, finished in self.finished.items():
            if not finished:
                yield f"stream: candidate {index} has no finishReason"
        if not self.usage:
            yield "stream: the last chunk has no usageMetadata"


def _error(error: object) -> Iterator[str]:
    if not isinstance(error, dict):
        yield "error: must be an object"
        return
    for key, kind in (("code", int), ("message", str), ("status", str)):
        if not isinstance(error.get(key), kind):
            yield f"error.{key}: must be {kind.__name__}"
