"""Where people and models speak in a JSON document, whatever dialect it is written in.

The four dialects put words under few names, and none of them uses one of these names for anything else; so one table
serves all. A string under such a name is said by somebody; under any other name (ids, roles, types, addresses, base64)
it is not. What a tool is called with and what it gives back is an object of anybody's making: there every string counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

Kind = Literal["text", "reasoning", "arguments"]

SAID: Mapping[str, Kind] = {
    **dict.fromkeys(
        (
            "messages", "system", "content", "text", "refusal",  # OpenAI, Anthropic
            "input", "instructions", "output", "summary", "context", "title",  # Responses; Anthropic's documents
            "contents", "systemInstruction", "system_instruction", "parts", "functionCall", "functionResponse",
            "function_call", "function_response", "tool_calls", "function", "custom", "source", "message",
            "choices", "candidates", "transcript", "audio", "prompt", "suffix", "query", "documents", "prediction",
            "results", "executableCode", "executable_code", "codeExecutionResult", "code_execution_result", "code",
        ),
        "text",
    ),
    **dict.fromkeys(("thinking", "reasoning", "reasoning_content", "reasoning_text"), "reasoning"),
    "arguments": "arguments",
}  # fmt: skip
"""Names under which there are words, or an object or a list with some in it."""
ANYTHING: Mapping[str, Kind] = {
    "args": "arguments",
    "response": "text",
    "variables": "text",
}
"""Names under which every string counts, however deep."""
ANSWERS = frozenset({"choices", "content", "output", "candidates", "text"})
"""Where an answer says what is new; elsewhere it repeats its request."""
_CALLS = frozenset({"tool_use", "server_tool_use", "mcp_tool_use"})
"""Anthropic's blocks whose `input` is of the caller's making."""
_PLAIN = "text"
_DEEPEST = 64

Found = tuple[Any, Any, Kind]
"""A container, the key of a string in it, and what kind of words that is."""


def begins(name: str, *, answer: bool) -> bool:
    """Whether there may be words in a field of this name at the top level."""
    return name in (ANSWERS if answer else SAID)


def within(container: Any, key: Any, *, answer: bool) -> Iterator[Found]:
    """Every text under `container[key]`. Thoughts only of an `answer`: those in a request are signed, or a provider's own."""
    kind = SAID[key]
    if kind != "reasoning" or answer:
        yield from _value(container, key, kind, _DEEPEST, answer)


def _value(container: Any, key: Any, kind: Kind, depth: int, answer: bool) -> Iterator[Found]:
    value = container[key]
    if isinstance(value, str):
        yield container, key, kind
    elif isinstance(value, list) and depth:
        for index in range(len(value)):
            yield from _value(value, index, kind, depth - 1, answer)
    elif isinstance(value, dict) and depth:
        yield from _object(value, kind, depth - 1, answer)


def _object(found: dict[str, Any], kind: Kind, depth: int, answer: bool) -> Iterator[Found]:
    type = found.get("type")
    if found.get("thought") is True or type == "reasoning":
        if not answer:
            return
        kind = "reasoning"
    for name in list(found):
        own = SAID.get(name)
        if name in ANYTHING or (name == "input" and type in _CALLS):
            own = ANYTHING.get(name, "arguments")
            yield from _all(found, name, own, depth)
        elif own is None:
            # Anthropic's documents of plain text.
            if name == "data" and type == _PLAIN and isinstance(found[name], str):
                yield found, name, kind
        elif own != "reasoning" or answer:
            yield from _value(found, name, kind if own == _PLAIN else own, depth, answer)


def _all(container: Any, key: Any, kind: Kind, depth: int) -> Iterator[Found]:
    value = container[key]
    if isinstance(value, str):
        yield container, key, kind
    elif isinstance(value, (dict, list)) and depth:
        for inner in list(value) if isinstance(value, dict) else range(len(value)):
            yield from _all(value, inner, kind, depth - 1)
