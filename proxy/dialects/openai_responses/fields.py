"""What the Responses API can say, and the words in which it does."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from proxy.dialects.ir import Finish, Json
from proxy.dialects.names import Rule

NAME = "openai.responses"
FAMILY = "openai"
TOOLS = Rule(NAME, 64)

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode

FIELDS: Mapping[str, str] = {
    "max_tokens": "max_output_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "logprobs": "include: message.output_text.logprobs",
    "top_logprobs": "top_logprobs",
    "user": "user, safety_identifier",
    "metadata": "metadata",
    "service_tier": "service_tier",
    "cache_key": "prompt_cache_key",
    "cache_retention": "prompt_cache_retention",
    "verbosity": "text.verbosity",
    "thinking.effort": "reasoning.effort",
    "thinking.budget": "reasoning.effort (the nearest word)",
    "thinking.off": "reasoning.effort: none",
    "thinking.visible": "reasoning.summary",
    "thinking.summary": "reasoning.summary",
    "format.json": "text.format: json_object",
    "format.schema": "text.format: json_schema",
    "format.strict": "text.format.strict",
    "system": "instructions, input[] of role system, developer",
    "system.later": "input[] of role system, developer",
    "prefill": "input[] that ends with role assistant",
    "text": "content[].text",
    "citations": "content[].annotations[]",
    "refusal": "content[].refusal",
    "image.data": "content[].image_url (data URL)",
    "image.url": "content[].image_url",
    "image.file": "content[].file_id of input_image",
    "image.detail": "content[].detail",
    "document.data": "content[].file_data",
    "document.url": "content[].file_url",
    "document.file": "content[].file_id of input_file",
    "document.text": "content[].text",
    "document.name": "content[].filename",
    "document.context": "content[].text",
    "thinking.text": "input[] of type reasoning: summary, content",
    "thinking.signature": "input[] of type reasoning: encrypted_content",
    "tool": "tools[] of type function",
    "tool.strict": "tools[].strict",
    "tool.custom": "tools[] of type custom",
    "tool_call": "input[] of type function_call",
    "tool_result": "input[] of type function_call_output",
    "tool_result.image": "output[] of type input_image",
    "tool_result.document": "output[] of type input_file",
    "tool_choice.none": "tool_choice: none",
    "tool_choice.required": "tool_choice: required",
    "tool_choice.tool": "tool_choice of type function, custom",
    "tool_choice.allowed": "tool_choice of type allowed_tools",
    "parallel_tool_calls": "parallel_tool_calls",
    "server_tool.web_search": "tools[] of type web_search",
    "server_tool.code_execution": "tools[] of type code_interpreter",
}
"""For every provider."""

OWN_FIELDS: Mapping[str, str] = {
    **FIELDS,
    "cache": "prompt_cache_breakpoint",
    "cache.ttl": "prompt_cache_breakpoint.ttl",
    "audio.data": "content[].input_audio",
    "server_tool": "tools[]",
}
"""And what is given back only to a provider whose client spoke the dialect too: few models take it."""

TIERS = frozenset({"auto", "default", "flex", "scale", "priority", "fast", "ultrafast"})
"""Service tiers a client knows."""
ENCRYPTED = "reasoning.encrypted_content"
LOGPROBS = "message.output_text.logprobs"

_INCOMPLETE: Mapping[str, Finish] = {
    "max_output_tokens": "length",
    "max_tokens": "length",
    "max_messages": "length",
    "content_filter": "content_filter",
    "steered": "stop",
}
"""`incomplete_details.reason` to what it means."""
_STATUS: Mapping[str, Finish] = {"completed": "stop", "incomplete": "length", "cancelled": "error"}
_REASON: Mapping[Finish, str] = {
    "length": "max_output_tokens",
    "context": "max_output_tokens",
    "content_filter": "content_filter",
}
_REASONS = frozenset({"max_output_tokens", "max_messages", "content_filter", "steered"})
"""Those a client knows."""


def finish_in(response: Json, *, calls: bool) -> tuple[Finish, str]:
    """(what it means, the provider's word) of how a response ended."""
    details = response.get("incomplete_details")
    why = details.get("reason") if isinstance(details, dict) else None
    status = response.get("status")
    word = status if isinstance(status, str) else ""
    if isinstance(why, str) and why and word != "completed":
        return _INCOMPLETE.get(why, "stop"), why
    finish = _STATUS.get(word, "stop")
    return ("tool_calls" if calls and finish == "stop" else finish), word


def finish_out(finish: Finish, reason: str, *, own: bool, refused: bool) -> tuple[str, str]:
    """(status, reason of being incomplete or ""). `refused`: the answer holds a refusal, which says it all."""
    if own and reason in _REASONS and _INCOMPLETE[reason] == finish:
        return "incomplete", reason
    if finish == "error":
        return "failed", ""
    if finish == "refusal" and not refused:
        return "incomplete", "content_filter"
    why = _REASON.get(finish, "")
    return ("incomplete", why) if why else ("completed", "")


def word(value: Json, name: str) -> str:
    """A string among a provider's fields; "" if it is anything else."""
    found = value.get(name)
    return found if isinstance(found, str) else ""


def objects(value: object) -> list[Json]:
    """The objects in a provider's list; none if it is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
