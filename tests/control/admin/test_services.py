"""What handlers work with follows the fleet's signals, and says plainly when there is no store."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.control.admin.services import needs_store
from proxy.control.admin.web import Problem
from proxy.core.clock import Hands
from tests.control.admin.foreign import open_foreign


async def test_a_signal_to_reset_moves_the_mark(tmp_path: Path, hands: Hands) -> None:
    async with open_foreign(tmp_path, store={"url": ""}) as desk:
        began = desk.services.marks.since
        hands.advance(5)

        await desk.services.sync.signal("stats.reset")

        assert desk.services.marks.since == began + 5


async def test_what_needs_a_store_says_that_there_is_none(tmp_path: Path) -> None:
    async with open_foreign(tmp_path, store={"url": ""}) as desk:
        with pytest.raises(Problem) as caught:
            needs_store(desk.services)
        refused = await desk.owner(
            "POST", "/admin/groups", {"groupName": "a", "providerType": "openai"}
        )
        status = await desk.owner("GET", "/admin/status")

    assert (caught.value.status, caught.value.code) == (503, "no_store")
    assert (refused.status, refused.code) == (503, "no_store")
    assert status.json["store"] is None
    assert len(status.json["workers"]) == 1


async def test_a_store_is_given_to_who_needs_it(tmp_path: Path) -> None:
    async with open_foreign(tmp_path) as desk:
        assert needs_store(desk.services) is desk.services.sync.store
