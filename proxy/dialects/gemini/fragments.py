"""Arguments that come piece by piece, which Vertex does when it is asked to: values, each with its path."""

from __future__ import annotations

import re
from itertools import pairwise

from proxy.dialects.gemini.names import camel
from proxy.dialects.ir import Json

_STEP = re.compile(
    r"""\.([^.\[\]]+)|\[(\d{1,6})\]|\['((?:[^'\\]|\\.)*)'\]|\["((?:[^"\\]|\\.)*)"\]"""
)
_LONGEST = 10_000
"""Elements of one list; a path that points further is not believed."""


def steps(path: str) -> list[str | int] | None:
    """The steps of a JSON path like `$.a[0]['b']`; None when it is none."""
    found: list[str | int] = []
    at = 1
    while at < len(path):
        match = _STEP.match(path, at)
        if match is None:
            return None
        if match[2] is not None:
            found.append(int(match[2]))
        else:
            found.append(next(name for name in match.groups() if name is not None))
        at = match.end()
    return found if path.startswith("$") and found else None


def add(arguments: Json, piece: object) -> None:
    """Put one piece in its place; text for the same place goes on."""
    if not isinstance(piece, dict):
        return
    given = camel(piece)
    path = given.get("jsonPath")
    route = steps(path) if isinstance(path, str) else None
    if not route:
        return
    target: object = arguments
    for step, following in pairwise(route):
        target = _enter(target, step, [] if isinstance(following, int) else {})
    _store(target, route[-1], given)


def _enter(target: object, step: str | int, empty: object) -> object:
    """What is at `step`, made if there is nothing."""
    if isinstance(target, dict) and isinstance(step, str):
        return target.setdefault(step, empty)
    if isinstance(target, list) and isinstance(step, int) and step < _LONGEST:
        while len(target) < step:
            target.append(None)
        if len(target) == step:
            target.append(empty)
        elif target[step] is None:
            target[step] = empty
        return target[step]
    return None


def _store(target: object, step: str | int, given: Json) -> None:
    text = given.get("stringValue")
    if isinstance(text, str):
        before = _enter(target, step, "")
        value: object = before + text if isinstance(before, str) else text
    elif "numberValue" in given or "boolValue" in given:
        value = given.get("numberValue", given.get("boolValue"))
        if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
            value = int(value)
    else:
        value = None
    _enter(target, step, value)  # makes a list long enough
    if isinstance(target, dict):
        target[str(step)] = value
    elif isinstance(target, list) and isinstance(step, int) and step < len(target):
        target[step] = value
