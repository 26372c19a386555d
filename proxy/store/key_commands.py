"""`headrace keys`: virtual keys made, listed and revoked in the database, with or without a worker running.

Each gives the exit code: 0, 1 for a database that is not there, 2 for what cannot be done as it was asked. A key that
is made goes to stdout, alone and once; what is said to a person goes to stderr.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from proxy.store import keyring, keys
from proxy.store.base import Store, StoreBroken, StoreDown
from proxy.store.console import DOWN, OK, UNUSABLE, answer, say
from proxy.store.opening import open_store

if TYPE_CHECKING:
    from proxy.core.config.schema import Config
    from proxy.core.vault import Vault
    from proxy.store.keys import Listed


def create(config: Config, name: str, body: Mapping[str, Any], *, as_json: bool = False) -> int:
    """Make a key called `name`; `body` has the other fields of `keys` in the configuration file."""

    async def work(store: Store, vault: Vault) -> int:
        made = await keys.create(store, vault, config, name, body)
        for warning in made.warnings:
            say(f"warning: {warning}")
        say(f"made the key '{made.name}', with the id {made.id}; it is shown this once")
        key = made.key.reveal()
        answer({"id": made.id, "name": made.name, "key": key} if as_json else key)
        return OK

    return with_vault(config, work)


def show(config: Config, *, as_json: bool = False) -> int:
    """List every virtual key, without the keys."""

    async def work(store: Store, _vault: Vault) -> int:
        found = await keys.listing(store, config)
        if as_json:
            answer([_described(one) for one in found])
        else:
            answer(_table([("ID", "NAME", "KEY", "MODELS", "EXPIRES", "TEAM"), *map(_row, found)]))
        return OK

    return with_vault(config, work)


def revoke(config: Config, target: str, *, as_json: bool = False) -> int:
    """Delete the key with this name or id."""

    async def work(store: Store, _vault: Vault) -> int:
        gone = await keys.revoke(store, config, target)
        say(f"revoked the key '{gone.name}': workers refuse it within seconds")
        if as_json:
            answer({"id": gone.id, "name": gone.name})
        return OK

    return with_vault(config, work)


def with_vault(config: Config, work: Callable[[Store, Vault], Awaitable[int]]) -> int:
    """Do something with the opened store and its master keys."""

    async def run() -> int:
        if not config.store.url:
            raise ValueError("the configuration has no database: 'store.url' is empty")
        store = open_store(config.store.url)
        try:
            await store.open()
            vault = keyring.vault(config, sealed=await keyring.holds_secrets(store))
            if vault is None:
                raise ValueError("there is no master key: set 'secrets.keys' in the configuration")
            return await work(store, vault)
        finally:
            await store.close()

    try:
        return asyncio.run(run())
    except StoreDown as error:
        say(f"the database does not answer: {error}")
        return DOWN
    except (StoreBroken, ValueError) as error:
        say(str(error))
        return UNUSABLE


def _described(one: Listed) -> dict[str, Any]:
    return {
        **one.spec,
        "id": one.id,
        "name": one.name,
        "source": one.source,
        "key_id": one.key_id,
        "last4": one.last4,
        "created": one.created,
    }


def _row(one: Listed) -> tuple[str, ...]:
    spec = one.spec
    shown = f"sk-hr-{one.key_id}-…{one.last4}" if one.key_id else f"…{one.last4}"
    expires = spec.get("expires")
    if isinstance(expires, int | float):
        expires = datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%dT%H:%MZ")
    return (
        one.id if one.source == "store" else "-",
        one.name,
        shown if one.source == "store" else "in the file",
        ",".join(spec.get("models") or ["*"]),
        "disabled" if spec.get("enabled") is False else str(expires or "-"),
        str(spec.get("team") or "-"),
    )


def _table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)
