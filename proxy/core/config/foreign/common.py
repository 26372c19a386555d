"""What several of those programs say alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.core.config.problem import printable, sentence

if TYPE_CHECKING:
    from proxy.core.config.foreign.source import Said, Sheet

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
