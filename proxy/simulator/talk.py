"""What a conversation holds, in whatever dialect it is told: the same walk over messages, items, contents and parts.

A conversation is read into one flat list of pieces, in the order they were said. Nothing is checked here (`strict`
does that), and what is not known is a piece of the kind `other`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

MEDIA = ("image", "document", "audio", "video")

_TYPES = {
    "text": "text", "input_text": "text", "output_text": "text", "refusal": "text",
    "image": "image", "image_url": "image", "input_image": "image",
    "document": "document", "file": "document", "input_file": "document",
    "input_audio": "audio",
    "tool_use": "call", "function": "call", "custom": "call", "function_call": "call",
    "custom_tool_call": "call",
    "tool_result": "result", "function_call_output": "result", "custom_tool_call_output": "result",
    "thinking": "thought", "redacted_thinking": "thought", "reasoning": "thought",
}  # fmt: skip
"""Where a block says its type: chat, Responses and Messages."""

_KEYS = {
    "functionCall": "call", "function_call": "call", "toolUse": "call",
    "functionResponse": "result", "function_response": "result", "toolResult": "result",
    "reasoningContent": "thought",
    "image": "image", "document": "document", "audio": "audio", "video": "video",
    "text": "text",
}  # fmt: skip
"""Where a block is an object with one telling member: Gemini and Bedrock."""

_ROLES = {"assistant": "model", "model": "model", "system": "system", "developer": "system"}


class Piece(NamedTuple):
    """One block of one turn."""

    kind: str
    """`text`, `call`, `result`, `thought`, one of MEDIA, `other`."""
    role: str
    """`user`, `model` or `system`."""
    turn: int
    """Which message, item or content of the request it is in."""
    value: dict[str, Any]
    """As it was sent; a text alone is `{"text": ...}`."""


class Talk(NamedTuple):
    """A conversation."""

    pieces: list[Piece]

    def results(self) -> list[str]:
        """The texts of the tool results the model has not seen yet."""
        found: list[str] = []
        for piece in reversed(self.pieces):
            if piece.role == "model":
                break
            if piece.kind == "result":
                found.append(said(piece.value))
        return found[::-1]

    def current(self) -> list[Piece]:
        """The pieces since the user last spoke: rounds of thoughts, calls and results."""
        for index in range(len(self.pieces) - 1, -1, -1):
            piece = self.pieces[index]
            if piece.role == "user" and not self._goes_with_result(index):
                return self.pieces[index + 1 :]
        return self.pieces

    def rounds(self) -> int:
        """How often tools have answered since the user last spoke."""
        count, before = 0, ""
        for piece in self.current():
            if piece.kind == "result" and before != "result":
                count += 1
            before = "result" if piece.role == "user" else piece.kind
        return count

    def media(self) -> dict[str, int]:
        """How many images and so on there are, those inside results too."""
        counts = dict.fromkeys(MEDIA, 0)
        for piece in self.pieces:
            for kind in _media(piece):
                counts[kind] += 1
        return counts

    def _goes_with_result(self, index: int) -> bool:
        """What the user says right after results, without the model in between, is a part of them."""
        while index >= 0 and self.pieces[index].role != "model":
            if self.pieces[index].kind == "result":
                return True
            index -= 1
        return False


def read(body: Any) -> Talk:
    """The conversation of a request body of any dialect."""
    if not isinstance(body, dict):
        return Talk([])
    for name in ("messages", "contents", "input"):
        told = body.get(name)
        if isinstance(told, str):
            return Talk([Piece("text", "user", 0, {"text": told})])
        if isinstance(told, dict):
            told = [told]
        if isinstance(told, list):
            pieces: list[Piece] = []
            for turn, message in enumerate(told):
                if isinstance(message, dict):
                    pieces += _message(message, turn)
            return Talk(pieces)
    return Talk([])


def _message(message: dict[str, Any], turn: int) -> Iterator[Piece]:
    role = str(message.get("role", ""))
    if role in ("tool", "function"):
        yield Piece("result", "user", turn, message)
        return
    kind = kind_of(message)
    if not role and kind in ("call", "thought"):
        yield Piece(kind, "model", turn, message)
        return
    if not role and kind == "result":
        yield Piece(kind, "user", turn, message)
        return
    speaker = _ROLES.get(role, "user")
    if isinstance(message.get("reasoning_content"), str):
        yield Piece("thought", speaker, turn, message)
    for block in _blocks(message):
        yield Piece(kind_of(block), speaker, turn, block)
    for call in _list(message.get("tool_calls")):
        yield Piece("call", speaker, turn, call)


def _blocks(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name in ("content", "parts"):
        told = message.get(name)
        if isinstance(told, str):
            yield {"text": told}
        yield from _list(told)


def _list(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def kind_of(block: dict[str, Any]) -> str:
    """What a block is."""
    name = block.get("type")
    if isinstance(name, str):
        return _TYPES.get(name, "other")
    for key in ("inlineData", "inline_data", "fileData", "file_data"):
        if isinstance(data := block.get(key), dict):
            mime = str(data.get("mimeType", data.get("mime_type", ""))).partition("/")[0]
            return mime if mime in MEDIA else "document"
    if block.get("thought"):
        return "thought"
    return next((kind for key, kind in _KEYS.items() if key in block), "other")


def _media(piece: Piece) -> Iterator[str]:
    if piece.kind in MEDIA:
        yield piece.kind
    elif piece.kind == "result":
        for block in _inside(piece.value):
            if (kind := kind_of(block)) in MEDIA:
                yield kind


def _inside(result: dict[str, Any]) -> list[dict[str, Any]]:
    """The blocks of a result."""
    inner = result
    for name in ("toolResult", "functionResponse", "function_response"):
        if isinstance(result.get(name), dict):
            inner = result[name]
    return [block for name in ("content", "output", "parts") for block in _list(inner.get(name))]


def said(result: dict[str, Any]) -> str:
    """The text of a tool result."""
    for name in ("content", "output"):
        if isinstance(text := result.get(name), str):
            return text
    for name in ("functionResponse", "function_response"):
        if isinstance(answer := result.get(name), dict):
            return orjson.dumps(answer.get("response")).decode()
    texts = [
        text if isinstance(text := block.get("text"), str) else orjson.dumps(block["json"]).decode()
        for block in _inside(result)
        if isinstance(block.get("text"), str) or "json" in block
    ]
    return " ".join(texts)
