"""The store's objects as a worker has them in memory.

    records  ->  Mirror.apply  ->  Compiler.compile(the file's configuration, the mirror)  ->  Snapshot

One thread at a time: nobody applies anything while a compilation reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import takewhile
from typing import TYPE_CHECKING

import orjson

from proxy.core.records import PARENTS, Kind, is_id

if TYPE_CHECKING:
    from proxy.core.config.schema import Config
    from proxy.core.records import Record


class Mirror:
    """Every living record, by kind and id, and by name."""

    __slots__ = ("_families", "generation", "names", "records", "revision")

    def __init__(self) -> None:
        self.generation = 0
        """How often everything was replaced: then a revision may mean something else."""
        self._clear()

    def _clear(self) -> None:
        self.records: dict[str, dict[int, Record]] = {kind: {} for kind in Kind}
        """Kind to id to record. What changed last stands last."""
        self.names: dict[str, dict[str, int]] = {kind: {} for kind in Kind}
        """Kind to name to id."""
        self._families: dict[str, dict[int, set[int]]] = {kind: {} for kind in PARENTS}
        """Kind to id of the parent to ids of the children."""
        self.revision = 0
        """Of the last record applied."""

    def apply(self, changed: Iterable[Record]) -> frozenset[str]:
        """Take in what changed; the kinds that did. What is not newer than the mirror is ignored."""
        kinds: set[str] = set()
        known = self.revision
        for record in sorted(changed, key=_revision):
            if record.revision <= known:
                continue
            self.revision = record.revision
            before = self.records.setdefault(record.kind, {}).get(record.id)
            if before is None and record.deleted:
                continue
            kinds.add(record.kind)
            if before is not None:
                self._forget(before)
            if not record.deleted:
                self._learn(record)
        return frozenset(kinds)

    def replace(self, everything: Iterable[Record]) -> frozenset[str]:
        """Forget all and take in this; the kinds that differ."""
        before = self.records
        self.generation += 1
        self._clear()
        self.apply(everything)
        return frozenset(
            kind
            for kind in before.keys() | self.records.keys()
            if _marks(before.get(kind, {})) != _marks(self.records.get(kind, {}))
        )

    def get(self, kind: str, id_or_name: str) -> Record | None:
        """By id when it is a number and there is one, else by name."""
        records = self.records.get(kind, {})
        if is_id(id_or_name):
            record = records.get(int(id_or_name))
            if record is not None:
                return record
        id = self.names.get(kind, {}).get(id_or_name)
        return None if id is None else records.get(id)

    def children(self, kind: str, parent: int) -> list[Record]:
        """The credentials of a provider, the deployments of a model, in the order of their ids."""
        records = self.records[kind]
        return [records[id] for id in sorted(self._families[kind].get(parent, ()))]

    def since(self, kind: str, revision: int) -> Iterator[Record]:
        """What lives and has changed after a revision, the last change first."""
        records = self.records[kind].values()
        return takewhile(lambda record: record.revision > revision, reversed(records))

    def _learn(self, record: Record) -> None:
        self.records[record.kind][record.id] = record
        if record.name:
            self.names.setdefault(record.kind, {})[record.name] = record.id
        family = self._families.get(record.kind)
        if family is not None:
            family.setdefault(record.parent, set()).add(record.id)

    def _forget(self, record: Record) -> None:
        del self.records[record.kind][record.id]
        names = self.names.get(record.kind, {})
        if names.get(record.name) == record.id:
            del names[record.name]
        family = self._families.get(record.kind)
        if family is not None:
            siblings = family[record.parent]
            siblings.discard(record.id)
            if not siblings:
                del family[record.parent]


def _revision(record: Record) -> int:
    return record.revision


def _marks(records: Mapping[int, Record]) -> dict[int, int]:
    return {id: record.revision for id, record in records.items()}


# --- file and store ---


def clashes(config: Config, mirror: Mirror) -> list[str]:
    """One sentence for each name that both the file and the store have, naming both."""
    found = [
        _clash("provider", name, mirror.names[Kind.PROVIDER][name])
        for name in config.providers
        if name in mirror.names[Kind.PROVIDER]
    ]
    found += [
        _clash("key", key.name, mirror.names[Kind.KEY][key.name])
        for key in config.keys
        if key.name in mirror.names[Kind.KEY]
    ]
    stored: dict[str, Record] = {}
    for record in mirror.records[Kind.MODEL].values():
        stored[record.name] = record
        for alias in aliases(record):
            stored.setdefault(alias, record)
    for name, block in config.models.items():
        for public in (name, *block.aliases):
            if public in stored:
                found.append(_clash("model", public, stored[public].id))
    return found


def _clash(what: str, name: str, id: int) -> str:
    return (
        f"{what} {name!r} is in the configuration file and in the store ({what} {id}): "
        "rename or remove one of the two"
    )


def aliases(record: Record) -> list[str]:
    """The aliases of a model; none where its spec cannot be read."""
    if b'"aliases"' not in record.spec:
        return []
    try:
        spec = orjson.loads(record.spec)
    except ValueError:
        return []
    found = spec.get("aliases") if isinstance(spec, dict) else None
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []
