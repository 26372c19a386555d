"""Messages, as Anthropic refuses them."""

from __future__ import annotations

import re
from typing import Any

from proxy.simulator.errors import Refused
from proxy.simulator.strict.fields import names

KNOWN = names(
    "max_tokens messages model cache_control container context_management diagnostics inference_geo mcp_servers "
    "metadata output_config output_format service_tier speed stop_sequences stream system temperature thinking "
    "tool_choice tools top_k top_p user_profile_id workspace_id betas"
)
BLOCKS: dict[str, frozenset[str]] = {
    "text": names("type text cache_control citations"),
    "image": names("type source cache_control"),
    "document": names("type source cache_control citations context title"),
    "tool_use": names("type id name input cache_control caller"),
    "tool_result": names("type tool_use_id content is_error cache_control"),
    "thinking": names("type thinking signature"),
    "redacted_thinking": names("type data"),
}
"""Those whose fields are looked at; the vendor's own tools have many more."""
_ID = re.compile(r"[a-zA-Z0-9_-]+")
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_LEAST_BUDGET = 1024
_MOST_MARKS = 4


def messages(body: Any) -> None:
    """POST /messages"""
    for name in ("max_tokens", "messages", "model"):
        if body.get(name) is None:
            raise Refused(f"{name}: Field required", name)
    for name in body:
        if name not in KNOWN:
            raise Refused(f"{name}: Extra inputs are not permitted", name)
    told = body["messages"]
    if not told:
        raise Refused("messages: at least one message is required", "messages")
    _options(body)
    _tools(body)
    _system(body.get("system"))
    for index, message in enumerate(told):
        _message(message, f"messages.{index}", last=index == len(told) - 1)
    if told[0]["role"] != "user":
        raise Refused('messages: first message must use the "user" role', "messages")
    _answered(_merged(told))
    if (marks := _marks(body)) > _MOST_MARKS:
        raise Refused(
            f"A maximum of 4 blocks with cache_control may be provided. Found {marks}.", "cache_control"
        )  # fmt: skip


def _options(body: dict[str, Any]) -> None:
    temperature = body.get("temperature")
    if temperature is not None and not 0 <= temperature <= 1:
        raise Refused("temperature: range: 0..1", "temperature")
    for index, stop in enumerate(body.get("stop_sequences") or ()):
        if not stop.strip():
            place = f"stop_sequences.{index}"
            raise Refused("stop_sequences: each stop sequence must contain non-whitespace", place)
    thinking = body.get("thinking") or {}
    if thinking.get("type") not in ("enabled", "adaptive"):
        return
    budget = thinking.get("budget_tokens")
    if thinking["type"] == "enabled":
        if not isinstance(budget, int) or budget < _LEAST_BUDGET:
            raise Refused(
                "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
                "thinking.budget_tokens",
            )
        if budget >= body["max_tokens"]:
            raise Refused(
                "`max_tokens` must be greater than `thinking.budget_tokens`.", "max_tokens"
            )  # fmt: skip
    if temperature not in (None, 1):
        raise Refused("`temperature` may only be set to 1 when thinking is enabled.", "temperature")
    if body.get("top_k") is not None:
        raise Refused("`top_k` must be unset when thinking is enabled.", "top_k")
    if (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
        raise Refused(
            "Thinking may not be enabled when tool_choice forces tool use.", "tool_choice"
        )


def _tools(body: dict[str, Any]) -> None:
    tools = body.get("tools")
    if body.get("tool_choice") is not None and not tools:
        raise Refused("tool_choice: may only be specified while providing tools", "tool_choice")
    for index, tool in enumerate(tools or ()):
        place = f"tools.{index}"
        if tool.get("type", "custom") != "custom":
            continue
        if not _NAME.fullmatch(str(tool.get("name", ""))):
            raise Refused(
                f"{place}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'", f"{place}.name"
            )  # fmt: skip
        schema = tool.get("input_schema")
        if not isinstance(schema, dict) or schema.get("type") != "object":
            raise Refused(
                f"{place}.custom.input_schema.type: Field required", f"{place}.input_schema"
            )


def _system(system: Any) -> None:
    for index, block in enumerate(system if isinstance(system, list) else ()):
        if block.get("type") != "text":
            raise Refused(f"system.{index}.type: Input should be 'text'", f"system.{index}.type")
        _block(block, f"system.{index}")


def _message(message: dict[str, Any], place: str, *, last: bool) -> None:
    for name in message:
        if name not in ("role", "content"):
            raise Refused(f"{place}.{name}: Extra inputs are not permitted", f"{place}.{name}")
    role = message.get("role")
    if role not in ("user", "assistant"):
        raise Refused(
            f'messages: Unexpected role "{role}". Allowed roles are "user" or "assistant". The Messages API accepts a '
            'top-level `system` parameter, not "system" as an input message role.',
            f"{place}.role",
        )
    content = message.get("content")
    if not content and not (last and role == "assistant"):
        raise Refused(
            f"{place}: all messages must have non-empty content except for the optional final assistant message",
            f"{place}.content",
        )
    for index, block in enumerate(content if isinstance(content, list) else ()):
        _block(block, f"{place}.content.{index}")


def _block(block: dict[str, Any], place: str) -> None:
    kind = block.get("type")
    if kind is None:
        raise Refused(f"{place}.type: Field required", place)
    for name in block:
        if name not in BLOCKS.get(kind, block):
            raise Refused(
                f"{place}.{kind}.{name}: Extra inputs are not permitted", f"{place}.{name}"
            )
    if kind == "text" and not block.get("text"):
        raise Refused("messages: text content blocks must be non-empty", place)
    if kind == "text" and not block["text"].strip():
        raise Refused("messages: text content blocks must contain non-whitespace text", place)
    if kind == "tool_use":
        if not isinstance(block.get("input"), dict):
            raise Refused(
                f"{place}.tool_use.input: Input should be a valid dictionary", f"{place}.input"
            )
        if not _ID.fullmatch(str(block.get("id", ""))):
            raise Refused(
                f"{place}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'", f"{place}.id"
            )  # fmt: skip
    if kind == "thinking" and not isinstance(block.get("signature"), str):
        raise Refused(f"{place}.thinking.signature: Field required", f"{place}.signature")
    if kind == "tool_result":
        content = block.get("content")
        for index, part in enumerate(content if isinstance(content, list) else ()):
            _block(part, f"{place}.tool_result.content.{index}")


def _merged(told: list[dict[str, Any]]) -> list[tuple[int, str, list[dict[str, Any]]]]:
    """Turns: messages of one role in a row are one."""
    turns: list[tuple[int, str, list[dict[str, Any]]]] = []
    for index, message in enumerate(told):
        content = message["content"]
        blocks = content if isinstance(content, list) else [{"type": "text", "text": content}]
        if turns and turns[-1][1] == message["role"]:
            turns[-1][2].extend(blocks)
        else:
            turns.append((index, message["role"], list(blocks)))
    return turns


def _answered(turns: list[tuple[int, str, list[dict[str, Any]]]]) -> None:
    """Calls are answered in the next turn, at its beginning, and nothing else is."""
    waiting: set[str] = set()
    for index, role, blocks in turns:
        if role == "assistant":
            waiting = {block["id"] for block in blocks if block["type"] == "tool_use"}
            continue
        said = False
        answered = set(waiting)
        for place, block in enumerate(blocks):
            if block["type"] != "tool_result":
                said = True
            elif block.get("tool_use_id") not in answered:
                raise Refused(
                    f"messages.{index}.content.{place}: unexpected `tool_use_id` found in `tool_result` blocks: "
                    f"{block.get('tool_use_id')}. Each `tool_result` block must have a corresponding `tool_use` block "
                    "in the previous message.",
                    f"messages.{index}.content.{place}.tool_use_id",
                )
            elif not said:
                waiting.discard(block["tool_use_id"])
        if waiting:
            raise Refused(
                f"messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                f"{', '.join(sorted(waiting))}. Each `tool_use` block must have a corresponding `tool_result` block in "
                "the next message.",
                f"messages.{index}",
            )


def _marks(value: Any) -> int:
    """Cache marks in blocks and tools (a mark of the whole request makes its own)."""
    if isinstance(value, list):
        return sum(map(_marks, value))
    if not isinstance(value, dict):
        return 0
    own = "type" in value or "name" in value
    inner = sum(
        _marks(value[name]) for name in ("tools", "system", "messages", "content") if name in value
    )
    return inner + int(own and value.get("cache_control") is not None)
