"""What a list of edits makes of the objects, worked out in memory before anything is written.

Each edit sees what those before it did. Nothing here waits: the records, and what the audit log will say of them, are
the result, and `changes.apply` writes them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson
from msgspec import Struct
from msgspec.structs import replace

from proxy.control.admin import infile, issue, references, sealing, usual
from proxy.control.admin.access import Permission, Principal
from proxy.control.admin.edits import Create, Delete, Edit, Rotate, Update, Written
from proxy.control.admin.overlay import Overlay
from proxy.control.admin.refusal import (
    Orphaned,
    missing,
    read_only,
    referred,
    sentence,
    stale,
    wrong,
)
from proxy.control.admin.web import Fault, Problem
from proxy.core.clock import now
from proxy.core.config.objects import Around, Checked, check_object
from proxy.core.records import Kind, Record

if TYPE_CHECKING:
    from proxy.core.config.schema import Config
    from proxy.core.model import VirtualKey
    from proxy.core.vault import Vault
    from proxy.core.virtual_key import Pepper

NEEDS: Mapping[str, Permission] = {
    Kind.PROVIDER: Permission.CONFIGURE,
    Kind.CREDENTIAL: Permission.CONFIGURE,
    Kind.MODEL: Permission.OPERATE,
    Kind.DEPLOYMENT: Permission.OPERATE,
    Kind.KEY: Permission.KEYS,
    Kind.SETTING: Permission.CONFIGURE,
}
"""What writing a kind needs, whatever route it came by."""
PARENTS = {Kind.CREDENTIAL: Kind.PROVIDER, Kind.DEPLOYMENT: Kind.MODEL}
CHILDREN = {parent: child for child, parent in PARENTS.items()}
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


class Note(Struct, frozen=True, eq=False):
    """One thing for the audit log."""

    action: str
    before: Record | None
    after: Record
    secrets: str = ""
    """`given`, `changed` or `cleared`, when something was."""


class Draft:
    """The objects with edits applied."""

    def __init__(self, seen: Overlay, revision: int, means: Means) -> None:
        self.seen = seen
        self.revision = revision
        """Of the last change; each takes the next."""
        self.records: dict[tuple[str, int], Record] = {}
        """What is to be written, in order."""
        self.notes: list[Note] = []
        self._made: list[Written | None] = []
        self._means = means
        self._digests: set[bytes] = set()

    def do(self, edit: Edit) -> Written:
        """Apply one more edit. Raises Problem; the draft is of no use then."""
        needed = _needed(edit)
        if not self._means.principal.may(needed):
            raise Problem(403, "forbidden", f"This needs the permission '{needed.value}'.")
        self._made.append(None)
        written = self._done(edit)
        self._made[-1] = written
        return written

    def _done(self, edit: Edit) -> Written:
        match edit:
            case Create():
                return self._create(edit)
            case Update():
                return self._update(edit)
            case Delete():
                return self._delete(edit)
            case Rotate():
                return self._rotate(edit)

    # --- edits ---

    def _create(self, edit: Create) -> Written:
        body = dict(edit.body)
        parent = self._parent(edit)
        self._free(edit.kind, edit.name, parent)
        key = body.pop("key", None) if edit.kind == Kind.KEY else None
        if edit.kind == Kind.KEY:
            body = issue.owned(self._means.principal, body)
            issue.check_owner(self._means.principal, None, body)
        plain, given = _apart(edit.kind, body)
        secrets = sealing.kept({}, given, merge=False)
        checked = self._check(edit.kind, edit.name, {**plain, **secrets}, parent)
        if parent is None and edit.kind in PARENTS:
            raise Orphaned()
        id = self.revision + 1
        secret, private = "", b""
        if edit.private is not None:
            private = edit.private
        elif edit.kind == Kind.KEY:
            made, private = issue.issue(key, self._means.peppers)
            self._unknown(issue.digests(made, self._means.peppers))
            secret = made.reveal()
        time = now()
        record = Record(
            kind=edit.kind,
            id=id,
            revision=0,
            name=edit.name,
            parent=parent.id if parent is not None else 0,
            spec=orjson.dumps(checked.spec),
            sealed=sealing.seal(self._means.vault, edit.kind, id, checked.secrets),
            private=private,
            created=time,
            updated=time,
        )
        record = self._put("create", None, record, "given" if record.sealed or private else "")
        return Written(record, secret, checked.warnings)

    def _update(self, edit: Update) -> Written:
        record = self._find(edit.kind, edit.target, edit.if_match)
        before = self.seen.spec(record)
        name = record.name if edit.name is None else edit.name
        plain, given = _apart(edit.kind, edit.body)
        plain = usual.told(edit.kind, record.name, plain, before)
        after = merged(before, plain) if edit.merge else plain
        if edit.kind == Kind.KEY:
            if "key" in given or "key" in plain:
                raise wrong("key", "a key is replaced by POST …/rotate")
            if not edit.merge and self._means.principal.team:
                after = {**after, "team": after.get("team") or before.get("team")}
            issue.check_owner(self._means.principal, before, after)
        if name != record.name:
            self._free(edit.kind, name, None, but=record.id)
        known = sealing.open_sealed(self._means.vault, record)
        elsewhere = edit.kind == Kind.PROVIDER and _is_sent_elsewhere(before, after, known, given)
        secrets = sealing.kept({} if elsewhere else known or {}, given, merge=edit.merge)
        is_withheld = known is None and not given and not elsewhere
        checked = self._check(
            edit.kind,
            name,
            {**after, **secrets},
            self._parent_of(record),
            was=record,
            kept=sealing.fields_of(edit.kind) if is_withheld else (),
        )
        is_same = is_withheld or (known == _revealed(checked.secrets))
        private = record.private if edit.private is None else edit.private
        unchanged = (_json(before), record.name, record.private)
        if is_same and (_json(checked.spec), name, private) == unchanged:
            return Written(record, warnings=checked.warnings)
        self._keep_references(record, before, name, checked.spec)
        sealed = record.sealed
        if not is_same:
            sealed = sealing.seal(self._means.vault, record.kind, record.id, checked.secrets)
        changed = replace(
            record,
            name=name,
            spec=orjson.dumps(checked.spec),
            sealed=sealed,
            private=private,
            updated=now(),
        )
        said = "" if is_same else "cleared" if elsewhere and not checked.secrets else "changed"
        changed = self._put("update", record, changed, said)
        warnings = self._clear_credentials(changed) if elsewhere else ()
        return Written(changed, warnings=(*warnings, *checked.warnings))

    def _delete(self, edit: Delete) -> Written:
        record = self._find(edit.kind, edit.target, edit.if_match)
        spec = self.seen.spec(record)
        if edit.kind == Kind.KEY:
            issue.check_owner(self._means.principal, spec, None)
        gone = references.names(record, spec)
        found = list(references.to(self.seen, edit.kind, gone, but=record.id))
        if found and not edit.cascade:
            raise referred(record, found)
        for reference in found:
            self._release(reference, gone)
        child = CHILDREN.get(Kind(edit.kind))
        for each in self.seen.children(child, record.id) if child is not None else ():
            self._bury(each)
        return Written(self._bury(record))

    def _rotate(self, edit: Rotate) -> Written:
        record = self._find(Kind.KEY, edit.target, edit.if_match)
        spec = self.seen.spec(record)
        issue.check_owner(self._means.principal, spec, spec)
        key, private = issue.rotate(record.private, edit.overlap, self._means.peppers, now())
        changed = self._put(
            "rotate", record, replace(record, private=private, updated=now()), "changed"
        )
        return Written(changed, key.reveal())

    # --- what they are made of ---

    def _put(self, action: str, before: Record | None, record: Record, secrets: str = "") -> Record:
        self.revision += 1
        record = replace(record, revision=self.revision)
        self.seen.put(record)
        key = (record.kind, record.id)
        # To the end: rows are written in the order of their revisions.
        self.records.pop(key, None)
        self.records[key] = record
        self.notes.append(Note(action, before, record, secrets))
        return record

    def _bury(self, record: Record) -> Record:
        buried = replace(record, spec=b"{}", sealed="", private=b"", updated=now(), deleted=True)
        return self._put("delete", record, buried)

    def _find(self, kind: str, target: str, if_match: int | None) -> Record:
        record = self.seen.get(kind, target)
        if record is None:
            # A setting is no object of the file's own: it may be said in both, and then the file wins.
            if kind != Kind.SETTING and infile.find(self._means.config, kind, target) is not None:
                raise read_only(kind, target)
            raise missing(kind, target)
        if if_match is not None and if_match != record.revision:
            raise stale(record.revision)
        return record

    def _parent(self, edit: Create) -> Record | None:
        kind = PARENTS.get(Kind(edit.kind))
        if kind is None:
            return None
        field = "provider" if kind is Kind.PROVIDER else "public_model"
        if not edit.parent:
            raise wrong(field, f"the {kind} it belongs to is missing")
        if edit.parent.startswith("@") and edit.parent[1:].isdecimal():
            index = int(edit.parent[1:])
            if index >= len(self._made) - 1:
                raise wrong(field, f"'{edit.parent}' is no earlier edit")
            made = self._made[index]
            if made is None:
                return (
                    None  # it was refused; what else is wrong with this one is still worth saying
                )
            if made.record.kind != kind:
                raise wrong(field, f"'{edit.parent}' made no {kind}")
            return made.record
        record = self.seen.get(kind, edit.parent)
        if record is None:
            if infile.find(self._means.config, kind, edit.parent) is not None:
                raise read_only(kind, edit.parent)
            raise wrong(field, f"there is no {kind} '{edit.parent}'")
        return record

    def _parent_of(self, record: Record) -> Record | None:
        kind = PARENTS.get(Kind(record.kind))
        return None if kind is None else self.seen.by_id(kind, record.parent)

    def _free(self, kind: str, name: str, parent: Record | None, but: int = 0) -> None:
        """That an object may be called this."""
        if kind in PARENTS:
            if name:
                raise wrong("name", f"a {kind} has no name")
            return
        if not name or len(name) > NAME or not name.isprintable() or name != name.strip():
            raise wrong("name", f"1 to {NAME} printable characters are expected")
        if infile.holds(self._means.config, kind, name):
            raise read_only(kind, name)
        taken = self.seen.by_name(kind, name)
        if taken is not None and taken.id != but:
            raise Problem(
                409, "conflict", f"There is a {kind} '{name}' already, with the id {taken.id}."
            )

    def _check(
        self,
        kind: str,
        name: str,
        body: Mapping[str, Any],
        parent: Record | None,
        *,
        was: Record | None = None,
        kept: Collection[str] = (),
    ) -> Checked:
        but = 0 if was is None else was.id
        around = Around(
            config=self._means.config,
            providers=self.seen.named(Kind.PROVIDER, but=but),
            models=self.seen.named(Kind.MODEL, but=but),
            keys=self.seen.named(Kind.KEY, but=but),
        )
        above = parent.name if parent is not None else ""
        before = was.name if was is not None and was.name != name else ""
        checked = check_object(kind, name, body, around, parent=above, was=before, kept=kept)
        if checked.wrong:
            faults = tuple(Fault(one.field, one.message) for one in checked.wrong)
            raise Problem(400, "invalid", sentence(faults), faults)
        return checked

    def _unknown(self, digests: list[bytes]) -> None:
        """That nobody has this key already."""
        for digest in digests:
            if digest in self._digests or digest in self._means.known:
                raise Problem(409, "conflict", "This key is in use already.")
        self._digests.update(digests)

    def _keep_references(
        self, record: Record, before: dict[str, Any], name: str, spec: dict[str, Any]
    ) -> None:
        """That nobody names it by what it is not called any more."""
        after = references.names(replace(record, name=name), spec)
        gone = references.names(record, before) - after
        found = list(references.to(self.seen, record.kind, gone, but=record.id)) if gone else []
        if found:
            raise referred(record, found)

    def _release(self, reference: references.Reference, gone: frozenset[str]) -> None:
        """Let nobody name what goes."""
        # An earlier one may have changed it.
        record = self.seen.by_id(reference.record.kind, reference.record.id)
        if record is None:
            return
        if record.kind == Kind.DEPLOYMENT:
            self._bury(record)
            return
        spec = dict(self.seen.spec(record))
        spec[reference.field] = [name for name in spec[reference.field] if name not in gone]
        self._put("update", record, replace(record, spec=orjson.dumps(spec), updated=now()))

    def _clear_credentials(self, provider: Record) -> tuple[str, ...]:
        cleared = [one for one in self.seen.children(Kind.CREDENTIAL, provider.id) if one.sealed]
        for one in cleared:
            self._put("clear", one, replace(one, sealed="", updated=now()), "cleared")
        if not cleared:
            return ()
        ids = ", ".join(str(one.id) for one in cleared)
        return (
            "It is another host now, so the keys made for the old one are gone: "
            f"give credentials {ids} theirs again.",
        )


def _needed(edit: Edit) -> Permission:
    needed = NEEDS[Kind(edit.kind)]
    is_switch = isinstance(edit, Update) and edit.merge and edit.body.keys() == {"enabled"}
    # Taking a provider out of use shows nobody its keys.
    return Permission.OPERATE if is_switch and needed is Permission.CONFIGURE else needed


def merged(before: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON merge patch (RFC 7396)."""
    result = dict(before)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            old = result.get(name)
            result[name] = merged(old if isinstance(old, dict) else {}, value)
        else:
            result[name] = value
    return result


def _is_sent_elsewhere(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    known: Mapping[str, Any] | None,
    given: Mapping[str, Any],
) -> bool:
    if sealing.is_sent_elsewhere(before, after):
        return True
    # A proxy on the way reads what is not encrypted, and what is when nobody checks who is at the other end.
    proxy = given.get("proxy")
    is_new = proxy not in (None, infile.MASK, (known or {}).get("proxy"))
    return is_new and not sealing.is_private(after)


def _apart(kind: str, body: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Plain fields and secret ones."""
    hidden = sealing.fields_of(kind)
    plain = {name: value for name, value in body.items() if name not in hidden}
    return plain, {name: value for name, value in body.items() if name in hidden}


def _json(fields: Mapping[str, Any]) -> bytes:
    """To be compared by: in Python 0 is 0.0 and False, in a parameter of a request it is not."""
    return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)


def _revealed(secrets: Mapping[str, Any]) -> dict[str, Any]:
    opened: dict[str, Any] = orjson.loads(orjson.dumps(secrets, default=sealing.revealed))
    return opened
