"""A configuration of ours as a tree of dicts, lists, `Said` and plain values: as a document, and as YAML text.

As a document it keeps the lines of the foreign file, so whatever is wrong is reported there. As text it can be
loaded again, and amounts to the same.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from proxy.core.config.document import NOT_YAML, Document, Leaf, Listing, Table, resolve
from proxy.core.config.foreign.source import ENVIRONMENT, Own, Said, leaves
from proxy.core.config.problem import Problem, printable
from proxy.core.config.references import SECRET_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from proxy.core.config.document import Node
    from proxy.core.config.foreign.source import Origin
    from proxy.core.config.problem import Path

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_BREAKS = re.compile("[\x85\u2028\u2029\ufeff]|" + NOT_YAML.pattern)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Reference(msgspec.Struct, frozen=True):
    """Text of ours with references in it, `${NAME}`."""

    text: str


def pruned(tree: Any) -> Any:
    """Without what is None, and without mappings of which nothing is left."""
    if not isinstance(tree, dict) or isinstance(tree, Own):
        return [pruned(item) for item in tree] if isinstance(tree, list) else tree
    kept = {name: pruned(value) for name, value in tree.items() if value is not None}
    return {name: value for name, value in kept.items() if value != {}}


# --- as a document ---


class Translated(Document):
    """A document that was not written as such. What is said of a value that was is said where that was."""

    __slots__ = ("_tree",)

    def __init__(self, file: str, tree: dict[str, Any], problems: list[Problem]) -> None:
        super().__init__(file, _node(tree), problems)
        self._tree = tree

    def problem(self, path: Path, message: str, *, key: bool = False) -> Problem:
        origin = self._origin(path)
        if origin is not None:
            return Problem(origin.file, origin.line, origin.column, origin.path, message)
        return super().problem(path, message, key=key)

    def _origin(self, path: Path) -> Origin | None:
        here: Any = self._tree
        for part in path:
            inside = (
                part < len(here)
                if isinstance(here, list) and isinstance(part, int)
                else isinstance(here, dict) and part in here
            )
            if not inside:
                return None
            here = here[part]
        return here.origin if isinstance(here, Said) else None


def _node(tree: Any) -> Node:
    line, column = _place(tree)
    if isinstance(tree, dict):
        table = Table(line, column)
        for name, value in tree.items():
            at = _place(value)
            table.entries[name] = (Leaf(name, False, *at), _node(value))
        return table
    if isinstance(tree, list):
        listing = Listing(line, column)
        listing.items = [_node(item) for item in tree]
        return listing
    text, plain = _text(tree.value if isinstance(tree, Said) else tree)
    return Leaf(text, plain, line, column)


def _place(tree: Any) -> tuple[int, int]:
    """Of the first value that was written somewhere."""
    for leaf in leaves(tree):
        if leaf.origin is not None:
            return leaf.origin.line, leaf.origin.column
    return 1, 1


def _text(value: Any) -> tuple[str, bool]:
    """A value as a scalar of ours, and whether it is a plain one."""
    if value is None:
        return "null", True
    if isinstance(value, bool):
        return ("true" if value else "false"), True
    if isinstance(value, int | float):
        return _number(value), True
    if isinstance(value, Reference):
        return value.text, False
    return str(value).replace("${", "$${"), False


def _number(value: float) -> str:
    text = repr(value)
    # YAML wants a point before an exponent; Python leaves it out.
    return text if "e" not in text or "." in text else text.replace("e", ".0e")


# --- as text ---


def text(tree: dict[str, Any], head: Sequence[str], file: str) -> str:
    """The tree as YAML, each value with where it comes from: in this file, or in another one, which is named."""
    lines = [f"# {printable(line, 400)}".rstrip() for line in head]
    for name, section in tree.items():
        lines += ["", *_lines({name: section}, 0, file)]
    return "\n".join(lines) + "\n"


def _lines(tree: Any, depth: int, file: str) -> Iterator[str]:
    indent = "  " * depth
    if isinstance(tree, dict):
        for name, value in tree.items():
            yield from _entry(f"{indent}{_quoted(name)}:", value, depth, file)
        return
    for item in tree:
        if isinstance(item, dict) and item:
            # The first line of an item stands beside its dash.
            first, *rest = _lines(item, depth + 1, file)
            yield f"{indent}- {first.lstrip()}"
            yield from rest
        else:
            yield from _entry(f"{indent}-", item, depth, file)


def _entry(start: str, value: Any, depth: int, file: str) -> Iterator[str]:
    if isinstance(value, dict | list):
        if value:
            yield start
            yield from _lines(value, depth + 1, file)
        else:
            yield f"{start} {'{}' if isinstance(value, dict) else '[]'}"
        return
    comment = _comment(value, file)
    yield f"{start} {_scalar(value)}" + (f"  # {comment}" if comment else "")


def _comment(value: Any, file: str) -> str:
    if not isinstance(value, Said):
        return ""
    if value.note or value.origin is None:
        return value.note
    path = printable(value.origin.path, 200)
    return path if value.origin.file == file else f"{printable(value.origin.file)}: {path}"


def _scalar(value: Any) -> str:
    if isinstance(value, Said):
        name = value.variable
        if name and SECRET_NAME.search(name) and _VARIABLE.fullmatch(name):
            return f'"${{{name}}}"'
        value = value.value
    written, plain = _text(value)
    return written if plain else _quoted(written)


def _quoted(text: str) -> str:
    """Text as YAML: bare where it is a plain word, else as JSON writes it."""
    if _WORD.fullmatch(text) and resolve(text) == text and len(text) < 60:
        return text
    quoted = msgspec.json.encode(text).decode()
    return _BREAKS.sub(lambda found: f"\\U{ord(found[0]):08x}", quoted)


def places(problems: Sequence[Problem]) -> Iterator[str]:
    """What has no place here, for the head of a text."""
    for problem in problems:
        where = f"{ENVIRONMENT}, " if problem.file == ENVIRONMENT and problem.path else ""
        yield (
            f"  {where}{problem.path}: {problem.message}"
            if problem.path
            else f"  {problem.message}"
        )
