"""Variables over a file, as .NET does it: `OrchestrationApi__Server__Port` is `OrchestrationApi:Server:Port`.

Names do not care about case. A number is the index of a list (`__0`), unless a file has a mapping there. An index beyond
the end of a list appends, and lists of which only some are said have no holes: what is there moves together, in order.
(learn.microsoft.com: Configuration in .NET, environment variable and JSON providers.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.core.config.foreign.source import ENVIRONMENT, Origin, Said

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def overlaid(tree: dict[str, Any], env: Mapping[str, str], roots: Iterable[str]) -> dict[str, Any]:
    """The tree with every variable in place whose first part is one of `roots`."""
    wanted = {root.casefold() for root in roots}
    result = _open(tree)
    for name, value in sorted(env.items()):
        parts = name.split("__")
        if len(parts) > 1 and all(parts) and parts[0].casefold() in wanted:
            _put(result, parts, Said(value, Origin(ENVIRONMENT, 1, 1, name), "", name))
    closed = _close(result)
    return closed if isinstance(closed, dict) else {}


def layered(below: Any, above: Any) -> Any:
    """One file over another: mappings and lists are merged, all else is replaced."""
    return _close(_merge(_open(below), _open(above)))


def _open(tree: Any) -> Any:
    """Lists as mappings of their indexes."""
    if isinstance(tree, list):
        return _Indexed({str(index): _open(item) for index, item in enumerate(tree)})
    if isinstance(tree, dict):
        return {name: _open(value) for name, value in tree.items()}
    return tree


class _Indexed(dict[str, Any]):
    """What was a list in a file: it stays one, whatever is laid over it."""


class _Made(dict[str, Any]):
    """What only variables speak of: a list, when they name nothing but indexes. A mapping of a file is none."""


def _close(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    closed = {name: _close(value) for name, value in tree.items()}
    if isinstance(tree, _Indexed) or (isinstance(tree, _Made) and all(map(_is_index, closed))):
        return [closed[name] for name in sorted(closed, key=_order)]
    return closed


def _put(tree: dict[str, Any], parts: list[str], value: Said) -> None:
    for part in parts[:-1]:
        name = _written(tree, part)
        if not isinstance(tree.get(name), dict):
            tree[name] = _Made()
        tree = tree[name]
    name = _written(tree, parts[-1])
    # A section has no value of its own that anybody reads.
    if not isinstance(tree.get(name), dict):
        tree[name] = value


def _merge(below: Any, above: Any) -> Any:
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    is_list = isinstance(above, _Indexed) and all(map(_is_index, below))
    merged = _Indexed(below) if is_list else type(below)(below)
    for name, value in above.items():
        known = _written(merged, name)
        merged[known] = _merge(merged[known], value) if known in merged else value
    return merged


def _written(tree: Mapping[str, Any], name: str) -> str:
    """The name as the tree has it."""
    folded = name.casefold()
    return next((known for known in tree if known.casefold() == folded), name)


def _is_index(name: str) -> bool:
    return name.isascii() and name.isdecimal()


def _order(name: str) -> tuple[bool, int, str]:
    return (not _is_index(name), int(name) if _is_index(name) else 0, name)
