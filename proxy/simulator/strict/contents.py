"""Gemini's contents, as Google refuses them."""

from __future__ import annotations

import re
from typing import Any

from proxy.simulator.errors import Refused
from proxy.simulator.strict.fields import names

_KNOWN = names(
    "contents tools tool_config safety_settings system_instruction generation_config cached_content labels model "
    "service_tier store model_armor_config"
)
_CONFIG = names(
    "stop_sequences response_mime_type response_schema response_json_schema _response_json_schema response_modalities "
    "candidate_count max_output_tokens temperature top_p top_k seed presence_penalty frequency_penalty "
    "response_logprobs logprobs enable_enhanced_civic_answers speech_config thinking_config image_config "
    "media_resolution audio_timestamp routing_config model_selection_config response_format"
)
_PART = names(
    "media_resolution code_execution_result executable_code file_data function_call function_response inline_data "
    "text thought thought_signature video_metadata tool_call tool_response part_metadata"
)
_DATA = names(
    "code_execution_result executable_code file_data function_call function_response inline_data text tool_call "
    "tool_response"
)
_SCHEMA = names(
    "additional_properties defs ref any_of default description enum example format items max_items max_length "
    "max_properties maximum min_items min_length min_properties minimum nullable pattern properties "
    "property_ordering required title type $ref $defs"
)
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}")

Turn = tuple[int, str, list[dict[str, Any]]]


def snake(name: str) -> str:
    """Either spelling is right."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: "_" + match[1].lower(), name)


def contents(body: Any) -> None:
    """:generateContent"""
    _known(body, _KNOWN, "")
    config = _member(body, "generation_config") or {}
    _known(config, _CONFIG, "generation_config")
    temperature = _member(config, "temperature")
    if temperature is not None and not 0 <= temperature <= 2:
        raise _invalid(
            "GenerateContentRequest.generation_config.temperature",
            "temperature must be in the range [0.0, 2.0].",
        )
    for name in ("response_schema", "response_json_schema"):
        if _member(config, name) and _member(config, "response_mime_type") != "application/json":
            raise _invalid(
                "GenerateContentRequest.generation_config.response_schema",
                "only allowed when response_mime_type is `application/json`",
            )
    _schema(_member(config, "response_schema"), "generation_config.response_schema")
    _tools(_member(body, "tools") or [])
    told = body.get("contents")
    if not told:
        raise _invalid("GenerateContentRequest.contents", "contents is not specified")
    turns = [_content(content, index) for index, content in enumerate(told)]
    _ordered(_merged(turns))


def _invalid(field: str, message: str) -> Refused:
    return Refused(f"* {field}: {message}\n", field)


def _member(value: dict[str, Any], name: str) -> Any:
    return next((value[key] for key in value if snake(key) == name), None)


def _known(value: dict[str, Any], names: frozenset[str], place: str) -> None:
    for name in value:
        if snake(name) not in names:
            at = f" at '{place}'" if place else ""
            raise Refused(
                f'Invalid JSON payload received. Unknown name "{name}"{at}: Cannot find field.',
                f"{place}.{name}" if place else name,
            )


def _tools(tools: list[dict[str, Any]]) -> None:
    for index, tool in enumerate(tools):
        for number, declared in enumerate(_member(tool, "function_declarations") or ()):
            place = f"tools[{index}].function_declarations[{number}]"
            if not _NAME.fullmatch(str(declared.get("name", ""))):
                raise _invalid(
                    f"GenerateContentRequest.{place}.name",
                    "Invalid function name. Must start with a letter or an underscore.",
                )
            _schema(declared.get("parameters"), f"{place}.parameters")


def _schema(schema: Any, place: str) -> None:
    if not isinstance(schema, dict):
        return
    _known(schema, _SCHEMA, place)
    properties = schema.get("properties")
    for number, name in enumerate(properties if isinstance(properties, dict) else ()):
        _schema(schema["properties"][name], f"{place}.properties[{number}].value")
    _schema(schema.get("items"), f"{place}.items")
    for number, option in enumerate(_member(schema, "any_of") or ()):
        _schema(option, f"{place}.any_of[{number}]")


def _content(content: dict[str, Any], index: int) -> Turn:
    place = f"GenerateContentRequest.contents[{index}]"
    _known(content, frozenset({"role", "parts"}), f"contents[{index}]")
    role = content.get("role", "user")
    if role not in ("user", "model", "function"):
        raise Refused("Please use a valid role: user, model.", f"contents[{index}].role")
    parts = content.get("parts")
    if not parts:
        raise _invalid(f"{place}.parts", "contents.parts must not be empty.")
    for number, part in enumerate(parts):
        _known(part, _PART, f"contents[{index}].parts[{number}]")
        if not any(snake(name) in _DATA for name in part):
            raise _invalid(
                f"{place}.parts[{number}].data", "required oneof field 'data' must have one initialized field"
            )  # fmt: skip
    return index, role, parts


def _merged(turns: list[Turn]) -> list[Turn]:
    """Contents of one role in a row are one turn; Google's client keeps a streamed answer in pieces."""
    merged: list[Turn] = []
    for index, role, parts in turns:
        if merged and (merged[-1][1] == "model") == (role == "model"):
            merged[-1][2].extend(parts)
        else:
            merged.append((index, role, list(parts)))
    return merged


def _ordered(turns: list[Turn]) -> None:
    """Responses stand right after the calls they answer, and there are as many."""
    waiting = 0
    before = ""
    for index, role, parts in turns:
        calls = sum(_member(part, "function_call") is not None for part in parts)
        answers = sum(_member(part, "function_response") is not None for part in parts)
        place = f"contents[{index}]"
        if calls and before not in ("user", "function"):
            raise Refused(
                "Please ensure that function call turn comes immediately after a user turn or after a function "
                "response turn.",
                place,
            )
        if answers and not waiting:
            raise Refused(
                "Please ensure that function response turn comes immediately after a function call turn.", place
            )  # fmt: skip
        if answers != waiting:
            raise Refused(
                "Please ensure that the number of function response parts is equal to the number of function call "
                "parts of the function call turn.",
                place,
            )
        waiting = calls
        before = role
