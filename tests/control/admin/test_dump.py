"""What a stolen copy of the database gives (I23), and what a changed one does (I24): nothing."""

from __future__ import annotations

import sqlite3
from base64 import b64encode, urlsafe_b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from proxy.control.admin.access import Role
from proxy.control.admin.routes import all_routes
from proxy.core import virtual_key
from proxy.core.records import Kind
from proxy.core.vault import kid_of
from proxy.state.compiler import Compiler
from proxy.state.mirror import Mirror
from proxy.store import objects, peppers
from tests.control.admin.desk import MASTER, PASSWORD, TOKEN, Desk, open_desk

ROUTES = all_routes()
UPSTREAM = "upstream-Qm4xZt9vKc2w"
HEADER, QUERY, ROUTE = "header-Lp8sYb3nRd6f", "query-Wj5hGt1kXv7c", "proxy-Nz2mCq9bTs4r"


@pytest.fixture
async def full(tmp_path: Path) -> AsyncIterator[Desk]:
    """A desk with all routes, and one of everything that has a secret."""
    async with open_desk(tmp_path, ROUTES) as desk:
        yield desk


async def made(desk: Desk, path: str, body: dict[str, Any]) -> Any:
    said = await desk.owner("POST", path, body)
    assert said.status == 201, said.body
    return said.json


async def provider(desk: Desk, name: str, key: str) -> tuple[int, int]:
    """A provider with secrets of every kind: its id and its credential's."""
    fields = {
        "name": name,
        "base_url": f"https://{name}.example.com",
        "headers": {"x-account": HEADER},
        "query": {"account": QUERY},
        "proxy": f"http://user:{ROUTE}@proxy.example.com:3128",
    }
    outer = await made(desk, "/admin/providers", fields)
    inner = await made(desk, "/admin/credentials", {"provider": name, "key": key})
    return outer["id"], inner["id"]


def spellings(secret: str) -> list[bytes]:
    """How it might have been written down."""
    raw = secret.encode()
    return [raw, b64encode(raw).rstrip(b"="), urlsafe_b64encode(raw).rstrip(b"="),
            raw.hex().encode(), quote(secret).encode()]  # fmt: skip


async def test_a_copy_of_the_files_opens_nothing(full: Desk) -> None:
    await provider(full, "acme", UPSTREAM)
    key = (await made(full, "/admin/keys", {"name": "app"}))["key"]
    rotated = await full.owner("POST", "/admin/keys/app/rotate", {"overlap": 60})
    await full.user("anna", Role.OWNER)
    session = await full.session("anna")
    token = await full.token("ci", Role.OPERATOR)
    sync = full.services.sync
    assert sync.peppers

    secrets = {
        "upstream key": UPSTREAM,
        "header": HEADER,
        "query": QUERY,
        "proxy": ROUTE,
        "virtual key": key,
        "most of it": key[15:-6],
        "the rotated one": rotated.json["key"],
        "password": PASSWORD,
        "session": session.headers["cookie"].partition("=")[2],
        "service token": token.headers["authorization"].removeprefix("Bearer "),
        "admin token": TOKEN,
        "master key": MASTER,
        "pepper": sync.peppers[0].secret.hex(),
    }
    dump = b"".join(path.read_bytes() for path in full.file.parent.glob("headrace.db*"))
    assert b"acme" in dump  # it is the database
    assert b"anna" in dump
    for what, secret in secrets.items():
        for spelling in spellings(secret):
            assert spelling not in dump, what
    assert sync.peppers[0].secret not in dump


async def test_what_is_in_the_database_is_not_what_a_client_presents(full: Desk) -> None:
    """What was stolen is hashed once more when it is presented: a digest is no key."""
    await made(full, "/admin/keys", {"name": "app"})
    keys = full.services.sync
    snapshot_keys = (
        Compiler()
        .compile(keys.config, keys.mirror, [str(kind) for kind in Kind], keys.vault, keys.peppers)
        .snapshot.keys
    )
    [digest] = snapshot_keys

    for stolen in (digest.hex(), digest.decode("latin-1")):
        assert virtual_key.digest(stolen, keys.peppers[0]) not in snapshot_keys


async def test_without_the_master_key_no_pepper_and_no_secret_opens(full: Desk) -> None:
    await provider(full, "acme", UPSTREAM)
    rows = await peppers.rows(full.store)
    found, problems = peppers.opened(rows, None)

    assert found == ()
    assert len(problems) == len(rows) == 1


async def test_a_secret_moved_to_another_row_takes_its_provider_out(full: Desk) -> None:
    """I24: a credential of one provider in the row of another would be sent to the other's host."""
    _, mine = await provider(full, "mine", UPSTREAM)
    _, theirs = await provider(full, "theirs", "upstream-of-theirs")
    await provider(full, "well", "upstream-of-well")
    with sqlite3.connect(full.file) as database:
        rows = dict(
            database.execute("SELECT id, sealed FROM objects WHERE kind = 'credential'").fetchall()
        )
        for id, other in ((mine, theirs), (theirs, mine)):
            database.execute(
                "UPDATE objects SET sealed = ? WHERE kind = 'credential' AND id = ?",
                (rows[other], id),
            )
    database.close()
    sync = full.services.sync
    assert sync.vault is not None
    assert kid_of(rows[mine]) == sync.vault.kids[0]  # nothing is wrong with the values themselves

    mirror = Mirror()
    mirror.replace(await objects.changes(full.store, 0))
    compiled = Compiler().compile(
        sync.config, mirror, [str(kind) for kind in Kind], sync.vault, sync.peppers
    )

    assert set(compiled.snapshot.providers) == {"well"}
    for name in ("mine", "theirs"):
        assert any(name in problem for problem in compiled.problems), compiled.problems
    assert UPSTREAM not in repr(compiled.problems)


async def test_a_secret_that_was_changed_takes_its_provider_out(full: Desk) -> None:
    outer, _ = await provider(full, "acme", UPSTREAM)
    with sqlite3.connect(full.file) as database:
        [(sealed,)] = database.execute(
            "SELECT sealed FROM objects WHERE kind = 'provider' AND id = ?", (outer,)
        ).fetchall()
        last = "A" if sealed[-2] != "A" else "B"
        database.execute(
            "UPDATE objects SET sealed = ? WHERE kind = 'provider' AND id = ?",
            (sealed[:-2] + last + sealed[-1], outer),
        )
    database.close()
    sync = full.services.sync

    mirror = Mirror()
    mirror.replace(await objects.changes(full.store, 0))
    compiled = Compiler().compile(
        sync.config, mirror, [str(kind) for kind in Kind], sync.vault, sync.peppers
    )

    assert compiled.snapshot.providers == {}
    assert any("acme" in problem for problem in compiled.problems), compiled.problems
