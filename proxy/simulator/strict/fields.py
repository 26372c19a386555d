"""Fields the dialects of OpenAI share."""

from __future__ import annotations

import re
from typing import Any

from proxy.simulator.errors import Refused

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def names(text: str) -> frozenset[str]:
    """Names with spaces between them."""
    return frozenset(text.split())


def between(body: dict[str, Any], name: str, least: float, most: float) -> None:
    """A number must be in its range."""
    value = body.get(name)
    if isinstance(value, int | float) and not least <= value <= most:
        raise Refused(f"Invalid '{name}': expected a value between {least} and {most}.", name)


def function(declared: dict[str, Any], place: str) -> None:
    """A declared function has a name of the right form, and parameters that are an object."""
    name = declared.get("name")
    if name is None:
        raise Refused(
            f"Missing required parameter: '{place}.name'.", f"{place}.name", "missing_required_parameter"
        )  # fmt: skip
    if not _NAME.fullmatch(name):
        raise Refused(
            f"Invalid '{place}.name': string does not match pattern. Expected a string that matches the pattern "
            "'^[a-zA-Z0-9_-]+$'.",
            f"{place}.name",
        )
    schema = declared.get("parameters")
    if schema is not None and schema.get("type", "object") != "object":
        raise Refused(
            f"Invalid schema for function '{name}': schema must be a JSON Schema of 'type: \"object\"', got 'type: "
            f'"{schema.get("type")}"\'.',
            f"{place}.parameters",
            "invalid_function_parameters",
        )
