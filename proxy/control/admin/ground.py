"""What an edit stands on: the objects there are, and everything that has to be so before it may be made."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from proxy.control.admin import infile, references
from proxy.control.admin.access import Principal, may_touch
from proxy.control.admin.edits import Called, Create, Written
from proxy.control.admin.overlay import Overlay
from proxy.control.admin.refusal import missing, read_only, referred, sentence, stale, wrong
from proxy.control.admin.shapes import PARENT
from proxy.control.admin.web import Fault, Problem
from proxy.core import virtual_key
from proxy.core.config.objects import Around, Checked, check_object
from proxy.core.records import PARENTS, Kind, Record

if TYPE_CHECKING:
    from proxy.core.config.schema import Config
    from proxy.core.model import VirtualKey
    from proxy.core.vault import Vault
    from proxy.core.virtual_key import Pepper

NAME = 200
"""Characters of a name."""


class Means(Struct, frozen=True, eq=False):
    """What edits are worked out with."""

    principal: Principal
    config: Config
    vault: Vault | None
    peppers: Sequence[Pepper]
    known: Mapping[bytes, VirtualKey]
    """Keys in use, by digest."""


class Ground:
    """The objects as they are, with the edits so far."""

    def __init__(self, seen: Overlay, means: Means) -> None:
        self.seen = seen
        self.means = means
        self._digests: set[bytes] | None = None
        """Of keys that nobody here serves yet."""

    def find(self, kind: str, target: str, if_match: int | None) -> Record:
        """An object of the store. Raises Problem 404, 409 read_only, 412."""
        is_name = isinstance(target, Called)
        record = self.seen.by_name(kind, target) if is_name else self.seen.get(kind, target)
        if record is None:
            # A setting is no object of the file's own: it may be said in both, and then the file wins.
            in_file = kind != Kind.SETTING and infile.find(self.means.config, kind, target)
            if in_file and self._may_see(kind, in_file.spec):
                raise read_only(kind, target)
            raise missing(kind, target)
        if not self._may_see(kind, self.seen.spec(record)):
            raise missing(kind, target)
        if if_match is not None and if_match != record.revision:
            raise stale(record.revision)
        return record

    def _may_see(self, kind: str, spec: Mapping[str, Any]) -> bool:
        """A key of another team is as if it were not there: who may not touch it need not know of it."""
        return kind != Kind.KEY or may_touch(self.means.principal, spec.get("team") or "")

    def parent(self, edit: Create, made: Sequence[Written | None]) -> Record | None:
        """What a new object belongs to; None also for what belongs to an edit that was refused.

        `made` is what each edit so far did, this one included. Raises Problem.
        """
        kind = PARENTS.get(edit.kind)
        if kind is None:
            return None
        field = PARENT[edit.kind]
        if not edit.parent:
            raise wrong(field, f"the {kind} it belongs to is missing")
        is_name = isinstance(edit.parent, Called)
        if not is_name and edit.parent.startswith("@") and edit.parent[1:].isdecimal():
            index = int(edit.parent[1:])
            if index >= len(made) - 1:
                raise wrong(field, f"'{edit.parent}' is no earlier edit")
            one = made[index]
            if one is None:
                # It was refused; what else is wrong with this one is still worth saying.
                return None
            if one.record.kind != kind:
                raise wrong(field, f"'{edit.parent}' made no {kind}")
            return one.record
        record = self.seen.called(kind, edit.parent)
        if record is None:
            if infile.find(self.means.config, kind, edit.parent) is not None:
                raise read_only(kind, edit.parent)
            raise wrong(field, f"there is no {kind} '{edit.parent}'")
        return record

    def parent_of(self, record: Record) -> Record | None:
        """What an object belongs to."""
        kind = PARENTS.get(record.kind)
        return None if kind is None else self.seen.by_id(kind, record.parent)

    def free(self, kind: str, name: str, *, but: int = 0) -> None:
        """That an object may be called this. Raises Problem."""
        if kind in PARENTS:
            if name:
                raise wrong("name", f"a {kind} has no name")
            return
        if not name or len(name) > NAME or not name.isprintable() or name != name.strip():
            raise wrong("name", f"1 to {NAME} printable characters are expected")
        if infile.holds(self.means.config, kind, name):
            raise read_only(kind, name)
        taken = self.seen.by_name(kind, name)
        if taken is not None and taken.id != but:
            raise Problem(
                409, "conflict", f"There is a {kind} '{name}' already, with the id {taken.id}."
            )

    def check(
        self,
        kind: str,
        name: str,
        body: Mapping[str, Any],
        parent: Record | None,
        *,
        was: Record | None = None,
        kept: Collection[str] = (),
    ) -> Checked:
        """The body as the configuration file's would be. Raises Problem 400 that names every field which is wrong."""
        but = 0 if was is None else was.id
        around = Around(
            config=self.means.config,
            providers=self.seen.named(Kind.PROVIDER, but=but),
            models=self.seen.named(Kind.MODEL, but=but),
            owners=self.seen.owners(),
            own=references.names(was, self.seen.spec(was))
            if was is not None and kind == Kind.MODEL
            else (),
        )
        above = parent.name if parent is not None else ""
        before = was.name if was is not None and was.name != name else ""
        checked = check_object(kind, name, body, around, parent=above, was=before, kept=kept)
        if checked.wrong:
            faults = tuple(Fault(one.field, one.message) for one in checked.wrong)
            raise Problem(400, "invalid", sentence(faults), faults)
        return checked

    def unknown(self, digests: list[bytes]) -> None:
        """That nobody has this key already. Raises Problem."""
        if self._digests is None:
            # Other workers may just have made some.
            self._digests = set(chain.from_iterable(map(_kept, self.seen.changed(Kind.KEY))))
        for digest in digests:
            if digest in self._digests or digest in self.means.known:
                raise Problem(409, "conflict", "This key is in use already.")
        self._digests.update(digests)

    def keep_references(
        self, record: Record, before: dict[str, Any], name: str, spec: dict[str, Any]
    ) -> None:
        """That nobody names it by what it is not called any more. Raises Problem."""
        after = references.names(replace(record, name=name), spec)
        gone = references.names(record, before) - after
        found = self.named(record, gone, after) if gone else []
        if found:
            raise referred(record, found)

    def named(
        self, record: Record, gone: frozenset[str], stay: frozenset[str] = frozenset()
    ) -> list[references.Reference]:
        """Who names it by what it is called no more; `stay` is what it is still called."""
        file = self.means.config.models
        others = {*stay, *file, *(alias for block in file.values() for alias in block.aliases)}
        return list(references.to(self.seen, record.kind, gone, but=record.id, others=others))


def _kept(key: Record) -> list[bytes]:
    """What a virtual key is known by; nothing where that cannot be read."""
    try:
        return [bytes.fromhex(one.digest) for one in virtual_key.digests(key.private)]
    except ValueError:
        return []
