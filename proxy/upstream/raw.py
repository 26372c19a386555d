"""A provider's connection after `101 Switching Protocols`: what comes is no HTTP any more.

The socket gets another protocol, so that what a connection does for each read of HTTP costs nothing more.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from proxy.upstream.connection import UpstreamConnection


class Other(Protocol):
    """Who must not send more than the provider takes."""

    def wait(self) -> None:
        """It takes no more."""

    def go_on(self) -> None:
        """It takes more."""


class RawConnection(asyncio.Protocol):
    """Hands on what comes, as it comes, to the consumer of the connection whose socket it has."""

    def __init__(self, connection: UpstreamConnection, other: Other) -> None:
        self._connection = connection
        self._other = other

    def data_received(self, data: bytes) -> None:
        """One read, one call."""
        consumer = self._connection.consumer
        if consumer is not None:
            consumer.body(data)

    def eof_received(self) -> bool:
        """Nothing more comes, and nobody reads any more."""
        return False

    def connection_lost(self, exc: BaseException | None) -> None:
        """The same as without it."""
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        """The provider does not keep up."""
        self._other.wait()

    def resume_writing(self) -> None:
        """It does again."""
        self._other.go_on()
