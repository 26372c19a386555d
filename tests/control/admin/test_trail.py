"""Rows of the audit log, in the transaction of what they tell of."""

from __future__ import annotations

import pytest

from proxy.control.admin.access import Principal, Role
from proxy.control.admin.trail import note
from proxy.control.admin.web import Request
from tests.control.admin.desk import Desk


def request(principal: Principal | None = None) -> Request:
    return Request("POST", "/x", {}, {}, b"", "10.1.2.3", "r-7", principal=principal)


_ALL = "SELECT principal, peer, request, action, kind, object, name, before, after FROM audit"


async def test_a_row_says_who_what_and_from_where(desk: Desk) -> None:
    anna = Principal("user:anna", Role.ADMIN)

    await note(desk.store, request(anna), "made", "thing", 7, "x", before={"a": 1}, after={"a": 2})
    await note(desk.store, request(), "tried", "thing")
    await note(desk.store, request(), "login", "user", principal="user:otto")

    assert await desk.store.fetch(_ALL + " ORDER BY id") == [
        ("user:anna", "10.1.2.3", "r-7", "made", "thing", 7, "x", '{"a":1}', '{"a":2}'),
        ("nobody", "10.1.2.3", "r-7", "tried", "thing", None, "", None, None),
        ("user:otto", "10.1.2.3", "r-7", "login", "user", None, "", None, None),
    ]


async def undone(desk: Desk) -> None:
    async with desk.store.transaction() as session:
        await note(session, request(), "made", "thing")
        raise ZeroDivisionError


async def test_what_is_taken_back_leaves_no_row(desk: Desk) -> None:
    with pytest.raises(ZeroDivisionError):
        await undone(desk)

    assert await desk.store.fetch(_ALL) == []
