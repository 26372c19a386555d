"""Others are served while many things are gone through, and nothing is left out."""

from __future__ import annotations

import asyncio

from proxy.control.admin.turns import TURN, turns


async def test_others_are_served_while_many_are_shown() -> None:
    ran: list[int] = []
    loop = asyncio.get_running_loop()

    seen: list[int] = []
    async for item in turns(range(4 * TURN)):
        if not item:
            loop.call_soon(lambda: ran.append(len(seen)))
        seen.append(item)

    assert seen == list(range(4 * TURN))
    assert ran == [TURN]
