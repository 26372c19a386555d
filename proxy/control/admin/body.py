"""A request's body as JSON: strict, because two readers of one text must not see two different things."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

from proxy.control.admin.web import Fault, Problem

if TYPE_CHECKING:
    from proxy.control.admin.web import Request

LIMIT = 4 * 1024 * 1024
"""Bytes."""
DEPTH = 32
"""Objects and lists in each other; a configuration needs a handful."""
JSON_TYPES = frozenset({"application/json", "application/merge-patch+json"})
YAML_TYPES = frozenset({"application/yaml", "application/x-yaml", "text/yaml"})
_TEXTS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')


def value(request: Request) -> Any:
    """The body. Raises Problem: 415 for what is not said to be JSON, 400 for what is none, 413."""
    if request.media_type not in JSON_TYPES:
        raise Problem(
            415, "unsupported_media_type", "Send JSON, with content-type: application/json."
        )
    if len(request.body) > LIMIT:
        raise too_large()
    try:
        content = orjson.loads(request.body)
    except ValueError:
        raise Problem(400, "invalid_json", "The body is not valid JSON.") from None
    if _fields(content) != _TEXTS.sub(b"", request.body).count(b":"):
        raise Problem(400, "invalid_json", "An object in the body has a field twice.")
    return content


def fields(request: Request) -> dict[str, Any]:
    """The body, an object. Raises Problem, as `value`."""
    content = value(request)
    if not isinstance(content, dict):
        raise Problem(
            400,
            "invalid",
            "The body has to be a JSON object.",
            (Fault("", "an object is expected"),),
        )
    return content


def too_large() -> Problem:
    """For a body over LIMIT."""
    return Problem(413, "too_large", f"The body is larger than {LIMIT} bytes.")


def _fields(content: Any) -> int:
    """How many fields all objects have together; a text with one of them twice has more colons."""
    count = 0
    level = [content]
    for _ in range(DEPTH):
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                count += len(each)
                below.extend(each.values())
            elif isinstance(each, list):
                below.extend(each)
        level = below
        if not level:
            return count
    raise Problem(400, "invalid_json", f"The body is nested deeper than {DEPTH} levels.")
