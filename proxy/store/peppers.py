"""What virtual keys are hashed with: random, and in the database only sealed, so that a stolen copy of it opens nothing."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from proxy.core.clock import now
from proxy.core.vault import Unopened, kid_of
from proxy.core.virtual_key import Pepper
from proxy.store import objects
from proxy.store.disk import PepperRow

if TYPE_CHECKING:
    from proxy.core.vault import Vault
    from proxy.store.base import Session, Store

SIZE = 32
_ALL = "SELECT id, sealed, created FROM peppers ORDER BY created DESC, id"


async def rows(session: Session) -> list[PepperRow]:
    """All of them, the newest first: that one makes new digests. Raises StoreDown."""
    return [PepperRow(*row) for row in await session.fetch(_ALL)]


async def ensure(store: Store, vault: Vault) -> list[PepperRow]:
    """The same; if there is none, this process or another makes the first. Raises StoreDown."""
    found = await rows(store)
    if found:
        return found
    async with store.transaction() as session:
        await objects.lock(session)
        found = await rows(session)
        if found:
            return found
        id = secrets.token_hex(4)
        made = PepperRow(id, vault.seal(secrets.token_bytes(SIZE), place(id)), now())
        await session.execute(
            "INSERT INTO peppers (id, sealed, created) VALUES ($1, $2, $3)",
            made.id,
            made.sealed,
            made.created,
        )
        return [made]


def opened(
    rows: Sequence[PepperRow], vault: Vault | None, known: Mapping[PepperRow, bytes] | None = None
) -> tuple[tuple[Pepper, ...], tuple[str, ...]]:
    """Those that open, in their order, and one sentence for each that does not. `known`: what was in some of them."""
    known = known or {}
    peppers: list[Pepper] = []
    problems: list[str] = []
    for row in rows:
        try:
            if vault is None:
                raise Unopened("there is no master key")
            # A key's name is made from the key: who has one of this name would find the same in it.
            secret = known.get(row) if kid_of(row.sealed) in vault.kids else None
            peppers.append(Pepper(row.id, secret or vault.open(row.sealed, place(row.id))))
        except Unopened as error:
            problems.append(f"virtual keys under pepper {row.id} are unknown: {error}")
    return tuple(peppers), tuple(problems)


def place(id: str) -> str:
    """What a pepper is sealed for."""
    return f"pepper/{id}"


async def keep(store: Store, vault: Vault, given: Mapping[str, bytes]) -> None:
    """Take in peppers of another store, for keys that come from there. New keys are not made with them.

    Raises StoreDown.
    """
    async with store.transaction() as session:
        await objects.lock(session)
        for id, secret in given.items():
            await session.execute(
                "INSERT INTO peppers (id, sealed, created) VALUES ($1, $2, $3)"
                " ON CONFLICT (id) DO NOTHING",
                id,
                vault.seal(secret, place(id)),
                0.0,
            )
