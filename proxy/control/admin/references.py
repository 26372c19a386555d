"""Which objects of the store name another one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from proxy.core.config.names import NAMING, Public
from proxy.core.records import Kind

if TYPE_CHECKING:
    from proxy.control.admin.overlay import Overlay
    from proxy.core.records import Record


class Reference(Struct, frozen=True, eq=False):
    """`record` names something in `field`."""

    record: Record
    field: str
    says: str
    """For people: `deployment 7 of model 'gpt-4o'`."""
    named: frozenset[str] = frozenset()
    """What a model has there of what goes."""


def names(record: Record, spec: dict[str, Any]) -> frozenset[str]:
    """What others can call it: its name, and the aliases of a model."""
    aliases = spec.get("aliases") or () if record.kind == Kind.MODEL else ()
    return frozenset((record.name, *aliases))


def to(
    seen: Overlay, kind: str, gone: frozenset[str], *, but: int = 0, others: Collection[str] = ()
) -> Iterator[Reference]:
    """Everything that names one of `gone`, except the record `but`.

    A pattern is named by what it alone reaches; `others` are public names that stay, beside the store's other models.
    """
    if kind == Kind.PROVIDER:
        for record in seen.all(Kind.DEPLOYMENT):
            if seen.spec(record).get("provider") in gone:
                model = seen.by_id(Kind.MODEL, record.parent)
                whose = f" of model '{model.name}'" if model is not None else ""
                yield Reference(record, "provider", f"deployment {record.id}{whose}")
    elif kind == Kind.MODEL:
        is_lost = _lost(seen, gone, but, others)
        for record in seen.all(Kind.MODEL):
            spec = seen.spec(record)
            for field in NAMING:
                named = frozenset(filter(is_lost, spec.get(field) or ()))
                if record.id != but and named:
                    yield Reference(record, field, f"{field} of model '{record.name}'", named)


def _lost(
    seen: Overlay, gone: frozenset[str], but: int, others: Collection[str]
) -> Callable[[str], bool]:
    """Whether a name means nothing without those."""
    patterns = tuple(name[:-1] for name in gone if name.endswith("*"))
    if not patterns:
        return gone.__contains__
    stay = {*others}
    for record in seen.all(Kind.MODEL):
        if record.id != but:
            stay |= names(record, seen.spec(record))
    public = Public(dict.fromkeys(stay, "somebody"))
    return lambda name: name in gone or (name.startswith(patterns) and public.reached(name) is None)
