"""The store's objects as they are inside a transaction: the mirror, what it has not seen, what is about to be written.

The mirror itself is only read. Whoever holds the lock of the store knows that it may still catch up, up to where this
began and no further; so what is read here through it does not change underneath.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from proxy.control.admin import references
from proxy.control.admin.edits import Called
from proxy.core.records import Kind, is_id, spec_of

if TYPE_CHECKING:
    from proxy.core.records import Record
    from proxy.state.mirror import Mirror
    from proxy.store.delta import Delta


class Overlay:
    """Every living record, with changes laid over it."""

    __slots__ = ("_base", "_changed", "_names", "_owners", "_specs")

    def __init__(self, base: Mirror, delta: Delta | None = None) -> None:
        self._base: Mirror | None = None if delta is not None and delta.whole else base
        self._changed: dict[str, dict[int, Record]] = {}
        self._names: dict[str, dict[str, int]] = {}
        self._specs: dict[tuple[str, int], tuple[Record, dict[str, Any]]] = {}
        self._owners: dict[str, str] | None = None
        for record in delta.records if delta is not None else ():
            self.put(record)

    def put(self, record: Record) -> None:
        """Take in a record that is new, changed or deleted."""
        if record.kind == Kind.MODEL and self._owners is not None:
            before = self.by_id(record.kind, record.id)
            for name in self._public(before) if before is not None else ():
                self._owners.pop(name, None)
            if not record.deleted:
                self._owners.update(dict.fromkeys(self._public(record), record.name))
        self._changed.setdefault(record.kind, {})[record.id] = record
        if record.name and not record.deleted:
            self._names.setdefault(record.kind, {})[record.name] = record.id

    def by_id(self, kind: str, id: int) -> Record | None:
        """The living record with this id."""
        found = self._changed.get(kind, {}).get(id)
        if found is None and self._base is not None:
            found = self._base.records.get(kind, {}).get(id)
        return None if found is None or found.deleted else found

    def by_name(self, kind: str, name: str) -> Record | None:
        """The living record with this name."""
        if not name:
            return None
        ids = [self._names.get(kind, {}).get(name)]
        if self._base is not None:
            ids.append(self._base.names.get(kind, {}).get(name))
        for id in ids:
            found = None if id is None else self.by_id(kind, id)
            # It may have been renamed, or deleted, since the name was noted.
            if found is not None and found.name == name:
                return found
        return None

    def get(self, kind: str, id_or_name: str) -> Record | None:
        """By id when it is a number and there is one, else by name."""
        found = self.by_id(kind, int(id_or_name)) if is_id(id_or_name) else None
        return found or self.by_name(kind, id_or_name)

    def called(self, kind: str, id_or_name: str) -> Record | None:
        """The same, but where it is `Called` by name first: what clients call a model may be a number."""
        found = self.by_name(kind, id_or_name) if isinstance(id_or_name, Called) else None
        return found or self.get(kind, id_or_name)

    def all(self, kind: str) -> Iterator[Record]:
        """Every living record of a kind, in the order of the ids."""
        found = dict(self._base.records.get(kind, {})) if self._base is not None else {}
        found.update(self._changed.get(kind, {}))
        for id in sorted(found):
            if not found[id].deleted:
                yield found[id]

    def changed(self, kind: str) -> Iterator[Record]:
        """Those living records of a kind that lie over the mirror."""
        return (one for one in self._changed.get(kind, {}).values() if not one.deleted)

    def children(self, kind: str, parent: int) -> list[Record]:
        """The credentials of a provider, or the deployments of a model, in the order of the ids."""
        found: dict[int, Record] = {}
        if self._base is not None:
            found.update((record.id, record) for record in self._base.children(kind, parent))
        for id, record in self._changed.get(kind, {}).items():
            if record.parent == parent and not record.deleted:
                found[id] = record
            else:
                found.pop(id, None)
        return [found[id] for id in sorted(found)]

    def spec(self, record: Record) -> dict[str, Any]:
        """Its fields, decoded once. Not to be changed."""
        key = (record.kind, record.id)
        known = self._specs.get(key)
        if known is None or known[0] is not record:
            known = self._specs[key] = (record, spec_of(record))
        return known[1]

    def owners(self) -> Mapping[str, str]:
        """Name, alias or pattern of a model to the name of the model: worked out once, then kept as models are put."""
        if self._owners is None:
            self._owners = {
                name: one.name for one in self.all(Kind.MODEL) for name in self._public(one)
            }
        return self._owners

    def _public(self, model: Record) -> frozenset[str]:
        return references.names(model, self.spec(model))

    def named(self, kind: str, *, but: int = 0) -> Named:
        """Name to fields, read when it is asked for; without the record `but`."""
        return Named(self, kind, but)


class Named(Mapping[str, Mapping[str, Any]]):
    """One kind of an overlay by name."""

    __slots__ = ("_but", "_kind", "_overlay")

    def __init__(self, overlay: Overlay, kind: str, but: int) -> None:
        self._overlay = overlay
        self._kind = kind
        self._but = but

    def _find(self, name: object) -> Record | None:
        found = self._overlay.by_name(self._kind, name) if isinstance(name, str) else None
        return None if found is None or found.id == self._but else found

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        record = self._find(name)
        if record is None:
            raise KeyError(name)
        return self._overlay.spec(record)

    def __contains__(self, name: object) -> bool:
        return self._find(name) is not None

    def __iter__(self) -> Iterator[str]:
        return (one.name for one in self._overlay.all(self._kind) if one.id != self._but)

    def __len__(self) -> int:
        return sum(1 for _ in self)
