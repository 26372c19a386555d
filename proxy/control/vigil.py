"""What a worker does about health while nobody asks: hears from the others, compares, has deployments checked.

when rung take over what other workers of the host have written, at most every 50 ms; so often where there are no bells
1 s      compare the pace of deployments; and, in one worker of the host, see who is to be checked (`probing`), and whether
         this host is the one of all that looks at what nobody uses (`leading`)
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from proxy.core.clock import monotonic
from proxy.state import siblings

if TYPE_CHECKING:
    from proxy.control.probing import Prober
    from proxy.limits.board import Board
    from proxy.state.live import Live

LOOK = 0.05
"""Seconds between two looks at what others have found out; until it is known to all, at most."""
TICK = 1.0


async def keep(live: Live, prober: Prober) -> None:
    """Until cancelled."""
    sharing = live.sharing
    due = monotonic() + TICK
    try:
        while True:
            if sharing is None:
                await asyncio.sleep(TICK)
            else:
                await _news(sharing.board, due - monotonic())
                sharing.look()
            now = monotonic()
            if now >= due:
                due = now + TICK
                if live.groups:
                    siblings.compare(live, now)
                if sharing is None or sharing.board.lead():
                    prober.leading.begin()
                    if prober.due <= now:
                        prober.tick(now)
    finally:
        await prober.leading.close()
        prober.close()
        if sharing is not None:
            sharing.board.resign()


async def _news(board: Board, seconds: float) -> None:
    """Until another has written something, for so long at most, and never sooner than LOOK after the last time."""
    await asyncio.sleep(LOOK)
    if board.bell < 0 or seconds <= LOOK:
        return
    loop = asyncio.get_running_loop()
    rung = asyncio.Event()
    loop.add_reader(board.bell, rung.set)
    try:
        async with asyncio.timeout(seconds - LOOK):
            await rung.wait()
    except TimeoutError:
        return
    finally:
        loop.remove_reader(board.bell)
    board.answer()
