"""Where pages of statistics count, and from when on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proxy.control.admin.access import Principal, Role
from proxy.control.admin.counting import FLEET, LONGEST, WORKER, counted
from proxy.control.admin.web import Request
from proxy.core.clock import Hands, now
from proxy.store.ledger.booking import book
from tests.control.admin.counted import tried
from tests.control.admin.foreign import open_foreign
from tests.store.ledger.made import end


def request() -> Request:
    who = Principal("token", Role.OWNER)
    return Request("GET", "/v1/stats", {}, {}, b"", "", "r", principal=who)


@pytest.mark.parametrize(
    ("content", "scope"),
    [({}, FLEET), ({"ledger": {"path": ""}}, WORKER), ({"store": {"url": ""}}, WORKER)],
)
async def test_where_it_is_booked_it_is_everybodys(
    tmp_path: Path, content: dict[str, Any], scope: str
) -> None:
    async with open_foreign(tmp_path, **content) as desk:
        state = desk.services.state
        tried(state, state.snapshot.models["filed"].tiers[0][0], "ok", 3)
        found = await counted(request(), desk.services)

    assert found.scope == scope
    assert found.rows[0].requests == (3 if scope == WORKER else 0)


async def test_it_counts_a_month_until_somebody_resets_it(tmp_path: Path, hands: Hands) -> None:
    async with open_foreign(tmp_path) as desk:
        at = now()
        for rid, days in (("a", 0), ("b", 29), ("c", 32)):
            await book(desk.store, "here", [end(rid, at - days * 86_400)])
        before = await counted(request(), desk.services)
        hands.advance(1)
        await desk.services.sync.signal("stats.reset")
        after = await counted(request(), desk.services)

    assert before.requests["requests"] == 2
    assert 0 <= at - LONGEST - before.since < 3600
    assert (after.requests["requests"], after.since) == (0, at + 1)
