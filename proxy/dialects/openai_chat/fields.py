"""What a chat completion can say, and the words in which it does."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from proxy.dialects import gpt
from proxy.dialects.ir import Finish

NAME = "openai.chat"
FAMILY = "openai"

encode = msgspec.json.Encoder().encode

FIELDS: Mapping[str, str] = {
    "max_tokens": "max_completion_tokens, max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "stop": "stop",
    "seed": "seed",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "logit_bias": "logit_bias",
    "logprobs": "logprobs",
    "top_logprobs": "top_logprobs",
    "n": "n",
    "modalities": "modalities",
    "user": "user, safety_identifier",
    "metadata": "metadata",
    "service_tier": "service_tier",
    "cache_key": "prompt_cache_key (OpenAI's models)",
    "cache_retention": "prompt_cache_retention (OpenAI's models)",
    "verbosity": "verbosity (OpenAI's reasoning models)",
    "thinking.effort": "reasoning_effort",
    "thinking.budget": "reasoning_effort (the nearest word)",
    "thinking.off": "reasoning_effort: none",
    "format.json": "response_format: json_object",
    "format.schema": "response_format: json_schema",
    "format.strict": "response_format.json_schema.strict",
    "system": "messages[] of role system, developer",
    "system.later": "messages[] of role system, developer",
    "message.name": "messages[].name",
    "prefill": "messages[] that end with role assistant",
    "text": "messages[].content",
    "refusal": "messages[].refusal",
    "image.data": "content[].image_url (data URL)",
    "image.url": "content[].image_url",
    "image.detail": "content[].image_url.detail",
    "document.data": "content[].file.file_data",
    "document.file": "content[].file.file_id",
    "document.text": "content[].text",
    "document.name": "content[].file.filename",
    "audio.data": "content[].input_audio",
    "audio.file": "messages[].audio.id",
    "video.data": "content[].video_url (data URL)",
    "video.url": "content[].video_url",
    "thinking.text": "messages[].reasoning_content, reasoning",
    "thinking.signature": "messages[].reasoning_details[] (for models of the same vendor)",
    "tool": "tools[].function",
    "tool.strict": "tools[].function.strict",
    "tool.custom": "tools[].custom (of OpenAI's models; others: a function of one text, input)",
    "tool_call": "messages[].tool_calls[]",
    "tool_call.signature": "tool_calls[].extra_content.google.thought_signature (for Gemini)",
    "tool_result": "messages[] of role tool",
    "tool_result.image": "messages[] of role user, after the results",
    "tool_result.document": "messages[] of role user, after the results",
    "tool_choice.none": "tool_choice: none",
    "tool_choice.required": "tool_choice: required",
    "tool_choice.tool": "tool_choice.function, tool_choice.custom",
    "tool_choice.allowed": "tool_choice.allowed_tools; tools, those only, where the model is not OpenAI's",
    "parallel_tool_calls": "parallel_tool_calls",
}
"""For every provider."""

OWN_FIELDS: Mapping[str, str] = {
    **FIELDS,
    "top_k": "top_k",
    "cache": "cache_control, prompt_cache_breakpoint",
    "cache.ttl": "cache_control.ttl",
    "citations": "messages[].annotations[]",
    "thinking.visible": "reasoning.exclude",
    "text.signature": "messages[].reasoning_details[]",
    "document.url": "content[].document_url, content[].file_url",
    "audio.url": "content[].audio_url",
}
"""And what some who speak the dialect have: given back to them only if the client spoke it too.

Most providers refuse a field they do not know.
"""

FINISH_IN: Mapping[str, Finish] = {
    "stop": "stop",
    "eos": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "context",
    "model_context_window_exceeded": "context",
    "tool_calls": "tool_calls",
    "tool_call": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "content_filtered": "content_filter",
    "safety": "content_filter",
    "recitation": "content_filter",
    "sensitive": "content_filter",
    "refusal": "refusal",
    "error": "error",
    "abort": "error",
    "network_error": "error",
    "insufficient_system_resource": "error",
}
"""A provider's word, in lower case, to what it means. Any other is `stop`."""

FINISH_OUT: Mapping[Finish, str] = {
    "stop": "stop",
    "length": "length",
    "context": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "refusal": "content_filter",
    "pause": "stop",
    "error": "stop",
}
"""To the few words a client knows."""

TIERS = frozenset({"auto", "default", "flex", "scale", "priority", "fast"})
"""Service tiers a client knows."""


def finish_in(reason: str, *, calls: bool) -> Finish:
    """What a provider's finish reason means. Some say `stop`, or nothing, after a tool call."""
    finish = FINISH_IN.get(reason.lower(), "stop")
    return "tool_calls" if calls and finish == "stop" else finish


def finish_out(finish: Finish | None, *, legacy: bool) -> str:
    """The finish reason a client is told. `legacy`: it speaks of functions, not of tools."""
    word = FINISH_OUT[finish or "stop"]
    return "function_call" if legacy and word == "tool_calls" else word


_OPENAI = re.compile(r"(?:openai/)?(?:o\d|gpt-\d|chatgpt)")
_DEEPSEEK_EFFORTS = ("none", "low", "medium", "high", "max")
_THOUGHTS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r".*gpt-oss"), "reasoning"),
    (re.compile(r".*magistral"), "thinking"),
    (re.compile(r".*(?:mistral|mixtral|ministral|codestral|devstral|pixtral|voxtral)"), ""),
    (_OPENAI, ""),
)
_USUAL_THOUGHTS = "reasoning_content"


def is_openais(model: str) -> bool:
    """Whether a name is one of OpenAI's own models: its API takes what most that speak like it do not."""
    return _OPENAI.match(model.lower()) is not None


def efforts(model: str) -> tuple[str, ...]:
    """The words of `reasoning_effort` a model takes, as far as its name tells; none if it refuses to be asked."""
    if gpt.never_reasons(model):
        return ()
    return _DEEPSEEK_EFFORTS if "deepseek" in model.lower() else gpt.efforts(model)


def thoughts_field(model: str) -> str:
    """Where a model's provider takes thoughts back; "": nowhere.

    Groq and Cerebras refuse `reasoning_content`, Mistral any field it does not know (seen in 2026); DeepSeek and
    Moonshot refuse a tool turn without it.
    """
    name = model.lower()
    return next((field for pattern, field in _THOUGHTS if pattern.match(name)), _USUAL_THOUGHTS)
