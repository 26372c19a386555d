"""One question in the words of every client dialect: what is asked is said once, and written as each vendor documents it.

Ask         what is asked; `bodies` has how each client writes it
Turn        one turn of the conversation: texts, pictures, calls, results, or what came in an answer, as it came
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import orjson

from proxy.simulator.openai_other import PNG

Json = dict[str, Any]

PICTURE = base64.b64encode(PNG).decode()
PICTURE_URL = "https://example.com/mill.png"
PDF = base64.b64encode(
    b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n"
).decode()
PNG_TYPE, PDF_TYPE = "image/png", "application/pdf"


class Picture(NamedTuple):
    """An image: at an address, or the bytes of one."""

    url: str = ""


class Paper(NamedTuple):
    """A document of a few bytes."""


class Call(NamedTuple):
    """A call the model has made."""

    id: str
    name: str
    arguments: Json


class Result(NamedTuple):
    """What a tool has said."""

    id: str
    name: str
    text: str
    picture: bool = False
    is_error: bool = False


class Turn(NamedTuple):
    """What was said at once."""

    role: str
    """`user` or `assistant`; for results `user`."""
    blocks: tuple[str | Picture | Paper | Call | Result, ...] = ()
    echo: tuple[Json, ...] = ()
    """An answer as it came, in the client's own dialect; then there are no blocks."""


class Tool(NamedTuple):
    """A function that is offered."""

    name: str
    parameters: Json


class Ask(NamedTuple):
    """What is asked."""

    turns: tuple[Turn, ...]
    system: str = ""
    tools: tuple[Tool, ...] = ()
    choice: str = ""
    """`none`, `required`, or as the model likes."""
    thinking: bool = False
    schema: Json | None = None
    max_tokens: int = 0
    stop: tuple[str, ...] = ()


def user(*blocks: str | Picture | Paper | Result) -> Turn:
    """What the user says."""
    return Turn("user", blocks)


def assistant(*blocks: str | Call) -> Turn:
    """What the model has said."""
    return Turn("assistant", blocks)


def asking(*blocks: str | Picture | Paper) -> Ask:
    """A question of one turn."""
    return Ask((user(*blocks or ("What is the weather?",)),))


# --- chat ---------------------------------------------------------------------------------------------------


def chat(ask: Ask) -> Json:
    """POST /v1/chat/completions"""
    messages: list[Json] = [{"role": "system", "content": ask.system}] if ask.system else []
    for turn in ask.turns:
        messages += turn.echo or _chat_turn(turn)
    functions = [{"name": one.name, "parameters": one.parameters} for one in ask.tools]
    wanted = {"name": "weather", "schema": ask.schema, "strict": True}
    fields = {
        "messages": messages,
        "tools": [{"type": "function", "function": one} for one in functions],
        "tool_choice": ask.choice,
        "reasoning_effort": "low" if ask.thinking else "",
        "response_format": {"type": "json_schema", "json_schema": wanted} if ask.schema else None,
        "max_completion_tokens": ask.max_tokens,
        "stop": list(ask.stop),
    }
    return _without_empty(fields)


def _chat_turn(turn: Turn) -> list[Json]:
    results = [one for one in turn.blocks if isinstance(one, Result)]
    if results:
        return [{"role": "tool", "tool_call_id": one.id, "content": one.text} for one in results]
    calls = [
        {
            "id": one.id,
            "type": "function",
            "function": {"name": one.name, "arguments": _json(one.arguments)},
        }
        for one in turn.blocks
        if isinstance(one, Call)
    ]
    parts = [_chat_part(one) for one in turn.blocks if not isinstance(one, Call | Result)]
    alone = len(parts) == 1 and parts[0]["type"] == "text"
    content: Any = parts[0]["text"] if alone else parts or None
    return [{"role": turn.role, "content": content} | ({"tool_calls": calls} if calls else {})]


def _chat_part(block: str | Picture | Paper) -> Json:
    match block:
        case Picture():
            return {"type": "image_url", "image_url": {"url": block.url or _data_url(PNG_TYPE)}}
        case Paper():
            file = {"filename": "mill.pdf", "file_data": _data_url(PDF_TYPE)}
            return {"type": "file", "file": file}
        case _:
            return {"type": "text", "text": block}


# --- text completions ---------------------------------------------------------------------------------------


def completions(ask: Ask) -> Json:
    """POST /v1/completions"""
    [turn] = ask.turns
    fields = {"prompt": turn.blocks[0], "max_tokens": ask.max_tokens, "stop": list(ask.stop)}
    return _without_empty(fields)


# --- Responses ----------------------------------------------------------------------------------------------


def responses(ask: Ask) -> Json:
    """POST /v1/responses"""
    items: list[Json] = []
    for turn in ask.turns:
        items += turn.echo or _items(turn)
    wanted = {"type": "json_schema", "name": "weather", "schema": ask.schema, "strict": True}
    fields = {
        "input": items,
        "instructions": ask.system,
        "tools": [
            {
                "type": "function",
                "name": one.name,
                "parameters": one.parameters,
                "strict": False,
            }
            for one in ask.tools
        ],
        "tool_choice": ask.choice,
        "reasoning": {"effort": "low", "summary": "auto"} if ask.thinking else None,
        "include": ["reasoning.encrypted_content"] if ask.thinking else None,
        "text": {"format": wanted} if ask.schema else None,
        "max_output_tokens": ask.max_tokens,
    }
    return {"store": False} | _without_empty(fields)


def _items(turn: Turn) -> list[Json]:
    items: list[Json] = []
    parts: list[Json] = []
    for block in turn.blocks:
        match block:
            case Call():
                call = {"name": block.name, "arguments": _json(block.arguments)}
                items.append({"type": "function_call", "call_id": block.id} | call)
            case Result():
                said: Any = block.text
                if block.picture:
                    said = [_item_part("user", block.text), _item_part("user", Picture())]
                items.append({"type": "function_call_output", "call_id": block.id, "output": said})
            case _:
                parts.append(_item_part(turn.role, block))
    message = {"type": "message", "role": turn.role, "content": parts}
    return ([message] if parts else []) + items


def _item_part(role: str, block: str | Picture | Paper) -> Json:
    match block:
        case Picture():
            return {"type": "input_image", "image_url": block.url or _data_url(PNG_TYPE)}
        case Paper():
            file = {"filename": "mill.pdf", "file_data": _data_url(PDF_TYPE)}
            return {"type": "input_file"} | file
        case _:
            return {"type": "output_text" if role == "assistant" else "input_text", "text": block}


# --- Messages -----------------------------------------------------------------------------------------------


def messages(ask: Ask) -> Json:
    """POST /v1/messages"""
    told: list[Json] = []
    for turn in ask.turns:
        content = list(turn.echo) or [_block(block) for block in turn.blocks]
        told.append({"role": turn.role, "content": content})
    choices = {"": None, "none": {"type": "none"}, "required": {"type": "any"}}
    wanted = {"format": {"type": "json_schema", "schema": ask.schema}}
    fields = {
        "messages": told,
        "system": ask.system,
        "max_tokens": ask.max_tokens or 4096,
        "tools": [{"name": one.name, "input_schema": one.parameters} for one in ask.tools],
        "tool_choice": choices[ask.choice],
        "thinking": {"type": "enabled", "budget_tokens": 1024} if ask.thinking else None,
        "output_config": wanted if ask.schema else None,
        "stop_sequences": list(ask.stop),
    }
    return _without_empty(fields)


def _block(block: str | Picture | Paper | Call | Result) -> Json:
    match block:
        case Picture():
            source = {"type": "base64", "media_type": PNG_TYPE, "data": PICTURE}
            if block.url:
                source = {"type": "url", "url": block.url}
            return {"type": "image", "source": source}
        case Paper():
            data = {"type": "base64", "media_type": PDF_TYPE, "data": PDF}
            return {"type": "document", "source": data}
        case Call():
            return {
                "type": "tool_use",
                "id": block.id,
                "name": block.name,
                "input": block.arguments,
            }
        case Result():
            said = [_block(block.text), *([_block(Picture())] if block.picture else [])]
            error = {"is_error": True} if block.is_error else {}
            return {"type": "tool_result", "tool_use_id": block.id, "content": said} | error
        case _:
            return {"type": "text", "text": block}


# --- Gemini -------------------------------------------------------------------------------------------------


def gemini(ask: Ask) -> Json:
    """POST /v1beta/models/{model}:generateContent"""
    contents = [
        {
            "role": "model" if turn.role == "assistant" else "user",
            "parts": list(turn.echo) or [_part(block) for block in turn.blocks],
        }
        for turn in ask.turns
    ]
    declared = [{"name": one.name, "parameters": one.parameters} for one in ask.tools]
    mode = {"": "", "none": "NONE", "required": "ANY"}[ask.choice]
    config = {
        "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 1024}
        if ask.thinking
        else None,
        "responseMimeType": "application/json" if ask.schema else "",
        "responseJsonSchema": ask.schema,
        "maxOutputTokens": ask.max_tokens,
        "stopSequences": list(ask.stop),
    }
    fields = {
        "contents": contents,
        "systemInstruction": {"parts": [{"text": ask.system}]} if ask.system else None,
        "tools": [{"functionDeclarations": declared}] if declared else None,
        "toolConfig": {"functionCallingConfig": {"mode": mode}} if mode else None,
        "generationConfig": _without_empty(config),
    }
    return _without_empty(fields)


def _part(block: str | Picture | Paper | Call | Result) -> Json:
    match block:
        case Picture(url) if url:
            return {"fileData": {"mimeType": PNG_TYPE, "fileUri": url}}
        case Picture():
            return {"inlineData": {"mimeType": PNG_TYPE, "data": PICTURE}}
        case Paper():
            return {"inlineData": {"mimeType": PDF_TYPE, "data": PDF}}
        case Call():
            call = {"id": block.id, "name": block.name, "args": block.arguments}
            return {"functionCall": call}
        case Result():
            said = {"error" if block.is_error else "output": block.text}
            answer: Json = {"id": block.id, "name": block.name, "response": said}
            if block.picture:
                answer["parts"] = [_part(Picture())]
            return {"functionResponse": answer}
        case _:
            return {"text": block}


BODIES: Mapping[str, Callable[[Ask], Json]] = {
    "chat": chat,
    "responses": responses,
    "messages": messages,
    "gemini": gemini,
    "completions": completions,
}


def _without_empty(fields: Json) -> Json:
    return {name: value for name, value in fields.items() if value not in (None, "", 0, [], {})}


def _data_url(kind: str) -> str:
    return f"data:{kind};base64,{PICTURE if kind == PNG_TYPE else PDF}"


def _json(value: Json) -> str:
    return orjson.dumps(value).decode()
