"""Options that are designed but not built: refused by name rather than ignored.

A value that means "off" is taken out and forgotten, so that a file written for a later version and not using what
is new loads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.core.config.problem import Path, Problem, Written, sentence

if TYPE_CHECKING:
    from collections.abc import Iterator


_OFF: tuple[object, ...] = (None, {}, [], {"enabled": False}, {"url": None})

LATER: dict[tuple[str, ...], dict[str, tuple[object, ...]]] = {
    ("server",): {"name": ()},
    ("providers", "*"): {"key_strategy": ()},
    ("models", "*"): {"echo_alias": (False,)},
}
"""Where each is written, and what else than `_OFF` means that it is not used."""


def remove_later(data: dict[str, Any], document: Written) -> list[Problem]:
    """Take out what is off; report what is on."""
    problems: list[Problem] = []
    for pattern, options in LATER.items():
        for path, block in _blocks(data, pattern, ()):
            for name in block.keys() & options.keys():
                value = block.pop(name)
                if value in _OFF or any(value is off or value == off for off in options[name]):
                    continue
                found = f"{name!r}, which this version does not have yet"
                message = sentence("a known field", found, "remove it")
                problems.append(document.problem((*path, name), message, key=True))
    return problems


def _blocks(
    value: Any, pattern: tuple[str, ...], path: Path
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every mapping that matches a pattern."""
    if not pattern:
        if isinstance(value, dict):
            yield path, value
        return
    head, rest = pattern[0], pattern[1:]
    if isinstance(value, dict):
        for name in list(value) if head == "*" else [head]:
            if name in value:
                yield from _blocks(value[name], rest, (*path, name))
    elif isinstance(value, list) and head == "*":
        for index, item in enumerate(value):
            yield from _blocks(item, rest, (*path, index))
