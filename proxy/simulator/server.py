"""The simulator as a process: one loop, one listener, until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from typing import TYPE_CHECKING

import uvloop

from proxy.core.tls import Termination
from proxy.simulator.connection import Connection
from proxy.simulator.world import World

if TYPE_CHECKING:
    from proxy.core.tls import Identity


class Simulator:
    """A listening simulator, to be closed like an `asyncio.Server`."""

    __slots__ = ("host", "port", "server", "world")

    def __init__(self, server: asyncio.Server, world: World) -> None:
        self.server = server
        self.world = world
        self.host, self.port = server.sockets[0].getsockname()[:2]

    def close(self) -> None:
        """Stop listening and cut every connection."""
        self.server.close()
        for transport in list(self.world.transports):
            transport.abort()

    async def wait_closed(self) -> None:
        await self.server.wait_closed()


async def start(host: str, port: int, identity: Identity | None = None) -> Simulator:
    """Listen; port 0 picks a free one. With an `identity` it speaks TLS."""
    loop = asyncio.get_running_loop()
    world = World()
    tls = Termination("simulator")
    tls.identity = identity
    factory = tls.over(lambda: Connection(world, loop))
    server = await loop.create_server(factory, host, port, backlog=4096)
    return Simulator(server, world)


async def _serve(host: str, port: int, identity: Identity | None, *, tied: bool) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if tied:
        loop.add_reader(0, stop.set)  # nobody writes there: it is its end that can be read
    simulator = await start(host, port, identity)
    # Everything made so far lives as long as the process, and requests make no cycles worth finding.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    sys.stderr.write(f"listening on {simulator.host}:{simulator.port}\n")
    sys.stderr.flush()
    await stop.wait()
    if tied:
        loop.remove_reader(0)
    simulator.close()
    await simulator.wait_closed()


def main(host: str, port: int, identity: Identity | None = None, *, tied: bool = False) -> None:
    """Run until SIGTERM or SIGINT; `tied`: also no longer than whoever holds the other end of the pipe that is its input."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(host, port, identity, tied=tied))
