"""What an import has to do: a document beside what the store has, as edits for `changes.apply`.

Nothing is read or written here, and nothing is checked that `apply` checks: an object that is as the document says is
found unchanged there. What the document does not say is in its way and named (`faults`).

A secret that the document leaves out (`carried.is_left_out`) stays as it is; where there is none, that is a fault.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from proxy.control.admin import carried, ordering, sealing
from proxy.control.admin.carried import Bound
from proxy.control.admin.edits import Create, Delete, Update
from proxy.control.admin.transfer import Mode, Plan, Step, Stock
from proxy.core import virtual_key
from proxy.core.config.problem import Path, dotted
from proxy.core.config.stored import SETTINGS
from proxy.core.records import Kind, spec_of
from proxy.core.redact import MASK
from proxy.core.vault import Unopened
from proxy.core.virtual_key import Digest

if TYPE_CHECKING:
    from proxy.control.admin.edits import Edit
    from proxy.core.records import Record

Block = dict[str, Any]
OF_THE_FILE = frozenset({"server", "admin", "store", "secrets", "ledger", "shared"})
"""Sections that are in the file alone."""
_FIRST_GONE = tuple(reversed(Kind))
_FOUND_NONE = "a secret is expected: the document leaves it out, and there is none here"


def plan(document: Any, stock: Stock, mode: Mode = Mode.MERGE) -> Plan:
    """The edits that make the store as `document` says."""
    return _Planner(stock, mode).plan(document)


class _Planner:
    """One run."""

    def __init__(self, stock: Stock, mode: Mode) -> None:
        self._stock = stock
        self._mode = mode
        self._plan = Plan()
        self._deletes: list[Step] = []
        self._writes: list[Step] = []
        self._digests: dict[str, str] | None = None

    def plan(self, document: Any) -> Plan:
        if document is None and self._mode is Mode.REPLACE:
            # An upload that went wrong looks like this.
            self._plan.fault((), "a document is expected: to delete everything, send {}")
            return self._plan
        sections = self._table(document if document is not None else {}, ())
        self._sections(sections)
        self._settings(sections)
        self._providers(self._blocks(sections, "providers"))
        self._models(self._blocks(sections, "models"))
        self._keys(sections.get("keys"))
        # With a provider its deployments go: so they come before it.
        self._deletes.sort(key=lambda step: _FIRST_GONE.index(step.kind))
        shift = len(self._deletes)
        self._plan.steps = [*self._deletes, *(_shifted(step, shift) for step in self._writes)]
        return self._plan

    # --- reading ---

    def _sections(self, sections: Block) -> None:
        known = {*SETTINGS, "providers", "models", "keys"}
        for name, value in sections.items():
            if name in OF_THE_FILE:
                if value not in (None, {}):
                    said = f"'{name}' is left out: it is in the configuration file alone."
                    self._plan.warnings.append(said)
            elif name not in known and not name.startswith("x-"):
                self._plan.fault((name,), "there is no such section")

    def _table(self, value: Any, path: Path) -> Block:
        if isinstance(value, dict):
            return value
        if value is not None:
            self._plan.fault(path, "a mapping is expected")
        return {}

    def _list(self, value: Any, path: Path) -> list[Any]:
        if isinstance(value, list):
            return value
        if value is not None:
            self._plan.fault(path, "a list is expected")
        return []

    def _blocks(self, sections: Block, name: str) -> dict[str, Block]:
        section = self._table(sections.get(name), (name,))
        return {one: self._table(block, (name, one)) for one, block in section.items()}

    # --- objects ---

    def _write(
        self,
        kind: str,
        name: str,
        path: Path,
        body: Block,
        before: Record | None,
        *,
        parent: str = "",
        owner: str = "",
        private: bytes | None = None,
    ) -> str:
        """Note an edit; how later ones call the object."""
        edit: Edit
        if before is None:
            edit = Create(kind, name, body, parent, private)
        else:
            edit = Update(kind, str(before.id), body, private=private)
        self._writes.append(Step(edit, kind, name or owner, dotted(path), before))
        return f"@{len(self._writes) - 1}" if before is None else str(before.id)

    def _drop(self, record: Record, path: Path, owner: str = "") -> None:
        edit = Delete(record.kind, str(record.id), cascade=True)
        self._deletes.append(Step(edit, record.kind, record.name or owner, dotted(path), record))

    def _drop_others(
        self, section: str, kind: str, known: Mapping[str, Record], named: Any
    ) -> None:
        if self._mode is Mode.REPLACE:
            for name in sorted(known.keys() - set(named)):
                path = (section, name) if section else (name,)
                self._drop(known[name], path)

    def _settings(self, sections: Block) -> None:
        known = self._stock.named(Kind.SETTING)
        for name in SETTINGS:
            block = self._table(sections.get(name), (name,))
            if block:
                self._write(Kind.SETTING, name, (name,), block, known.get(name))
        self._drop_others(
            "", Kind.SETTING, known, (name for name in SETTINGS if sections.get(name))
        )

    def _providers(self, blocks: dict[str, Block]) -> None:
        known = self._stock.named(Kind.PROVIDER)
        children = self._stock.families(Kind.CREDENTIAL)
        self._drop_others("providers", Kind.PROVIDER, known, blocks)
        for name, block in blocks.items():
            path: Path = ("providers", name)
            before = known.get(name)
            bound = self._bound(block, before)
            body = {one: value for one, value in block.items() if one != "credentials"}
            for one in sorted(body.keys() & sealing.fields_of(Kind.PROVIDER)):
                body[one] = self._given(body[one], (*path, one), bound)
            target = self._write(Kind.PROVIDER, name, path, body, before)
            if "credentials" in block:
                there = children.get(before.id, []) if before is not None else []
                self._credentials(block["credentials"], path, target, there, bound)

    def _bound(self, block: Block, before: Record | None) -> Bound:
        """Where secrets of this block would go, its proxy opened only if it was sealed for the same place."""
        bound, proxy = Bound.of(block, ""), block.get("proxy")
        if carried.is_sealed(proxy):
            try:
                proxy = carried.unseal(self._stock.vault, "provider", proxy, bound)
            except Unopened:
                proxy = None  # said where the field is
        elif carried.is_left_out(proxy) and before is not None:
            proxy = (sealing.open_sealed(self._stock.vault, before) or {}).get("proxy")
        return Bound.of(block, proxy)

    def _given(self, value: Any, path: Path, bound: Bound) -> Any:
        if isinstance(value, dict):
            return {one: self._given(each, (*path, one), bound) for one, each in value.items()}
        if carried.is_sealed(value):
            return self._unsealed(value, "provider", path, bound)
        return MASK if carried.is_left_out(value) else value

    def _unsealed(self, value: str, purpose: str, path: Path, bound: Bound | None = None) -> Any:
        try:
            return carried.unseal(self._stock.vault, purpose, value, bound)
        except Unopened as error:
            self._plan.fault(path, f"this does not open: {error}")
            return MASK

    def _credentials(
        self, listed: Any, path: Path, provider: str, there: list[Record], bound: Bound
    ) -> None:
        """One whose key is given is the one that has this key; else the one in its place."""
        items = listed if isinstance(listed, list) else [] if listed is None else [listed]
        opened = {
            one.id: (sealing.open_sealed(self._stock.vault, one) or {}).get("key") for one in there
        }
        left = list(there)
        for index, item in enumerate(items):
            where: Path = (*path, "credentials", index)
            block = {"key": item} if isinstance(item, str) else self._table(item, where)
            key = block.get("key")
            if carried.is_sealed(key):
                key = self._unsealed(key, "credential", (*where, "key"), bound)
                if key == MASK:
                    continue
            body = {name: value for name, value in block.items() if name != "key"}
            if carried.is_left_out(key):
                before = there[index] if index < len(there) and there[index] in left else None
                if before is None:
                    self._plan.fault((*where, "key"), _FOUND_NONE)
                    continue
            else:
                before = next((one for one in left if opened[one.id] == key), None)
                body["key"] = key
            if before is not None:
                left.remove(before)
            owner = str(path[1])
            self._write(Kind.CREDENTIAL, "", where, body, before, parent=provider, owner=owner)
        if self._mode is Mode.REPLACE:
            for one in left:
                self._drop(one, (*path, "credentials"), str(path[1]))

    def _models(self, blocks: dict[str, Block]) -> None:
        known = self._stock.named(Kind.MODEL)
        children = self._stock.families(Kind.DEPLOYMENT)
        self._drop_others("models", Kind.MODEL, known, blocks)
        for name in ordering.ordered(blocks, {one: spec_of(each) for one, each in known.items()}):
            path: Path = ("models", name)
            block, before = blocks[name], known.get(name)
            body = {one: value for one, value in block.items() if one != "deployments"}
            target = self._write(Kind.MODEL, name, path, body, before)
            there = children.get(before.id, []) if before is not None else []
            self._deployments(block.get("deployments"), path, target, there)

    def _deployments(self, listed: Any, path: Path, model: str, there: list[Record]) -> None:
        """The same provider and the same name there: the same deployment."""
        name = str(path[1])
        left = list(there)
        for index, item in enumerate(self._list(listed, (*path, "deployments"))):
            where: Path = (*path, "deployments", index)
            block = self._table(item, where)
            identity = _identity(block, name)
            before = next((one for one in left if _identity(spec_of(one), name) == identity), None)
            if before is not None:
                left.remove(before)
            self._write(Kind.DEPLOYMENT, "", where, block, before, parent=model, owner=name)
        if self._mode is Mode.REPLACE:
            for one in left:
                self._drop(one, (*path, "deployments"), name)

    # --- virtual keys ---

    def _keys(self, listed: Any) -> None:
        known = self._stock.named(Kind.KEY)
        seen: set[str] = set()
        for index, item in enumerate(self._list(listed, ("keys",))):
            path: Path = ("keys", index)
            block = self._table(item, path)
            name = block.get("name")
            if not isinstance(name, str) or name in seen:
                self._plan.fault((*path, "name"), "a name that occurs once is expected")
                continue
            seen.add(name)
            self._key(block, name, path, known.get(name))
        self._drop_others("keys", Kind.KEY, known, seen)

    def _key(self, block: Block, name: str, path: Path, before: Record | None) -> None:
        body = {one: value for one, value in block.items() if one not in ("name", "key")}
        key, private = block.get("key"), None
        if carried.is_sealed(key):
            private = self._digests_of(key, (*path, "key"), name)
            if private is None:
                return
        elif carried.is_left_out(key):
            if before is None:
                self._plan.fault((*path, "key"), _FOUND_NONE)
                return
        elif before is None:
            body["key"] = key
        elif not self._has(before, key):
            said = "this is not the key that is there: a key is replaced by POST …/rotate"
            self._plan.fault((*path, "key"), said)
            return
        self._write(Kind.KEY, name, path, body, before, private=private)

    def _has(self, record: Record, key: Any) -> bool:
        kept = {one.digest for one in virtual_key.digests(record.private)}
        return any(
            virtual_key.digest(str(key), pepper).hex() in kept for pepper in self._stock.peppers
        )

    def _digests_of(self, sealed: str, path: Path, name: str) -> bytes | None:
        content = self._unsealed(sealed, "key", path)
        if content == MASK:
            return None
        try:
            kept = msgspec.convert(content["digests"], list[Digest])
            given = {name: b64decode(text) for name, text in content["peppers"].items()}
        except (KeyError, TypeError, AttributeError, msgspec.ValidationError, binascii.Error):
            self._plan.fault(path, "this does not open: another version has written it")
            return None
        mine = {pepper.id for pepper in self._stock.peppers}
        for one in kept:
            if one.pepper not in mine and one.pepper not in given:
                self._plan.fault(path, "it was made with a pepper that neither of the two has")
                return None
            holder = self._holders().setdefault(one.digest, name)
            if holder != name:
                self._plan.fault(path, f"this key is there already, and is called {holder!r}")
                return None
        self._plan.peppers |= {name: given[name] for name in given.keys() - mine}
        return virtual_key.private(kept)

    def _holders(self) -> dict[str, str]:
        """Every digest to the name of its key, those that the document brings among them."""
        if self._digests is None:
            self._digests = {
                one.digest: record.name
                for record in self._stock.records.get(Kind.KEY, {}).values()
                for one in virtual_key.digests(record.private)
            }
        return self._digests


def _identity(block: Mapping[str, Any], name: str) -> tuple[Any, Any]:
    return block.get("provider"), block.get("model") or name


def _shifted(step: Step, by: int) -> Step:
    """The same after `by` edits that come before all: a parent is named by its position."""
    edit = step.edit
    if not by or not isinstance(edit, Create) or not edit.parent.startswith("@"):
        return step
    parent = f"@{int(edit.parent[1:]) + by}"
    return msgspec.structs.replace(step, edit=msgspec.structs.replace(edit, parent=parent))
