"""One serving process: builds what the data plane needs, listens, and leaves without cutting anyone off."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Callable
from importlib import import_module
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import aiohttp
import orjson
import uvloop
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy

from proxy import __version__
from proxy.control import exposition, gauges, health, memory, vigil
from proxy.control.annex import Annex
from proxy.control.leading import Leading
from proxy.control.probing import Prober
from proxy.control.renewing import Terminations
from proxy.core import berths, log, redact, tasks
from proxy.core.errors import ProxyError
from proxy.core.listeners import url_of
from proxy.core.log import logger
from proxy.core.memory import give_back
from proxy.core.metrics import Metrics
from proxy.dialects import render_error
from proxy.gateway import endpoints
from proxy.gateway.door import Door
from proxy.gateway.server import Gateway, Page, Said
from proxy.orders import Orders
from proxy.recording import Recording
from proxy.state.lag import REST
from proxy.state.live import Live
from proxy.state.state import State
from proxy.tether import BEAT, REFUSED, Tether
from proxy.upstream import warming
from proxy.upstream.pool import UpstreamPool

if TYPE_CHECKING:
    from proxy.control.admin.app import AdminApp
    from proxy.control.admin.services import Services
    from proxy.control.instance import Seat
    from proxy.control.sync import ConfigFile, Rehearsed, Sync
    from proxy.core.model import Provider, Server, Snapshot
    from proxy.state.sharing import Sharing
    from proxy.telemetry.telemetry import Telemetry

BACKLOG = 4096
JSON = "application/json; charset=utf-8"
RARELY = 10_000, 5, 20
"""When circles are looked for (`gc.set_threshold`): a request leaves none, and 4,000 streams that come at once, some hundred
objects each, are looked at as often as Python does by itself in a sixth of their time."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket: made once, inherited by workers. Port 0 picks a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


def delay(server: Server) -> float:
    """Seconds from a stop signal until nobody is taken in any more. Kubernetes takes us out of its lists meanwhile."""
    if server.drain_delay is not None:
        return server.drain_delay
    return 5.0 if "KUBERNETES_SERVICE_HOST" in os.environ else 0.0


def mask(provider: Provider) -> None:
    """Keep what it is sent that is secret out of the log, and out of what clients are told of its refusals."""
    for credential in provider.credentials:
        redact.register(credential.secret.reveal())
    redact.register_sent(provider.headers)
    redact.register_sent(provider.query)
    service = provider.conversation
    if service is not None:
        redact.register_sent(service.headers)
        redact.register_sent(service.create.headers)
    if provider.proxy is not None:
        password = urlsplit(provider.proxy).password or ""
        redact.register(password)
        redact.register(unquote(password))


class Worker:
    """The composition root of one process. Without a `file` it serves `snapshot` and nothing else."""

    def __init__(self, snapshot: Snapshot, name: str = "0", file: ConfigFile | None = None) -> None:
        if HttpRequestParser is HttpRequestParserPy:
            # Most of aiohttp's parser advisories concern the pure-Python one.
            raise RuntimeError(
                "aiohttp was installed without its C parser: install it from a wheel"
            )
        number = berths.number_of(name, snapshot.server.workers) if name.isdecimal() else name
        self._number = str(number)
        metrics = Metrics(self._number, version=__version__, aiohttp=aiohttp.__version__)
        self.state = State(snapshot, Live(sharing=_sharing(file, name)), metrics)
        self.pool = UpstreamPool()
        self.tls = Terminations()
        if file is not None and file.tls is not None:
            self.tls = file.tls
        else:
            self.tls.begin(snapshot)
        self.gateway = Gateway(self.state, self.pool, self._pages_for_all(), self.tls.api)
        self._name = name
        self.sync = None if file is None else self._sync(file, name)
        self._following: asyncio.Task[None] | None = None
        self._vigil: asyncio.Task[None] | None = None
        self._warming: asyncio.Task[None] | None = None
        self._recording = Recording(self.state, name, None if file is None else file.table)
        self._ops = None if file is None else file.ops
        self._seat: Seat | None = None
        if file is not None and file.instance is not None:
            self._seat = file.instance.seat(name, metrics.registry)
        self._publishing: asyncio.Task[None] | None = None
        self._memory: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._door: Door | None = None
        self._annex: Annex | None = None
        self._fewest: Callable[[int], int] | None = None
        """Of the clients that workers have, where there are several."""
        self._telemetry: Telemetry | None = None
        watch(self.state, self.pool)
        self.use(snapshot)

    def _sync(self, file: ConfigFile, name: str) -> Sync:
        from proxy.control.sync import Sync  # brings the configuration's reader with it

        sync = Sync(file, self.state, self.swap, name=name)
        sync.on("cache.clear", self._clear_caches)
        return sync

    def use(self, snapshot: Snapshot) -> bool:
        """Serve new requests from `snapshot`; running ones keep theirs. Whether more than virtual keys is new."""
        state = self.state
        state.metrics.config_version.inc()
        self._observe(snapshot)
        for secret in (snapshot.admin.token, snapshot.admin.password):
            if secret is not None:
                redact.register(secret)
        if not state.use(snapshot):
            return False
        models = {model.name for model in snapshot.models.values()}
        models.update(model.name for _, model in snapshot.wildcards)
        servers = {server.name for server in snapshot.mcp.values()}
        state.metrics.allow(
            models | servers, servers.union(snapshot.providers), state.live.deployments
        )
        for provider in snapshot.reached:
            mask(provider)
        return True

    def _observe(self, snapshot: Snapshot) -> None:
        """Log and trace as it says."""
        log.adjust(snapshot.logging)
        if self._telemetry is None:
            if not snapshot.tracing.enabled:
                return
            from proxy.telemetry.telemetry import Telemetry  # only where it is wanted

            self._telemetry = Telemetry(self.state)
        try:
            self._telemetry.use(snapshot)
        except ValueError as error:
            # A start asks first (`rehearse`). Whoever serves is worth more than its spans.
            log.logger.error("tracing stays as it was: %s", error)

    def swap(self, snapshot: Snapshot) -> None:
        """The same, and let go of the connections to providers that are no more as they were."""
        self.tls.use(snapshot)
        if self.use(snapshot):
            current = frozenset(snapshot.reached)
            tasks.spawn(self.pool.retire(current), name="retire upstreams")

    async def run(
        self,
        api: socket.socket,
        admin: socket.socket | None,
        ready: Callable[[], None] | None = None,
        *,
        strict: bool = True,
        tether: Tether | None = None,
    ) -> None:
        """Serve until SIGTERM or SIGINT, then drain; SIGHUP reads the configuration anew.

        `ready` is called once it serves. With a `tether` its supervisor says when to leave. Raises as `start` does.
        """
        loop = asyncio.get_running_loop()
        orders = self._orders = Orders(tether, self._alone)
        beating = None
        if tether is not None:
            if self.state.snapshot.server.workers > 1:
                self._fewest = tether.least
            tether.attach(loop, orders.heard)
            beating = tasks.spawn(self._beat(tether), name="heartbeat")
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, orders.signalled)
        if self.sync is not None:
            loop.add_signal_handler(signal.SIGHUP, self._hung_up, tether)
        await self.start(api, admin, strict=strict)
        if tether is None:
            self._alone(True)
        else:
            self._sign_of_life(tether)
            tether.takes(True)
        if ready is not None:
            ready()
        lag = tasks.spawn(self._measure_lag(), name="loop lag")
        await orders.leave.wait()
        lag.cancel()
        await self.leave(orders)
        if beating is not None:
            beating.cancel()

    async def _beat(self, tether: Tether) -> None:
        while True:
            self._sign_of_life(tether)
            await asyncio.sleep(tasks.until_beat(BEAT))

    def _sign_of_life(self, tether: Tether) -> None:
        usable = self._door is not None and self._ready()[0] == 200
        tether.beat(usable, self.gateway.connections)

    def _alone(self, alone: bool) -> None:
        """Whether another worker has the same number: one that takes this one's place, or that had it."""
        if self.state.accounts is not None:
            self.state.accounts.alone(alone)

    async def start(
        self, api: socket.socket, admin: socket.socket | None, *, strict: bool = True
    ) -> None:
        """Know what to serve, then listen on these sockets. Raises ValueError as `Sync.start` does."""
        if self.sync is not None:
            self.use(await self.sync.start(strict=strict))
            self.tls.use(self.state.snapshot)
            self.tls.renew()  # it may have been read when the worker before this one was started
            self._following = tasks.spawn(self.sync.run(), name="sync")
        await self._recording.start(None if self.sync is None else self.sync.store)
        leading = Leading(None if self.sync is None else self.sync.store)
        self.state.metrics.leader.watch(lambda: [((), int(leading.leads))])
        prober = Prober(self.state, self.pool, leading)
        self._vigil = tasks.spawn(vigil.keep(self.state.live, prober), name="vigil")
        self._warming = tasks.spawn(
            warming.keep(self.pool, lambda: self.state.snapshot.providers.values()), name="warming"
        )
        if self.tls.spoken:
            self._renewing = tasks.spawn(self.tls.keep(), name="certificates")
        self._memory = tasks.spawn(memory.keep(self.state, self.gateway.is_idle), name="memory")
        self._door = door = Door(self.gateway, api, BACKLOG, self._spare, self._fewest)
        self._watch_room(door)
        self._watch_tls()
        if self._seat is not None:
            self._seat.publish()  # who has done so is asked, and its first request may be told of
        await door.open()
        await self._start_admin(admin, url_of(api, tls=self.tls.api.identity is not None))
        self.state.metrics.worker_up.set(1)
        if self._seat is not None:
            self._publishing = tasks.spawn(self._seat.keep(), name="publish metrics")

    def _watch_room(self, door: Door) -> None:
        metrics, memory, mine = self.state.metrics, self.state.memory, (self._number,)
        metrics.clients.watch(lambda: [(mine, self.gateway.connections)])
        metrics.clients_most.watch(lambda: [(mine, door.most)])
        metrics.pauses.watch(lambda: [((), door.pauses)])
        metrics.memory_used.watch(lambda: [(mine, memory.used)] if memory.size else [])
        metrics.memory_limit.watch(lambda: [(mine, memory.size)] if memory.size else [])

    def _watch_tls(self) -> None:
        tls, metrics = self.tls, self.state.metrics
        metrics.tls_handshakes.watch(
            lambda: [((one.name, how), n) for one in tls for how, n in one.results.items()]
        )
        metrics.tls_expiry.watch(
            lambda: [((one.name,), one.identity.expires) for one in tls if one.identity is not None]
        )

    def _spare(self) -> None:
        """Descriptors are short: connections nobody uses can go."""
        for upstream in self.pool.upstreams():
            upstream.drop_idle()

    async def _start_admin(self, admin: socket.socket | None, api: str) -> None:
        """The admin API on its socket, or beside the API where both have one port; `api` is that one's URL."""
        settings = self.state.snapshot
        port = settings.server.port
        if admin is None and (settings.admin.port != port or port == 0):
            return
        services = self._services()
        services.api = api

        def make() -> tuple[AdminApp, AdminApp]:
            from proxy.control import listener  # brings schemas, and all that only it needs

            app = listener.admin_app(services, self._admin_pages(), endpoints.paths())
            return app, listener.documentation(app, services)

        if admin is None:
            from proxy.control.listener import aside

            self.gateway.aside = aside(make()[0], below="/admin/")
            return
        self._annex = annex = Annex(make, self.tls.admin)
        self.gateway.beyond = annex.beyond
        annex.listen(admin)

    def _services(self) -> Services:
        from proxy.control.admin.services import Services

        if self.sync is not None:
            return Services(self.state, self.sync, ops=self._ops)
        from proxy.control.sync import ConfigFile
        from proxy.core.config.schema import Config

        # Nothing but a snapshot: there is no store, and nothing that could be read anew.
        nothing = ConfigFile(Config.model_validate({"store": {"url": ""}}))
        return Services(self.state, self._sync(nothing, self._name))

    async def leave(self, orders: Orders) -> None:
        """Drain: say that it leaves, take nobody in any more after `drain_delay`, let running requests end."""
        server = self.state.snapshot.server
        self._say_leaving()
        await orders.pause(delay(server))
        if orders.tether is not None:
            orders.tether.takes(False)
        self._shut()
        await self.gateway.drain(server.drain, idle=lambda: orders.idle, hurry=orders.hurry)
        await self._end()

    async def close(self, grace: float) -> None:
        """Stop accepting, let running requests end within `grace` seconds, cut the rest."""
        self._say_leaving()
        self._shut()
        await self.gateway.drain(grace)
        await self._end()

    def _say_leaving(self) -> None:
        self.state.draining = True
        self.state.metrics.worker_up.set(0)

    def _shut(self) -> None:
        if self._door is not None:
            self._door.close()
        if self._annex is not None:
            self._annex.close()
        if self.sync is not None:
            self.sync.resign()

    async def _end(self) -> None:
        """What is left when the last request has ended."""
        if self._seat is not None:
            self._seat.publish()  # while there is a spool that has counted
        await self._recording.close()
        if self._telemetry is not None:
            await self._telemetry.close()
        for task in (
            self._vigil,
            self._warming,
            self._memory,
            self._renewing,
            self._following,
            self._publishing,
        ):
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
        if self.sync is not None:
            await self.sync.close()
        await self.pool.close()
        if self._seat is not None:
            self._seat.publish()

    def _clear_caches(self) -> None:
        """Forget what can be found out anew: addresses of providers, routes worked out for this snapshot, answers."""
        for upstream in self.pool.upstreams():
            upstream.forget_addresses()
        self.state.live.routes.clear()
        self.state.replies.clear()

    def _hung_up(self, tether: Tether | None) -> None:
        tasks.spawn(self._reload(tether), name="reload")

    async def _reload(self, tether: Tether | None) -> None:
        assert self.sync is not None
        try:
            await self.sync.reload()
            self.tls.renew()
        except ValueError:  # said by whoever read it
            if tether is not None:
                tether.say(REFUSED)

    async def _measure_lag(self) -> None:
        observe, lag = self.state.metrics.loop_lag.observe, self.state.lag
        woken = asyncio.Event()
        lag.wake = woken.set
        lag.tick(monotonic())
        while True:
            if await _rung(woken, lag.pause):
                # Somebody asks, after a rest.
                await asyncio.sleep(lag.pause)
            observe(lag.tick(monotonic()))

    # pages

    def _pages(self) -> dict[str, Page]:
        pages: dict[str, Page] = {
            "/": self._index,
            "/health": self._health,
            "/metrics": self._metrics_of_all,
            "/metrics/worker": self._metrics,
        }
        pages |= dict.fromkeys(("/health/live", "/livez"), self._live)
        pages |= dict.fromkeys(("/health/ready", "/readyz"), self._ready)
        return pages

    def _pages_for_all(self) -> dict[str, Page]:
        """On the API port, where metrics can be switched off."""

        def unless_off(page: Page) -> Page:
            return lambda: page() if self.state.snapshot.server.metrics else _no_page()

        pages = self._pages()
        for path in ("/metrics", "/metrics/worker"):
            pages[path] = unless_off(pages[path])
        return pages

    def _admin_pages(self) -> dict[str, Page]:
        """Those who read them there have shown who they are."""
        return {**self._pages(), "/health": self._health_in_detail}

    async def _health_in_detail(self) -> Said:
        """What this worker knows, what all have done, and which there are."""
        status, kind, body = self._overview(detail=True)
        if self._ops is None:
            return status, kind, body
        from proxy.control import ops

        content = orjson.loads(body)
        try:
            content["stats"] = orjson.loads(await ops.ask(self._ops, "/stats"))
            content["workers"] = orjson.loads(await ops.ask(self._ops, "/health"))["workers"]
        except OSError as error:
            logger.warning("health of this worker alone, as the supervisor has none: %s", error)
        return status, kind, orjson.dumps(content)

    def _index(self) -> tuple[int, str, bytes]:
        content = {
            "name": self.state.snapshot.server.name,
            "version": __version__,
            "endpoints": endpoints.paths(),
        }
        return 200, JSON, orjson.dumps(content)

    def _health(self) -> tuple[int, str, bytes]:
        return self._overview(detail=False)

    def _overview(self, *, detail: bool) -> tuple[int, str, bytes]:
        state = self.state
        status, content = health.health(
            state.snapshot,
            state.live,
            state.metrics,
            state.started,
            draining=state.draining,
            detail=detail,
            store=self._store(),
        )
        return status, JSON, orjson.dumps(content)

    def _live(self) -> tuple[int, str, bytes]:
        status, content = health.live()
        return status, JSON, orjson.dumps(content)

    def _ready(self) -> tuple[int, str, bytes]:
        state = self.state
        status, content = health.ready(
            state.snapshot, state.live, draining=state.draining, store=self._store()
        )
        return status, JSON, orjson.dumps(content)

    def _store(self) -> str:
        return "none" if self.sync is None else self.sync.health

    async def _metrics_of_all(self) -> Said:
        """Those of the whole instance, as its supervisor has them; of this process where there is none."""
        if self._ops is not None:
            from proxy.control import ops

            try:
                return 200, exposition.CONTENT_TYPE, await ops.ask(self._ops, "/metrics")
            except OSError as error:
                logger.warning(
                    "metrics of this worker alone, as the supervisor has none: %s", error
                )
        return self._metrics()

    def _metrics(self) -> Said:
        """Of this process alone."""
        page = exposition.render(self.state.metrics.registry.snapshot())
        return 200, exposition.CONTENT_TYPE, page


async def _rung(bell: asyncio.Event, seconds: float) -> bool:
    """Within so many seconds."""
    if seconds < REST:
        await asyncio.sleep(seconds)
        return False
    bell.clear()
    try:
        async with asyncio.timeout(seconds):
            await bell.wait()
    except TimeoutError:
        return False
    return True


def _no_page() -> Said:
    status, _, content = render_error("openai", ProxyError("no_route"), "")
    return status, JSON, content


def _sharing(file: ConfigFile | None, name: str) -> Sharing | None:
    """What it knows together with the other workers of the host, and with those before and after it."""
    if file is None or file.board is None:
        return None
    from proxy.state.sharing import Sharing

    return Sharing(file.board.sit(int(name)))


def watch(state: State, pool: UpstreamPool) -> None:
    """Gauges that are read at scrape, not kept while requests run."""
    live, metrics = state.live, state.metrics
    health.watch(metrics, live)
    gauges.watch(metrics, state)
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
    settings: Snapshot,
    file: ConfigFile,
    api: socket.socket,
    admin: socket.socket | None,
    *,
    name: str = "0",
    ready: Callable[[], None] | None = None,
    strict: bool = True,
    tether: Tether | None = None,
) -> None:
    """Run one worker in this process until it is told to stop. `settings` holds until it has read the rest.

    Raises ValueError, listing every problem, when it cannot begin.
    """

    def settled() -> None:
        # What is there by now stays. A full collection would look at all of it each time, for some 40 ms.
        gc.collect()
        gc.freeze()
        give_back()
        gc.set_threshold(*RARELY)
        if ready is not None:
            ready()

    async def main() -> None:
        await Worker(settings, name, file).run(api, admin, settled, strict=strict, tether=tether)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def prepare(settings: Snapshot, file: ConfigFile) -> None:
    """Import what a worker will need, and others may not: those that are forked then share it."""
    from proxy.store.opening import open_store

    import_module("proxy.state.merging")
    if file.config.store.url:
        open_store(file.config.store.url)
    if settings.tracing.enabled:
        from proxy.telemetry.wanted import wanted

        if wanted(settings.tracing, 0, os.environ) is not None:
            import_module("proxy.telemetry.otlp")


def rehearse(settings: Snapshot, file: ConfigFile, *, first: bool = False) -> Rehearsed:
    """Begin, and stop again, before several workers do: migrations and complaints come once.

    `first`: nobody serves yet. Raises ValueError, listing every problem, when they could not begin.
    """
    from proxy.control.sync import Rehearsed, Sync

    prepare(settings, file)

    async def main() -> Rehearsed:
        state = State(settings, Live(), Metrics())
        sync = Sync(file, state, lambda _snapshot: None, name="rehearsal")
        await sync.start()
        found = await sync.rehearsed() if first else Rehearsed()
        await sync.close()
        return found

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())
