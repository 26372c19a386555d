"""Plain data of any shape, read without complaint: what is of the wrong kind counts as absent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Table = dict[str, Any]


def table(value: Any) -> Table:
    """The value if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def texts(value: Any) -> Iterator[tuple[int, str]]:
    """The texts of a list, with their positions."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, str):
                yield index, item


def tables(value: Any) -> Iterator[tuple[int, Table]]:
    """The mappings of a list, with their positions."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, dict):
                yield index, item


def is_true(value: Any) -> bool:
    """Whether the schema will read it as true."""
    if isinstance(value, (int, float)):
        return value == 1
    return isinstance(value, str) and value.casefold() in ("true", "yes", "on", "1", "y", "t")


def is_false(value: Any) -> bool:
    """Whether the schema will read it as false."""
    if isinstance(value, (int, float)):
        return value == 0
    return isinstance(value, str) and value.casefold() in ("false", "no", "off", "0", "n", "f")
