"""Tables as Markdown has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> str:
    """A Markdown table; the columns in `right` are numbers."""
    marks = ["--:" if column in set(right) else "---" for column in range(len(head))]
    lines = [head, marks, *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def code(words: Iterable[str] | str) -> str:
    """Words as code, comma separated."""
    return ", ".join(f"`{word}`" for word in ([words] if isinstance(words, str) else words))
