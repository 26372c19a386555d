"""What a worker has of the store: its records, the keys to them, and how sure it is that they are right."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from proxy.core.clock import monotonic, now
from proxy.core.log import logger
from proxy.core.records import Kind
from proxy.state.mirror import Mirror
from proxy.store import delta, disk, keyring, opening, peppers
from proxy.store.base import BULK_TIMEOUT, StoreBroken, StoreDown

if TYPE_CHECKING:
    from proxy.core.config.schema import Config
    from proxy.core.records import Record
    from proxy.core.vault import Vault
    from proxy.core.virtual_key import Pepper
    from proxy.store.base import Store
    from proxy.store.disk import PepperRow

PATIENCE = 2.0
"""Seconds the start waits for the store before it does without."""
AT_ONCE = 500
"""More records than this are taken in by a thread."""


class Advance(Struct, frozen=True, eq=False):
    """A step forward."""

    kinds: frozenset[str]
    """Of records that changed; at the first step all there are."""
    records: Sequence[Record]
    """What changed; at the first step everything."""
    since: int
    """The revision before, or `delta.NEVER`."""


class Replica:
    """One a worker. Its methods are called by one task at a time."""

    def __init__(self, config: Config, known: Mapping[PepperRow, bytes] | None = None) -> None:
        """`known`: peppers that were opened before this process was forked."""
        self._known = known
        url = config.store.url
        self.store: Store | None = opening.open_store(url) if url else None
        self.mirror = Mirror()
        self.vault: Vault | None = None
        self.peppers: tuple[Pepper, ...] = ()
        self.pepper_rows: Sequence[PepperRow] = ()
        self.revision = delta.NEVER
        self._last: Record | None = None
        """The last record that was read: see `delta.read`."""
        self.source = ""
        self.up = False
        self.closed: tuple[str, ...] = ()
        """What does not open: one sentence each."""
        self._confirmed = monotonic()
        self._opened = False

    @property
    def complete(self) -> bool:
        """Whether everything the store holds is known, if not in its last version."""
        return self.store is None or self.revision != delta.NEVER

    @property
    def age(self) -> float:
        """Seconds since the store last confirmed what is here; if it never did, since the start."""
        return 0.0 if self.store is None else max(0.0, monotonic() - self._confirmed)

    @property
    def sealed(self) -> list[str]:
        """Everything in it that is sealed."""
        kinds = self.mirror.records.values()
        found = [record.sealed for kind in kinds for record in kind.values() if record.sealed]
        return found + [row.sealed for row in self.pepper_rows]

    async def load(self, config: Config) -> None:
        """Everything, from the store. Raises StoreDown, StoreBroken; ValueError when there are no keys to it."""
        copied = await asyncio.to_thread(Path(config.store.copy_path).exists)
        try:
            async with asyncio.timeout(PATIENCE) as limit:
                await self._open(config)
                if not copied:
                    # The store is there, only large, and there is nothing better to begin with.
                    limit.reschedule(asyncio.get_running_loop().time() + BULK_TIMEOUT)
                await self._read()
        except TimeoutError:
            raise StoreDown(f"no answer within {PATIENCE:g} s") from None

    async def restore(self, config: Config) -> bool:
        """The copy on disk instead; whether there is one that can be used."""
        assert self.store is not None
        self.vault = self.vault or await asyncio.to_thread(keyring.vault, config, sealed=None)
        if self.vault is None:
            return False
        path = Path(config.store.copy_path)
        try:
            copy = await asyncio.to_thread(disk.read, path, self.store.url, self.vault)
        except disk.Unreadable as error:
            logger.error("the copy of the database in %s is not used: %s", path, error)
            return False
        if copy is None:
            return False
        self._unseal(copy.peppers)
        generation = self.mirror.generation + 1
        self.mirror = await asyncio.to_thread(_rebuilt, Mirror(), copy.records, generation)
        self.revision, self.source = copy.revision, "disk"
        self._last = max(copy.records, key=lambda record: record.revision, default=None)
        self._confirmed = monotonic() - max(0.0, now() - copy.confirmed)
        return True

    async def advance(self, config: Config) -> Advance:
        """Take in what changed. Raises StoreDown; ValueError when there are no keys to what it holds."""
        if self.store is None:
            raise StoreDown("there is no database")
        try:
            await self._open(config)
            return await self._read()
        except StoreDown:
            self.up = False
            raise
        except StoreBroken as error:
            self.up = False
            raise StoreDown(str(error)) from error
        except Exception:
            self.up = False
            raise

    def rekey(self, vault: Vault | None) -> None:
        """Use other master keys. Raises ValueError, and nothing changes, when they open nothing."""
        self._try(self.pepper_rows, vault)
        self.vault = vault
        self._unseal(self.pepper_rows)

    async def _open(self, config: Config) -> None:
        store = self.store
        if store is None or self._opened:
            return
        await store.open()
        sealed = await keyring.holds_secrets(store)
        self.vault = await asyncio.to_thread(keyring.vault, config, sealed=sealed)
        rows = await (
            peppers.rows(store) if self.vault is None else peppers.ensure(store, self.vault)
        )
        self._try(rows, self.vault)
        self._unseal(rows)
        self._opened = True

    async def _read(self) -> Advance:
        assert self.store is not None
        since = self.revision
        change = await delta.read(self.store, since, self._last)
        # Sealing them anew takes a revision, and changes no record.
        moved = change.whole or change.revision != since
        rows = await peppers.rows(self.store) if moved else None
        # All has been read: what is taken in is never said to have changed a second time.
        kinds = await self._absorb(change)
        if rows is not None:
            before = self.peppers
            self._unseal(rows)
            if self.peppers != before:
                kinds |= {str(Kind.KEY)}
        if self.source != "store":
            # Also of a store that holds nothing the first reading is news: what was served did not know that. And its
            # peppers, opened before this, need not be those of the copy.
            kinds = frozenset(map(str, Kind))
        self.revision, self.source, self.up = change.revision, "store", True
        self._last = change.last
        self._confirmed = monotonic()
        return Advance(kinds, change.records, since)

    async def _absorb(self, change: delta.Delta) -> frozenset[str]:
        if not change.whole and len(change.records) <= AT_ONCE:
            return self.mirror.apply(change.records)
        # Much at once goes into a new mirror, beside the one that is being read.
        before = Mirror() if change.whole else self.mirror
        there = self.mirror.records.items() if change.whole else ()
        gone = frozenset(kind for kind, records in there if records)
        generation = self.mirror.generation + change.whole
        self.mirror = await asyncio.to_thread(_rebuilt, before, change.records, generation)
        return gone | {record.kind for record in change.records}

    def _unseal(self, rows: Sequence[PepperRow]) -> None:
        self.pepper_rows = rows
        self.peppers, self.closed = peppers.opened(rows, self.vault, self._known)

    def _try(self, rows: Sequence[PepperRow], vault: Vault | None) -> None:
        if rows and not peppers.opened(rows, vault, self._known)[0]:
            raise ValueError(
                "store: none of the master keys opens what the database holds: "
                "put the key it was used with into secrets.keys"
            )


def _rebuilt(before: Mirror, records: Sequence[Record], generation: int) -> Mirror:
    """A new mirror: what was, and what changed."""
    mirror = Mirror()
    mirror.replace(record for kind in before.records.values() for record in kind.values())
    mirror.apply(records)
    mirror.generation = generation  # no mirror knows how many there were before it
    return mirror
