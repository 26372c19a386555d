"""The events of a stream in which something is said, by what they say it of."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct


class Said(Struct, frozen=True):
    """What an event says: some of, or (`whole`) all of, one part of an item."""

    item: str
    field: str
    whole: bool = False
    refusal: bool = False
    raw: bool = False


SAID: Mapping[str, Said] = {
    "response.output_text.delta": Said("message", "delta"),
    "response.output_text.done": Said("message", "text", whole=True),
    "response.refusal.delta": Said("message", "delta", refusal=True),
    "response.refusal.done": Said("message", "refusal", whole=True, refusal=True),
    "response.reasoning_summary_text.delta": Said("reasoning", "delta"),
    "response.reasoning_summary_text.done": Said("reasoning", "text", whole=True),
    "response.reasoning_summary_part.done": Said("reasoning", "part", whole=True),
    "response.reasoning_text.delta": Said("reasoning", "delta", raw=True),
    "response.reasoning_text.done": Said("reasoning", "text", whole=True, raw=True),
    "response.reasoning_part.done": Said("reasoning", "part", whole=True, raw=True),
    "response.function_call_arguments.delta": Said("function_call", "delta"),
    "response.function_call_arguments.done": Said("function_call", "arguments", whole=True),
    "response.custom_tool_call_input.delta": Said("custom_tool_call", "delta"),
    "response.custom_tool_call_input.done": Said("custom_tool_call", "input", whole=True),
}
"""Those of a provider's own tools are not here: the finished item says it all."""
