"""The arguments of a call as a JSON object, which is all that most dialects have for them.

A tool that takes free text becomes a function with one argument, `input`, and what the model calls it with is taken
out of there again, piece by piece where it is streamed. Where the text should follow a grammar, the description says
so; nobody enforces it, and that is what is lost.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec
from msgspec import Raw

from proxy.dialects import ir
from proxy.dialects.ir import Json
from proxy.dialects.lenient import mended, object_at
from proxy.dialects.loss import Loss

FREE_TEXT: Mapping[str, object] = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
}
"""The schema of a function that stands for a tool which takes free text."""
_KEY = "input"

_decode = msgspec.json.Decoder().decode
_decode_text = msgspec.json.Decoder(str).decode


def as_object(text: str, *, custom: bool = False) -> Raw | Json:
    """Arguments as an object: verbatim if they are one, else inside of one."""
    if custom:
        return {_KEY: text}
    if not text.strip():
        return {}
    try:
        value = _decode(text)
    except (ValueError, RecursionError):
        return {_KEY: text}
    if isinstance(value, dict):
        return Raw(text.encode())
    return {} if value is None else {_KEY: value}


def schema_of(tool: ir.Tool) -> Json | None:
    """The schema of a tool's arguments."""
    return dict(FREE_TEXT) if tool.custom else tool.schema


def description_of(tool: ir.Tool, loss: Loss) -> str:
    """What is said of a tool, with the grammar of its input."""
    grammar = tool.format or {}
    definition = grammar.get("definition")
    if not tool.custom or not isinstance(definition, str) or not definition.strip():
        return tool.description
    loss.drop("tool.custom")
    syntax = grammar.get("syntax")
    kind = f" ({syntax})" if isinstance(syntax, str) else ""
    return f"{tool.description}\n\nThe input follows this grammar{kind}:\n\n{definition}".strip()


def free_tools(request: ir.Request) -> frozenset[str]:
    """Names of the tools that take free text."""
    return frozenset(
        tool.name for tool in request.tools if isinstance(tool, ir.Tool) and tool.custom
    )


def free_text(arguments: str) -> str:
    """The text in the arguments of such a function; all of them if there is none."""
    found = object_at(arguments.encode())
    if found is None:
        found = object_at(mended(arguments.encode()))
    if found is None:
        return arguments
    text = found.get(_KEY)
    if isinstance(text, str):
        return text
    return arguments if found else ""


def freed(call: ir.ToolCall) -> None:
    """Make a call of such a function one of the client's tool, in place."""
    call.custom, call.arguments = True, free_text(call.arguments)


_HEAD = re.compile(rf'\s*\{{\s*"{_KEY}"\s*:\s*"')
_HIGH, _LOW = r"u[dD][89aAbB][0-9a-fA-F]{2}", r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_WHOLE = re.compile(
    # A character; an escape; one of half a pair with its other half, or where that cannot follow any more.
    rf'(?:[^"\\]++|\\(?:[^u]|u(?![dD][89aAbB])[0-9a-fA-F]{{4}}|{_HIGH}{_LOW}'
    rf"|{_HIGH}(?=[^\\]|\\[^u]|\\u[^dD]|\\u[dD][^c-fC-F])))*+"
)
"""As much of the inside of a JSON string as can be told already."""


class FreeText:
    """The same out of arguments that come in fragments."""

    __slots__ = ("_all", "_closed", "_held", "_inside")

    def __init__(self) -> None:
        self._all: list[str] = []
        self._held = ""
        """What has not been told."""
        self._inside = False
        """The text has begun."""
        self._closed = False

    def feed(self, fragment: str) -> str:
        """The text that a fragment adds."""
        self._all.append(fragment)
        if self._closed:
            return ""
        self._held += fragment
        if not self._inside:
            head = _HEAD.match(self._held)
            if head is None:
                return ""  # or another field comes first, and it is told in the end
            self._inside = True
            self._held = self._held[head.end() :]
        found = _WHOLE.match(self._held)
        assert found is not None  # at least nothing
        self._held = self._held[found.end() :]
        self._closed = self._held.startswith('"')
        return _unescaped(found[0])

    def end(self) -> str:
        """What is left to say when the call is complete."""
        if self._inside:
            return ""  # all of it was said, but for an escape that was cut off
        self._inside = self._closed = True
        return free_text("".join(self._all))


def _unescaped(inside: str) -> str:
    """The inside of a JSON string as text; as it is where it could stand in none."""
    if "\\" not in inside:
        return inside
    quoted = f'"{inside}"'.encode()
    for attempt in (quoted, mended(quoted)):
        try:
            return _decode_text(attempt)
        except ValueError:
            pass
    return inside
