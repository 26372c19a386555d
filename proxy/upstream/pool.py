"""Pooled connections to each provider, borrowed for one exchange at a time.

One `ClientSession` a provider owns its connector: TLS, DNS cache, happy eyeballs, per-host limits, HTTP proxies,
keep-alive. `Upstream.connect` borrows a connection from it; `UpstreamConnection.exchange` speaks on it.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import re
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, cast

import aiohttp
from aiohttp.client_reqrep import ClientRequest
from yarl import URL

from proxy.core.clock import monotonic
from proxy.core.errors import Cause, UpstreamError
from proxy.core.log import logger
from proxy.core.model import Provider
from proxy.upstream import presented
from proxy.upstream.connection import Headers, UpstreamConnection
from proxy.upstream.connector import Connector
from proxy.upstream.conversations import Conversations
from proxy.upstream.minting.minter import MINTS, Minter, wanted
from proxy.upstream.names import Names
from proxy.upstream.resolver import VettingResolver
from proxy.upstream.slots import Slots

KEEPALIVE = 15.0
"""Seconds an idle connection stays pooled, unless its provider says that it closes them sooner."""
MARGIN = 1.0
"""Seconds before the moment a provider has named at which we close a connection ourselves."""
MAX_AGE = 300.0
"""Seconds after which a connection is given no new request: the provider may have moved to other addresses."""
DNS_TTL = 60
_MAX_ANSWER = 1024 * 1024
"""Bytes of an answer to `ask`."""
_HINT = re.compile(rb"\btimeout\s*=\s*\"?(\d{1,6})", re.IGNORECASE)
_SILENCE = 60.0
"""Seconds between two lines of the log about one provider's certificate."""
_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM})
"""What this machine has no more of: descriptors, ports, memory. No provider is to blame."""

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler

    from proxy.core.model import Auth, Credential

Release = Callable[[], None]


class Upstream:
    """The connections to one provider."""

    __slots__ = (
        "_connector",
        "_names",
        "_origin",
        "_place",
        "_session",
        "_silent_until",
        "_slots",
        "attempts",
        "busy",
        "conversations",
        "heads",
        "minter",
        "opened",
        "provider",
        "quieted",
    )

    def __init__(self, provider: Provider, names: Names | None = None) -> None:
        """Raises ValueError for an address that is none; what is configured has been checked."""
        base, proxy = _url(provider.base_url), provider.proxy and _url(provider.proxy)
        loop = asyncio.get_running_loop()
        self.provider = provider
        self.attempts = 0
        """Under way and without an answer so far, whether they have a connection or not."""
        self.busy = 0
        """Connections borrowed, or being waited for."""
        self.opened = 0
        self.heads: dict[object, tuple[bytes, bytes]] = {}
        """Rendered request targets and header lines, kept by whoever renders them."""
        self._names = names or Names()
        self._silent_until = 0.0
        # Not the connector's own limit: it does not say whether its time went into waiting or into connecting.
        self._slots = Slots(provider.max_connections) if provider.max_connections else None
        tls: ssl.SSLContext | bool = provider.verify_tls
        connector = Connector(
            allow_private=provider.allow_private,
            ttl_dns_cache=DNS_TTL,
            keepalive_timeout=KEEPALIVE,
            resolver=VettingResolver(allow_private=provider.allow_private, names=self._names),
            ssl=tls,
        )
        # The connector makes its protocols through this factory; ours is a ResponseHandler that can also
        # carry a lean exchange. tests/upstream/test_contract.py holds every aiohttp release to this.
        connector._factory = cast(
            "functools.partial[ResponseHandler]",
            functools.partial(UpstreamConnection, loop=loop, hinted=self._hinted),
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
        self._place = self._origin.connection_key
        self.conversations: Conversations | None = None
        if provider.conversation is not None:
            self.conversations = Conversations(self, provider.conversation)
        self.minter: Minter | None = None
        """Where what is presented is not what is configured, but had for it."""
        if any(auth.scheme in MINTS for auth in provider.auth.values()):
            self.minter = Minter(self.heads.clear)
        self.quieted: asyncio.Future[None] | None = None
        """Resolved when nothing is under way; None: nobody has asked for that."""

    @property
    def session(self) -> aiohttp.ClientSession:
        """For what is rare and not hot: health probes, for example."""
        return self._session

    @property
    def idle(self) -> int:
        """Connections pooled and waiting."""
        return sum(len(pooled) for pooled in self._connector._conns.values())

    async def mint(self, family: str, credential: Credential | None, limit: float) -> None:
        """Have what is presented for `credential` within `limit` seconds, if it has to be had for it. Raises UpstreamError."""
        auth = presented.place(self.provider, family)
        if self.minter is not None and credential is not None and wanted(auth, credential):
            await self.minter.ready(auth, credential, limit)

    def minted(self, auth: Auth, credential: Credential | None) -> str:
        """What is presented for it; itself, if that is presented. Empty without one."""
        if credential is None:
            return ""
        if self.minter is not None and wanted(auth, credential):
            return self.minter.text(auth, credential)
        return credential.secret.reveal()

    def refused(self, family: str, credential: Credential | None) -> bool:
        """The provider does not accept what was had for it. Whether to have it anew, and ask once more."""
        if self.minter is None or credential is None:
            return False
        return self.minter.forget(presented.place(self.provider, family), credential)

    async def connect(
        self, timeout: float, *, fresh: bool = False
    ) -> tuple[UpstreamConnection, Release]:
        """Borrow a connection within `timeout` seconds (DNS, TCP and TLS together); `fresh`: one never used.

        Where connections are limited, half of that time may go into waiting for one. Raises UpstreamError with cause
        CONNECT, TLS, TIMEOUT_CONNECT or POOL; nothing was sent.
        """
        self.busy += 1
        if self._slots is not None:
            await self._take(self._slots, timeout / 2)
        protocol = None if fresh else self._connector.pooled(self._place)
        if protocol is None:
            protocol = await self._opened(timeout)
        return protocol, functools.partial(self._give_back, protocol)

    async def _opened(self, timeout: float) -> UpstreamConnection:
        """A new connection. Raises UpstreamError, having given back what was counted for it."""
        try:
            protocol = await self._connector.opened(self._origin, timeout)
        except BaseException as error:
            self._gave()
            cause = _cause(error)
            if cause is None:
                raise
            if cause is Cause.TLS:
                self._distrusted(error)
            raise UpstreamError(cause, sent=False) from error
        self.opened += 1
        return protocol

    def _distrusted(self, error: BaseException) -> None:
        """Say why a certificate was refused; the certificate itself is nobody's business."""
        if monotonic() >= self._silent_until:
            self._silent_until = monotonic() + _SILENCE
            detail = getattr(error, "certificate_error", None) or getattr(error, "os_error", error)
            reason = getattr(detail, "verify_message", "") or getattr(detail, "reason", "")
            logger.warning(
                "provider %s: no TLS, so nothing is sent: %s",
                self.provider.name,
                reason or type(detail).__name__,
            )

    async def _take(self, slots: Slots, timeout: float) -> None:
        """Raises UpstreamError POOL."""
        try:
            await slots.take(timeout)
        except BaseException as error:
            self.busy -= 1
            self.tell_quiet()
            if isinstance(error, TimeoutError):
                raise UpstreamError(Cause.POOL, sent=False) from error
            raise

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
        if self._slots is not None:
            await self._take(self._slots, min(connect, total) / 2)
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
            raise _of_ask(error) from error
        finally:
            self._gave()

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

    def _give_back(self, protocol: UpstreamConnection) -> None:
        self._connector.give(self._place, protocol)
        self._gave()

    def _gave(self) -> None:
        self.busy -= 1
        if self._slots is not None:
            self._slots.give()
        if self.quieted is not None:
            self.tell_quiet()

    def tell_quiet(self) -> None:
        """Something is over: whoever waits for the last is told, if it was that."""
        if self.busy or self.attempts:
            return
        if self.quieted is not None and not self.quieted.done():
            self.quieted.set_result(None)

    def drop_idle(self) -> None:
        """Close every pooled connection: one proved stale, so its siblings are suspect too."""
        pools = self._connector._conns
        for key in list(pools):
            for protocol, _ in pools.pop(key):
                protocol.close()

    def drop_old(self, age: float = MAX_AGE) -> None:
        """Close idle connections opened `age` seconds ago or more; those in use are closed when they are given back."""
        born = monotonic() - age
        pools = self._connector._conns
        for key, pool in list(pools.items()):
            old = [one for one, _ in pool if cast("UpstreamConnection", one).born <= born]
            for one in old:
                one.close()
            if len(old) == len(pool):
                del pools[key]
            elif old:
                pools[key] = deque(pair for pair in pool if pair[0] not in old)
        for protocol in self._connector._acquired:
            if isinstance(protocol, UpstreamConnection) and protocol.born <= born:
                protocol.force_close()

    def _hinted(self, value: bytes) -> None:
        """The provider says how long it keeps idle connections: `Keep-Alive: timeout=5` (RFC 2068, 19.7.1.1)."""
        found = _HINT.search(value)
        if found is not None:
            seconds = float(found[1])
            self._connector._keepalive_timeout = min(
                KEEPALIVE, max(seconds - MARGIN, seconds / 2, 0.0)
            )

    def forget_addresses(self) -> None:
        """Resolve names anew for the next connections; open ones stay."""
        self._connector.clear_dns_cache()
        self._names.forget()

    async def quiet(self) -> None:
        """Wait until no exchange is running, and none is about to."""
        while self.busy or self.attempts:
            if self.quieted is None or self.quieted.done():
                self.quieted = asyncio.get_running_loop().create_future()
            await asyncio.shield(self.quieted)

    async def close(self) -> None:
        """Close the session; exchanges still running lose their connection."""
        if self.conversations is not None:
            self.conversations.close()
        if self.minter is not None:
            await self.minter.close()
        await self._session.close()


def _url(text: str) -> URL:
    url = URL(text)
    if url.scheme not in ("http", "https") or not url.raw_host:
        raise ValueError("not the URL of a server")
    return url


def _cause(error: BaseException) -> Cause | None:
    """Why there is no connection; None for what is no failure to connect."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return Cause.TLS
    if isinstance(error, TimeoutError):
        return Cause.TIMEOUT_CONNECT
    if isinstance(error, aiohttp.ClientError | OSError):
        return Cause.POOL if getattr(error, "errno", None) in _OURS else Cause.CONNECT
    return None


def _is_stale(error: aiohttp.ClientConnectionError) -> bool:
    """Whether a connection broke before it brought an answer: a pooled one that the provider had given up, most likely."""
    return isinstance(
        error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError
    ) and not isinstance(error, aiohttp.ClientConnectorError)


def _of_ask(error: Exception) -> UpstreamError:
    """What an exchange by the session's own way died of."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return UpstreamError(Cause.TIMEOUT_CONNECT, sent=False)
    if isinstance(error, TimeoutError):
        return UpstreamError(Cause.TIMEOUT_TTFT)
    if isinstance(error, aiohttp.ClientConnectorError):
        return UpstreamError(_cause(error) or Cause.CONNECT, sent=False)
    if isinstance(error, aiohttp.ClientPayloadError):
        return UpstreamError(Cause.TRUNCATED)
    if isinstance(error, aiohttp.ClientConnectionError | OSError):
        return UpstreamError(Cause.CONNECT)
    return UpstreamError(Cause.MALFORMED)


class UpstreamPool:
    """An `Upstream` for each provider in use; a provider changed by a reload gets a new one."""

    __slots__ = ("_names", "_upstreams")

    def __init__(self) -> None:
        self._names = Names()
        self._upstreams: dict[Provider, Upstream] = {}

    def of(self, provider: Provider) -> Upstream:
        """The upstream of `provider`, made at first use."""
        upstream = self._upstreams.get(provider)
        if upstream is None:
            upstream = self._upstreams[provider] = Upstream(provider, self._names)
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
