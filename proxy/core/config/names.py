"""Names: which model a public one reaches, whether fallbacks go round in circles, and which are taken already."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.core.config.problem import Path

FALLBACKS = ("fallbacks", "fallbacks_context", "fallbacks_content")
"""Fields of a model that name others."""

NAMING = (*FALLBACKS, "models")
"""The same, with the models whose deployments it uses."""

PAGES = frozenset(
    {
        "id",
        "kind",
        "revision",
        "created",
        "updated",
        "source",
        "read_only",
        "set",
        "last4",
        "key_id",
        "keys",
        "problem",
        "warnings",
    }
)
"""What a page of the admin API shows beside the fields of an object, and nobody sets."""


PLAIN_NAME = "a name without spaces around it and control characters"


def is_plain(name: str) -> bool:
    """Whether it is a `PLAIN_NAME`: it stands in logs and on screens."""
    return name.isprintable() and name == name.strip()


class Public:
    """Where a request for a name goes."""

    __slots__ = ("_patterns", "owners")

    def __init__(self, owners: Mapping[str, str]) -> None:
        self.owners = owners
        found = (pattern for pattern in owners if pattern.endswith("*"))
        self._patterns = sorted(found, key=len, reverse=True)

    def reached(self, name: str) -> str | None:
        """The model a request for `name` would reach."""
        if name.endswith("*"):
            return None
        if name in self.owners:
            return self.owners[name]
        for pattern in self._patterns:
            if name.startswith(pattern[:-1]):
                return self.owners[pattern]
        return None


def member_fault(name: str, public: Public, lists: Callable[[str], bool]) -> tuple[str, str]:
    """(what was expected, advice) where `name` is no model whose deployments another may use; two empty texts where it is.

    `lists`: whether a model lists others itself.
    """
    owner = public.owners.get(name)
    if owner is None and public.reached(name) is None:
        return "a configured model", ""
    if owner is None or name.endswith("*"):
        return "a model that is no wildcard", "add a model of this name"
    if lists(owner):
        return "a model that lists no others", "list theirs in its place"
    return "", ""


def cycles(edges: dict[str, list[tuple[str, Path]]]) -> Iterator[tuple[list[str], Path]]:
    """Each cycle once: the chain of names, and the edge that closes it. No recursion: chains may be long."""
    done: set[str] = set()
    for start in edges:
        if start in done:
            continue
        chain = [start]
        places = {start: 0}
        walks = [iter(edges[start])]
        while walks:
            step = next(walks[-1], None)
            if step is None:
                walks.pop()
                name = chain.pop()
                del places[name]
                done.add(name)
                continue
            target, path = step
            if target in places:
                yield [*chain[places[target] :], target], path
            elif target not in done:
                places[target] = len(chain)
                chain.append(target)
                walks.append(iter(edges.get(target, ())))
