"""In which order models can be written one by one: what a model falls back to is there first, and a name is free."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from proxy.core.config.names import NAMING

Blocks = Mapping[str, Mapping[str, Any]]


def ordered(blocks: Blocks, stored: Blocks) -> list[str]:
    """The names of `blocks`, each after those it waits for. A circle has no such order: it is somebody else's error."""
    owners = {name: model for model, block in blocks.items() for name in _names(model, block)}
    given_up = {
        name: model
        for model, block in stored.items()
        if model in blocks
        for name in _names(model, block) - _names(model, blocks[model])
    }
    found: dict[str, None] = {}
    waiting: set[str] = set()

    # Not recursive: a chain of fallbacks may be long.
    for first in blocks:
        path = [first]
        while path:
            model = path[-1]
            waiting.add(model)
            after = next(
                (
                    one
                    for one in _waits_for(model, blocks[model], owners, given_up)
                    if one not in found and one not in waiting
                ),
                None,
            )
            if after is not None:
                path.append(after)
                continue
            path.pop()
            waiting.discard(model)
            found.setdefault(model)
    return list(found)


def _waits_for(
    model: str, block: Mapping[str, Any], owners: Mapping[str, str], given_up: Mapping[str, str]
) -> Iterator[str]:
    for name in sorted(_names(model, block) & given_up.keys()):
        yield given_up[name]
    for field in NAMING:
        for name in _texts(block.get(field)):
            if name in owners:
                yield owners[name]
            else:
                for pattern, owner in owners.items():
                    if pattern.endswith("*") and name.startswith(pattern[:-1]):
                        yield owner


def _names(model: str, block: Mapping[str, Any]) -> set[str]:
    return {model, *_texts(block.get("aliases"))}


def _texts(value: Any) -> list[str]:
    listed = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return [one for one in listed if isinstance(one, str)]
