"""Which objects of the store name another one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from proxy.core.config.names import NAMING
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


def names(record: Record, spec: dict[str, Any]) -> frozenset[str]:
    """What others can call it: its name, and the aliases of a model."""
    aliases = spec.get("aliases") or () if record.kind == Kind.MODEL else ()
    return frozenset((record.name, *aliases))


def to(seen: Overlay, kind: str, gone: frozenset[str], *, but: int = 0) -> Iterator[Reference]:
    """Everything that names one of `gone`, except the record `but`."""
    if kind == Kind.PROVIDER:
        for record in seen.all(Kind.DEPLOYMENT):
            if seen.spec(record).get("provider") in gone:
                model = seen.by_id(Kind.MODEL, record.parent)
                whose = f" of model '{model.name}'" if model is not None else ""
                yield Reference(record, "provider", f"deployment {record.id}{whose}")
    elif kind == Kind.MODEL:
        for record in seen.all(Kind.MODEL):
            spec = seen.spec(record)
            for field in NAMING:
                if record.id != but and gone.intersection(spec.get(field) or ()):
                    yield Reference(record, field, f"{field} of model '{record.name}'")
