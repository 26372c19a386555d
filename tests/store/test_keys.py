"""Keys made in the store: checked as the file is, kept as digests, noted in the audit log, seen by whoever follows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from proxy.core import virtual_key
from proxy.core.config import parse
from proxy.core.config.schema import Config
from proxy.core.records import Kind
from proxy.core.secret import Secret
from proxy.core.vault import Vault
from proxy.store import keys, objects, peppers
from proxy.store.base import Store
from proxy.store.opening import open_store

VAULT = Vault([Secret("r8Kq2mZx0VbTn4Wc7LpYs1HdJf6GuAeE")])


def config(text: str = "keys: [{name: in-file, key: sk-of-the-file-1}]") -> Config:
    return parse(text, "headrace.yaml", {}).config


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    one = open_store(store_url)
    await one.open()
    yield one
    await one.close()


async def audit(store: Store) -> list[dict[str, Any]]:
    """What the audit log says."""
    names = ("principal", "action", "name", "before", "after", "revision")
    rows = await store.fetch(
        "SELECT principal, action, name, before, after, revision FROM audit ORDER BY id"
    )
    return [dict(zip(names, row, strict=True)) for row in rows]


async def test_a_key_that_is_made_is_found_by_its_digest(store: Store) -> None:
    made = await keys.create(store, VAULT, config(), "app", {"models": ["gpt-*"], "team": "red"})

    text = made.key.reveal()
    [record] = await objects.changes(store, 0)
    [pepper], _ = peppers.opened(await peppers.rows(store), VAULT)
    [kept] = virtual_key.digests(record.private)
    assert virtual_key.is_wellformed(text)
    assert bytes.fromhex(kept.digest) == virtual_key.digest(text, pepper)
    assert (record.kind, record.id, record.revision, record.name) == (
        "key",
        made.id,
        made.id,
        "app",
    )
    assert orjson.loads(record.spec) == {"models": ["gpt-*"], "team": "red"}
    assert (await objects.mark(store)).revision == made.id


async def test_what_is_noted_of_it_does_not_open_anything(store: Store) -> None:
    made = await keys.create(store, VAULT, config(), "app", {})
    await keys.revoke(store, config(), "app")

    first, last = await audit(store)
    assert (first["action"], first["name"], first["revision"]) == ("key.create", "app", made.id)
    assert first["principal"].startswith("command:")
    assert last["action"] == "key.delete"
    assert last["after"] is None
    [pepper], _ = peppers.opened(await peppers.rows(store), VAULT)
    digest = virtual_key.digest(made.key.reveal(), pepper).hex()
    for text in (made.key.reveal(), made.key.reveal()[15:40], digest, pepper.secret.hex()):
        assert text not in orjson.dumps([first, last]).decode()


@pytest.mark.parametrize(
    ("name", "body", "said"),
    [
        ("in-file", {}, "in-file"),
        ("taken", {}, "taken"),
        ("", {}, "name"),
        ("app", {"modles": ["x"]}, "modles"),
        ("app", {"cidrs": ["10.0.0.0/33"]}, "cidrs"),
        ("app", {"expires": "soon"}, "expires"),
    ],
)
async def test_what_is_wrong_is_said_and_nothing_is_written(
    store: Store, name: str, body: dict[str, Any], said: str
) -> None:
    await keys.create(store, VAULT, config(), "taken", {})
    before = await objects.mark(store)

    with pytest.raises(keys.Refused, match=said):
        await keys.create(store, VAULT, config(), name, body)

    assert await objects.mark(store) == before
    assert len(await objects.changes(store, 0)) == 1


async def test_peppers_that_do_not_open_make_no_keys(store: Store) -> None:
    await peppers.ensure(store, VAULT)
    other = Vault([Secret("aZ3xC6vB9nM2qW5eR8tY1uI4oP7sD0fG")])

    with pytest.raises(keys.Refused, match="pepper"):
        await keys.create(store, other, config(), "app", {})


async def test_a_key_is_revoked_by_name_or_by_id(store: Store) -> None:
    by_name = await keys.create(store, VAULT, config(), "one", {})
    by_id = await keys.create(store, VAULT, config(), "two", {})
    kept = await keys.create(store, VAULT, config(), "three", {})

    gone = [
        await keys.revoke(store, config(), "one"),
        await keys.revoke(store, config(), str(by_id.id)),
    ]

    assert [record.id for record in gone] == [by_name.id, by_id.id]
    assert [record.id for record in await objects.changes(store, 0)] == [kept.id]
    changed = await objects.changes(store, kept.id)
    assert [(record.id, record.deleted, record.private) for record in changed] == [
        (by_name.id, True, b""),
        (by_id.id, True, b""),
    ]


async def test_a_number_is_an_id_before_it_is_a_name(store: Store) -> None:
    first = await keys.create(store, VAULT, config(), "first", {})
    await keys.create(store, VAULT, config(), str(first.id), {})
    await keys.create(store, VAULT, config(), "99", {})

    assert (await keys.revoke(store, config(), str(first.id))).name == "first"
    assert (await keys.revoke(store, config(), "99")).name == "99"
    assert (await keys.revoke(store, config(), str(first.id))).name == str(first.id)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("in-file", "configuration file"),
        ("none", "no key"),
        ("7" * 30, "no key"),
        ("\u0663", "no key"),
    ],
)
async def test_what_is_not_there_is_not_revoked(store: Store, target: str, said: str) -> None:
    with pytest.raises(keys.Refused, match=said):
        await keys.revoke(store, config(), target)


async def test_a_revoked_name_is_free_again(store: Store) -> None:
    first = await keys.create(store, VAULT, config(), "app", {})
    await keys.revoke(store, config(), "app")
    second = await keys.create(store, VAULT, config(), "app", {})

    assert second.id != first.id
    assert second.key != first.key


async def test_a_list_shows_all_and_gives_none_away(store: Store) -> None:
    made = await keys.create(store, VAULT, config(), "app", {"models": ["a", "b*"]})

    file, mine = await keys.listing(store, config())

    assert (file.source, file.name, file.last4) == ("file", "in-file", "")
    assert "sk-of-the-file-1" not in repr(file)
    assert (mine.source, mine.id, mine.name) == ("store", str(made.id), "app")
    assert mine.spec == {"models": ["a", "b*"]}
    text = made.key.reveal()
    assert text == f"sk-hr-{mine.key_id}-{text[15:-4]}{mine.last4}"
    assert text[15:-4] not in repr(mine)


async def test_a_key_of_the_store_is_no_key_of_a_dump(store: Store) -> None:
    """I23: neither a key nor what would make one is in any row."""
    made = await keys.create(store, VAULT, config(), "app", {})
    [pepper], _ = peppers.opened(await peppers.rows(store), VAULT)

    rows = [
        *await store.fetch("SELECT kind, name, spec, sealed, private FROM objects"),
        *await store.fetch("SELECT id, sealed FROM peppers"),
        *await store.fetch("SELECT principal, name, before, after FROM audit"),
    ]
    dump = repr(rows)
    text = made.key.reveal()
    assert Kind.KEY.value in dump
    for secret in (text, text[15:], text[15:-6], pepper.secret.hex(), repr(pepper.secret)[2:-1]):
        assert secret not in dump
