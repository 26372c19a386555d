"""Violations planted into a legal body: a checker that cannot fail proves nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

GONE = object()
"""In place of a value: the field is removed."""

Check = Callable[[bytes], list[str]]


def edited(legal: Any, edits: Mapping[str, Any]) -> Any:
    """`legal` with the values at some paths (`messages.0.content`) replaced; `+` appends to a list."""
    changed = orjson.loads(orjson.dumps(legal))  # unlike a deep copy, this shares nothing
    for path, value in edits.items():
        *parents, last = path.split(".") if path else [""]
        place = changed
        for step in parents:
            place = place[int(step) if isinstance(place, list) else step]
        if last == "+":
            place.append(value)
        elif value is GONE:
            del place[int(last) if isinstance(place, list) else last]
        else:
            place[int(last) if isinstance(place, list) else last] = value
    return changed


def assert_found(check: Check, legal: Any, edits: Mapping[str, Any], word: str) -> None:
    """The edited body has a violation whose sentence contains `word`, and the legal one has none."""
    problems = check(orjson.dumps(edited(legal, edits)))

    assert any(word in problem for problem in problems), problems
    assert check(orjson.dumps(legal)) == []


def stream(chunks: list[Any], *, done: bytes = b"") -> bytes:
    """Unnamed events, one for each chunk."""
    return b"".join(b"data: %b\n\n" % orjson.dumps(chunk) for chunk in chunks) + done


def named_stream(chunks: list[Any]) -> bytes:
    """Events named by their type."""
    return b"".join(
        b"event: %b\ndata: %b\n\n" % (str(chunk["type"]).encode(), orjson.dumps(chunk))
        for chunk in chunks
    )
