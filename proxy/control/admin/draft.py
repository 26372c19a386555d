"""What a list of edits makes of the objects, worked out in memory before anything is written.

Each edit sees what those before it did. Nothing here waits: the records, and what the audit log will say of them, are
the result, and `changes.apply` writes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from msgspec import Struct
from msgspec.structs import replace

from proxy.control.admin import issue, references, sealing, usual
from proxy.control.admin.access import Permission
from proxy.control.admin.edits import Create, Delete, Edit, Rotate, Update, Written
from proxy.control.admin.ground import Ground, Means
from proxy.control.admin.overlay import Overlay
from proxy.control.admin.refusal import SETTING_STAYS, Orphaned, forbidden, referred, wrong
from proxy.control.admin.web import Problem
from proxy.core.clock import now
from proxy.core.records import PARENTS, Kind, Record
from proxy.core.redact import MASK

NEEDS: Mapping[str, Permission] = {
    Kind.PROVIDER: Permission.CONFIGURE,
    Kind.CREDENTIAL: Permission.CONFIGURE,
    Kind.MODEL: Permission.OPERATE,
    Kind.DEPLOYMENT: Permission.OPERATE,
    Kind.KEY: Permission.KEYS,
    Kind.SETTING: Permission.CONFIGURE,
}
"""What writing a kind needs, whatever route it came by."""
CHILDREN = {parent: Kind(child) for child, parent in PARENTS.items()}


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
        self._ground = Ground(seen, means)

    def do(self, edit: Edit) -> Written:
        """Apply one more edit. Raises Problem; the draft is of no use then."""
        needed = _needed(edit)
        if not self._means.principal.may(needed):
            raise forbidden(needed)
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
        parent = self._ground.parent(edit, self._made)
        self._ground.free(edit.kind, edit.name)
        key = body.pop("key", None) if edit.kind == Kind.KEY else None
        if edit.kind == Kind.KEY:
            body = issue.owned(self._means.principal, body)
            issue.check_owner(self._means.principal, None, body)
        plain, given = _apart(edit.kind, body)
        secrets = sealing.kept({}, given, merge=False)
        checked = self._ground.check(edit.kind, edit.name, {**plain, **secrets}, parent)
        if parent is None and edit.kind in PARENTS:
            raise Orphaned()
        id = self.revision + 1
        secret, private = "", b""
        if edit.private is not None:
            private = edit.private
        elif edit.kind == Kind.KEY:
            made, private = issue.issue(key, self._means.peppers)
            self._ground.unknown(issue.digests(made, self._means.peppers))
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
        record = self._ground.find(edit.kind, edit.target, edit.if_match)
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
            if edit.kind == Kind.SETTING:
                raise wrong("name", SETTING_STAYS)
            self._ground.free(edit.kind, name, but=record.id)
        known = sealing.open_sealed(self._means.vault, record)
        elsewhere = edit.kind == Kind.PROVIDER and _is_sent_elsewhere(before, after, known, given)
        secrets = sealing.kept({} if elsewhere else known or {}, given, merge=edit.merge)
        is_withheld = known is None and not given and not elsewhere
        checked = self._ground.check(
            edit.kind,
            name,
            {**after, **secrets},
            self._ground.parent_of(record),
            was=record,
            kept=sealing.fields_of(edit.kind) if is_withheld else (),
        )
        is_same = is_withheld or (known == _revealed(checked.secrets))
        private = record.private if edit.private is None else edit.private
        unchanged = (_json(before), record.name, record.private)
        if is_same and (_json(checked.spec), name, private) == unchanged:
            return Written(record, warnings=checked.warnings)
        self._ground.keep_references(record, before, name, checked.spec)
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
        warnings = checked.warnings
        if elsewhere:
            ids = self._clear_credentials(changed)
            warnings = (*sealing.left_behind(known or {}, checked.secrets, given, ids), *warnings)
        return Written(changed, warnings=warnings)

    def _delete(self, edit: Delete) -> Written:
        record = self._ground.find(edit.kind, edit.target, edit.if_match)
        child = CHILDREN.get(Kind(edit.kind))
        children = self.seen.children(child, record.id) if child is not None else []
        if edit.children is not None and not edit.children.issuperset(one.id for one in children):
            raise Problem(409, "conflict", f"More belongs to '{record.name}' by now: ask again.")
        spec = self.seen.spec(record)
        found = self._ground.named(record, references.names(record, spec))
        if found and not edit.cascade:
            raise referred(record, found)
        for reference in found:
            self._release(reference)
        for each in children:
            self._bury(each)
        return Written(self._bury(record))

    def _rotate(self, edit: Rotate) -> Written:
        record = self._ground.find(Kind.KEY, edit.target, edit.if_match)
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

    def _release(self, reference: references.Reference) -> None:
        """Let nobody name what goes."""
        # An earlier one may have changed it.
        record = self.seen.by_id(reference.record.kind, reference.record.id)
        if record is None:
            return
        if record.kind == Kind.DEPLOYMENT:
            self._bury(record)
            return
        spec = dict(self.seen.spec(record))
        spec[reference.field] = [
            name for name in spec[reference.field] if name not in reference.named
        ]
        self._put("update", record, replace(record, spec=orjson.dumps(spec), updated=now()))

    def _clear_credentials(self, provider: Record) -> list[int]:
        """Their ids."""
        cleared = [one for one in self.seen.children(Kind.CREDENTIAL, provider.id) if one.sealed]
        for one in cleared:
            self._put("clear", one, replace(one, sealed="", updated=now()), "cleared")
        return [one.id for one in cleared]


def _needed(edit: Edit) -> Permission:
    needed = NEEDS[Kind(edit.kind)]
    is_switch = (
        isinstance(edit, Update)
        and edit.merge
        and edit.name is None
        and edit.body.keys() == {"enabled"}
    )
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
    is_new = proxy not in (None, MASK, (known or {}).get("proxy"))
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
