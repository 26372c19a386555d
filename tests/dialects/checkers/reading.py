"""JSON and server-sent events as a strict client reads them, and words shared by the checkers."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

Json = dict[str, Any]

SAFE_NAME = re.compile(r"[A-Za-z0-9_-]+")


class Event(NamedTuple):
    """`name` is "" where there is no `event:` line."""

    name: str
    data: str


def decode(body: bytes | str) -> tuple[Any, list[str]]:
    """(value, violations) of a JSON text: no name twice in an object, no NaN."""
    problems: list[str] = []

    def once(pairs: list[tuple[str, Any]]) -> Json:
        names = [name for name, _ in pairs]
        problems.extend(f"{name}: is given twice" for name in names if names.count(name) > 1)
        return dict(pairs)

    def refuse(word: str) -> None:
        problems.append(f"body: {word} is not JSON")

    try:
        value = json.loads(body, object_pairs_hook=once, parse_constant=refuse)
    except ValueError as error:
        return None, [f"body: is not JSON ({error})"]
    return value, problems


def decode_object(body: bytes | str) -> tuple[Json, list[str]]:
    """The same for a text that must be an object."""
    value, problems = decode(body)
    if not isinstance(value, dict):
        return {}, [*problems, "body: must be an object"]
    return value, problems


def is_object(text: object) -> bool:
    """Whether this is the JSON text of an object."""
    if not isinstance(text, str):
        return False
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def is_base64(text: object, *, url_safe: bool = False) -> bool:
    """Whether this is padded base64 of something."""
    if not isinstance(text, str) or not text:
        return False
    if url_safe:
        text = text.replace("-", "+").replace("_", "/")
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def objects(value: object) -> list[Json]:
    """The objects of a list; none if it is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def within(where: str, value: object, low: float, high: float) -> Iterable[str]:
    """A number that is given must be in a range."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and not low <= value <= high:  # type: ignore[operator]
        yield f"{where}: {value} is not between {low} and {high}"


def twice(words: Iterable[str]) -> set[str]:
    """Those that come more than once."""
    seen: set[str] = set()
    return {word for word in words if word in seen or seen.add(word)}  # type: ignore[func-returns-value]


def events(raw: bytes) -> tuple[list[Event], list[str]]:
    """(events, violations) of a stream: every line a field or a comment, every event closed by a blank line."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return [], [f"stream: is not UTF-8 ({error})"]
    problems: list[str] = []
    if text and not text.endswith("\n\n"):
        problems.append("stream: the last event has no blank line after it")
    if "\r" in text:
        problems.append("stream: has carriage returns")
    found: list[Event] = []
    for block in text.split("\n\n"):
        name, data = "", []
        for line in filter(None, block.split("\n")):
            field, _, value = line.partition(": ")
            if field == "data":
                data.append(value)
            elif field == "event":
                name = value
            elif not line.startswith(":"):
                problems.append(f"stream: {line[:40]!r} is no line of an event")
        if data:
            found.append(Event(name, "\n".join(data)))
        elif name:
            problems.append(f"stream: event {name!r} has no data")
    return found, problems
