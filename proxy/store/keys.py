"""Virtual keys made, listed and revoked in the store itself, with or without a worker running.

Workers see it as any other change. Each is noted in the audit log, as the work of this machine's user.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson
from msgspec import Struct
from msgspec.structs import replace

from proxy.core import virtual_key
from proxy.core.clock import now
from proxy.core.config.objects import Around, Wrong, check_object
from proxy.core.records import Kind, Record, is_id, spec_of
from proxy.core.redact import MASK, redact_bytes
from proxy.core.secret import Secret
from proxy.store import objects, peppers, trail
from proxy.store.base import ADMIN_TIMEOUT, BULK_TIMEOUT

if TYPE_CHECKING:
    from proxy.core.config.schema import Config, Key
    from proxy.core.vault import Vault
    from proxy.store.base import Session, Store

_ALL = """
SELECT kind, id, revision, name, parent, spec, sealed, private, created, updated, deleted FROM objects
WHERE kind = 'key' AND deleted = 0 ORDER BY name
"""
_ONE = """
SELECT kind, id, revision, name, parent, spec, sealed, private, created, updated, deleted FROM objects
WHERE kind = 'key' AND deleted = 0 AND (id = $1 OR name = $2)
"""
_OTHERS = "SELECT kind, name, spec FROM objects WHERE kind IN ('provider', 'model') AND deleted = 0"
_NAMED = "SELECT id FROM objects WHERE kind = 'key' AND deleted = 0 AND name = $1"


class Refused(ValueError):
    """Nothing was changed; the text has a line for each thing that is wrong."""


class Listed(Struct, frozen=True):
    """A virtual key, as far as it may be shown."""

    id: str
    """Of the store's record; of a key in the file, its name."""
    name: str
    source: str
    """`store` or `file`."""
    spec: Mapping[str, Any]
    key_id: str = ""
    """What follows `sk-hr-`, and the last four characters; of the newest one while a key is rotated."""
    last4: str = ""
    created: float | None = None


class Made(Struct, frozen=True):
    """A new virtual key."""

    id: int
    name: str
    key: Secret
    warnings: tuple[str, ...] = ()


async def create(
    store: Store, vault: Vault, config: Config, name: str, body: Mapping[str, Any]
) -> Made:
    """Make a key called `name`; `body` has the fields of `keys` in the configuration file, except the key itself.

    Raises Refused, StoreDown.
    """
    found, problems = peppers.opened(await peppers.ensure(store, vault), vault)
    if not found:
        raise Refused("\n".join(problems))
    key = virtual_key.mint()
    async with store.transaction() as session:
        id = await objects.lock(session) + 1
        await _free(session, config, name)
        checked = check_object(Kind.KEY, name, body, await _around(session, config))
        if checked.wrong:
            raise Refused("\n".join(map(_sentence, checked.wrong)))
        time = now()
        record = Record(
            Kind.KEY,
            id,
            id,
            name=name,
            spec=orjson.dumps(checked.spec),
            private=virtual_key.private([virtual_key.kept(key, found[0])]),
            created=time,
            updated=time,
        )
        await objects.write(session, record)
        await _note(session, "create", None, record)
        await objects.unlock(session, id)
    return Made(id, name, key, checked.warnings)


async def revoke(store: Store, config: Config, target: str) -> Record:
    """Delete the key with this name or id, so that it is refused from then on. Raises Refused, StoreDown."""
    async with store.transaction() as session:
        revision = await objects.lock(session) + 1
        record = await _find(session, target)
        if record is None:
            if any(key.name == target for key in config.keys):
                raise Refused(f"the key '{target}' is in the configuration file: take it out there")
            raise Refused(f"there is no key '{target}'")
        gone = replace(record, revision=revision, updated=now(), deleted=True)
        await objects.write(session, gone)
        await _note(session, "delete", record, gone)
        await objects.unlock(session, revision)
    return gone


async def listing(store: Store, config: Config) -> list[Listed]:
    """Every virtual key, those of the file first. Raises StoreDown."""
    rows = await store.fetch(_ALL, timeout=BULK_TIMEOUT)
    return [*map(_of_file, config.keys), *(_of_store(objects.record(row)) for row in rows)]


def _of_file(key: Key) -> Listed:
    given = key.model_dump(mode="json", exclude_unset=True, exclude={"name", "key"})
    return Listed(key.name, key.name, "file", given)


def _of_store(record: Record) -> Listed:
    kept = virtual_key.digests(record.private)
    return Listed(
        str(record.id),
        record.name,
        "store",
        spec_of(record),
        kept[0].id if kept else "",
        kept[0].last4 if kept else "",
        record.created,
    )


async def _find(session: Session, target: str) -> Record | None:
    """By id when it is a number and there is one, else by name."""
    id = int(target) if is_id(target) else 0
    found = [objects.record(row) for row in await session.fetch(_ONE, id, target)]
    found.sort(key=lambda record: record.id != id)
    return found[0] if found else None


async def _free(session: Session, config: Config, name: str) -> None:
    """That a key may be called this. Raises Refused."""
    if any(key.name == name for key in config.keys):
        raise Refused(f"there is a key '{name}' in the configuration file already")
    for (id,) in await session.fetch(_NAMED, name):
        raise Refused(f"there is a key '{name}' already, with the id {id}")


async def _around(session: Session, config: Config) -> Around:
    rows = await session.fetch(_OTHERS, timeout=ADMIN_TIMEOUT)
    return Around(
        config=config,
        providers=frozenset(row[1] for row in rows if row[0] == Kind.PROVIDER),
        models={row[1]: orjson.loads(row[2]) for row in rows if row[0] == Kind.MODEL},
    )


async def _note(session: Session, action: str, before: Record | None, after: Record) -> None:
    await trail.add(
        session,
        f"command:{_user()}",
        f"{after.kind}.{action}",
        after.kind,
        after.id,
        after.name,
        before=None if before is None else _shown(before),
        after=None if after.deleted else _shown(after),
        revision=after.revision,
    )


def _shown(record: Record) -> dict[str, Any]:
    """For the audit log: what `list` shows of it."""
    one = _of_store(record)
    fields: dict[str, Any] = orjson.loads(redact_bytes(record.spec))
    return {**fields, "key": MASK, "key_id": one.key_id, "last4": one.last4}


def _user() -> str:
    """Who runs this."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _sentence(wrong: Wrong) -> str:
    return f"{wrong.field}: {wrong.message}" if wrong.field else wrong.message
