"""What an upstream presents that does not last: one of each, asked for once however many wait, renewed in good time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
from msgspec import Struct
from yarl import URL

from proxy.core import redact, tasks
from proxy.core.clock import monotonic
from proxy.core.errors import Cause, UpstreamError
from proxy.core.log import logger
from proxy.upstream.minting import aws, entra, google
from proxy.upstream.minting.grant import AMBIENT, Minted, Refused, Unreachable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from proxy.core.model import Auth, Credential
    from proxy.upstream.minting.grant import Ask

MINTS: Mapping[str, Callable[[str, str, Ask], Awaitable[Minted]]] = {
    "google": google.mint,
    "entra": entra.mint,
    "sigv4": aws.mint,
}
"""By scheme of `Auth`."""
EARLY = 0.2
"""Of its life: when so much is left the next one is asked for, while this one goes on being used."""
SECONDS = 10.0
"""For one question; several may be needed."""
TRUST = 60.0
"""Seconds after a new one because of a refusal: another refusal is about something else, rights for example."""
PAUSE = 2.0
"""Seconds after a failure in which nobody asks again."""
_MOST = 1024 * 1024

Key = tuple[str, str, str]
"""Scheme, scope, what it is minted from."""


class _Held(Struct):
    text: str = ""
    ends: float = 0.0
    renew: float = 0.0
    """Both of the monotonic clock."""
    failed: UpstreamError | None = None
    again: float = 0.0
    trusted: float = 0.0
    """Until then a refusal is not thought to be about what was minted."""


def wanted(auth: Auth, credential: Credential | None) -> bool:
    """Whether what is presented has to be minted."""
    if credential is None or auth.scheme not in MINTS:
        return False
    return auth.scheme != "sigv4" or credential.secret.reveal() == AMBIENT


class Minter:
    """Of one upstream."""

    __slots__ = ("_held", "_running", "_session", "changed")

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        """`changed` is called when there is another text: what was rendered with the last one is not good any more."""
        self.changed = changed
        self._held: dict[Key, _Held] = {}
        self._running: dict[Key, asyncio.Task[_Held]] = {}
        self._session: aiohttp.ClientSession | None = None

    def text(self, auth: Auth, credential: Credential) -> str:
        """What is presented now; empty before `ready`."""
        held = self._held.get(_key(auth, credential))
        return "" if held is None else held.text

    async def ready(self, auth: Auth, credential: Credential, limit: float) -> None:
        """There is one that is good, within `limit` seconds; hardly ever is anything awaited.

        Raises UpstreamError: AUTH where what is configured is refused, CONNECT or TIMEOUT_CONNECT where nobody answers.
        """
        key = _key(auth, credential)
        held, at = self._held.get(key), monotonic()
        if held is not None and at < held.ends:
            if at >= held.renew and at >= held.again:
                self._mint(key)
            return
        if held is not None and held.failed is not None and at < held.again:
            raise UpstreamError(held.failed.cause, sent=False)
        task = self._mint(key)
        done, _ = await asyncio.wait({task}, timeout=limit)
        if not done:
            raise UpstreamError(Cause.TIMEOUT_CONNECT, sent=False)
        if task.cancelled():  # closed meanwhile
            raise UpstreamError(Cause.CONNECT, sent=False)
        failed = task.result().failed
        if failed is not None:
            raise UpstreamError(failed.cause, sent=False)

    def forget(self, auth: Auth, credential: Credential) -> bool:
        """It is refused, whatever its life was to be. Whether a new one may help: not so soon after the last time."""
        held, at = self._held.get(_key(auth, credential)), monotonic()
        if held is None or at < held.trusted:
            return False
        held.ends, held.trusted = 0.0, at + TRUST
        return True

    async def close(self) -> None:
        """Ask no more."""
        for task in self._running.values():
            task.cancel()
        if self._session is not None:
            await self._session.close()

    def _mint(self, key: Key) -> asyncio.Task[_Held]:
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = tasks.spawn(self._run(key), name=f"mint for {key[0]}")
            task.add_done_callback(lambda _: self._running.pop(key, None))
        return task

    async def _run(self, key: Key) -> _Held:
        scheme, scope, secret = key
        held = self._held.setdefault(key, _Held())
        began = monotonic()
        try:
            minted = await MINTS[scheme](secret, scope, self._ask)
        except Exception as error:
            cause = Cause.AUTH if isinstance(error, Refused) else Cause.CONNECT
            if held.failed is None:
                # What nobody foresaw is told by its name alone: its words may be what is secret.
                foreseen = isinstance(error, Refused | Unreachable)
                why = error if foreseen else type(error).__name__
                logger.warning("no token of %s can be had: %s", scheme, why)
            held.failed, held.again = UpstreamError(cause, sent=False), monotonic() + PAUSE
            return held
        redact.register(minted.text, 2 * minted.life)  # it may still be told of when it has ended
        held.text, held.failed = minted.text, None
        held.ends = began + minted.life
        held.renew = began + minted.life * (1 - EARLY)
        self.changed()
        return held

    async def _ask(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[int, bytes]:
        if self._session is None:
            # Of its own: these places are the operator's or the machine's, and private ones among them.
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=SECONDS),
                trust_env=False,
            )
        try:
            async with self._session.request(
                method, URL(url, encoded=True), headers=headers, data=body, allow_redirects=False
            ) as response:
                content = bytearray()
                async for chunk in response.content.iter_any():
                    content += chunk
                    if len(content) > _MOST:
                        raise Unreachable("an answer that does not end")
                return response.status, bytes(content)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unreachable(type(error).__name__) from error


def _key(auth: Auth, credential: Credential) -> Key:
    return auth.scheme, auth.name, credential.secret.reveal()
