"""Who the listeners of a worker are, and that they are so anew when it is said otherwise or the files have changed.

Whoever renews a certificate tells nobody, so its files are looked at, as `watching` looks at the configuration. A certificate
and its key are replaced one after the other: between the two nothing is read, for it would not fit. What cannot be used is
said, and what there was stays.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from proxy.control.watching import PERIOD, Looks
from proxy.core import certificates
from proxy.core.log import logger
from proxy.core.tls import Identity, Termination

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.core.model import TLS, Snapshot


class Renewed(Termination):
    """One listener that is what its files say."""

    __slots__ = ("_files", "_wanted", "seen")

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._wanted: TLS | None = None
        """What was said last."""
        self._files: TLS | None = None
        """What is read: also where TLS is not wanted any more, and spoken on."""
        self.seen: certificates.Mark | None = None
        """Of the files as they were read last, whether they could be used or not."""

    def begin(self, settings: TLS | None) -> None:
        """Be so from the start. Raises Unusable."""
        self._wanted = settings
        if settings is not None:
            self._files, self.seen = settings, certificates.mark(settings)
            self.identity = Identity(*certificates.load(settings))

    def use(self, settings: TLS | None) -> None:
        """Be so for who comes from now on. Whether TLS is spoken at all is as it was at the start: a line that was lost
        from a file must not lay open what clients send."""
        if settings == self._wanted:
            return
        self._wanted = settings
        if settings is not None and self.identity is not None:
            self._read(settings, certificates.mark(settings))
        elif (settings is None) != (self.identity is None):
            spoken = "plain HTTP" if self.identity is None else "TLS"
            logger.warning(
                "the %s listener goes on with %s: another takes a new start", self.name, spoken
            )

    def mark(self) -> certificates.Mark | None:
        """How the files look now; None: there are none."""
        return None if self._files is None else certificates.mark(self._files)

    def renew(self) -> None:
        """Read the files again if they are not as they were."""
        seen, settings = self.mark(), self._files
        if settings is not None and seen is not None and seen != self.seen:
            self._read(settings, seen)

    def _read(self, settings: TLS, seen: certificates.Mark) -> None:
        self._files, self.seen = settings, seen
        try:
            self.identity = Identity(*certificates.load(settings))
        except certificates.Unusable as error:
            logger.error("the %s listener keeps the certificate it has: %s", self.name, error)
        else:
            logger.info("the %s listener has read its certificate", self.name)


class Terminations:
    """Of both listeners of a worker."""

    __slots__ = ("admin", "api")

    def __init__(self) -> None:
        self.api = Renewed("api")
        self.admin = Renewed("admin")

    def begin(self, snapshot: Snapshot) -> None:
        """Be as it says from the start. Raises Unusable, which is a ValueError."""
        self._wait(snapshot)
        self.api.begin(snapshot.server.tls)
        self.admin.begin(snapshot.admin.tls)

    def use(self, snapshot: Snapshot) -> None:
        """Be as it says from now on, as far as that is possible."""
        self._wait(snapshot)
        self.api.use(snapshot.server.tls)
        self.admin.use(snapshot.admin.tls)

    def renew(self) -> None:
        """Read what has changed."""
        for one in self:
            one.renew()

    @property
    def spoken(self) -> bool:
        """Whether there is a certificate."""
        return any(one.identity is not None for one in self)

    async def keep(self, period: float = PERIOD) -> None:
        """For ever: read again what has changed, as soon as it has settled."""
        looks: list[Looks[certificates.Mark]] = [Looks(one.seen) for one in self]
        while True:
            await asyncio.sleep(period)
            for one, look in zip(self, looks, strict=True):
                if look.changed(one.mark()):
                    await asyncio.to_thread(one.renew)

    def __iter__(self) -> Iterator[Renewed]:
        return iter((self.api, self.admin))

    def _wait(self, snapshot: Snapshot) -> None:
        for one in self:
            one.patience = snapshot.server.head_timeout
