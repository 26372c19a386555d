"""Pooled connections to each provider, borrowed for one exchange at a time.

One `ClientSession` a provider owns its connector: TLS, DNS cache, happy eyeballs, per-host limits, HTTP proxies,
keep-alive. `Upstream.connect` borrows a connection from it; `UpstreamConnection.exchange` speaks on it.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, cast

import aiohttp
from aiohttp.client_reqrep import ClientRequest
from yarl import URL

from proxy.core.errors import Cause, UpstreamError
from proxy.core.model import Provider
from proxy.upstream.connection import Headers, UpstreamConnection
from proxy.upstream.conversations import Conversations
from proxy.upstream.resolver import VettingResolver, sockets

KEEPALIVE = 15.0
"""Seconds an idle connection stays pooled: below every known provider's own limit."""
DNS_TTL = 60
_MAX_TIMEOUTS = 64
_MAX_ANSWER = 1024 * 1024
"""Bytes of an answer to `ask`."""

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler

Release = Callable[[], None]


class Upstream:
    """The connections to one provider."""

    __slots__ = (
        "_connector",
        "_origin",
        "_quiet",
        "_session",
        "_timeouts",
        "busy",
        "conversations",
        "heads",
        "opened",
        "provider",
    )

    def __init__(self, provider: Provider) -> None:
        """Raises ValueError for an address that is none; what is configured has been checked."""
        base, proxy = _url(provider.base_url), provider.proxy and _url(provider.proxy)
        loop = asyncio.get_running_loop()
        self.provider = provider
        self.busy = 0
        """Connections borrowed, or being waited for."""
        self.opened = 0
        self.heads: dict[object, tuple[bytes, bytes]] = {}
        """Rendered request targets and header lines, kept by whoever renders them."""
        tls: ssl.SSLContext | bool = provider.verify_tls
        connector = aiohttp.TCPConnector(
            limit=0,
            limit_per_host=provider.max_connections,
            ttl_dns_cache=DNS_TTL,
            keepalive_timeout=KEEPALIVE,
            resolver=VettingResolver(allow_private=provider.allow_private),
            socket_factory=sockets(allow_private=provider.allow_private),
            ssl=tls,
        )
        # The connector makes its protocols through this factory; ours is a ResponseHandler that can also
        # carry a lean exchange. tests/upstream/test_contract.py holds every aiohttp release to this.
        connector._factory = cast(
            "functools.partial[ResponseHandler]", functools.partial(UpstreamConnection, loop=loop)
        )
        self._connector = connector
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )
        self._origin = ClientRequest(
            "POST", base, loop=loop, session=self._session, proxy=proxy or None
        )
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}
        self.conversations: Conversations | None = None
        if provider.conversation is not None:
            self.conversations = Conversations(self, provider.conversation)
        self._quiet: asyncio.Future[None] | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """For what is rare and not hot: health probes, for example."""
        return self._session

    @property
    def idle(self) -> int:
        """Connections pooled and waiting."""
        return sum(len(pooled) for pooled in self._connector._conns.values())

    async def connect(
        self, timeout: float, *, fresh: bool = False
    ) -> tuple[UpstreamConnection, Release]:
        """Borrow a connection within `timeout` seconds (DNS, TCP and TLS together); `fresh`: one never used.

        Raises UpstreamError with cause CONNECT, TLS, TIMEOUT_CONNECT or POOL; nothing was sent.
        """
        limit = self._timeouts.get(timeout)
        if limit is None:
            limit = aiohttp.ClientTimeout(connect=timeout, ceil_threshold=3600)
            if len(self._timeouts) < _MAX_TIMEOUTS:  # clients with deadlines make ever new ones
                self._timeouts[timeout] = limit
        self.busy += 1
        try:
            while True:
                connection = await self._connector.connect(self._origin, [], limit)
                protocol = connection.protocol
                assert isinstance(protocol, UpstreamConnection)
                if not (fresh and protocol.served):
                    break
                # Who waited for a slot was handed the connection of the one who left.
                connection.close()
        except BaseException as error:
            full = 0 < self.provider.max_connections < self.busy
            self.busy -= 1
            if self._quiet is not None:
                self._tell_quiet()
            cause = _cause(error, full=full)
            if cause is None:
                raise
            raise UpstreamError(cause, sent=False) from error
        if protocol.served == 0:
            self.opened += 1
        return protocol, functools.partial(self._give_back, connection)

    async def ask(
        self,
        method: str,
        url: str,
        *,
        query: list[tuple[str, str]],
        headers: Mapping[str, str],
        body: bytes | None,
        connect: float,
        total: float,
    ) -> tuple[int, Headers, bytes]:
        """(status, headers, body) of a whole exchange by the session's own, slower way. For what is small.

        Raises UpstreamError. A connection that proves stale is no failure: it is asked once more on a new one.
        """
        limit = aiohttp.ClientTimeout(connect=min(connect, total), ceil_threshold=3600)
        self.busy += 1
        try:
            async with asyncio.timeout(total):
                try:
                    return await self._ask(method, url, query, headers, body, limit)
                except aiohttp.ClientConnectionError as error:
                    if not _is_stale(error):
                        raise
                    self.drop_idle()
                    return await self._ask(method, url, query, headers, body, limit)
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is one of these
            full = 0 < self.provider.max_connections < self.busy
            raise _of_ask(error, full=full) from error
        finally:
            self.busy -= 1
            self._tell_quiet()

    async def _ask(
        self,
        method: str,
        url: str,
        query: list[tuple[str, str]],
        headers: Mapping[str, str],
        body: bytes | None,
        limit: aiohttp.ClientTimeout,
    ) -> tuple[int, Headers, bytes]:
        async with self._session.request(
            method,
            URL(url, encoded=True),
            params=query or None,
            headers=headers,
            data=body,
            skip_auto_headers=("content-type",),
            timeout=limit,
            allow_redirects=False,
            proxy=self.provider.proxy,
        ) as response:
            content = bytearray()
            async for chunk in response.content.iter_any():
                content += chunk
                if len(content) > _MAX_ANSWER:
                    raise UpstreamError(Cause.MALFORMED, status=response.status)
            fields = [(name.lower(), value) for name, value in response.raw_headers]
            return response.status, fields, bytes(content)

    def _give_back(self, connection: aiohttp.connector.Connection) -> None:
        self.busy -= 1
        connection.release()
        if self._quiet is not None:
            self._tell_quiet()

    def _tell_quiet(self) -> None:
        if self.busy == 0 and self._quiet is not None and not self._quiet.done():
            self._quiet.set_result(None)

    def drop_idle(self) -> None:
        """Close every pooled connection: one proved stale, so its siblings are suspect too."""
        pools = self._connector._conns
        for key in list(pools):
            for protocol, _ in pools.pop(key):
                protocol.close()

    def forget_addresses(self) -> None:
        """Resolve names anew for the next connections; open ones stay."""
        self._connector.clear_dns_cache()

    async def quiet(self) -> None:
        """Wait until no exchange is running."""
        while self.busy:
            if self._quiet is None or self._quiet.done():
                self._quiet = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._quiet)

    async def close(self) -> None:
        """Close the session; exchanges still running lose their connection."""
        if self.conversations is not None:
            self.conversations.close()
        await self._session.close()


def _url(text: str) -> URL:
    url = URL(text)
    if url.scheme not in ("http", "https") or not url.raw_host:
        raise ValueError("not the URL of a server")
    return url


def _cause(error: BaseException, *, full: bool) -> Cause | None:
    """Why there is no connection; None for what is no failure to connect. `full`: all slots were taken."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return Cause.TLS
    if isinstance(error, TimeoutError):
        return Cause.POOL if full else Cause.TIMEOUT_CONNECT
    if isinstance(error, aiohttp.ClientError | OSError):
        return Cause.CONNECT
    return None


def _is_stale(error: aiohttp.ClientConnectionError) -> bool:
    """Whether a connection broke before it brought an answer: a pooled one that the provider had given up, most likely."""
    return isinstance(
        error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError
    ) and not isinstance(error, aiohttp.ClientConnectorError)


def _of_ask(error: Exception, *, full: bool) -> UpstreamError:
    """What an exchange by the session's own way died of."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return UpstreamError(Cause.POOL if full else Cause.TIMEOUT_CONNECT, sent=False)
    if isinstance(error, TimeoutError):
        return UpstreamError(Cause.TIMEOUT_TTFT)
    if isinstance(error, aiohttp.ClientConnectorError):
        return UpstreamError(_cause(error, full=False) or Cause.CONNECT, sent=False)
    if isinstance(error, aiohttp.ClientPayloadError):
        return UpstreamError(Cause.TRUNCATED)
    if isinstance(error, aiohttp.ClientConnectionError | OSError):
        return UpstreamError(Cause.CONNECT)
    return UpstreamError(Cause.MALFORMED)


class UpstreamPool:
    """An `Upstream` for each provider in use; a provider changed by a reload gets a new one."""

    __slots__ = ("_upstreams",)

    def __init__(self) -> None:
        self._upstreams: dict[Provider, Upstream] = {}

    def of(self, provider: Provider) -> Upstream:
        """The upstream of `provider`, made at first use."""
        upstream = self._upstreams.get(provider)
        if upstream is None:
            upstream = self._upstreams[provider] = Upstream(provider)
        return upstream

    def upstreams(self) -> list[Upstream]:
        """Those made so far, for metrics."""
        return list(self._upstreams.values())

    async def retire(self, current: frozenset[Provider]) -> None:
        """Close the upstreams of providers no longer configured, once their last exchange has ended."""
        old = [one for name, one in self._upstreams.items() if name not in current]
        await asyncio.gather(*map(self._retire, old))

    async def _retire(self, upstream: Upstream) -> None:
        await upstream.quiet()
        self._upstreams.pop(upstream.provider, None)
        await upstream.close()

    async def close(self) -> None:
        """Close everything."""
        upstreams, self._upstreams = self._upstreams, {}
        for upstream in upstreams.values():
            await upstream.close()
