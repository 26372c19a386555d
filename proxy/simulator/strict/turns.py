"""Chat completions, as OpenAI refuses them."""

from __future__ import annotations

from typing import Any

from proxy.simulator.errors import Refused
from proxy.simulator.strict.fields import between, function, names

KNOWN = names(
    "messages model audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens "
    "max_tokens metadata modalities moderation n parallel_tool_calls prediction presence_penalty prompt_cache_key "
    "prompt_cache_options prompt_cache_retention reasoning_effort response_format safety_identifier seed service_tier "
    "stop store stream stream_options temperature tool_choice tools top_logprobs top_p user verbosity "
    "web_search_options"
)
ROLES = ("system", "developer", "user", "assistant", "tool", "function")
MESSAGE = names(
    # The last five are other vendors' of this dialect, and harmless.
    "role content name tool_calls tool_call_id function_call refusal audio annotations reasoning_content "
    "reasoning reasoning_details extra_content cache_control"
)
PARTS: dict[str, tuple[str, ...]] = {
    "system": ("text",),
    "developer": ("text",),
    "tool": ("text",),
    "user": ("text", "image_url", "input_audio", "file"),
    "assistant": ("text", "refusal"),
}
_MOST_ID = 64


def chat(body: Any) -> None:
    """POST /chat/completions"""
    for name in body:
        if name not in KNOWN:
            raise Refused(
                f"Unrecognized request argument supplied: {name}", name, "unknown_parameter"
            )
    told = body.get("messages")
    if not isinstance(told, list) or not told:
        raise Refused(
            "Missing required parameter: 'messages'.", "messages", "missing_required_parameter"
        )
    _options(body)
    _tools(body)
    for index, message in enumerate(told):
        _message(message, f"messages[{index}]")
    _answered(told)


def _options(body: dict[str, Any]) -> None:
    if body.get("stream_options") is not None and not body.get("stream"):
        raise Refused(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options"
        )  # fmt: skip
    if "max_tokens" in body and "max_completion_tokens" in body:
        raise Refused(
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
            "max_tokens",
        )
    between(body, "temperature", 0, 2)
    between(body, "top_p", 0, 1)
    between(body, "top_logprobs", 0, 20)
    between(body, "presence_penalty", -2, 2)
    between(body, "frequency_penalty", -2, 2)
    if isinstance(body.get("stop"), list) and len(body["stop"]) > 4:
        raise Refused(
            "Invalid 'stop': array too long. Expected an array with maximum length 4.", "stop"
        )


def _tools(body: dict[str, Any]) -> None:
    tools = body.get("tools")
    if tools is not None and not tools:
        raise Refused(
            "Invalid 'tools': empty array. Expected an array with minimum length 1.", "tools", "empty_array"
        )  # fmt: skip
    for name in ("tool_choice", "parallel_tool_calls"):
        if body.get(name) is not None and not tools:
            raise Refused(f"'{name}' is only allowed when 'tools' are specified.", name)
    for index, tool in enumerate(tools or ()):
        place = f"tools[{index}]"
        if tool.get("type") == "function":
            function(tool.get("function") or {}, f"{place}.function")
        elif tool.get("type") != "custom":
            raise Refused(
                f"Invalid value: '{tool.get('type')}'. Supported values are: 'function' and 'custom'.",
                f"{place}.type",
            )


def _message(message: dict[str, Any], place: str) -> None:
    role = message.get("role")
    if role not in ROLES:
        supported = ", ".join(f"'{one}'" for one in ROLES)
        raise Refused(
            f"Invalid value: '{role}'. Supported values are: {supported}.", f"{place}.role"
        )
    for name in message:
        if name not in MESSAGE:
            raise Refused(
                f"Unknown parameter: '{place}.{name}'.", f"{place}.{name}", "unknown_parameter"
            )
    content = message.get("content")
    calls = message.get("tool_calls")
    if content is None and not (role == "assistant" and (calls or message.get("function_call"))):
        raise Refused(
            "Invalid value for 'content': expected a string, got null.", f"{place}.content"
        )  # fmt: skip
    if calls is not None and not calls:
        raise Refused(
            f"Invalid '{place}.tool_calls': empty array. Expected an array with minimum length 1.",
            f"{place}.tool_calls",
        )
    for index, call in enumerate(calls or ()):
        _call(call, f"{place}.tool_calls[{index}]")
    if isinstance(content, list):
        _content(content, role, f"{place}.content")


def _call(call: dict[str, Any], place: str) -> None:
    if not isinstance(call.get("id"), str) or not call["id"] or len(call["id"]) > _MOST_ID:
        raise Refused(
            f"Invalid '{place}.id': expected a string of 1 to 64 characters.", f"{place}.id"
        )
    inner = call.get("function")
    if call.get("type") == "function" and not isinstance((inner or {}).get("arguments"), str):
        raise Refused(
            f"Invalid type for '{place}.function.arguments': expected a string.",
            f"{place}.function.arguments",
            "invalid_type",
        )


def _content(content: list[Any], role: str, place: str) -> None:
    if not content:
        raise Refused(
            f"Invalid '{place}': empty array. Expected an array with minimum length 1.", place
        )
    for index, part in enumerate(content):
        allowed = PARTS.get(role, ("text",))
        if part.get("type") not in allowed:
            supported = ", ".join(f"'{one}'" for one in allowed)
            raise Refused(
                f"Invalid value: '{part.get('type')}'. Supported values are: {supported}.",
                f"{place}[{index}].type",
            )


def _answered(told: list[dict[str, Any]]) -> None:
    """Tool messages follow the calls they answer, all of them."""
    waiting: list[str] = []
    for index, message in enumerate(told):
        if message["role"] == "tool":
            if message.get("tool_call_id") not in waiting:
                raise Refused(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
                    "'tool_calls'.",
                    f"messages.[{index}].role",
                )
            waiting.remove(message["tool_call_id"])
            continue
        _none_waiting(waiting)
        waiting = [call["id"] for call in message.get("tool_calls") or ()]
    _none_waiting(waiting)


def _none_waiting(waiting: list[str]) -> None:
    if waiting:
        raise Refused(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            "'tool_call_id'. The following tool_call_ids did not have response messages: "
            f"{', '.join(waiting)}",
            "messages",
        )
