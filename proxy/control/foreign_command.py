"""`headrace config import` of another program's configuration: the same in our words, on standard output.

What has no place here is told on standard error, each with its path. The exit code is 0 with warnings, and 2 where
there is nothing to print.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from proxy.core.config import ConfigError, foreign, parse
from proxy.core.config.loading import MASTER_KEY
from proxy.store.console import OK, UNUSABLE, answer, tell

LIMIT = 64 * 1024 * 1024
"""Bytes of a file."""


class _Anything(dict[str, str]):
    """An environment in which every variable is set: whoever converts a file need not have them."""

    def get(self, name: str, default: str | None = None) -> str:  # type: ignore[override]
        return super().get(name) or ("" if name == MASTER_KEY else f"the-value-of-{name}")


def run(
    file: str | None, program: str | None = None, env: Mapping[str, str] = os.environ
) -> int | None:
    """Print it; the exit code. None: it is a document of ours, which belongs into the database.

    `file` may be `-` for standard input and `env:` for the variables of this process; None is the first of
    `foreign.FILES` that is there, else `env:`.
    """
    named = _usual() if file is None else file
    try:
        found = _read(named, program, env)
    except ConfigError as error:
        for problem in error.problems:
            tell(f"error: {problem}")
        return UNUSABLE
    except (OSError, UnicodeDecodeError, ValueError) as error:
        tell(f"{named}: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}")
        return UNUSABLE
    if found is None:
        if file is None:  # nobody said that it is a document of ours
            tell(
                f"{named}: it is not one of another program's; name the file that is to be imported"
            )
            return UNUSABLE
        return None
    for problem in found.warnings:
        tell(f"warning: {problem}")
    for problem in found.problems:
        tell(f"error: {problem}")
    if found.problems:
        return UNUSABLE
    text = found.yaml()
    try:
        parse(text, "the result", _Anything(env))
    except ConfigError as error:
        # It can be put right in the text, which is worth more than none.
        lines = text.splitlines()
        for problem in error.problems:
            if "${" not in lines[problem.line - 1]:
                tell(f"warning: to be put right: {problem}")
    answer(text.removesuffix("\n"))
    return OK


def _usual() -> str:
    return next((name for name in foreign.FILES if Path(name).is_file()), foreign.FROM_ENVIRONMENT)


def _read(file: str, program: str | None, env: Mapping[str, str]) -> foreign.Foreign | None:
    if file == foreign.FROM_ENVIRONMENT:
        return foreign.from_environment(env)
    if file == "-":
        if program is None:
            return None
        raw, folder = sys.stdin.buffer.read(LIMIT), None
    else:
        path = Path(file)
        with path.open("rb") as opened:
            raw, folder = opened.read(LIMIT), path.parent
    text = raw.decode("utf-8-sig")
    if program is not None:
        return foreign.read_as(program, text, file, env, folder)
    return foreign.read(text, file, env, folder)
