"""What virtual keys are hashed with is made once, and lies in the database sealed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from proxy.core.secret import Secret
from proxy.core.vault import Vault
from proxy.core.virtual_key import Pepper
from proxy.store import keyring, peppers
from proxy.store.base import Store
from proxy.store.opening import open_store

KEY = "Jq7vT2mXc9Lr4KfWz8Pb1NsYd6HgEa3U"
OTHER = "aZ3xC6vB9nM2qW5eR8tY1uI4oP7sD0fG"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    one = open_store(f"sqlite:///{tmp_path}/store.db")
    await one.open()
    yield one
    await one.close()


async def test_whoever_is_first_makes_a_pepper(store: Store, tmp_path: Path) -> None:
    vault = Vault([Secret(KEY)])
    other = open_store(f"sqlite:///{tmp_path}/store.db")
    assert not await keyring.holds_secrets(store)

    mine, theirs = await peppers.ensure(store, vault), await peppers.ensure(other, vault)
    await other.close()

    assert mine == theirs == await peppers.rows(store)
    assert await keyring.holds_secrets(store)
    found, problems = peppers.opened(mine, vault)
    assert (len(found), problems) == (1, ())
    assert len(found[0].secret) == peppers.SIZE
    assert found[0].secret.hex() not in mine[0].sealed


async def test_what_was_opened_before_is_not_opened_again(store: Store) -> None:
    vault = Vault([Secret(KEY)])
    rows = await peppers.ensure(store, vault)
    [pepper], _ = peppers.opened(rows, vault)
    marked = {rows[0]: b"as it was"}

    assert peppers.opened(rows, vault, marked)[0] == (Pepper(pepper.id, b"as it was"),)
    assert peppers.opened([replace(rows[0], id="moved")], vault, marked)[0] == ()
    for other in (None, Vault([Secret(OTHER)])):  # whoever has not the key has not what it opened
        assert peppers.opened(rows, other, marked)[0] == ()


async def test_one_that_does_not_open_is_named(store: Store) -> None:
    [row] = await peppers.ensure(store, Vault([Secret(KEY)]))

    for vault in (None, Vault([Secret(OTHER)])):
        found, problems = peppers.opened([row], vault)
        assert found == ()
        assert len(problems) == 1
        assert row.id in problems[0]
