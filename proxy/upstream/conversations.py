"""Conversations begun with a provider that wants one before it answers: a new one for every request.

`prefetch` of them are begun ahead of need, which takes a round trip off the wait for the first word. They belong to
a credential, are used once, and not after `expire` seconds. What goes wrong ahead of need is nobody's failure: the
next request finds out for itself.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote
from uuid import uuid4

import msgspec
from msgspec import Struct

from proxy.core import jsonpath, tasks, template
from proxy.core.clock import monotonic
from proxy.core.errors import Cause, UpstreamError
from proxy.core.model import Conversation, Credential
from proxy.core.surfaces import CONVERSATION, family
from proxy.core.url import join
from proxy.dialects.base import Opened
from proxy.dialects.errors import fault_of, in_band, parse_error
from proxy.dialects.lenient import object_at
from proxy.upstream import presented

if TYPE_CHECKING:
    from proxy.upstream.pool import Upstream

_ID = re.compile(r"(?!\.{1,2}\Z)[\x21-\x7e]{1,512}")
"""What may stand in a path and in a header."""
_PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
_MOST_KINDS = 1024
"""Credentials, and models where a conversation is about one, for which some are held."""
_OF_THE_REQUEST = frozenset(
    {Cause.CLIENT, Cause.CONTENT, Cause.CONTEXT, Cause.NOT_FOUND, Cause.TOO_LARGE}
)
_encode = msgspec.json.Encoder().encode

Kind = tuple[str, str]
"""Conversations that stand in for each other: of one credential, about one model."""


class _Ready(Struct, frozen=True, gc=False):
    id: str | int
    expires: float


class Limits(Struct, frozen=True, gc=False):
    """Seconds for one call."""

    connect: float
    total: float


class Conversations:
    """Those of one provider."""

    __slots__ = ("_about_model", "_ahead", "_ready", "_settings", "_upstream")

    def __init__(self, upstream: Upstream, settings: Conversation) -> None:
        create = settings.create
        names = template.gaps([create.path, create.body, list(create.headers.values())])
        self._upstream = upstream
        self._settings = settings
        self._about_model = "model" in names
        self._ready: dict[Kind, deque[_Ready]] = {}
        self._ahead: dict[Kind, set[asyncio.Task[None]]] = {}

    async def take(self, credential: Credential | None, model: str, limits: Limits) -> Opened:
        """One for this request alone. Raises UpstreamError when the provider does not begin one in time."""
        kind = (credential.id if credential else "", model if self._about_model else "")
        id = self._fresh(kind)
        try:
            if id is None:
                id = await self._begin(credential, model, limits)
        finally:
            # Also after a failure: a later request should not wait because of this one.
            if id is not None:
                self._refill(kind, credential, model)
        return Opened(id, str(uuid4()))

    def close(self) -> None:
        """Begin no more."""
        for running in self._ahead.values():
            for task in running:
                task.cancel()
        self._ready.clear()

    def _fresh(self, kind: Kind) -> str | int | None:
        ready = self._ready.get(kind)
        now = monotonic()
        while ready:
            one = ready.popleft()
            if one.expires > now:
                return one.id
        return None

    def _refill(self, kind: Kind, credential: Credential | None, model: str) -> None:
        """Begin as many as are missing, without waiting for them."""
        wanted = self._settings.prefetch
        if not wanted or (kind not in self._ready and not self._has_room()):
            return
        ready = self._ready.setdefault(kind, deque())
        running = self._ahead.setdefault(kind, set())
        for _ in range(wanted - len(ready) - len(running)):
            work = self._begin_ahead(kind, credential, model)
            task = tasks.spawn(
                work, name=f"begin a conversation with {self._upstream.provider.name}"
            )
            running.add(task)
            task.add_done_callback(running.discard)

    def _has_room(self) -> bool:
        if len(self._ready) < _MOST_KINDS:
            return True
        now = monotonic()
        for kind, ready in list(self._ready.items()):
            if not self._ahead.get(kind) and not any(one.expires > now for one in ready):
                del self._ready[kind]
                self._ahead.pop(kind, None)
        return len(self._ready) < _MOST_KINDS

    async def _begin_ahead(self, kind: Kind, credential: Credential | None, model: str) -> None:
        timeouts = self._upstream.provider.timeouts
        try:
            id = await self._begin(credential, model, Limits(timeouts.connect, timeouts.ttft))
        except UpstreamError:
            return
        ready = self._ready.get(kind)
        if ready is not None:
            ready.append(_Ready(id, monotonic() + self._settings.expire))

    async def _begin(self, credential: Credential | None, model: str, limits: Limits) -> str | int:
        create = self._settings.create
        provider = self._upstream.provider
        values: Mapping[str, object] = {"model": model, "message_id": str(uuid4())}
        path = template.fill_text(create.path, values, _quoted)
        group = family(CONVERSATION)
        await self._upstream.mint(group, credential, limits.connect)
        minted = self._upstream.minted(presented.place(provider, group), credential)
        headers = presented.headers(provider, group, credential, minted)
        for name, text in create.headers.items():
            headers[name.lower()] = template.fill_text(text, values, _printable)
        body = None
        if create.body is not None:
            body = _encode(template.fill(create.body, values))
            headers.setdefault("content-type", "application/json")
        status, fields, answer = await self._upstream.ask(
            create.method,
            join(provider.base_url, path),
            query=presented.query(provider, group, credential),
            headers=headers,
            body=body,
            connect=limits.connect,
            total=limits.total,
        )
        return self._id(status, fields, answer)

    def _id(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> str | int:
        """The conversation an answer tells of. Raises UpstreamError when it tells of none."""
        if not 200 <= status < 300:
            raise _of_the_providers(parse_error(status, headers, body))
        found = object_at(body)
        if found is None:
            raise UpstreamError(Cause.MALFORMED, status=status)
        id = jsonpath.find(found, self._settings.create.id)
        if isinstance(id, str | int) and not isinstance(id, bool) and _ID.fullmatch(str(id)):
            return id
        raise _of_the_providers(in_band(body, fault_of(body)))


def _of_the_providers(error: UpstreamError) -> UpstreamError:
    """The failure of a call in which nothing is the client's, so that nothing of it is the client's fault."""
    if error.cause in _OF_THE_REQUEST or (
        error.cause is Cause.IN_BAND and error.status in (400, 404, 413)
    ):
        error.cause, error.status = Cause.SERVER, 502
    error.foreign = True
    return error


def _quoted(value: str) -> str:
    return quote(value, safe="-._~:@")


def _printable(value: str) -> str:
    return quote(value, safe=_PRINTABLE)
