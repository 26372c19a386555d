"""A store with a hundred thousand virtual keys and a thousand deployments, made in seconds."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import asyncpg
import orjson
from msgspec import Struct

from proxy.core.records import Kind, Record
from proxy.core.secret import Secret
from proxy.core.vault import Vault
from proxy.core.virtual_key import kept, mint, private
from proxy.store import peppers
from proxy.store.opening import open_store, sqlite_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from proxy.core.virtual_key import Pepper

MASTER = "Yq5vK2mXc9Lr4WfJz8Pb1NsTd6HgEa3U"
PROVIDERS, MODELS = 20, 100
_COLUMNS = "kind, id, revision, name, parent, spec, sealed, private, created, updated, deleted"


class Crowd(Struct, frozen=True, eq=False):
    """What is in a store."""

    records: list[Record]
    keys: list[str]
    """Every virtual key, as a client presents it."""


class Size(Struct, frozen=True):
    """How much of it."""

    keys: int = 100_000
    deployments: int = 1_000


def crowd(size: Size, vault: Vault, pepper: Pepper, upstream: str) -> Crowd:
    """Records as they would have been written one by one. Every model is the simulator's."""
    records: list[Record] = []
    keys: list[str] = []

    def add(kind: str, name: str = "", parent: int = 0, **rest: Any) -> int:
        id = len(records) + 1
        records.append(Record(kind, id, id, name, parent, **rest))
        return id

    for number in range(PROVIDERS):
        spec = {"base_url": upstream, "dialects": ["openai.chat"], "allow_private": True}
        parent = add(Kind.PROVIDER, f"lab-{number}", spec=orjson.dumps(spec))
        sealed = vault.seal(
            orjson.dumps({"key": f"upstream-key-{number}"}), f"{Kind.CREDENTIAL}/{parent + 1}"
        )
        add(Kind.CREDENTIAL, parent=parent, sealed=sealed)
    add(Kind.MODEL, "sim*", spec=b"{}")
    add(Kind.DEPLOYMENT, parent=len(records), spec=b'{"provider":"lab-0","model":"sim*"}')
    models = [add(Kind.MODEL, f"model-{number}") for number in range(MODELS)]
    for number in range(size.deployments):
        spec = {"provider": f"lab-{number % PROVIDERS}", "model": f"sim-{number}"}
        add(Kind.DEPLOYMENT, parent=models[number % MODELS], spec=orjson.dumps(spec))
    for number in range(size.keys):
        key = mint()
        keys.append(key.reveal())
        spec = {"models": ["sim*"], "team": f"team-{number % 50}"}
        digests = private([kept(key, pepper)])
        add(Kind.KEY, f"key-{number}", spec=orjson.dumps(spec), private=digests)
    return Crowd(records, keys)


async def fill(url: str, size: Size, upstream: str) -> Crowd:
    """Make a store at `url` and put a crowd into it, past the way writes usually go."""
    vault = Vault([Secret(MASTER)])
    store = open_store(url)
    try:
        await store.open()
        (pepper, *_), _ = peppers.opened(await peppers.ensure(store, vault), vault)
    finally:
        await store.close()
    made = await asyncio.to_thread(crowd, size, vault, pepper, upstream)
    if store.backend == "sqlite":
        await asyncio.to_thread(_into_sqlite, url, made.records)
    else:
        await _into_postgres(url, made.records)
    return made


def _into_sqlite(url: str, records: Sequence[Record]) -> None:
    with closing(sqlite3.connect(sqlite_path(url))) as database, database:
        places = ", ".join("?" * 11)
        database.executemany(
            f"INSERT INTO objects ({_COLUMNS}) VALUES ({places})",
            _rows(records),
        )
        database.execute("UPDATE revision SET revision = ?", (len(records),))


async def _into_postgres(url: str, records: Sequence[Record]) -> None:
    database = await asyncpg.connect(url)
    try:
        columns = _COLUMNS.split(", ")
        await database.copy_records_to_table("objects", records=_rows(records), columns=columns)
        await database.execute("UPDATE revision SET revision = $1", len(records))
    finally:
        await database.close()


def _rows(records: Sequence[Record]) -> Iterator[tuple[Any, ...]]:
    for one in records:
        yield (
            one.kind,
            one.id,
            one.revision,
            one.name,
            one.parent,
            one.spec.decode(),
            one.sealed,
            one.private.decode(),
            0.0,
            0.0,
            0,
        )
