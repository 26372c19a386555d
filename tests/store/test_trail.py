"""A row of the audit log says what it is told, and no more."""

from __future__ import annotations

from proxy.store import trail
from proxy.store.opening import Database


async def test_a_row_has_what_is_said_and_nothing_else(store: Database) -> None:
    await trail.add(
        store, "command:otto", "key.delete", "key", 7, "k", before={"rpm": 1}, revision=9
    )
    await trail.add(store, "token", "reload", "signal", peer="10.1.2.3", request="r-7", after={})

    asked = (
        "SELECT principal, peer, request, action, kind, object, name, before, after, revision"
        " FROM audit ORDER BY id"
    )
    assert await store.fetch(asked) == [
        ("command:otto", "", "", "key.delete", "key", 7, "k", '{"rpm":1}', None, 9),
        ("token", "10.1.2.3", "r-7", "reload", "signal", None, "", None, "{}", None),
    ]
