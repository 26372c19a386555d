"""What the Messages API can say, and how it spells it."""

from __future__ import annotations

from collections.abc import Mapping

from proxy.dialects.ir import Finish, Json

FIELDS: Mapping[str, str] = {
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "stop": "stop_sequences",
    "user": "metadata.user_id",
    "thinking.effort": "output_config.effort, thinking",
    "thinking.budget": "thinking.budget_tokens",
    "thinking.off": "thinking.type: disabled",
    "thinking.visible": "thinking.display",
    "format.json": "tool_choice (a tool that takes the answer)",
    "format.schema": "output_config.format",
    "format.strict": "always",
    "system": "system",
    "system.later": "messages[].role: system, else system",
    "prefill": "messages[-1].role: assistant",
    "text": "content[].text",
    "citations": "content[].citations",
    "cache": "cache_control",
    "cache.ttl": "cache_control.ttl",
    "image.data": "content[].image.source: base64",
    "image.url": "content[].image.source: url",
    "image.file": "content[].image.source: file",
    "document.data": "content[].document.source: base64",
    "document.url": "content[].document.source: url",
    "document.file": "content[].document.source: file",
    "document.text": "content[].document.source: text",
    "document.name": "content[].document.title",
    "document.context": "content[].document.context",
    "document.citations": "content[].document.citations",
    "thinking.text": "content[].thinking",
    "thinking.signature": "content[].thinking.signature, content[].redacted_thinking.data",
    "tool": "tools",
    "tool.strict": "tools[].strict",
    "tool.custom": "tools[] (a function of one text, input)",
    "tool_call": "content[].tool_use",
    "tool_result": "content[].tool_result",
    "tool_result.error": "content[].tool_result.is_error",
    "tool_result.image": "content[].tool_result.content[].image",
    "tool_result.document": "content[].tool_result.content[].document",
    "tool_choice.none": "tool_choice.type: none",
    "tool_choice.required": "tool_choice.type: any",
    "tool_choice.tool": "tool_choice.type: tool",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
    "server_tool.web_search": "tools[].type: web_search_*",
    "server_tool.web_fetch": "tools[].type: web_fetch_*",
    "server_tool.code_execution": "tools[].type: code_execution_*",
}
"""Key of `loss.FEATURES` to its spelling here."""

FINISH: Mapping[str, Finish] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "context",
    "tool_use": "tool_calls",
    "refusal": "refusal",
    "pause_turn": "pause",
    "compaction": "pause",
}
"""`stop_reason` to what it means; unknown ones are the end of a turn."""

STOP_REASON: Mapping[Finish, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "context": "model_context_window_exceeded",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "refusal": "refusal",
    "pause": "pause_turn",
    "error": "end_turn",
}


def stop_reason(finish: Finish, reason: str, sequence: str, *, own: bool, calls: bool) -> Json:
    """`stop_reason` and `stop_sequence`.

    The reason is the provider's own word where it was one of this dialect (`own`) and means the same. `calls`: there
    are some in the answer, on which clients act by the reason alone.
    """
    if finish in ("stop", "tool_calls"):
        finish = "tool_calls" if calls else "stop"
    word = STOP_REASON[finish]
    if (reason in FINISH or (own and reason)) and FINISH.get(reason, "stop") == finish:
        word = reason
    if finish == "stop" and (sequence or word == "stop_sequence"):
        word = "stop_sequence" if sequence else "end_turn"
    return {"stop_reason": word, "stop_sequence": sequence if word == "stop_sequence" else None}
