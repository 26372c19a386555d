"""Converse, after the service model in botocore and what the endpoint is known to refuse."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import botocore.loaders  # type: ignore[import-untyped]
import botocore.model  # type: ignore[import-untyped]
import botocore.validate  # type: ignore[import-untyped]

from tests.dialects.checkers.reading import Json, decode_object, is_base64, objects, twice

_DOCUMENT_NAME = re.compile(r"(?:[a-zA-Z0-9\-()\[\]]|\s(?!\s))+")


@cache
def _shape() -> Any:
    loader = botocore.loaders.Loader()
    service = loader.load_service_model("bedrock-runtime", "service-2")
    return botocore.model.ServiceModel(service).shape_for("ConverseRequest")


def check_request(body: bytes) -> list[str]:
    """Every reason for which a request would be refused."""
    request, problems = decode_object(body)
    problems += [f"{name}: belongs to the address" for name in ("modelId",) if name in request]
    given = _decoded(request, _shape(), "", problems)
    if problems:
        return problems
    report = botocore.validate.ParamValidator().validate({**given, "modelId": "m"}, _shape())
    if report.has_errors():
        return str(report.generate_report()).splitlines()
    return [
        *_turns(request.get("messages") or []),
        *_tools(request),
        *_documents(request.get("messages") or []),
    ]


def _decoded(value: Any, shape: Any, where: str, problems: list[str]) -> Any:
    """`value` with its blobs as bytes; what botocore leaves to the service to refuse is noted."""
    match shape.type_name:
        case "blob":
            if not is_base64(value):
                problems.append(f"{where}: is not base64")
                return b""
            return base64.b64decode(value)
        case "structure" if not shape.is_document_type and isinstance(value, dict):
            if shape.is_tagged_union and len(value) != 1:
                problems.append(f"{where}: must have exactly one field, not {sorted(value)}")
            return {
                name: _decoded(item, shape.members[name], f"{where}.{name}", problems)
                if name in shape.members
                else item
                for name, item in value.items()
            }
        case "list" if isinstance(value, list):
            _limit(len(value), shape, where, problems)
            return [
                _decoded(item, shape.member, f"{where}[{number}]", problems)
                for number, item in enumerate(value)
            ]
        case "map" if isinstance(value, dict):
            _limit(len(value), shape, where, problems)
            for key in value:
                _decoded(key, shape.key, f"{where}.{key}", problems)
            return {
                key: _decoded(item, shape.value, f"{where}.{key}", problems)
                for key, item in value.items()
            }
        case "string" if isinstance(value, str):
            _limit(len(value), shape, where, problems)
            if shape.enum and value not in shape.enum:
                problems.append(f"{where}: {value!r} is none of {', '.join(shape.enum)}")
            pattern = shape.metadata.get("pattern")
            if pattern and not re.fullmatch(pattern, value):
                problems.append(f"{where}: {value!r} does not match {pattern}")
        case "integer" | "float" if isinstance(value, int | float):
            _limit(value, shape, where, problems)
        case _:
            pass
    return value


def _limit(size: float, shape: Any, where: str, problems: list[str]) -> None:
    if size > shape.metadata.get("max", size):
        problems.append(f"{where}: {size} is more than {shape.metadata['max']}")


def _turns(messages: list[Json]) -> Iterator[str]:
    if not messages:
        yield "messages: must not be empty"
        return
    if messages[0]["role"] != "user":
        yield "messages[0]: must be of the user"
    waiting: list[str] = []
    before = ""
    for number, message in enumerate(messages):
        where = f"messages[{number}]"
        if message["role"] == before:
            yield f"{where}.role: is the same as before"
        before = message["role"]
        if not message["content"]:
            yield f"{where}.content: must not be empty"
        yield from _blocks(where, message)
        yield from _answers(where, waiting, message["content"])
        waiting = [
            block["toolUse"]["toolUseId"] for block in message["content"] if "toolUse" in block
        ]
        if waiting and message["role"] != "assistant":
            yield f"{where}: a toolUse must be of the assistant"
        yield from (f"{where}: two toolUse have the id {id!r}" for id in twice(waiting))
    if waiting:
        yield f"messages: toolUse {waiting} at the end has no toolResult"


def _answers(where: str, waiting: list[str], blocks: list[Json]) -> Iterator[str]:
    answered = [block["toolResult"]["toolUseId"] for block in blocks if "toolResult" in block]
    for id in answered:
        if id not in waiting:
            yield f"{where}: toolResult {id!r} answers no toolUse of the turn before"
    yield from (f"{where}: {id!r} is answered twice" for id in twice(answered))
    if missing := [id for id in waiting if id not in answered]:
        yield f"{where}: toolUse {missing} of the turn before has no toolResult"


def _blocks(where: str, message: Json) -> Iterator[str]:
    images = 0
    for position, block in enumerate(message["content"]):
        place = f"{where}.content[{position}]"
        images += "image" in block
        if "text" in block and not block["text"].strip():
            yield f"{place}.text: must not be blank"
        if "reasoningContent" in block and message["role"] != "assistant":
            yield f"{place}: reasoningContent must be of the assistant"
        if ("image" in block or "document" in block) and message["role"] != "user":
            yield f"{place}: must be of the user"
        for part in objects(block.get("toolResult", {}).get("content")):
            if "text" in part and not part["text"].strip():
                yield f"{place}.toolResult: text must not be blank"
    if images > 20:
        yield f"{where}: has more than 20 images"


def _tools(request: Json) -> Iterator[str]:
    config = request.get("toolConfig") or {}
    specs = [tool["toolSpec"] for tool in config.get("tools") or [] if "toolSpec" in tool]
    names = [spec["name"] for spec in specs]
    yield from (f"toolConfig: {name!r} is the name of two" for name in twice(names))
    for spec in specs:
        if spec["inputSchema"]["json"].get("type") != "object":
            yield f"toolConfig: the schema of {spec['name']!r} must be of an object"
    chosen = (config.get("toolChoice") or {}).get("tool", {}).get("name")
    if chosen is not None and chosen not in names:
        yield f"toolConfig: there is no tool {chosen!r}"
    blocks = [block for message in request["messages"] for block in message["content"]]
    used = any("toolUse" in block or "toolResult" in block for block in blocks)
    if used and not config:
        yield "toolConfig: must be given where toolUse or toolResult occur"
    for block in blocks:
        if "toolUse" in block and not isinstance(block["toolUse"]["input"], dict):
            yield "messages: the input of a toolUse must be an object"


def _documents(messages: list[Json]) -> Iterator[str]:
    for number, message in enumerate(messages):
        found = [block["document"] for block in message["content"] if "document" in block]
        if not found:
            continue
        if not any("text" in block for block in message["content"]):
            yield f"messages[{number}]: a document needs a text beside it"
        if len(found) > 5:
            yield f"messages[{number}]: has more than 5 documents"
        for document in found:
            if not _DOCUMENT_NAME.fullmatch(document["name"]):
                yield f"messages[{number}]: {document['name']!r} is no name of a document"
        for name in twice(document["name"] for document in found):
            yield f"messages[{number}]: two documents have the name {name!r}"
