"""Everything that is sealed, sealed again under the first master key, while requests are served.

It goes in steps of a few rows, each a transaction that takes revisions as any other change does: workers see it as
changes, and are held up for no longer than by one. It may end at any moment, by `kill -9` as well: what is done is
done, and the next run goes on with the rest. What does not open is left as it is and named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from proxy.core.records import place
from proxy.core.vault import Unopened
from proxy.store import objects, peppers
from proxy.store.base import BULK_TIMEOUT

if TYPE_CHECKING:
    from proxy.core.vault import Vault
    from proxy.store.base import Row, Session, Store

STEP = 50
"""Rows in one transaction."""

# A sealed value begins with `v1.`, eight characters of kid and a dot: see `core.vault`.
_LEFT = """
SELECT kid, count(*) FROM (
  SELECT CASE WHEN substr(sealed, 1, 3) = 'v1.' THEN substr(sealed, 4, 8) ELSE '' END AS kid
  FROM (SELECT sealed FROM objects WHERE sealed <> '' UNION ALL SELECT sealed FROM peppers) AS every
) AS kids GROUP BY kid ORDER BY kid
"""
_OBJECTS = """
SELECT kind, id, sealed FROM objects
WHERE sealed <> '' AND substr(sealed, 1, 12) <> $1 AND (kind, id) > ($2, $3)
ORDER BY kind, id LIMIT $4
"""
_PEPPERS = "SELECT id, sealed FROM peppers WHERE substr(sealed, 1, 12) <> $1 ORDER BY id"


class Rotated(Struct, frozen=True):
    """What a run came to."""

    kid: str
    """The key that everything is to be under."""
    resealed: int
    """Values sealed again by this run."""
    left: Mapping[str, int]
    """How many values are still under each other key. Empty: the others are not needed any more."""
    unopened: tuple[str, ...] = ()
    """One sentence for each value that does not open with the keys given."""


async def left(session: Session) -> dict[str, int]:
    """How many values are under each key, by its kid; empty for what is no sealed value. Raises StoreDown."""
    return dict(await session.fetch(_LEFT, timeout=BULK_TIMEOUT))


async def rotate(
    store: Store, vault: Vault, progress: Callable[[int, int], None] = lambda done, total: None
) -> Rotated:
    """Seal everything under the first key of the vault.

    `progress` is called after each step: values done, values there were to do. Raises StoreDown, and then may simply
    be called again.
    """
    kid = vault.kids[0]
    total = sum((await _others(store, kid)).values())
    unopened: list[str] = []
    done = await _peppers(store, vault, unopened)
    progress(done, total)
    after: Row = ("", 0)
    while True:
        count, after = await _step(store, vault, after, unopened)
        done += count
        if not after:
            return Rotated(kid, done, await _others(store, kid), tuple(unopened))
        progress(done, total)


async def _others(session: Session, kid: str) -> dict[str, int]:
    found = await left(session)
    return {other: count for other, count in found.items() if other != kid}


async def _peppers(store: Store, vault: Vault, unopened: list[str]) -> int:
    """They are few: one step. The revision moves with them, so that workers read them again."""
    async with store.transaction() as session:
        revision = await objects.lock(session)
        done = 0
        for id, sealed in await session.fetch(_PEPPERS, _prefix(vault)):
            again = _resealed(vault, sealed, peppers.place(id), unopened)
            if again:
                await session.execute("UPDATE peppers SET sealed = $1 WHERE id = $2", again, id)
                done += 1
        if done:
            await objects.unlock(session, revision + 1)
        return done


async def _step(store: Store, vault: Vault, after: Row, unopened: list[str]) -> tuple[int, Row]:
    """The next rows after `after`: how many were sealed again, and the last one; () when there were none."""
    async with store.transaction() as session:
        revision = await objects.lock(session)
        rows = await session.fetch(_OBJECTS, _prefix(vault), *after, STEP)
        done = 0
        for kind, id, sealed in rows:
            again = _resealed(vault, sealed, place(kind, id), unopened)
            if again:
                done += 1
                await session.execute(
                    "UPDATE objects SET sealed = $1, revision = $2 WHERE kind = $3 AND id = $4",
                    again,
                    revision + done,
                    kind,
                    id,
                )
        if done:
            await objects.unlock(session, revision + done)
        return done, rows[-1][:2] if rows else ()


def _resealed(vault: Vault, sealed: str, place: str, unopened: list[str]) -> str:
    """Under the first key; empty for what does not open, which is noted."""
    try:
        return vault.seal(vault.open(sealed, place), place)
    except Unopened as error:
        unopened.append(f"{place}: {error}")
        return ""


def _prefix(vault: Vault) -> str:
    """How everything begins that is under the first key."""
    return f"v1.{vault.kids[0]}."
