"""One serving process: builds what the data plane needs, listens, and leaves without cutting anyone off."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

import aiohttp
import orjson
import uvloop
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy

from proxy import __version__
from proxy.control import exposition, health
from proxy.control.listener import admin_server
from proxy.core import redact, tasks
from proxy.core.errors import ProxyError
from proxy.core.log import logger
from proxy.core.metrics import Metrics
from proxy.dialects import render_error
from proxy.gateway import endpoints
from proxy.gateway.server import Gateway, Page
from proxy.state.live import Live
from proxy.state.state import State
from proxy.upstream.pool import UpstreamPool

if TYPE_CHECKING:
    from proxy.core.model import Snapshot

BACKLOG = 4096
LAG_INTERVAL = 0.1
JSON = "application/json; charset=utf-8"

Load = Callable[[], "Snapshot"]
"""Reads the configuration anew. Raises ValueError, whose text lists every problem, and nothing changes."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket: made once, inherited by workers. Port 0 picks a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


class Worker:
    """The composition root of one process."""

    def __init__(self, snapshot: Snapshot, name: str = "0") -> None:
        if HttpRequestParser is HttpRequestParserPy:
            # Most of aiohttp's parser advisories concern the pure-Python one.
            raise RuntimeError(
                "aiohttp was installed without its C parser: install it from a wheel"
            )
        metrics = Metrics(name, version=__version__, aiohttp=aiohttp.__version__)
        self.state = State(snapshot, Live(), metrics)
        self.pool = UpstreamPool()
        self.gateway = Gateway(
            self.state, self.pool, {**self._pages(), "/metrics": self._metrics_for_all}
        )
        self._servers: list[asyncio.Server] = []
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        watch(self.state, self.pool)
        self.use(snapshot)

    def use(self, snapshot: Snapshot) -> None:
        """Serve new requests from `snapshot`; running ones keep theirs."""
        state = self.state
        state.use(snapshot)
        models = {model.name for model in snapshot.models.values()}
        models.update(model.name for _, model in snapshot.wildcards)
        state.metrics.allow(models, snapshot.providers, state.live.deployments)
        state.metrics.config_version.inc()
        for provider in snapshot.providers.values():
            for credential in provider.credentials:
                redact.register(credential.secret.reveal())

    async def run(
        self, api: socket.socket, admin: socket.socket | None, load: Load | None = None
    ) -> None:
        """Serve until SIGTERM or SIGINT, then drain; SIGHUP reads the configuration anew."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        if load is not None:
            loop.add_signal_handler(signal.SIGHUP, self.reload, load)
        await self.start(api, admin)
        lag = tasks.spawn(self._measure_lag(), name="loop lag")
        await self._stop.wait()
        lag.cancel()
        await self.close(self.state.snapshot.server.drain)

    async def start(self, api: socket.socket, admin: socket.socket | None) -> None:
        """Listen on these sockets."""
        loop = asyncio.get_running_loop()
        self._servers.append(await loop.create_server(self.gateway.connection, sock=api))
        if admin is not None:
            pages = admin_server(self._pages(), lambda: self.state.snapshot.admin.token)
            self._servers.append(await loop.create_server(pages, sock=admin))
        self.state.metrics.worker_up.set(1)

    async def close(self, grace: float) -> None:
        """Stop accepting, let running requests end within `grace` seconds, cut the rest."""
        self.state.draining = True
        self.state.metrics.worker_up.set(0)
        for server in self._servers:
            server.close()
        drained = tasks.spawn(self.gateway.drain(grace), name="drain")
        hurried = tasks.spawn(self._hurry.wait(), name="second signal")
        await asyncio.wait({drained, hurried}, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        if not drained.done():
            await self.gateway.drain(5.0)
        await self.pool.close()

    def reload(self, load: Load) -> None:
        """Swap in what `load` gives; a bad configuration never replaces a good one."""
        try:
            snapshot = load()
        except ValueError as error:
            logger.error("configuration not reloaded:\n%s", error)
            return
        self.use(snapshot)
        current = frozenset(snapshot.providers.values())
        tasks.spawn(self.pool.retire(current), name="retire upstreams")
        logger.info("configuration reloaded")

    def _signalled(self) -> None:
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def _measure_lag(self) -> None:
        observe = self.state.metrics.loop_lag.observe
        while True:
            due = monotonic() + LAG_INTERVAL
            await asyncio.sleep(LAG_INTERVAL)
            observe(max(0.0, monotonic() - due))

    # pages

    def _pages(self) -> dict[str, Page]:
        pages: dict[str, Page] = {
            "/": self._index,
            "/health": self._health,
            "/metrics": self._metrics,
        }
        pages |= dict.fromkeys(("/health/live", "/livez"), self._live)
        pages |= dict.fromkeys(("/health/ready", "/readyz"), self._ready)
        return pages

    def _index(self) -> tuple[int, str, bytes]:
        content = {"name": "headrace", "version": __version__, "endpoints": endpoints.paths()}
        return 200, JSON, orjson.dumps(content)

    def _health(self) -> tuple[int, str, bytes]:
        state = self.state
        status, content = health.health(
            state.snapshot, state.live, state.metrics, state.started, draining=state.draining
        )
        return status, JSON, orjson.dumps(content)

    def _live(self) -> tuple[int, str, bytes]:
        status, content = health.live()
        return status, JSON, orjson.dumps(content)

    def _ready(self) -> tuple[int, str, bytes]:
        state = self.state
        status, content = health.ready(state.snapshot, state.live, draining=state.draining)
        return status, JSON, orjson.dumps(content)

    def _metrics_for_all(self) -> tuple[int, str, bytes]:
        """On the API port, where they can be switched off."""
        if self.state.snapshot.server.metrics:
            return self._metrics()
        status, _, content = render_error("openai", ProxyError("no_route"), "")
        return status, JSON, content

    def _metrics(self) -> tuple[int, str, bytes]:
        page = exposition.render([self.state.metrics.registry.snapshot()])
        return 200, exposition.CONTENT_TYPE, page


def watch(state: State, pool: UpstreamPool) -> None:
    """Gauges that are read at scrape, not kept while requests run."""
    live, metrics = state.live, state.metrics
    health.watch(metrics, live)
    metrics.target_inflight.watch(
        lambda: [((id,), target.inflight) for id, target in live.deployments.items()]
    )
    metrics.upstream_connections.watch(
        lambda: [
            ((upstream.provider.name, kind), number)
            for upstream in pool.upstreams()
            for kind, number in (("busy", upstream.busy), ("idle", upstream.idle))
        ]
    )
    metrics.upstream_connections_opened.watch(
        lambda: [((one.provider.name, "cold"), one.opened) for one in pool.upstreams()]
    )


def serve(
    snapshot: Snapshot,
    api: socket.socket,
    admin: socket.socket | None,
    load: Load | None = None,
    *,
    name: str = "0",
    ready: Callable[[], None] | None = None,
) -> None:
    """Run one worker in this process until it is told to stop."""

    async def main() -> None:
        worker = Worker(snapshot, name)
        if ready is not None:
            asyncio.get_running_loop().call_soon(ready)
        await worker.run(api, admin, load)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
