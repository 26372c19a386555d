"""Hooks compiled: which of them are for a model, at which points, in which order.

On the way to a provider they come in the order of the configuration, on the way back in the opposite one, so that what
is first sees what clients see: who masks first restores last.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from typing import Any

from msgspec import Struct

from proxy.hooks.points import Point

_MANY = 4096
"""Names of models that are remembered."""
_SHAPES = frozenset(Point) - {Point.ON_END}


class Hook(Struct, frozen=True, eq=False):
    """One hook of the configuration, made."""

    name: str
    """In metrics and logs."""
    made: Any
    points: frozenset[Point]
    models: tuple[str, ...] = ("*",)
    """Names of models or patterns with one trailing `*`."""
    timeout: float = 1.0
    """Seconds for one call."""
    open: bool = False
    """A request goes on though its hook has failed."""
    characters: int = 256
    """That may be held back of one block of an answer."""
    seconds: float = 1.0
    """That text may be held back."""
    mark: bytes = b""
    """Of what the configuration says of it: the same for the same."""

    def serves(self, model: str) -> bool:
        """Whether it is for the model of this name."""
        return matches(model, self.models)


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether it is one of these, or begins with one that ends with `*`."""
    return any(
        name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
        for pattern in patterns
    )


class Call(Struct, frozen=True, eq=False):
    """A method of a hook."""

    hook: Hook
    point: Point
    function: Callable[..., Any]
    waits: bool
    """It is `async def`: it runs on the loop. Any other runs in a thread."""


class Chain:
    """The hooks of one model."""

    __slots__ = ("after", "attempt", "end", "hooks", "mark", "route", "screens", "shapes")

    def __init__(self, hooks: Sequence[Hook]) -> None:
        self.hooks = tuple(hooks)
        back = tuple(reversed(self.hooks))
        self.route = calls(self.hooks, Point.BEFORE_ROUTE)
        self.attempt = calls(self.hooks, Point.BEFORE_ATTEMPT)
        self.after = calls(back, Point.AFTER_RESPONSE)
        self.screens = calls(back, Point.SCREEN)
        self.end = calls(back, Point.ON_END)
        self.shapes = any(not _SHAPES.isdisjoint(hook.points) for hook in self.hooks)
        """What a request is answered may depend on them."""
        self.mark = blake2b(b"".join(hook.mark for hook in self.hooks), digest_size=16).digest()


def calls(hooks: Sequence[Hook], point: Point) -> tuple[Call, ...]:
    """The methods to be called at a point."""
    found = []
    for hook in hooks:
        if point in hook.points:
            function = getattr(hook.made, point.value)
            found.append(Call(hook, point, function, inspect.iscoroutinefunction(function)))
    return tuple(found)


class Hooks:
    """All hooks of a configuration. Two are equal when they have the same hooks."""

    __slots__ = ("_known", "all")

    def __init__(self, hooks: Sequence[Hook]) -> None:
        self.all = tuple(hooks)
        self._known: dict[str, Chain | None] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hooks) and self.all == other.all

    def __hash__(self) -> int:
        return hash(self.all)

    def of(self, model: str) -> Chain | None:
        """Those of the model of this name; None: it has none. The same object each time."""
        try:
            return self._known[model]
        except KeyError:
            mine = [hook for hook in self.all if hook.serves(model)]
            chain = Chain(mine) if mine else None
            if len(self._known) < _MANY:
                self._known[model] = chain
            return chain
