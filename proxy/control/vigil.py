"""What a worker does about health while nobody asks: hears from the others, compares, has deployments checked.

50 ms    take over what other workers of the host have written, where there are others (1 s: of the one before or after it)
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
    from proxy.state.live import Live

LOOK = 0.05
"""Seconds until what one worker has found out is known to all."""
TICK = 1.0


async def keep(live: Live, prober: Prober) -> None:
    """Until cancelled."""
    sharing = live.sharing
    due = monotonic() + TICK
    try:
        while True:
            await asyncio.sleep(TICK if sharing is None or sharing.single else LOOK)
            if sharing is not None:
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
