"""The API for applications in the OpenAPI document: what each path is for, and a body that works.

Whose formats these are says more of them than we could: a body is passed on with whatever else is in it. So a schema
names what a request has to have and what most of them have, and leaves the rest open. Sources: the API references of
OpenAI, Anthropic and Google (Gemini), Cohere's for `/v1/rerank`, and the Model Context Protocol, 2025-06-18.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct, field
from msgspec.structs import replace

Schema = dict[str, Any]

TEXT: Final[Schema] = {"type": "string"}
_TEXTS: Final[Schema] = {"type": "array", "items": TEXT}
_NUMBER: Final[Schema] = {"type": "number"}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 1}
_SWITCH: Final[Schema] = {"type": "boolean"}
_OBJECT: Final[Schema] = {"type": "object", "additionalProperties": True}
_OBJECTS: Final[Schema] = {"type": "array", "items": _OBJECT}
_HELLO: Final[list[dict[str, Any]]] = [{"role": "user", "content": "Hello"}]
_NAMED = re.compile(r"\{([a-z_]+)\}")


class Operation(Struct, frozen=True):
    """What one path is for."""

    tag: str
    summary: str
    required: tuple[str, ...] = ()
    fields: Mapping[str, Schema] = field(default_factory=dict)
    """Of its body; none: it has no body."""
    example: Mapping[str, Any] | None = None
    takes: str = "application/json"
    gives: tuple[str, ...] = ("application/json",)


_EVENTS: Final = ("application/json", "text/event-stream")
_FORM: Final = "multipart/form-data"
_CHAT: Final[Mapping[str, Schema]] = {
    "model": TEXT,
    "messages": _OBJECTS,
    "stream": _SWITCH,
    "temperature": _NUMBER,
    "max_tokens": _COUNT,
    "tools": _OBJECTS,
}
_GENERATE: Final[Mapping[str, Schema]] = {
    "contents": _OBJECTS,
    "systemInstruction": _OBJECT,
    "generationConfig": _OBJECT,
    "tools": _OBJECTS,
}
_CONTENTS: Final = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
_SOUND: Final[Mapping[str, Schema]] = {
    "model": TEXT,
    "file": {"type": "string", "format": "binary"},
}
_OPENAI, _ANTHROPIC, _GEMINI, _OTHER = "OpenAI", "Anthropic", "Gemini", "Other paths"

_PATHS: Final[Mapping[str, Operation]] = {
    "POST /v1/chat/completions": Operation(
        _OPENAI,
        "Answer a conversation, whole or as a stream.",
        ("model", "messages"),
        _CHAT,
        {"model": "demo", "messages": _HELLO, "stream": True},
        gives=_EVENTS,
    ),
    "POST /v1/completions": Operation(
        _OPENAI,
        "Go on with a text.",
        ("model", "prompt"),
        {
            "model": TEXT,
            "prompt": {"type": ["string", "array"]},
            "stream": _SWITCH,
            "max_tokens": _COUNT,
        },
        {"model": "demo", "prompt": "Once upon a time", "max_tokens": 32},
        gives=_EVENTS,
    ),
    "POST /v1/responses": Operation(
        _OPENAI,
        "Answer in the format of Responses.",
        ("model", "input"),
        {
            "model": TEXT,
            "input": {"type": ["string", "array"]},
            "stream": _SWITCH,
            "max_output_tokens": _COUNT,
            "tools": _OBJECTS,
            "previous_response_id": TEXT,
        },
        {"model": "demo", "input": "Hello", "stream": True},
        gives=_EVENTS,
    ),
    "GET /v1/responses/{id}": Operation(_OPENAI, "Show a response that was kept."),
    "DELETE /v1/responses/{id}": Operation(_OPENAI, "Delete a response that was kept."),
    "GET /v1/responses/{id}/input_items": Operation(_OPENAI, "List what a response answered."),
    "POST /v1/responses/{id}/cancel": Operation(_OPENAI, "End a response in the background."),
    "POST /v1/embeddings": Operation(
        _OPENAI,
        "Turn texts into vectors.",
        ("model", "input"),
        {"model": TEXT, "input": {"type": ["string", "array"]}, "dimensions": _COUNT},
        {"model": "demo", "input": "Hello"},
    ),
    "POST /v1/moderations": Operation(
        _OPENAI,
        "Say whether a text is harmful.",
        ("input",),
        {"model": TEXT, "input": {"type": ["string", "array"]}},
        {"model": "demo", "input": "Hello"},
    ),
    "POST /v1/images/generations": Operation(
        _OPENAI,
        "Draw a picture.",
        ("prompt",),
        {"model": TEXT, "prompt": TEXT, "n": _COUNT, "size": TEXT},
        {"model": "demo", "prompt": "A mill at a river"},
        gives=_EVENTS,
    ),
    "POST /v1/images/edits": Operation(
        _OPENAI,
        "Change a picture.",
        ("image", "prompt"),
        {"model": TEXT, "prompt": TEXT, "image": {"type": "string", "format": "binary"}},
        takes=_FORM,
        gives=_EVENTS,
    ),
    "POST /v1/audio/speech": Operation(
        _OPENAI,
        "Read a text aloud.",
        ("model", "input", "voice"),
        {"model": TEXT, "input": TEXT, "voice": TEXT},
        {"model": "demo", "input": "Hello", "voice": "alloy"},
        gives=("audio/mpeg",),
    ),
    "POST /v1/audio/transcriptions": Operation(
        _OPENAI, "Write down what is said.", ("model", "file"), _SOUND, takes=_FORM, gives=_EVENTS
    ),
    "POST /v1/audio/translations": Operation(
        _OPENAI, "Write down in English what is said.", ("model", "file"), _SOUND, takes=_FORM
    ),
    "GET /v1/realtime": Operation(_OPENAI, "Talk over a WebSocket."),
    "GET /v1/models": Operation(_OPENAI, "List the models that this key may use."),
    "GET /v1/models/{model}": Operation(_OPENAI, "Show one model."),
    "POST /v1/rerank": Operation(
        _OTHER,
        "Order documents by how well they fit a query.",
        ("query", "documents"),
        {"model": TEXT, "query": TEXT, "documents": {"type": "array"}, "top_n": _COUNT},
        {"model": "demo", "query": "rivers", "documents": ["The Danube", "A bicycle"]},
    ),
    "POST /v1/messages": Operation(
        _ANTHROPIC,
        "Answer a conversation, whole or as a stream.",
        ("model", "messages", "max_tokens"),
        {**_CHAT, "system": {"type": ["string", "array"]}, "thinking": _OBJECT},
        {"model": "demo", "max_tokens": 64, "messages": _HELLO, "stream": True},
        gives=_EVENTS,
    ),
    "POST /v1/messages/count_tokens": Operation(
        _ANTHROPIC,
        "Count the tokens of a conversation.",
        ("model", "messages"),
        {"model": TEXT, "messages": _OBJECTS},
        {"model": "demo", "messages": _HELLO},
    ),
    "POST /v1beta/models/{model}:generateContent": Operation(
        _GEMINI, "Answer a conversation.", ("contents",), _GENERATE, _CONTENTS
    ),
    "POST /v1beta/models/{model}:streamGenerateContent": Operation(
        _GEMINI,
        "Answer a conversation as a stream; with alt=sse as events.",
        ("contents",),
        _GENERATE,
        _CONTENTS,
        gives=_EVENTS,
    ),
    "POST /v1beta/models/{model}:countTokens": Operation(
        _GEMINI, "Count the tokens of a conversation.", (), _GENERATE, _CONTENTS
    ),
    "POST /v1beta/models/{model}:embedContent": Operation(
        _GEMINI,
        "Turn a text into a vector.",
        ("content",),
        {"content": _OBJECT},
        {"content": {"parts": [{"text": "Hello"}]}},
    ),
    "POST /v1beta/models/{model}:batchEmbedContents": Operation(
        _GEMINI, "Turn texts into vectors.", ("requests",), {"requests": _OBJECTS}
    ),
    "GET /v1beta/models": Operation(_GEMINI, "List the models that this key may use."),
    "GET /v1beta/models/{model}": Operation(_GEMINI, "Show one model."),
    "POST /mcp/{name}": Operation(
        _OTHER,
        "Say something to a server of tools.",
        (),
        {"jsonrpc": TEXT, "method": TEXT, "params": _OBJECT, "id": {}},
        {"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
        gives=_EVENTS,
    ),
    "GET /mcp/{name}": Operation(
        _OTHER, "Hear from a server of tools.", gives=("text/event-stream",)
    ),
    "DELETE /mcp/{name}": Operation(_OTHER, "End a session with a server of tools."),
    **{
        f"{method} /v1/{{rest}}": Operation(
            _OTHER, "Files, batches and whatever else a provider of this format has.",
            fields={} if method in ("GET", "DELETE") else {"model": TEXT},
        )
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
    },
}  # fmt: skip


def _azure(tail: str) -> Operation:
    """A path of OpenAI's as Azure has it: the model is in it, and need not be in the body."""
    one = _PATHS["POST /v1" + tail]
    return replace(one, required=tuple(name for name in one.required if name != "model"))


OPERATIONS: Final[Mapping[str, Operation]] = {
    **_PATHS,
    **{
        "POST /openai/deployments/{model}" + tail: _azure(tail)
        for tail in (
            "/chat/completions", "/completions", "/embeddings", "/images/generations", "/images/edits",
            "/audio/speech", "/audio/transcriptions", "/audio/translations",
        )
    },
}  # fmt: skip
"""By method and path. A path that is not here is shown without a word."""

SERVERS: Final = [
    {
        "url": "http://{host}:{port}",
        "description": "The listener for applications.",
        "variables": {"host": {"default": "localhost"}, "port": {"default": "8000"}},
    }
]


def paths(endpoints: Sequence[str]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(path, method in lower case, operation) of each of `POST /v1/responses`, …"""
    for endpoint in endpoints:
        method, _, path = endpoint.partition(" ")
        yield path, method.lower(), _operation(method, path, OPERATIONS.get(endpoint))


def _operation(method: str, path: str, known: Operation | None) -> dict[str, Any]:
    one = known or Operation(_OTHER, "A path for applications.")
    content: dict[str, Any] = {
        "operationId": "_".join(("api", method.lower(), *re.findall(r"[A-Za-z0-9]+", path))),
        "summary": one.summary,
        "tags": [one.tag],
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in _NAMED.findall(path)
        ],
        "responses": {
            "200": {
                "description": "The answer, in the format of the path.",
                "content": {kind: {"schema": {}} for kind in one.gives},
            },
            "default": {
                "description": "An error, in the format of the path.",
                "content": {"application/json": {"schema": _OBJECT}},
            },
        },
        "security": [{"key": []}],
        "x-listener": "clients",
    }
    if one.fields:
        body: dict[str, Any] = {"schema": _body(one)}
        if one.example is not None:
            body["example"] = one.example
        content["requestBody"] = {"required": bool(one.required), "content": {one.takes: body}}
    return content


def _body(one: Operation) -> Schema:
    schema: Schema = {
        "type": "object",
        "properties": dict(one.fields),
        "additionalProperties": True,
    }
    if one.required:
        schema["required"] = list(one.required)
    return schema
