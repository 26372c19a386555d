"""How requests of the log are shown: flat, by fields that come from columns of its table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import asdict

from proxy.store.ledger.requests import Entry

if TYPE_CHECKING:
    from proxy.store.base import Row

MICRO: Final = 1_000_000
_STATES: Final = {1: "started", 2: "running", 3: "ended"}


def shown(entry: Entry) -> dict[str, Any]:
    """A request as pages and exports show it."""
    values = asdict(entry)
    return _made({name: values[column] for name, column in COLUMNS.items()}, _MADE)


def some(names: Sequence[str]) -> Callable[[Row], dict[str, Any]]:
    """What shows these fields of rows with their columns, in the same order."""
    made = [name for name in _MADE if name in names]

    def show(row: Row) -> dict[str, Any]:
        return _made(dict(zip(names, row, strict=True)), made)

    return show


def _made(fields: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    for name in names:
        fields[name] = _MADE[name](fields[name])
    return fields


def dollars(micro: int | None) -> float | None:
    """US dollars."""
    return None if micro is None else micro / MICRO


_RENAMED: Final = {
    "state": "phase",
    "cost_micro": "cost",
    "estimate_micro": "estimate",
    "cost_upstream_micro": "cost_upstream",
}
COLUMNS: Final[Mapping[str, str]] = {
    **{name: name for name in Entry.__struct_fields__ if name not in _RENAMED.values()},
    **_RENAMED,
    "cost": "cost",
}
"""Each field, and the column of an `Entry` where it is."""
_MADE: Final[Mapping[str, Callable[[Any], Any]]] = {
    "state": lambda phase: _STATES.get(phase, "ended"),
    "stream": bool,
    "cost": dollars,
}
"""What is not shown as it is there."""
