"""Connections that are there before somebody needs them: a cold one costs a look-up, a handshake of TCP and one of TLS.

Every few seconds as many connections as the provider is to have ready are borrowed at one time and given back. That
opens what is missing, and what is there stays in the pool. One that has been open for AGE is closed and another opened in
its place, because providers close idle ones after a minute, and the moment at which they do is the wrong one to be sent
a request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from proxy.core.clock import monotonic
from proxy.core.errors import UpstreamError
from proxy.core.log import logger
from proxy.upstream.pool import MAX_AGE

if TYPE_CHECKING:
    from proxy.core.model import Provider
    from proxy.upstream.pool import Release, Upstream, UpstreamPool

EVERY = 5.0
"""Seconds: well below `pool.KEEPALIVE`, after which the pool closes what is idle."""
AGE = 45.0
"""Seconds a connection is kept for nobody."""
TIMEOUT = 10.0
"""Seconds to open one."""


async def keep(pool: UpstreamPool, providers: Callable[[], Iterable[Provider]]) -> None:
    """Until cancelled. `providers`: those of the moment; of each `warm` connections are kept. Old ones are given up."""
    while True:
        for upstream in pool.upstreams():
            upstream.drop_old(MAX_AGE - EVERY - TIMEOUT)  # as long as until the next look, at most
        wanted = [provider for provider in providers() if provider.warm]
        await asyncio.gather(*(_keep(pool, provider) for provider in wanted))
        await asyncio.sleep(EVERY)


async def _keep(pool: UpstreamPool, provider: Provider) -> None:
    """Those of one. Whatever becomes of it, the others and the next look are not to end with it."""
    try:
        await warm(pool.of(provider), provider.warm)
    except Exception:
        logger.exception("connections to %s cannot be kept", provider.name)


async def warm(upstream: Upstream, count: int) -> int:
    """Have `count` connections, those in use among them; how many are idle now. Failures are the requests' to meet."""
    most = upstream.provider.max_connections
    count = (min(count, most) if most else count) - upstream.busy
    held: list[Release] = []
    try:
        while len(held) < count:
            connection, release = await upstream.connect(TIMEOUT)
            if connection.served and monotonic() - connection.born > AGE:
                connection.close()
                release()
                continue
            held.append(release)
            connection.served = connection.served or 1  # it waits from now on, and may go stale
    except UpstreamError as error:
        logger.debug("no warm connection to %s: %s", upstream.provider.name, error.cause)
    finally:
        for release in held:
            release()
    return upstream.idle
