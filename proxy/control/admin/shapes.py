"""What an object looks like from outside: its fields as in the configuration file, secrets as `***`, never a digest.

shape       an object of the store, for a page
of_file     one of the configuration file, read-only
audited     one for the audit log
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from proxy.control.admin import usual
from proxy.control.admin.infile import FileObject
from proxy.control.admin.sealing import fields_of, last4, open_sealed
from proxy.core import virtual_key
from proxy.core.config.names import PAGES
from proxy.core.records import PARENTS, Kind
from proxy.core.redact import MASK, redact_bytes

if TYPE_CHECKING:
    from proxy.control.admin.overlay import Overlay
    from proxy.core.records import Record
    from proxy.core.vault import Vault

PARENT: Mapping[str, str] = {Kind.CREDENTIAL: "provider", Kind.DEPLOYMENT: "public_model"}
"""The field that says what an object belongs to."""
READ_ONLY = PAGES
"""What a page shows and nobody sets: taken out of a body, so that an object may be sent back as it came."""


def shape(record: Record, seen: Overlay, vault: Vault | None) -> dict[str, Any]:
    """An object of the store."""
    shown: dict[str, Any] = {"id": record.id, "kind": str(record.kind)}
    if record.kind in PARENT:
        parent = seen.by_id(PARENTS[record.kind], record.parent)
        shown[PARENT[record.kind]] = parent.name if parent is not None else None
    else:
        shown["name"] = record.name
    shown |= usual.shown(record.kind, record.name, seen.spec(record))
    if fields_of(record.kind):
        shown |= _secrets(record, vault)
    if record.kind == Kind.KEY:
        shown |= _key(record)
    return shown | {
        "revision": record.revision,
        "created": record.created,
        "updated": record.updated,
        "source": "store",
        "read_only": False,
    }


def of_file(one: FileObject) -> dict[str, Any]:
    """An object of the configuration file."""
    shown: dict[str, Any] = {"id": one.id, "kind": str(one.kind)}
    if one.kind in PARENT:
        shown[PARENT[one.kind]] = one.parent
    else:
        shown["name"] = one.name
    shown |= usual.shown(one.kind, one.name, one.spec)
    if one.kind in (Kind.CREDENTIAL, Kind.KEY):
        shown |= {"key": MASK, "set": True}
    return shown | {"source": "file", "read_only": True}


def audited(record: Record, secrets: str = "") -> dict[str, Any]:
    """An object for the audit log; `secrets` says that they were given, changed or cleared."""
    fields: dict[str, Any] = orjson.loads(redact_bytes(record.spec))
    if record.parent:
        fields["parent"] = record.parent
    if record.kind == Kind.KEY:
        fields |= _key(record)
    if secrets:
        fields["secrets"] = secrets
    return fields


def _secrets(record: Record, vault: Vault | None) -> dict[str, Any]:
    """Which secrets there are: names, and `***`."""
    shown: dict[str, Any] = {"set": bool(record.sealed)}
    opened = open_sealed(vault, record)
    if opened is None:
        return shown | {"problem": "It is sealed with a master key that is not here."}
    for name, value in opened.items():
        shown[name] = dict.fromkeys(value, MASK) if isinstance(value, dict) else MASK
    if record.kind == Kind.CREDENTIAL and isinstance(opened.get("key"), str):
        shown["last4"] = last4(opened["key"])
    return shown


def _key(record: Record) -> dict[str, Any]:
    """What is known of a virtual key: how it begins and ends, and until when an old one is good."""
    try:
        digests: Sequence[virtual_key.Digest] = virtual_key.digests(record.private)
    except ValueError:
        digests = ()
    shown: dict[str, Any] = {"key": MASK, "set": bool(digests)}
    if digests:
        shown |= {"key_id": digests[0].id, "last4": digests[0].last4}
    if len(digests) > 1:
        shown["keys"] = [
            {"key_id": one.id, "last4": one.last4, "until": one.until} for one in digests
        ]
    return shown


def settable(body: Mapping[str, Any], kind: str = "") -> dict[str, Any]:
    """A body without what nobody sets. (None of that is a mapping: one is a name of the writer's own, and refused.)"""
    return {
        name: value
        for name, value in body.items()
        if (name not in READ_ONLY or isinstance(value, dict))
        and not (name == "usage" and kind == Kind.KEY)
    }
