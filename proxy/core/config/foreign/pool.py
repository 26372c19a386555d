"""Providers that are found one after the other: equal ones are one, and each has a name."""

from __future__ import annotations

from typing import Any

from proxy.core.config.foreign.source import Said


class Pool:
    """Names to providers."""

    def __init__(self) -> None:
        self.providers: dict[str, dict[str, Any]] = {}
        self._plain: dict[str, Any] = {}

    def named(self, name: str, block: dict[str, Any], *, beside: str = "") -> str:
        """The name of this provider: the one wanted, where no other has it. `beside` tells two of one name apart."""
        same = plain(block)
        number = 1
        known = name
        while self._plain.setdefault(known, same) != same:
            number += 1
            known = f"{name} ({beside})" if beside else f"{name}-{number}"
            if beside and number > 2:
                known = f"{name} ({beside}, {number - 1})"
        self.providers.setdefault(known, block)
        return known


def plain(tree: Any) -> Any:
    """A tree without its origins, to be compared."""
    if isinstance(tree, dict):
        return {name: plain(value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [plain(value) for value in tree]
    return tree.value if isinstance(tree, Said) else tree
