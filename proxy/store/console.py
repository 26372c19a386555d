"""How commands on the database end, and what they say: to a program on stdout, to a person on stderr."""

from __future__ import annotations

import sys
from typing import Any

import orjson

OK, DOWN, UNUSABLE = 0, 1, 2
"""Exit codes: done, a database that does not answer or is not as it should be, what cannot be done as it was asked."""


def answer(content: Any) -> None:
    """To a program: text as it is, anything else as JSON."""
    if not isinstance(content, str):
        content = orjson.dumps(content, option=orjson.OPT_INDENT_2).decode()
    # UTF-8, whatever the terminal of a person speaks.
    sys.stdout.buffer.write(f"{content}\n".encode())
    sys.stdout.flush()


def say(text: str) -> None:
    """To a person, by name: among lines of other programs."""
    tell(f"headrace: {text}")


def tell(line: str) -> None:
    """To a person, as it is."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
