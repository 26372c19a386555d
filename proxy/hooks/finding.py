"""From what the configuration says of a hook to the hook.

A hook is named by an entry point of the group `headrace.hooks` in an installed package, or as `module:attribute`: a
class, or any other function, that is called with the options and returns the hook. Made once a process, and again when
what the configuration says of it has changed. Code that is imported stays as it is until the process ends.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from importlib import import_module
from typing import Any

import msgspec
from msgspec import Struct, field

from proxy.hooks.chain import Hook, Hooks
from proxy.hooks.points import Point

GROUP = "headrace.hooks"
OURS: Mapping[str, str] = {
    "keywords": "proxy.hooks.keywords:Keywords",
    "pii": "proxy.hooks.pii:hook",
}
"""Hooks that come along. An entry point of the same name goes over it."""


class Spec(Struct, frozen=True):
    """What the configuration says of a hook. The fields are those of `Hook`, but for `use` and `options`."""

    name: str
    use: str = ""
    """An entry point, or `module:attribute`; empty: the entry point called as the hook is."""
    options: Mapping[str, Any] = field(default_factory=dict)
    points: tuple[Point, ...] = ()
    """Empty: all that it has a method for."""
    models: tuple[str, ...] = ("*",)
    timeout: float = 1.0
    open: bool = False
    characters: int = 256
    seconds: float = 1.0


class Unusable(Exception):
    """A hook that cannot be had. `where` is the field of the configuration that it is about."""

    def __init__(self, where: str, expected: str, found: str, advice: str = "") -> None:
        super().__init__(f"{expected}, found {found}")
        self.where = where
        self.expected = expected
        self.found = found
        self.advice = advice


_made: dict[bytes, Hook] = {}


def hooks(specs: Sequence[Spec]) -> Hooks | None:
    """All of them; None: there are none. Raises Unusable."""
    return Hooks([made(spec) for spec in specs]) if specs else None


def made(spec: Spec) -> Hook:
    """The hook: the same object for the same spec, in one process. Raises Unusable."""
    # What a fork brings along was made by another process, with threads and sockets that only that one has.
    mark = blake2b(b"%d %b" % (os.getpid(), _encode(spec)), digest_size=16).digest()
    found = _made.get(mark)
    if found is None:
        found = _made[mark] = _make(spec)
    return found


def look_in(folder: str) -> None:
    """Look for modules there, too: after all other places, so that nothing there stands in for what is installed."""
    if folder not in sys.path:
        sys.path.append(folder)


def known() -> list[str]:
    """Names of all entry points."""
    return sorted({*OURS, *_points()})


def _points() -> dict[str, str]:
    """Where entry points lead, by their names."""
    from importlib.metadata import (
        entry_points,
    )  # late: it brings a lot, and who has no hooks has no need

    return {point.name: point.value for point in entry_points(group=GROUP)}


def _make(spec: Spec) -> Hook:
    factory = _factory(spec)
    try:
        hook = factory(**spec.options)
    except Exception as error:
        raise Unusable("options", "options that the hook takes", _words(error)) from error
    methods = {point for point in Point if callable(getattr(hook, point.value, None))}
    if not methods:
        names = ", ".join(point.value for point in Point)
        raise Unusable("use", f"an object with one of the methods {names}", "none of them")
    missing = [point.value for point in spec.points if point not in methods]
    if missing:
        has = ", ".join(point.value for point in Point if point in methods)
        raise Unusable("points", f"points that this hook has ({has})", missing[0])
    points = frozenset(spec.points or methods)
    needs = getattr(hook, "needs", 0) if Point.SCREEN in points else 0
    if spec.characters < needs:
        raise Unusable("hold", f"hold.characters of {needs} or more", str(spec.characters))
    return Hook(
        spec.name,
        hook,
        points,
        spec.models,
        spec.timeout,
        spec.open,
        spec.characters,
        spec.seconds,
        blake2b(_encode(spec), digest_size=16).digest(),
    )


def _factory(spec: Spec) -> Any:
    place = spec.use or spec.name
    if ":" not in place:
        points = _points()
        if place in points:
            place = points[place]
        elif place in OURS:
            place = OURS[place]
        else:
            raise Unusable(
                "use" if spec.use else "name",
                f"an entry point of {GROUP} ({', '.join(known())}), or module:attribute",
                repr(place),
                "install the package that has it, or write use: module:attribute",
            )
    module, _, attribute = place.partition(":")
    found = _imported(module.strip(), spec)
    for part in attribute.strip().partition(" ")[0].split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise Unusable("use", "a class or a function that makes the hook", f"none at {place}")
    return found


def _imported(module: str, spec: Spec) -> Any:
    try:
        return import_module(module)
    except Exception as error:
        raise Unusable(
            "use" if spec.use else "name",
            f"a module that can be imported as {module}",
            _words(error),
            getattr(error, "advice", ""),
        ) from error


def _words(error: Exception) -> str:
    """For whoever wrote the configuration."""
    said = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _encode(spec: Spec) -> bytes:
    return msgspec.json.encode(spec, order="deterministic")
