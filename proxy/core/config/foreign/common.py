"""What several of those programs say alike."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from proxy.core.config.problem import printable, sentence

if TYPE_CHECKING:
    from collections.abc import Hashable

    from proxy.core.config.foreign.source import Given, Said, Sheet

_LEVELS = {
    "trace": "debug",
    "verbose": "debug",
    "debug": "debug",
    "info": "info",
    "information": "info",
    "warn": "warning",
    "warning": "warning",
    "error": "error",
    "critical": "error",
    "fatal": "error",
    "none": "error",
}


def level(sheet: Sheet, said: Said | None) -> Said | None:
    """A level of the log in another program's word."""
    if said is None:
        return None
    found = _LEVELS.get(str(said.value).strip().lower())
    if found is None:
        expected = sentence("a level of the log", repr(printable(str(said.value))))
        sheet.error(said.origin, f"{expected}; write debug, info, warning or error")
        return None
    return said.as_(found)


def timeouts(said: Said | None) -> dict[str, Any] | None:
    """One number of seconds: for an answer, and for the beginning of a stream, which may then take its time."""
    return None if said is None else {"request": said, "ttft": said}


def complete(given: Given, name: str, there: int, ask: str) -> None:
    """Say that a list is a page of a longer one, whose length is in the field of this name."""
    whole = given.whole(name)
    if whole is not None and whole.value > there:
        given.sheet.warn(
            whole.origin, f"only {there} of {whole.value} are in this file: ask for {ask}"
        )


class Variables:
    """Names of variables that have to be set, for secrets that are not in the file.

    No two secrets share one: names in Chinese, or that differ in a dash alone, would be the same in capitals.
    """

    def __init__(self, start: str) -> None:
        self._start = start
        self._names: dict[Hashable, str] = {}

    def named(self, label: str, whose: Hashable) -> str:
        """The variable of what `whose` tells from all others, after its label."""
        known = self._names.get(whose)
        if known is not None:
            return known
        plain = self._start + (re.sub(r"[^A-Z0-9]+", "_", label.upper()).strip("_") or "1")
        name, number = plain, 1
        while name in self._names.values():
            number += 1
            name = f"{plain}_{number}"
        self._names[whose] = name
        return name
