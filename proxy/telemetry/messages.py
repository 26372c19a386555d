"""What was asked and answered, as the semantic conventions for generative AI write messages.

`gen_ai.input.messages` and `gen_ai.output.messages`: JSON lists of `{"role", "parts": [{"type", "content"}]}`. Of a part
that is no text only its type is said. Texts are shortened, and what is, or looks like, a secret is masked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import orjson

from proxy.core.lines import QUEUED, name
from proxy.core.redact import redact

if TYPE_CHECKING:
    from proxy.core.span import Content

_REACH = 1024
"""Characters behind the end that are looked at, so that a secret that is cut in two is still known for one."""
_LISTS = ("messages", "input", "contents", "prompt")
"""Where a dialect has what is asked."""


def attributes(content: Content) -> dict[str, str]:
    """Of a span; nothing of what cannot be read."""
    found: dict[str, str] = {}
    try:
        body = orjson.loads(content.asked)
    except orjson.JSONDecodeError:
        body = None
    if isinstance(body, dict):
        with suppress(RecursionError):  # lists in lists in lists
            asked = [{"role": role, "parts": parts} for role, parts in _turns(body)]
            found["gen_ai.input.messages"] = _written(_short(asked, content.most))
    if content.said:
        parts = [{"type": "text", "content": content.said}]
        said = [{"role": "assistant", "parts": parts, "finish_reason": content.finish_reason}]
        found["gen_ai.output.messages"] = _written(_short(said, content.most))
    return found


def _turns(body: dict[str, Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for place in ("system", "instructions", "systemInstruction", "system_instruction"):
        if place in body:
            yield "system", list(_parts(body[place]))
    turns: Any = next((body[name] for name in _LISTS if name in body), [])
    if isinstance(turns, str):
        turns = [turns]
    for turn in turns if isinstance(turns, list) else ():
        role = turn.get("role") if isinstance(turn, dict) else None
        parts = list(_parts(turn))
        # Numbers are tokens, thousands of them, and say nothing.
        if parts or isinstance(turn, dict):
            yield role if isinstance(role, str) else "user", parts


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    """Of a turn, its content, or one part of it."""
    if isinstance(value, str):
        yield {"type": "text", "content": value}
    elif isinstance(value, list):
        for one in value:
            yield from _parts(one)
    elif isinstance(value, dict):
        inside = next((value[name] for name in ("content", "parts", "text") if name in value), None)
        calls = value.get("tool_calls")
        if inside is not None:
            yield from _parts(inside)
        if isinstance(calls, list):
            yield from ({"type": "tool_call"} for _ in calls)
        elif inside is None and "role" not in value:
            kind = value.get("type")
            yield {"type": kind if isinstance(kind, str) else next(iter(value), "unknown")}


def _short(turns: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """The first `most` characters of all texts, without secrets. Roles and types should be words, but are the client's."""
    left = most
    for turn in turns:
        turn["role"] = name(turn["role"][:QUEUED])
        for part in turn["parts"]:
            part["type"] = name(part["type"][:QUEUED])
            text = part.get("content")
            if isinstance(text, str):
                part["content"] = fit(text, left)
                left -= len(part["content"])
    return turns


def fit(text: str, most: int) -> str:
    """The beginning of it, without secrets."""
    text = text[: most + _REACH]
    masked = redact(text)
    if len(text) == most + _REACH:
        masked = masked[:-_REACH]
    return masked[:most]


def _written(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # half of a pair of surrogates
        return "[]"
