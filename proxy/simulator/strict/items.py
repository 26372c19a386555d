"""Responses, as OpenAI refuses them."""

from __future__ import annotations

from typing import Any

from proxy.simulator.errors import Refused
from proxy.simulator.strict.fields import between, function, names

KNOWN = names(
    "background context_management conversation include input instructions max_output_tokens max_tool_calls metadata "
    "model moderation parallel_tool_calls previous_response_id prompt prompt_cache_key prompt_cache_options "
    "prompt_cache_retention reasoning safety_identifier service_tier store stream stream_options temperature text "
    "tool_choice tools top_logprobs top_p truncation user"
)
ROLES = ("assistant", "system", "developer", "user")
ITEMS: dict[str, frozenset[str]] = {
    "message": names("type id status role content phase"),
    "function_call": names("type id status call_id name arguments namespace caller"),
    "function_call_output": names("type id status call_id output caller"),
    "custom_tool_call": names("type id status call_id name input namespace caller"),
    "custom_tool_call_output": names("type id status call_id output caller"),
    "reasoning": names("type id status summary content encrypted_content"),
}
"""Those whose fields are looked at; the vendor's own tools have many more."""
IDS = {"message": "msg", "function_call": "fc", "reasoning": "rs", "custom_tool_call": "ctc"}
PARTS = {
    "user": ("input_text", "input_image", "input_file", "input_audio"),
    "system": ("input_text",),
    "developer": ("input_text",),
    "assistant": ("output_text", "refusal"),
}


def responses(body: Any) -> None:
    """POST /responses"""
    for name in body:
        if name not in KNOWN:
            raise Refused(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    between(body, "temperature", 0, 2)
    between(body, "top_p", 0, 1)
    between(body, "top_logprobs", 0, 20)
    most = body.get("max_output_tokens")
    if isinstance(most, int) and most < 16:
        raise Refused(
            f"Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got {most} instead.",
            "max_output_tokens",
            "integer_below_min_value",
        )
    _tools(body)
    told = body.get("input")
    if told is None or told == []:
        if not (body.get("previous_response_id") or body.get("prompt") or body.get("conversation")):
            raise Refused(
                "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation_id' must be provided.",
                "input",
                "missing_required_parameter",
            )
    elif isinstance(told, list):
        for index, item in enumerate(told):
            _item(item, f"input[{index}]")
        if not body.get("previous_response_id"):
            _answered(told)


def _tools(body: dict[str, Any]) -> None:
    for index, tool in enumerate(body.get("tools") or ()):
        if tool.get("type") == "function":
            function(tool, f"tools[{index}]")
        elif "type" not in tool:
            place = f"tools[{index}].type"
            raise Refused(
                f"Missing required parameter: '{place}'.", place, "missing_required_parameter"
            )  # fmt: skip
    wanted = (body.get("text") or {}).get("format") or {}
    if wanted.get("type") == "json_schema" and not wanted.get("name"):
        raise Refused(
            "Missing required parameter: 'text.format.name'.", "text.format.name", "missing_required_parameter"
        )  # fmt: skip


def _item(item: dict[str, Any], place: str) -> None:
    kind = item.get("type", "message")
    for name in item:
        if name not in ITEMS.get(kind, item):
            raise Refused(
                f"Unknown parameter: '{place}.{name}'.", f"{place}.{name}", "unknown_parameter"
            )
    id, prefix = item.get("id"), IDS.get(kind, "")
    if isinstance(id, str) and not id.startswith(prefix):
        raise Refused(
            f"Invalid '{place}.id': '{id}'. Expected an ID that begins with '{prefix}'.",
            f"{place}.id",
        )
    call = item.get("call_id")
    if call is not None and not 0 < len(call) <= 64:
        raise Refused(
            f"Invalid '{place}.call_id': expected a string of 1 to 64 characters.", f"{place}.call_id"
        )  # fmt: skip
    if kind == "reasoning" and not isinstance(item.get("summary"), list):
        raise Refused(
            f"Missing required parameter: '{place}.summary'.", f"{place}.summary", "missing_required_parameter"
        )  # fmt: skip
    if kind == "message":
        _message(item, place)


def _message(item: dict[str, Any], place: str) -> None:
    role = item.get("role")
    if role not in ROLES:
        supported = ", ".join(f"'{one}'" for one in ROLES)
        raise Refused(
            f"Invalid value: '{role}'. Supported values are: {supported}.", f"{place}.role"
        )
    content = item.get("content")
    if not isinstance(content, str | list):
        raise Refused(
            f"Invalid type for '{place}.content': expected one of an array of objects or string.", f"{place}.content",
            "invalid_type",
        )  # fmt: skip
    for index, part in enumerate(content if isinstance(content, list) else ()):
        if part.get("type") not in PARTS[str(role)]:
            supported = ", ".join(f"'{one}'" for one in PARTS[str(role)])
            raise Refused(
                f"Invalid value: '{part.get('type')}'. Supported values are: {supported}.",
                f"{place}.content[{index}]",
            )


def _answered(told: list[dict[str, Any]]) -> None:
    """Every call has its output, and every output its call before it."""
    waiting: set[str] = set()
    for item in told:
        kind = str(item.get("type"))
        if kind in ("function_call", "custom_tool_call"):
            waiting.add(item["call_id"])
        elif kind in ("function_call_output", "custom_tool_call_output"):
            if item.get("call_id") not in waiting:
                raise Refused(
                    f"No tool call found for function call output with call_id {item.get('call_id')}.", "input"
                )  # fmt: skip
            waiting.remove(item["call_id"])
    if waiting:
        raise Refused(f"No tool output found for function call {min(waiting)}.", "input")
