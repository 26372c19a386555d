"""What a worker does about health while nobody asks: hears from the others, compares, has deployments checked.

when rung take over what other workers of the host have written, at most every 50 ms; so often where there are no bells
1 s      compare the pace of deployments; and, in one worker of the host, see who is to be checked (`probing`), and whether
         this host is the one of all that looks at what nobody uses (`leading`)
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from proxy.core.clock import monotonic
from proxy.core.tasks import until_beat
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
    looked = monotonic()
    due = looked + until_beat(TICK)
    try:
        while True:
            if sharing is None:
                await asyncio.sleep(until_beat(TICK))
            else:
                await _news(sharing.board, looked + LOOK, due)
                sharing.look()
            now = looked = monotonic()
            if now >= due:
                due = now + until_beat(TICK)
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


async def _news(board: Board, soonest: float, latest: float) -> None:
    """Until another has written something, between these two moments."""
    now = monotonic()
    if board.bell < 0:
        await asyncio.sleep(max(soonest - now, 0.0))
        return
    if await _rings(board.bell, latest - now):
        await asyncio.sleep(max(soonest - monotonic(), 0.0))
        board.answer()


async def _rings(bell: int, seconds: float) -> bool:
    """Within so long."""
    loop = asyncio.get_running_loop()
    rung = asyncio.Event()
    loop.add_reader(bell, rung.set)
    try:
        async with asyncio.timeout(seconds):
            await rung.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(bell)
    return True
