"""aiohttp's connector, with a shorter way in and out for exchanges that speak on its connections themselves.

Its own way makes an object for each loan, three timeouts and two tasks' worth of staggered dialling for each new
connection: 170 us of processor time for a dial, of which the loop's own is 40. Here a pooled connection is taken without
any, and where a name has but one address that one is dialled by the loop. Several addresses, and proxies, go aiohttp's way.

tests/upstream/test_contract.py holds every aiohttp release to what is used of its inside.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.client_exceptions import cert_errors, ssl_errors

from proxy.upstream.connection import UpstreamConnection
from proxy.upstream.resolver import sockets, vet

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.client_reqrep import ClientRequest, ConnectionKey


class Connector(aiohttp.TCPConnector):
    """Of one provider. Without limits of its own: they are counted where it is told what a wait was for."""

    def __init__(self, *, allow_private: bool, **settings: Any) -> None:
        super().__init__(limit=0, socket_factory=sockets(allow_private=allow_private), **settings)
        self._allow_private = allow_private

    def pooled(self, key: ConnectionKey) -> UpstreamConnection | None:
        """A connection that waits for another exchange, the one idle longest; None: there is none."""
        waiting = self._conns.get(key)
        if waiting is None:
            return None
        oldest = monotonic() - (self._keepalive_timeout or 0.0)
        while waiting:
            protocol, since = waiting.popleft()
            transport = protocol.transport
            if since >= oldest and transport is not None and not transport.is_closing():
                if not waiting:
                    del self._conns[key]
                self._acquired.add(protocol)
                assert isinstance(protocol, UpstreamConnection)
                return protocol
            protocol.close()
        del self._conns[key]
        return None

    def give(self, key: ConnectionKey, protocol: UpstreamConnection) -> None:
        """Have it back: it waits for the next exchange, or is closed if it is of no more use."""
        if self._closed or self._cleanup_handle is None or protocol.should_close:
            self._release(key, protocol)
        else:
            self._acquired.discard(protocol)
            self._conns[key].append((protocol, monotonic()))

    async def opened(self, request: ClientRequest, timeout: float) -> UpstreamConnection:
        """A new connection. Raises TimeoutError, aiohttp.ClientError, OSError."""
        async with asyncio.timeout(timeout):
            protocol = await self._create_connection(request, [], aiohttp.ClientTimeout())
        if self._closed:
            protocol.close()
            raise aiohttp.ClientConnectionError("the provider is no longer configured")
        self._acquired.add(protocol)
        assert isinstance(protocol, UpstreamConnection)
        return protocol

    async def _wrap_create_connection(
        self,
        *args: Any,
        addr_infos: list[Any],
        req: ClientRequest,
        timeout: aiohttp.ClientTimeout,
        client_error: type[Exception] = aiohttp.ClientConnectorError,
        **settings: Any,
    ) -> tuple[asyncio.Transport, ResponseHandler]:
        """Dial, as aiohttp's own would; one address without racing it against none."""
        if len(addr_infos) > 1:
            return await super()._wrap_create_connection(
                *args,
                addr_infos=addr_infos,
                req=req,
                timeout=timeout,
                client_error=client_error,
                **settings,
            )
        host, port = addr_infos[0][4][:2]
        loop: Any = self._loop
        try:
            vet(host, allow_private=self._allow_private)
            if settings.get("ssl"):
                settings["ssl_shutdown_timeout"] = self._ssl_shutdown_timeout or None
            transport, protocol = await loop.create_connection(*args, host, port, **settings)
        except cert_errors as error:
            raise aiohttp.ClientConnectorCertificateError(req.connection_key, error) from error
        except ssl_errors as error:
            raise aiohttp.ClientConnectorSSLError(req.connection_key, error) from error
        except OSError as error:
            if error.errno is None and isinstance(error, TimeoutError):
                raise
            raise client_error(req.connection_key, error) from error
        return transport, protocol
