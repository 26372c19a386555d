"""Rules that OpenAI's endpoints have in common."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tests.dialects.checkers.reading import Json, is_base64, twice, within

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_IMAGE = re.compile(r"data:image/[a-z+.-]+;base64,(.+)", re.DOTALL)


def is_name(name: object) -> bool:
    """Whether a tool or a schema may be called so."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def parameters(request: Json) -> Iterator[str]:
    """Ranges of what the endpoints share."""
    yield from within("temperature", request.get("temperature"), 0, 2)
    yield from within("top_p", request.get("top_p"), 0, 1)
    yield from within("presence_penalty", request.get("presence_penalty"), -2, 2)
    yield from within("frequency_penalty", request.get("frequency_penalty"), -2, 2)
    yield from within("top_logprobs", request.get("top_logprobs"), 0, 20)
    metadata = request.get("metadata") or {}
    if len(metadata) > 16:
        yield "metadata: has more than 16 entries"
    for key, value in metadata.items():
        if len(key) > 64 or len(value) > 512:
            yield f"metadata.{key[:20]}: is longer than 64 characters, or its value than 512"
    if request.get("model") == "":
        yield "model: must not be empty"


def tool_names(where: str, names: list[str]) -> Iterator[str]:
    """Names of tools that are offered."""
    yield from (f"{where}: {name!r} is no name of a tool" for name in names if not is_name(name))
    yield from (f"{where}: {name!r} is the name of two" for name in twice(names))


def parameters_schema(where: str, schema: Any) -> Iterator[str]:
    """A schema of arguments must say that it is one of an object."""
    if schema is not None and schema.get("type") != "object":
        yield f"{where}.type: {schema.get('type')!r} is not 'object'"


def schema_name(where: str, wanted: Json) -> Iterator[str]:
    """A schema of an answer has a name and a schema."""
    if not is_name(wanted["name"]):
        yield f"{where}.name: {wanted['name']!r} is no name"
    if not isinstance(wanted.get("schema"), dict):
        yield f"{where}.schema: is missing"


def image(where: str, url: str) -> Iterator[str]:
    """The address of an image, or the image itself as a data URL."""
    if url.startswith("data:"):
        found = _IMAGE.fullmatch(url)
        if found is None or not is_base64(found[1]):
            yield f"{where}: is no data URL of an image"
    elif not url.startswith(("http://", "https://")):
        yield f"{where}: is no address"


def usage(usage: Json | None) -> Iterator[str]:
    """Parts are not larger than the whole, and add up."""
    if usage is None:
        return
    prompt: int = usage["prompt_tokens" if "prompt_tokens" in usage else "input_tokens"]
    output: int = usage["completion_tokens" if "prompt_tokens" in usage else "output_tokens"]
    if min(prompt, output) < 0:
        yield "usage: is negative"
    if usage["total_tokens"] != prompt + output:
        yield f"usage.total_tokens: {usage['total_tokens']} is not {prompt} + {output}"
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
    parts = (details.get("cached_tokens") or 0) + (details.get("cache_write_tokens") or 0)
    if parts > prompt:
        yield f"usage: {parts} tokens of the cache are more than the prompt"
    details = usage.get("completion_tokens_details") or usage.get("output_tokens_details") or {}
    if (details.get("reasoning_tokens") or 0) > output:
        yield "usage: there are more reasoning tokens than tokens of the answer"


def error(where: str, chunk: Json) -> Iterator[str]:
    """`{"error": {message, type, param, code}}`."""
    fields = chunk["error"]
    if not isinstance(fields, dict):
        yield f"{where}.error: must be an object"
        return
    for key in ("message", "type"):
        if not isinstance(fields.get(key), str):
            yield f"{where}.error.{key}: must be a string"
    for key in ("param", "code"):
        if not isinstance(fields.get(key, 0), str | None):
            yield f"{where}.error.{key}: must be a string or null"
