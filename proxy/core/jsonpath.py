"""Where something stands in a JSON value: `data.id`, `choices[0].delta.text`, `items[-1]`."""

from __future__ import annotations

import re

Path = tuple[str, ...]

_STEP = re.compile(r"\.([^.\[\]\s]+)|\[(-?[0-9]{1,9})\]")
_NUMBER = re.compile(r"-?[0-9]{1,9}")


def parse(text: str) -> Path:
    """The steps of a path. A leading `$` is allowed. Raises ValueError for what is no path."""
    text = text.strip().removeprefix("$")
    if not text.startswith((".", "[")):
        text = "." + text
    steps: list[str] = []
    end = 0
    while match := _STEP.match(text, end):
        steps.append(match[1] or match[2])
        end = match.end()
    if not steps or end != len(text):
        raise ValueError("no path")
    return tuple(steps)


def find(value: object, path: Path) -> object:
    """What stands there; None when nothing does. Raises nothing."""
    for step in path:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and _NUMBER.fullmatch(step):
            index = int(step)
            value = value[index] if -len(value) <= index < len(value) else None
        else:
            return None
    return value


def dotted(path: Path) -> str:
    """The path as it is written."""
    return ".".join(path)
